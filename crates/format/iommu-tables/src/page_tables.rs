//! The page tables of one domain: radix trees of 512 entries, the same for both vendors but for an entry's bits.

use core::marker::PhantomData;

/// Bytes of the smallest page and of a table.
pub const PAGE_BYTES: u64 = 4096;
/// Entries of a table.
const ENTRIES: u64 = 512;
/// Where every physical address ends.
const PHYSICAL_END: u64 = 1 << 52;

/// A table by its physical address: a whole page below 2^52.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Table(u64);

impl Table {
    /// Makes one; `None` unless the address is one of a page.
    pub const fn new(address: u64) -> Option<Self> {
        match address.is_multiple_of(PAGE_BYTES) && address < PHYSICAL_END {
            true => Some(Self(address)),
            false => None,
        }
    }

    /// Returns the address.
    pub const fn address(self) -> u64 {
        self.0
    }
}

/// The memory that tables lie in.
pub trait TableMemory {
    /// Takes a page that holds zeros only; `None` if there is no more.
    fn take(&mut self) -> Option<Table>;

    /// Reads an entry, below 512.
    fn read(&self, table: Table, index: usize) -> u64;

    /// Writes an entry, below 512, in one piece, and makes the unit see it if it does not look through caches.
    fn write(&mut self, table: Table, index: usize, entry: u64);
}

/// What a device may do with a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// It reads.
    Read,
    /// It writes.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    /// Whether it may read.
    pub const fn reads(self) -> bool {
        !matches!(self, Self::Write)
    }

    /// Whether it may write.
    pub const fn writes(self) -> bool {
        !matches!(self, Self::Read)
    }

    /// Reads two bits of an entry back; `None` if neither is set.
    pub(crate) const fn of(entry: u64, read: u64, write: u64) -> Option<Self> {
        match (entry & read != 0, entry & write != 0) {
            (true, true) => Some(Self::ReadWrite),
            (true, false) => Some(Self::Read),
            (false, true) => Some(Self::Write),
            (false, false) => None,
        }
    }
}

/// How many tables lie between the root and a page of 4 KiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Levels {
    /// 39 bits.
    Three,
    /// 48 bits.
    Four,
}

impl Levels {
    /// Returns the count.
    pub const fn count(self) -> u8 {
        match self {
            Self::Three => 3,
            Self::Four => 4,
        }
    }

    /// Returns the bits of a device address.
    pub const fn bits(self) -> u32 {
        12 + 9 * self.count() as u32
    }
}

/// The largest page that the unit can read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LargestPage {
    /// 4 KiB.
    Page,
    /// 2 MiB.
    Large,
    /// 1 GiB.
    Huge,
}

impl LargestPage {
    const fn level(self) -> u8 {
        match self {
            Self::Page => 1,
            Self::Large => 2,
            Self::Huge => 3,
        }
    }
}

/// The shape of a domain's tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    /// Depth.
    pub levels: Levels,
    /// Largest page.
    pub largest: LargestPage,
}

/// What an entry says, at its level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Entry {
    /// Nothing is there: a device that goes through it is refused.
    Hole,
    /// The table one level down.
    Table(Table),
    /// A page of this level's size.
    Page {
        /// Its physical address.
        physical: u64,
        /// What the device may do.
        access: Access,
    },
}

/// How a vendor writes an entry down. Level 1 holds pages of 4 KiB, 2 of 2 MiB, 3 of 1 GiB.
pub trait Format {
    /// An entry at `level` that leads to a table one level down.
    fn table(level: u8, next: Table) -> u64;

    /// An entry at `level` that is a page.
    fn page(level: u8, physical: u64, access: Access) -> u64;

    /// Reads an entry at `level`.
    fn read(level: u8, entry: u64) -> Entry;
}

/// A run of pages that a device is to reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Where the device sees it.
    pub iova: u64,
    /// Where it is.
    pub physical: u64,
    /// Count of pages of 4 KiB.
    pub pages: u64,
    /// What the device may do.
    pub access: Access,
}

/// Why nothing was mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapRefusal {
    /// An address is not one of a page, there is no page, or the run leaves the domain or physical memory.
    Range,
    /// A page of the run is mapped already.
    Mapped,
    /// There is no memory for a table. Tables that were made stay, empty.
    NoMemory,
}

/// Why nothing was unmapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UnmapRefusal {
    /// An address is not one of a page, there is no page, or the run leaves the domain.
    Range,
    /// A page of the run is not mapped.
    NotMapped,
    /// The run ends inside a large page.
    CutsPage,
}

/// What a device reaches at an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translated {
    /// Physical address of the byte.
    pub physical: u64,
    /// What the device may do there.
    pub access: Access,
    /// Bytes of the page it lies in.
    pub page_bytes: u64,
}

