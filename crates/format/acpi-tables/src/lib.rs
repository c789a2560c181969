//! Readers for static ACPI tables that survive hostile bytes.
//!
//! Owns: finding the tables ([`Root`]: RSDP, then XSDT or RSDT), checking a copied table ([`Table`]), and decoding
//! the MADT, MCFG, FADT, HPET, DMAR, IVRS and VIOT tables, and the `_S5_` package of a DSDT.
//! Source, unless a module says otherwise: ACPI Specification 6.5, chapter 5.
//!
//! Physical memory is reached only through [`PhysReader`], which the kernel implements over mappings of its own.
//! A table is copied first, and only the copy is checked and decoded ([`TableRef::copy`]).
//!
//! Invariant: this crate never interprets AML, never writes, never allocates and never panics, whatever the bytes;
//! every walk is bounded ([`MAX_TABLE_BYTES`], [`MAX_TABLES`]). A malformed table is refused as a whole, with a
//! [`TableError`] that names its signature and the rule it broke.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod dmar;
mod error;
mod fadt;
mod hpet;
mod ivrs;
mod locate;
mod madt;
mod mcfg;
mod s5;
mod table;
#[cfg(test)]
mod testing;
mod viot;

pub use dmar::{
    DeviceList, DeviceListKind, DeviceScope, Dmar, DmarCounts, DmarStructure, DmarStructures,
    MAX_REMAPPING_UNITS, PathStep, RemappingUnit, ReservedMemory, ScopeKind, Scopes,
};
pub use error::{Rule, Signature, TableError};
pub use fadt::{
    BootFlags, Fadt, FixedFlags, PM_TIMER_HZ, PM1_CNT_SCI_EN, PM1_CNT_SLP_EN, PM1_CNT_SLP_TYP_MASK,
    PM1_CNT_SLP_TYP_SHIFT, Register, ResetRegister, Space,
};
pub use hpet::Hpet;
pub use ivrs::{
    DeviceEntries, DeviceEntry, DeviceEntryKind, Ivrs, IvrsBlock, IvrsBlocks, IvrsCounts,
    MAX_UNIT_BLOCKS, MemoryBlock, SpecialDevice, UnitBlock,
};
pub use locate::{MAX_TABLES, PhysReader, ReadError, Root, Rsdp, TableRef, Tables};
pub use madt::{
    Entries, InterruptSource, IoApic, LocalApicNmi, Madt, MadtCounts, MadtEntry, NmiSource,
    Polarity, Processor, Processors, SourceOverride, Trigger,
};
pub use mcfg::{EcamWindow, EcamWindows, Mcfg};
pub use s5::{SleepTypes, find_s5};
pub use table::{HEADER_BYTES, MAX_TABLE_BYTES, Table};
pub use viot::{PciRange, Viot, ViotNode};
