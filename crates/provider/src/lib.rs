//! What device providers share: one thread that waits for calls and for its device at once, batches at a device queue,
//! and the service of a disk.
//!
//! Owns: the loop ([`Runner`]), how completions are noticed ([`Notice`]), and `BlockDevice` with its sessions over any disk
//! whose commands somebody can write ([`block`]). Invariant: it never sees an address, a queue's memory, a doorbell or a
//! session's data: it submits templates and segments, and the kernel's broker decides.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod absent;
pub mod block;
mod notice;
mod queue;
mod run;

pub use absent::{Absent, refuse_all};
pub use notice::{MAX_SOURCES, Notice};
pub use queue::{BATCH, COMPLETIONS, Done, Item, submit, take};
pub use run::{Runner, Work};