/// The tables of one domain.
///
/// A table that became empty stays, so that only leaves change while a domain lives: its pages go when it ends, with
/// [`PageTables::dismantle`]. Where an empty table lies, later pages are small ones.
#[derive(Debug)]
pub struct PageTables<F> {
    root: Table,
    geometry: Geometry,
    tables: u32,
    format: PhantomData<F>,
}

/// Where a walk ended.
struct Place {
    table: Table,
    index: usize,
    level: u8,
    entry: Entry,
}

/// Bytes that an entry at `level` covers.
const fn span(level: u8) -> u64 {
    PAGE_BYTES << (9 * (level as u32 - 1))
}

fn index(iova: u64, level: u8) -> usize {
    (iova / span(level) % ENTRIES) as usize
}

/// The first address after what the entry for `iova` at `level` covers.
const fn after(iova: u64, level: u8) -> u64 {
    (iova | (span(level) - 1)).saturating_add(1)
}

impl<F: Format> PageTables<F> {
    /// Makes tables that map nothing; `None` if there is no memory for the first one.
    pub fn new(memory: &mut impl TableMemory, geometry: Geometry) -> Option<Self> {
        Some(Self {
            root: memory.take()?,
            geometry,
            tables: 1,
            format: PhantomData,
        })
    }

    /// Returns the first table.
    pub const fn root(&self) -> Table {
        self.root
    }

    /// Returns the shape.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Returns how many tables there are.
    pub const fn tables(&self) -> u32 {
        self.tables
    }

    /// Maps a run, with the largest pages that fit. Nothing is mapped if it is refused.
    ///
    /// # Errors
    /// Those of [`MapRefusal`].
    pub fn map(
        &mut self,
        memory: &mut impl TableMemory,
        mapping: Mapping,
    ) -> Result<(), MapRefusal> {
        let end = self
            .end_of(mapping.iova, mapping.pages)
            .ok_or(MapRefusal::Range)?;
        let physical_end = (mapping.pages * PAGE_BYTES).checked_add(mapping.physical);
        let fits = physical_end.is_some_and(|end| end <= PHYSICAL_END);
        if !fits || !mapping.physical.is_multiple_of(PAGE_BYTES) {
            return Err(MapRefusal::Range);
        }
        let place = self.find(memory, mapping.iova);
        if place.level == 1 && place.index as u64 + mapping.pages <= ENTRIES {
            return Self::map_in(memory, &place, mapping);
        }
        let mut at = mapping.iova;
        while at < end {
            let place = self.find(memory, at);
            if !matches!(place.entry, Entry::Hole) {
                return Err(MapRefusal::Mapped);
            }
            at = after(at, place.level);
        }
        // All tables first: what can fail comes before what a device could see.
        self.place_all(memory, mapping, end, |_, _, _| ())?;
        self.place_all(memory, mapping, end, |memory, place, physical| {
            let entry = F::page(place.level, physical, mapping.access);
            memory.write(place.table, place.index, entry);
        })
    }

    /// As [`Self::map`], where one table that is there holds all of a run's entries: most runs are short, and one walk does.
    fn map_in(
        memory: &mut impl TableMemory,
        place: &Place,
        mapping: Mapping,
    ) -> Result<(), MapRefusal> {
        let all = place.index..place.index + mapping.pages as usize;
        let is_hole = |index| {
            let entry = F::read(1, memory.read(place.table, index));
            matches!(entry, Entry::Hole)
        };
        if !all.clone().all(is_hole) {
            return Err(MapRefusal::Mapped);
        }
        let mut physical = mapping.physical;
        for index in all {
            memory.write(place.table, index, F::page(1, physical, mapping.access));
            physical += PAGE_BYTES;
        }
        Ok(())
    }

    /// Unmaps a run. The unit may know it until it was made to forget it. Nothing is unmapped if it is refused.
    ///
    /// # Errors
    /// Those of [`UnmapRefusal`].
    pub fn unmap(
        &mut self,
        memory: &mut impl TableMemory,
        iova: u64,
        pages: u64,
    ) -> Result<(), UnmapRefusal> {
        let end = self.end_of(iova, pages).ok_or(UnmapRefusal::Range)?;
        let mut at = iova;
        while at < end {
            let place = self.find(memory, at);
            if !matches!(place.entry, Entry::Page { .. }) {
                return Err(UnmapRefusal::NotMapped);
            }
            if !at.is_multiple_of(span(place.level)) || after(at, place.level) > end {
                return Err(UnmapRefusal::CutsPage);
            }
            at = after(at, place.level);
        }
        at = iova;
        while at < end {
            let place = self.find(memory, at);
            memory.write(place.table, place.index, 0);
            at = after(at, place.level);
        }
        Ok(())
    }

