//! The kernel binary, which assembles the crates below it.
//!
//! Owns the order of the boot, the trap dispatch, and the objects that the kernel itself serves. Invariant: it never
//! decides device authority (that is `dma-ledger`, through `device-manager`) and never parses what a stranger can
//! send: no network, no message beyond the generated stubs, and no file system but, during the boot, that of the CD
//! the machine was booted from.
#![no_std]
#![no_main]
#![allow(unsafe_code)]

extern crate alloc;

mod accounts;
mod acpi;
mod arrivals;
mod audit;
mod backtrace;
mod boot;
mod cdrom;
mod clock;
mod devices;
mod drivers;
mod handover;
mod heap;
mod image;
mod init;
mod iommu;
mod iommu_direct;
mod line;
mod lines;
mod log;
mod objects;
mod package;
mod panic;
mod peers;
mod power;
mod ranges;
mod refusal;
mod serial;
mod smp;
mod spawn;
mod trap;
mod wall;

/// States a fact: `fact!("topic", key = value, key ~ volatile)`. It goes to the log, and to the serial line unless quiet.
#[macro_export]
macro_rules! fact {
    ($topic:expr $(, $($rest:tt)*)?) => {{
        let mut line = $crate::line::Line::new();
        let _ = evidence::fact!(&mut line, $topic $(, $($rest)*)?);
        $crate::log::fact(&line);
    }};
}
