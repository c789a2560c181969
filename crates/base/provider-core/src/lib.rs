//! What a provider knows apart from how it is called: sessions with windows, and the requests in progress at its device.
//!
//! Owns: which of a client's requests are valid ([`block::Geometry`], [`nic::Traffic`]), how they become commands and when they
//! are answered ([`block::Engine`]), and when a session's window may be freed ([`Sessions`]). Invariant: it never calls
//! anything, never sees an address, and knows no device: data is a bound buffer and an offset in it, and what
//! a device calls its blocks is for the device's own crate to say ([`block::Commands`]).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod block;
mod data;
pub mod nic;
mod sessions;

pub use data::Data;
pub use ring_abi::Direction;
pub use sessions::{Claim, MAX_SESSIONS, Range, Session, Sessions};
