//! Which drivers are linked into the kernel: one line each, here and nowhere else.
//!
//! The same table is compared with a manifest's list twice: by `cargo xtask` on the host, before a kernel is built, and by
//! every boot. Invariant: it never holds anything but these names.
#![no_std]
#![forbid(unsafe_code)]

pub use driver_core::{DRIVERS, DriverEntry, TableError, check_table};

// What these crates register.
use edu as _;
use gve as _;
use nvme as _;
use virtio_blk as _;
use virtio_net as _;
use virtio_rng as _;
