//! The memory map: firmware regions of any order and overlap become a sorted, disjoint, page-aligned list, from which the
//! loader takes its own memory.

use arrayvec::ArrayVec;

use crate::error::Error;
use crate::memory::PAGE_BYTES;

/// Most regions a map may have once it is sorted.
pub const MAX_REGIONS: usize = 512;

/// Nothing is taken from below this address: the kernel needs low pages to start other CPUs.
const LOW_MEMORY_END: u64 = 0x10_0000;

/// What a region is; the values are the protocol's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// Free memory.
    Usable = 0,
    /// Not memory the kernel may touch.
    Reserved = 1,
    /// ACPI tables, free once they have been read.
    AcpiReclaimable = 2,
    /// Memory the firmware keeps using.
    AcpiNvs = 3,
    /// Defective.
    Bad = 4,
    /// What the loader made, free once the kernel no longer needs it.
    Reclaimable = 5,
    /// The kernel and the modules.
    Image = 6,
    /// A linear framebuffer.
    Framebuffer = 7,
}

impl Kind {
    /// Which of two overlapping claims of the firmware holds: the higher one, the more careful.
    const fn precedence(self) -> u8 {
        match self {
            Self::Usable => 0,
            Self::Reclaimable => 1,
            Self::Image => 2,
            Self::AcpiReclaimable => 3,
            Self::AcpiNvs => 4,
            Self::Framebuffer => 5,
            Self::Reserved => 6,
            Self::Bad => 7,
        }
    }

    /// Whether the protocol puts memory of this kind into the higher-half map even above 4 GiB.
    pub(crate) const fn in_direct_map(self) -> bool {
        !matches!(self, Self::Reserved | Self::Bad)
    }
}

/// A run of physical addresses of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// First address.
    pub base: u64,
    /// First address past the end.
    pub end: u64,
    /// What it is.
    pub kind: Kind,
}

/// A memory map: regions by ascending address, disjoint, page-aligned, neighbours of one kind joined.
#[derive(Clone, Debug, Default)]
pub struct MemoryMap {
    regions: ArrayVec<Region, MAX_REGIONS>,
}

impl MemoryMap {
    /// An empty map.
    pub const fn new() -> Self {
        Self {
            regions: ArrayVec::new_const(),
        }
    }

    /// The regions by ascending address.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Adds what the firmware says of `len` bytes at `base`, in any order. Usable memory shrinks to whole pages, all else
    /// grows to whole pages; where two claims overlap, the more careful one holds. The first page is never usable.
    ///
    /// # Errors
    /// [`Error::TooManyRegions`].
    pub fn add(&mut self, base: u64, len: u64, kind: Kind) -> Result<(), Error> {
        const LAST: u64 = u64::MAX - u64::MAX % PAGE_BYTES;
        let end = base.saturating_add(len);
        let (base, end) = if kind == Kind::Usable {
            (
                base.checked_next_multiple_of(PAGE_BYTES).unwrap_or(LAST),
                end - end % PAGE_BYTES,
            )
        } else {
            (
                base - base % PAGE_BYTES,
                end.checked_next_multiple_of(PAGE_BYTES).unwrap_or(LAST),
            )
        };
        if len == 0 || base >= end {
            return Ok(());
        }
        let strongest = |old: Option<Kind>| match old {
            Some(old) if old.precedence() > kind.precedence() => Some(old),
            _ => Some(kind),
        };
        self.overlay(base, end, strongest)?;
        self.overlay(0, PAGE_BYTES, |old| match old {
            Some(Kind::Usable) => Some(Kind::Reserved),
            other => other,
        })
    }

    /// Marks the pages that `len` bytes at `base` touch as `kind`, as far as they are usable or the loader's own already.
    ///
    /// # Errors
    /// [`Error::TooManyRegions`].
    pub fn claim(&mut self, base: u64, len: u64, kind: Kind) -> Result<(), Error> {
        let end = base
            .saturating_add(len)
            .checked_next_multiple_of(PAGE_BYTES)
            .unwrap_or(u64::MAX);
        self.overlay(base - base % PAGE_BYTES, end, |old| match old {
            Some(Kind::Usable | Kind::Reclaimable) => Some(kind),
            other => other,
        })
    }

