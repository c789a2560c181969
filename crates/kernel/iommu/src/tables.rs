//! The tables of one domain, in the way its unit reads them.

use iommu_tables::amd::HostPages;
use iommu_tables::vtd::SecondStage;
use iommu_tables::{Geometry, MapRefusal, Mapping, PageTables, Table};

use crate::memory::TablePages;

/// Whose units read the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reader {
    /// VT-d.
    Vtd,
    /// AMD-Vi.
    Amd,
    /// Nobody's.
    Nobody,
}

/// The tables of one domain.
#[derive(Debug)]
pub(crate) enum Tables {
    /// Of a VT-d unit.
    Vtd(PageTables<SecondStage>),
    /// Of an AMD-Vi unit.
    Amd(PageTables<HostPages>),
    /// None: the unit is told of each mapping, and keeps it itself.
    Remote,
}

impl Tables {
    /// Makes tables that map nothing; `None` if there is no memory for the first one.
    pub(crate) fn new(reader: Reader, memory: &mut TablePages, geometry: Geometry) -> Option<Self> {
        match reader {
            Reader::Vtd => PageTables::new(memory, geometry).map(Self::Vtd),
            Reader::Amd => PageTables::new(memory, geometry).map(Self::Amd),
            Reader::Nobody => Some(Self::Remote),
        }
    }

    /// Returns the first table.
    pub(crate) const fn root(&self) -> Option<Table> {
        match self {
            Self::Vtd(tables) => Some(tables.root()),
            Self::Amd(tables) => Some(tables.root()),
            Self::Remote => None,
        }
    }

    /// Maps a run.
    pub(crate) fn map(&mut self, memory: &mut TablePages, run: Mapping) -> Result<(), MapRefusal> {
        match self {
            Self::Vtd(tables) => tables.map(memory, run),
            Self::Amd(tables) => tables.map(memory, run),
            Self::Remote => Err(MapRefusal::Range),
        }
    }

    /// What a device reaches at an address, by what stands in the tables.
    pub(crate) fn translate(&self, memory: &TablePages, iova: u64) -> Option<u64> {
        let found = match self {
            Self::Vtd(tables) => tables.translate(memory, iova),
            Self::Amd(tables) => tables.translate(memory, iova),
            Self::Remote => None,
        };
        found.map(|found| found.physical)
    }

    /// How many pages one entry at an address can hold.
    pub(crate) fn room(&self, memory: &TablePages, iova: u64) -> u64 {
        match self {
            Self::Vtd(tables) => tables.room(memory, iova),
            Self::Amd(tables) => tables.room(memory, iova),
            Self::Remote => 0,
        }
    }

    /// Unmaps the page that begins at an address, and returns how many of 4 KiB it was; 0 where none does.
    pub(crate) fn unmap_page(&mut self, memory: &mut TablePages, iova: u64) -> u64 {
        match self {
            Self::Vtd(tables) => tables.unmap_page(memory, iova),
            Self::Amd(tables) => tables.unmap_page(memory, iova),
            Self::Remote => 0,
        }
    }
}
