//! What device providers share: one thread that waits for calls and for its device at once, batches at a device queue,
//! and the services of a disk and of a network interface.
//!
//! Owns: the loop ([`Runner`]), how completions are noticed ([`Notice`]), `BlockDevice` with its sessions over any disk
//! whose commands somebody can write ([`block`]), and `Nic` over any interface that somebody can bring up ([`nic`]). Invariant: it never sees an address, a queue's memory, a doorbell or a
//! session's data: it submits templates and segments, and the kernel's broker decides.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod absent;
pub mod block;
pub mod nic;
mod notice;
mod pool;
mod queue;
mod ring;
mod run;

pub use absent::{Absent, refuse_all};
pub use notice::{MAX_SOURCES, NO_SOURCE, Notice};
pub use queue::{BATCH, COMPLETIONS, Done, Item, submit, take};
pub use ring::{DiskQueue, Kicked, QueueRing};
pub use run::{Runner, Work};
