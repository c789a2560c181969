//! What a remapping unit reads and writes in memory: tables, commands, faults.
//!
//! Owns: the page tables of a domain for both vendors ([`PageTables`]), the entries that lead to them and that remap
//! interrupts, the commands that make a unit forget, the records in which it tells what it refused ([`vtd`], [`amd`]),
//! and a second, independent reading of all tables as a unit does it ([`walk`]), which the tests hold the first one to.
//! Sources: VT-d Specification 4.1, AMD IOMMU Specification 3.08.
//!
//! Invariant: this crate never touches memory or a register: both are reached through what its caller gives
//! ([`TableMemory`]). It allocates nothing, no walk is longer than the levels there are, and a record is decoded
//! whatever the unit wrote into it. An entry lets a device reach exactly what was asked, and never skips translation:
//! pass-through, translated requests and posted interrupts cannot be written down with its types.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod amd;
mod page_tables;
mod ring;
pub mod vtd;
pub mod walk;

pub use page_tables::{
    Access, Entry, Format, Geometry, LargestPage, Levels, MapRefusal, Mapping, PAGE_BYTES,
    PageTables, Table, TableMemory, Translated, UnmapRefusal,
};
pub use ring::{Ring, RingFault};

/// What tells domains of one unit apart (VT-d 9.3 `DID`, AMD 2.2.2.1 `DomainID`). Zero is never one: a unit with
/// caching mode tags what it found absent with it (VT-d 6.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DomainId(core::num::NonZeroU16);

impl DomainId {
    /// Makes one; `None` for zero.
    pub const fn new(number: u16) -> Option<Self> {
        match core::num::NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Returns the number.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}
