//! The tables of one domain, in the way its unit reads them.

use iommu_tables::amd::HostPages;
use iommu_tables::vtd::SecondStage;
use iommu_tables::{Geometry, MapRefusal, Mapping, PageTables, Table, UnmapRefusal};

use crate::memory::TablePages;

/// Whose units read the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reader {
    /// VT-d.
    Vtd,
    /// AMD-Vi.
    Amd,
}

/// The tables of one domain.
#[derive(Debug)]
pub(crate) enum Tables {
    /// Of a VT-d unit.
    Vtd(PageTables<SecondStage>),
    /// Of an AMD-Vi unit.
    Amd(PageTables<HostPages>),
}

impl Tables {
    /// Makes tables that map nothing; `None` if there is no memory for the first one.
    pub(crate) fn new(reader: Reader, memory: &mut TablePages, geometry: Geometry) -> Option<Self> {
        match reader {
            Reader::Vtd => PageTables::new(memory, geometry).map(Self::Vtd),
            Reader::Amd => PageTables::new(memory, geometry).map(Self::Amd),
        }
    }

    /// Returns the first table.
    pub(crate) const fn root(&self) -> Table {
        match self {
            Self::Vtd(tables) => tables.root(),
            Self::Amd(tables) => tables.root(),
        }
    }

    /// Maps a run.
    pub(crate) fn map(&mut self, memory: &mut TablePages, run: Mapping) -> Result<(), MapRefusal> {
        match self {
            Self::Vtd(tables) => tables.map(memory, run),
            Self::Amd(tables) => tables.map(memory, run),
        }
    }

    /// Unmaps a run.
    pub(crate) fn unmap(
        &mut self,
        memory: &mut TablePages,
        iova: u64,
        pages: u64,
    ) -> Result<(), UnmapRefusal> {
        match self {
            Self::Vtd(tables) => tables.unmap(memory, iova, pages),
            Self::Amd(tables) => tables.unmap(memory, iova, pages),
        }
    }
}
