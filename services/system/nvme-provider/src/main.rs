//! The userspace half of the NVMe driver: serves the disk of one controller as `BlockDevice`.
//!
//! Owns the order of things at the controller: reset, configure, enable, queues, identify; `provider::block` serves the
//! disk. Invariant: it never sees an address, a queue's memory, a doorbell or a session's data: it submits templates and
//! segments, and the kernel's broker decides. In direct mode it writes the disk's commands itself, with addresses of the
//! controller's domain; a session's data it never looks at.
//!
//! Its endpoint's facet with cookie 0 is the `BlockDevice`; sessions are facets that it mints, one per `open`.
//! Argument `read-only`: writes are refused. Argument `direct`: it writes the disk's commands itself where the manifest says
//! `dma = direct` and a domain confines the controller, and does as ever elsewhere.
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(test), no_main)]
#![forbid(unsafe_code)]

#[cfg(not(test))]
extern crate alloc;

#[cfg(not(test))]
mod direct;
#[cfg(not(test))]
mod disk;
#[cfg(not(test))]
mod program;
#[cfg(not(test))]
sdk::entry!(program::main);

#[cfg(test)]
fn main() {}
