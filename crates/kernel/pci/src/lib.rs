//! PCI configuration access and enumeration on the real machine.
//!
//! Owns the configuration windows (ECAM) and the legacy ports 0xCF8/0xCFC, the walk over all buses at boot that turns
//! off what firmware left on, and writes to MSI-X tables. Invariant: this crate never decides who may use a function
//! and never turns bus mastering or an interrupt on by itself; it never sees an address of memory, only of registers.
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may fail"
    )
)]
#![no_std]
#![allow(unsafe_code)] // port access and device mappings

extern crate alloc;
#[cfg(test)]
extern crate std;

mod config;
mod facts;
mod msix;
mod ports;

pub use config::{BridgeSeen, Config, Found, MapFn, Scanned, Topology, Window, WriteFact};
pub use facts::{write_bridge, write_function, write_quiesced};
pub use msix::MsixTable;
