//! What each domain of a remapping unit maps for whom, and when an address or a frame may be used again.
//!
//! Owns: the device addresses of a domain ([`Domain`]), the numbers that tell domains apart ([`Numbers`]), and the order
//! between what was unmapped and what a unit has been seen to forget ([`FlushClock`]). A mapping goes
//! `reserved → mapped → unmapped → forgotten`: what was unmapped keeps its frames and its address until an
//! [`IotlbReceipt`] shows that the unit forgot it, and its frames leave only with a shootdown receipt beside that one. Entries of
//! interrupt tables ([`Entries`]) are used again by the same rule.
//!
//! Invariant: this crate never hands out a device address that the unit may still remember for something else, and never
//! gives back frames that it may still reach. A refusal changes nothing. It holds frames as an opaque value, writes no
//! table, and keeps only one record for each mapping; where there is no memory for it, it refuses.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod domain;
mod entries;
mod flush;
mod numbers;

pub use domain::{
    Domain, Mapped, MappingKey, Owner, PAGE_BYTES, Refusal, Reserved, Retired, State, Unmapped,
    Window, Withdrawn,
};
pub use entries::{Cleared, Entries};
pub use flush::{FlushClock, IotlbReceipt, Pending, Scope, Stuck, WaitProof};
pub use numbers::Numbers;
