//! Page tables, W^X mappings and TLB shootdown.
//!
//! Owns every page table: the kernel's upper half, shared by all, and the lower half of each address space. A mapping
//! that goes is reported with a [`frames::ShootdownReceipt`], made only here, after every CPU that ran the space has
//! dropped it. Invariant: it never maps a page writable and executable, never a kernel page for user mode, and never
//! knows whose pages they are.
#![no_std]
#![allow(unsafe_code)]

/// By this name, so that a model can bring its own.
use core::sync::atomic as atomics;

mod kernel_space;
mod round;
mod shootdown;
mod space;
mod table;

#[cfg(sabotage)]
pub use kernel_space::open_directly;
pub use kernel_space::{
    KernelSection, KernelStack, LargestPage, LongBuffer, MapDeviceError, initialise,
    is_below_kernel_stack, kernel_root, kernel_stack_word, map_device, new_stack,
    spare_stack_bytes, writable_aliases,
};
pub use shootdown::{answer as answer_shootdown, set_ipi_sender};
pub use space::{AddressSpace, MapError, TableSource, activate};
pub use table::Access;

/// First address above user space.
pub const USER_END: u64 = 0x0000_7fff_ffff_0000;
/// Where the direct map begins.
pub const DIRECT_MAP_BASE: u64 = 0xffff_8000_0000_0000;