    /// How many pages the largest entry at an address can hold that is not mapped: no more than the unit reads, nor than tables
    /// that are there leave free. 0 where something is mapped, or outside the domain.
    pub fn room(&self, memory: &impl TableMemory, iova: u64) -> u64 {
        if self.end_of(iova, 1).is_none() {
            return 0;
        }
        let place = self.find(memory, iova);
        let level = place.level.min(self.geometry.largest.level());
        match place.entry {
            Entry::Hole => span(level) / PAGE_BYTES,
            Entry::Page { .. } | Entry::Table(_) => 0,
        }
    }

    /// Unmaps the one page that begins at an address, as [`Self::unmap`] does, and returns how many of 4 KiB it was; 0 where none
    /// begins there.
    pub fn unmap_page(&mut self, memory: &mut impl TableMemory, iova: u64) -> u64 {
        if self.end_of(iova, 1).is_none() {
            return 0;
        }
        let place = self.find(memory, iova);
        match place.entry {
            Entry::Page { .. } if iova.is_multiple_of(span(place.level)) => {
                memory.write(place.table, place.index, 0);
                span(place.level) / PAGE_BYTES
            }
            _ => 0,
        }
    }

    /// Says what a device reaches at an address; `None` if it is refused there.
    pub fn translate(&self, memory: &impl TableMemory, iova: u64) -> Option<Translated> {
        if iova >> self.geometry.levels.bits() != 0 {
            return None;
        }
        let place = self.find(memory, iova);
        match place.entry {
            Entry::Page { physical, access } => Some(Translated {
                physical: physical + iova % span(place.level),
                access,
                page_bytes: span(place.level),
            }),
            Entry::Hole | Entry::Table(_) => None,
        }
    }

    /// Gives every table back, the first one last. The unit must have forgotten the domain before one is used again.
    pub fn dismantle(self, memory: &impl TableMemory, mut give: impl FnMut(Table)) {
        // One place for each level: a table and how far it was looked through.
        let top = usize::from(self.geometry.levels.count());
        let mut path = [(self.root, 0usize); 4];
        let mut depth = 0;
        loop {
            let (table, next) = path[depth];
            if next == ENTRIES as usize || depth + 1 == top {
                give(table);
                if depth == 0 {
                    return;
                }
                depth -= 1;
                continue;
            }
            path[depth].1 += 1;
            let level = (top - depth) as u8;
            if let Entry::Table(below) = F::read(level, memory.read(table, next)) {
                depth += 1;
                path[depth] = (below, 0);
            }
        }
    }

    /// Where a run ends, if it lies in the domain.
    fn end_of(&self, iova: u64, pages: u64) -> Option<u64> {
        let bytes = pages.checked_mul(PAGE_BYTES)?;
        let end = iova.checked_add(bytes)?;
        let inside = end <= 1 << self.geometry.levels.bits();
        (inside && pages > 0 && iova.is_multiple_of(PAGE_BYTES)).then_some(end)
    }

    /// Follows an address as far down as entries lead.
    fn find(&self, memory: &impl TableMemory, iova: u64) -> Place {
        let mut table = self.root;
        let mut level = self.geometry.levels.count();
        loop {
            let index = index(iova, level);
            let entry = F::read(level, memory.read(table, index));
            match entry {
                Entry::Table(below) if level > 1 => (table, level) = (below, level - 1),
                _ => {
                    return Place {
                        table,
                        index,
                        level,
                        entry,
                    };
                }
            }
        }
    }

    /// Goes through the places of a run's entries, and makes the tables that they lie in.
    fn place_all<M: TableMemory>(
        &mut self,
        memory: &mut M,
        mapping: Mapping,
        end: u64,
        mut each: impl FnMut(&mut M, &Place, u64),
    ) -> Result<(), MapRefusal> {
        let mut at = mapping.iova;
        while at < end {
            let physical = mapping.physical + (at - mapping.iova);
            let wanted = self.largest_level(at, physical, end - at);
            let mut place = self.find(memory, at);
            while place.level > wanted {
                let below = memory.take().ok_or(MapRefusal::NoMemory)?;
                memory.write(place.table, place.index, F::table(place.level, below));
                self.tables += 1;
                place = Place {
                    table: below,
                    index: index(at, place.level - 1),
                    level: place.level - 1,
                    entry: Entry::Hole,
                };
            }
            each(memory, &place, physical);
            at += span(place.level);
        }
        Ok(())
    }

    fn largest_level(&self, iova: u64, physical: u64, bytes: u64) -> u8 {
        let fits =
            |level: &u8| (iova | physical).is_multiple_of(span(*level)) && span(*level) <= bytes;
        let largest = self.geometry.largest.level();
        (2..=largest).rev().find(fits).unwrap_or(1)
    }
}
