//! The userspace half of the virtio block driver: serves a disk as `BlockDevice`.
//!
//! Owns the order of things at the device; `provider::block` serves the disk. Invariant: it never sees an address, a ring,
//! a header or a session's data: it submits templates and segments, and the kernel's broker decides.
//!
//! Its endpoint's facet with cookie 0 is the `BlockDevice`; sessions are facets that it mints, one per `open`. Arguments:
//! `read-only` refuses writes, `polled` asks for no interrupt.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

#[cfg(not(test))]
extern crate alloc;

#[cfg(not(test))]
mod program;

#[cfg(not(test))]
sdk::entry!(program::main);

#[cfg(test)]
fn main() {}
