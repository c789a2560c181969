//! Who maps which pages of which object where, and when a page may go.
//!
//! Owns the regions of every address space, the mappings of every object, and the one order in which they change. The
//! kernel calls this code for each `map`, `unmap`, `protect`, `revoke` and for each end of a process; nothing about
//! mappings is known anywhere else. It decides; [`Tables`] carries out.
//!
//! Invariant: a mapping is named by its [`MappingId`], which is never used again; an address alone names nothing.
//! Invariant: an object's mapping ends with a shootdown receipt and in no other way, and [`Unmapped`] is made only from
//! an object that accepts no mapping any more and has none.
//! Invariant: a change is a state of its region, with its place in it. No thread owns it: whoever needs its end carries
//! it on, at most [`STEP_PAGES`] pages at a time. So every caller of a revocation waits for the same one, and none waits
//! for a thread.
//! Invariant: every refusal happens before any change; a refused operation leaves the ledger as it was.
//!
//! | module | what it decides |
//! |---|---|
//! | `object` | whether an object may be mapped, what maps it, when nothing does |
//! | `space` | what is where in an address space; one step of a change |
//! | `gaps` | where there is room |
//! | `change` | map, unmap, protect, revoke and retire, step by step |
//!
//! Locks: a space's, then an object's. Never two of one kind.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod change;
mod gaps;
mod machine;
mod object;
mod space;

pub use change::{
    Area, MapRequest, Mapping, Progress, Protecting, Retirement, Revocation, Unmapping, map,
    protect, retire, revoke, unmap, unmap_object,
};
pub use gaps::Bounds;
pub use machine::{Cached, Guarded, Machine, Mapped, Tables};
pub use object::{ObjectLedger, Unmapped};
pub use space::{MappingId, SpaceLedger};

/// Bytes of a page.
pub const PAGE_BYTES: u64 = 4096;
/// Pages that one step of a change touches at most. Between two steps no lock is held.
pub const STEP_PAGES: u64 = 64;
