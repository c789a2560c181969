//! What the NVMe provider knows apart from how it is called: the disk's shape, the sessions, the requests in progress.
//!
//! Owns: which of a client's requests are valid ([`Geometry`]), how they become commands and when they are answered
//! ([`Engine`]), and when a session's window may be freed ([`Sessions`]). Invariant: it never calls anything, and never
//! sees an address: data is a buffer's handle and an offset in it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod engine;
mod geometry;
mod sessions;

pub use engine::{Data, Engine, Finished, MAX_REQUESTS, Planned, Request};
pub use geometry::{Geometry, Operation};
pub use sessions::{MAX_SESSIONS, Session, Sessions};