    /// Whether every page of `len` bytes at `base` is free or the loader's own, so that [`Self::claim`] has it all.
    pub fn is_memory(&self, base: u64, len: u64) -> bool {
        let Some(end) = base.checked_add(len) else {
            return false;
        };
        let mut at = base;
        for region in &self.regions {
            let ours = matches!(region.kind, Kind::Usable | Kind::Reclaimable | Kind::Image);
            if region.end > at && at < end {
                if region.base > at || !ours {
                    return false;
                }
                at = region.end;
            }
        }
        at >= end
    }

    /// Takes `bytes` (rounded up to pages) from the highest usable memory that ends at or below `reach`.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::TooManyRegions`].
    pub(crate) fn take(
        &mut self,
        bytes: u64,
        reach: u64,
        kind: Kind,
        purpose: &'static str,
    ) -> Result<u64, Error> {
        let error = Error::OutOfMemory { purpose, bytes };
        let size = bytes
            .max(1)
            .checked_next_multiple_of(PAGE_BYTES)
            .ok_or(error)?;
        let reach = reach - reach % PAGE_BYTES;
        let base = self.regions.iter().rev().find_map(|region| {
            let base = region.end.min(reach).checked_sub(size)?;
            (region.kind == Kind::Usable && base >= region.base.max(LOW_MEMORY_END)).then_some(base)
        });
        let base = base.ok_or(error)?;
        self.overlay(base, base + size, |_| Some(kind))?;
        Ok(base)
    }

    /// Replaces the kind of everything in `base..end` (page-aligned) by what `rule` makes of it; `None` is a gap.
    fn overlay(
        &mut self,
        base: u64,
        end: u64,
        rule: impl Fn(Option<Kind>) -> Option<Kind>,
    ) -> Result<(), Error> {
        self.split(base)?;
        self.split(end)?;
        let mut index = self.regions.partition_point(|region| region.end <= base);
        let mut at = base;
        while at < end {
            match self.regions.get_mut(index) {
                Some(region) if region.base == at => {
                    region.kind = rule(Some(region.kind)).unwrap_or(region.kind);
                    at = region.end;
                    index += 1;
                }
                next => {
                    let gap_end = next.map_or(end, |region| region.base.min(end));
                    if let Some(kind) = rule(None) {
                        self.insert(
                            index,
                            Region {
                                base: at,
                                end: gap_end,
                                kind,
                            },
                        )?;
                        index += 1;
                    }
                    at = gap_end;
                }
            }
        }
        self.join();
        Ok(())
    }

    /// Makes `at` a boundary.
    fn split(&mut self, at: u64) -> Result<(), Error> {
        let index = self.regions.partition_point(|region| region.end <= at);
        if let Some(region) = self.regions.get_mut(index)
            && region.base < at
        {
            let upper = Region {
                base: at,
                ..*region
            };
            region.end = at;
            self.insert(index + 1, upper)?;
        }
        Ok(())
    }

    fn insert(&mut self, index: usize, region: Region) -> Result<(), Error> {
        self.regions
            .try_insert(index, region)
            .map_err(|_| Error::TooManyRegions)
    }

    /// Joins neighbours of one kind.
    fn join(&mut self) {
        let mut last: Option<Region> = None;
        let mut kept = 0;
        for index in 0..self.regions.len() {
            let Some(&region) = self.regions.get(index) else {
                break;
            };
            match &mut last {
                Some(previous) if previous.kind == region.kind && previous.end == region.base => {
                    previous.end = region.end;
                }
                _ => {
                    kept += 1;
                    last = Some(region);
                }
            }
            if let (Some(slot), Some(joined)) = (self.regions.get_mut(kept - 1), last) {
                *slot = joined;
            }
        }
        self.regions.truncate(kept);
    }
}
