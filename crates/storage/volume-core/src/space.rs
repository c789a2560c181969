//! The space map: which blocks are free, now and in the last two roots.

use alloc::vec::Vec;

use sabotage::sabotage;
use volume_format::{
    BLOCK, FANOUT, Layout, Ptr, PtrKind, REGION, Seed, TableEntry, get_entry, put_entry,
    start_table, table_is_sound,
};

use crate::{Blocks, Error, Place, new_block, push};

/// A region in memory. A set bit is a block in use.
#[derive(Debug)]
struct Region {
    index: u64,
    /// As the open group has it.
    now: Vec<u8>,
    /// As the last root has it.
    last: Vec<u8>,
    /// As the root before has it.
    before: Vec<u8>,
    /// What the open group allocated, freed again or not.
    taken: Vec<u8>,
    ptr: Option<Ptr>,
    is_dirty: bool,
    /// Its new block, while a commit is under way.
    target: Option<u64>,
}

/// A table in memory, as the open group has it.
#[derive(Debug)]
struct Table {
    level: u8,
    index: u64,
    block: Vec<u8>,
    ptr: Option<Ptr>,
    target: Option<u64>,
}

/// What a group needs to know of the volume it is on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context {
    pub uuid: [u8; 16],
    pub layout: Layout,
    /// The open group.
    pub txg: u64,
    pub mount: u32,
}

/// Which blocks are free.
#[derive(Debug)]
pub(crate) struct Space {
    regions: Vec<Region>,
    tables: Vec<Table>,
    /// The space tree of the last root; none while a volume is made.
    top: Option<Ptr>,
    /// The space tree of the root before.
    before: Option<Ptr>,
    cursor: u64,
    /// Free by the bitmaps of the open group.
    pub free: u64,
    /// Freed by the open group and in use in the last root.
    pub freed: u64,
    /// What the open group can still allocate.
    pub usable: u64,
}

impl Space {
    /// Bitmaps and tables that stay in memory after a commit.
    const KEEP: usize = 16;

    pub fn new(top: Option<Ptr>, before: Option<Ptr>, free: u64, held: u64, cursor: u64) -> Self {
        Self {
            regions: Vec::new(),
            tables: Vec::new(),
            top,
            before,
            cursor,
            free,
            freed: 0,
            usable: free.saturating_sub(held),
        }
    }

    /// Blocks that writing the map itself will take, at most a few more than this.
    pub fn cost(&self, context: &Context) -> u64 {
        let dirty = self.regions.iter().filter(|region| region.is_dirty).count() as u64;
        2 * (dirty + 1) + 2 * u64::from(context.layout.space_height())
    }

    fn read<B: Blocks>(
        disk: &mut B,
        context: &Context,
        ptr: &Ptr,
        position: u64,
    ) -> Result<Vec<u8>, Error<B::Error>> {
        let mut block = new_block().ok_or(Error::NoMemory)?;
        disk.read(ptr.lba, &mut block).map_err(Error::Disk)?;
        let is_sealed = context.is_sealed(ptr, (Seed::SPACE, position), &block);
        if !is_sealed && !sabotage!(VOLUME_IGNORE_SUM) {
            return Err(Error::Corrupt(Place::Space { lba: ptr.lba }));
        }
        Ok(block)
    }

    /// The place of a table in memory, read if need be.
    fn table<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        level: u8,
        index: u64,
    ) -> Result<usize, Error<B::Error>> {
        // From the top down, so that each finds the one above it in memory.
        let height = context.layout.space_height();
        let mut place = 0;
        for at in (level..=height).rev() {
            let wanted = index / FANOUT.pow(u32::from(at - level));
            let known = |table: &Table| table.level == at && table.index == wanted;
            if let Some(found) = self.tables.iter().position(known) {
                place = found;
                continue;
            }
            let ptr = if at == height {
                self.top
            } else {
                self.entry(context, place, wanted % FANOUT)?.ptr
            };
            let block = match ptr {
                Some(ptr) => {
                    let block = Self::read(disk, context, &ptr, position(at, wanted))?;
                    if !table_is_sound(&block, at) {
                        return Err(Error::Corrupt(Place::Space { lba: ptr.lba }));
                    }
                    block
                }
                None => fresh_table(context, at, wanted).ok_or(Error::NoMemory)?,
            };
            place = self.tables.len();
            let table = Table {
                level: at,
                index: wanted,
                block,
                ptr,
                target: None,
            };
            push(&mut self.tables, table)?;
        }
        Ok(place)
    }

    fn entry<E>(&self, context: &Context, place: usize, slot: u64) -> Result<TableEntry, Error<E>> {
        let Some(table) = self.tables.get(place) else {
            return Err(Error::Corrupt(Place::Space { lba: 0 }));
        };
        entry_of(context, &table.block, table.level, table.index, slot).ok_or(Error::Corrupt(
            Place::Space {
                lba: table.ptr.map_or(0, |ptr| ptr.lba),
            },
        ))
    }

    fn region<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        index: u64,
    ) -> Result<usize, Error<B::Error>> {
        if let Some(found) = self.regions.iter().position(|region| region.index == index) {
            return Ok(found);
        }
        let place = self.table(disk, context, 1, index / FANOUT)?;
        let ptr = self.entry(context, place, index % FANOUT)?.ptr;
        let now = bitmap(disk, context, ptr, index)?;
        let before = self.bitmap_before(disk, context, index, ptr, &now)?;
        let region = Region {
            index,
            last: copy(&now)?,
            now,
            before,
            taken: new_block().ok_or(Error::NoMemory)?,
            ptr,
            is_dirty: false,
            target: None,
        };
        push(&mut self.regions, region)?;
        Ok(self.regions.len() - 1)
    }

    /// A region as the root before the last one has it. Where that cannot be read, all of it counts as in use.
    fn bitmap_before<B: Blocks>(
        &self,
        disk: &mut B,
        context: &Context,
        index: u64,
        last: Option<Ptr>,
        now: &[u8],
    ) -> Result<Vec<u8>, Error<B::Error>> {
        let Some(mut ptr) = self.before.map(Some) else {
            return copy(now);
        };
        let mut level = context.layout.space_height();
        while let (Some(table), true) = (ptr, level > 0) {
            let below = index / FANOUT.pow(u32::from(level) - 1);
            let block = match Self::read(disk, context, &table, position(level, below / FANOUT)) {
                Ok(block) => block,
                Err(Error::Corrupt(_)) => return all_in_use(),
                Err(error) => return Err(error),
            };
            match entry_of(context, &block, level, below / FANOUT, below % FANOUT) {
                Some(entry) => ptr = entry.ptr,
                None => return all_in_use(),
            }
            level -= 1;
        }
        if ptr == last {
            return copy(now);
        }
        match bitmap(disk, context, ptr, index) {
            Err(Error::Corrupt(_)) => all_in_use(),
            other => other,
        }
    }

    /// Takes a free block: none that either of the last two roots has in use, and none that this group had before.
    pub fn allocate<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
    ) -> Result<u64, Error<B::Error>> {
        if self.usable == 0 {
            return Err(Error::NoSpace);
        }
        let regions = context.layout.regions();
        let mut index = self.cursor / REGION;
        let mut from = (self.cursor % REGION / 8) as usize;
        for _ in 0..=regions {
            index %= regions;
            if self.may_have_room(disk, context, index)? {
                let place = self.region(disk, context, index)?;
                if let Some(lba) = self
                    .regions
                    .get_mut(place)
                    .and_then(|region| region.take(from))
                {
                    self.cursor = lba;
                    self.free = self.free.saturating_sub(1);
                    self.usable -= 1;
                    return Ok(lba);
                }
            }
            (index, from) = (index + 1, 0);
        }
        Err(Error::NoSpace)
    }

    fn may_have_room<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        index: u64,
    ) -> Result<bool, Error<B::Error>> {
        if self.regions.iter().any(|region| region.index == index) {
            return Ok(true);
        }
        let place = self.table(disk, context, 1, index / FANOUT)?;
        Ok(self.entry(context, place, index % FANOUT)?.free > 0)
    }

    /// Gives a block back that was written by group `birth`.
    pub fn release<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        lba: u64,
        birth: u64,
    ) -> Result<(), Error<B::Error>> {
        let place = self.region(disk, context, lba / REGION)?;
        let bit = (lba % REGION) as usize;
        let was_used = self.regions.get_mut(place).is_some_and(|region| {
            region.is_dirty = true;
            let byte = region.now.get_mut(bit / 8);
            byte.is_some_and(|byte| {
                let was = *byte;
                *byte &= !(1 << (bit % 8));
                was != *byte
            })
        });
        if !was_used || !context.layout.holds(lba) {
            return Err(Error::Corrupt(Place::Space { lba }));
        }
        self.free += 1;
        sabotage!(VOLUME_REUSE_EARLY => self.cursor = lba);
        if birth < context.txg {
            self.freed += 1;
        }
        Ok(())
    }

    /// Writes all that changed and returns the new top, with the number of blocks written.
    pub fn write<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
    ) -> Result<(Ptr, u64), Error<B::Error>> {
        self.find_targets(disk, context)?;
        let mut written = 0;
        for place in 0..self.regions.len() {
            let Some(region) = self.regions.get_mut(place) else {
                break;
            };
            let (Some(lba), index) = (region.target, region.index) else {
                continue;
            };
            let ptr = context.write(
                disk,
                (lba, PtrKind::Bitmap),
                (Seed::SPACE, index),
                &region.now,
            )?;
            let used: u64 = region
                .now
                .iter()
                .map(|byte| u64::from(byte.count_ones()))
                .sum();
            region.ptr = Some(ptr);
            let entry = TableEntry {
                ptr: Some(ptr),
                free: REGION - used,
            };
            self.set_entry(disk, context, 1, index, entry)?;
            written += 1;
        }
        let height = context.layout.space_height();
        for level in 1..=height {
            for place in 0..self.tables.len() {
                let Some(table) = self.tables.get_mut(place) else {
                    break;
                };
                let (true, Some(lba)) = (table.level == level, table.target) else {
                    continue;
                };
                let index = table.index;
                let at = position(level, index);
                let ptr =
                    context.write(disk, (lba, PtrKind::Table), (Seed::SPACE, at), &table.block)?;
                table.ptr = Some(ptr);
                written += 1;
                if level == height {
                    return Ok((ptr, written));
                }
                let mut free = 0;
                for slot in 0..FANOUT {
                    free += self.entry(context, place, slot)?.free;
                }
                let entry = TableEntry {
                    ptr: Some(ptr),
                    free,
                };
                self.set_entry(disk, context, level + 1, index, entry)?;
            }
        }
        Err(Error::Corrupt(Place::Space { lba: 0 }))
    }

    fn set_entry<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        level: u8,
        below: u64,
        entry: TableEntry,
    ) -> Result<(), Error<B::Error>> {
        let place = self.table(disk, context, level, below / FANOUT)?;
        if let Some(table) = self.tables.get_mut(place) {
            put_entry(&mut table.block, below % FANOUT, &entry);
        }
        Ok(())
    }

    /// Gives every changed bitmap, and every table above one, a new block. That changes bitmaps in turn; each gets its
    /// block once, so it ends.
    fn find_targets<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
    ) -> Result<(), Error<B::Error>> {
        let height = context.layout.space_height();
        let top = self.table(disk, context, height, 0)?;
        self.target_table(disk, context, top)?;
        loop {
            let wants = |region: &Region| region.is_dirty && region.target.is_none();
            let Some(place) = self.regions.iter().position(wants) else {
                return Ok(());
            };
            let lba = self.allocate(disk, context)?;
            let Some(region) = self.regions.get_mut(place) else {
                return Ok(());
            };
            region.target = Some(lba);
            let (index, old) = (region.index, region.ptr);
            if let Some(old) = old {
                self.release(disk, context, old.lba, old.birth)?;
            }
            let mut above = index / FANOUT;
            for level in 1..=height {
                let table = self.table(disk, context, level, above)?;
                self.target_table(disk, context, table)?;
                above /= FANOUT;
            }
        }
    }

    fn target_table<B: Blocks>(
        &mut self,
        disk: &mut B,
        context: &Context,
        place: usize,
    ) -> Result<(), Error<B::Error>> {
        if self
            .tables
            .get(place)
            .is_none_or(|table| table.target.is_some())
        {
            return Ok(());
        }
        let lba = self.allocate(disk, context)?;
        let Some(table) = self.tables.get_mut(place) else {
            return Ok(());
        };
        table.target = Some(lba);
        match table.ptr {
            Some(old) => self.release(disk, context, old.lba, old.birth),
            None => Ok(()),
        }
    }

    /// The open group became the last root, whose space tree is `top`.
    pub fn publish(&mut self, top: Ptr) {
        for region in &mut self.regions {
            core::mem::swap(&mut region.before, &mut region.last);
            region.last.copy_from_slice(&region.now);
            region.taken.fill(0);
            region.is_dirty = false;
            region.target = None;
        }
        for table in &mut self.tables {
            table.target = None;
        }
        self.before = self.top;
        self.top = Some(top);
        self.usable = self.free.saturating_sub(self.freed);
        self.freed = 0;
        if self.regions.len() > Self::KEEP {
            self.regions.clear();
        }
        if self.tables.len() > Self::KEEP {
            self.tables.clear();
        }
    }
}

impl Region {
    /// Takes the first block that is free in every way, from byte `from` of the bitmap on.
    fn take(&mut self, from: usize) -> Option<u64> {
        for at in from..BLOCK {
            let now = self.now.get_mut(at)?;
            let taken = self.taken.get_mut(at)?;
            let mut used = *now | *self.last.get(at)? | *self.before.get(at)? | *taken;
            if sabotage!(VOLUME_REUSE_EARLY) {
                used = *now | *taken;
            }
            if used != 0xff {
                let bit = used.trailing_ones();
                *now |= 1 << bit;
                *taken |= 1 << bit;
                self.is_dirty = true;
                return Some(self.index * REGION + at as u64 * 8 + u64::from(bit));
            }
        }
        None
    }
}

fn position(level: u8, index: u64) -> u64 {
    u64::from(level) << 56 | index
}

fn copy<E>(bytes: &[u8]) -> Result<Vec<u8>, Error<E>> {
    let mut block = new_block().ok_or(Error::NoMemory)?;
    block.copy_from_slice(bytes);
    Ok(block)
}

fn all_in_use<E>() -> Result<Vec<u8>, Error<E>> {
    let mut block = new_block().ok_or(Error::NoMemory)?;
    block.fill(0xff);
    Ok(block)
}

fn bitmap<B: Blocks>(
    disk: &mut B,
    context: &Context,
    ptr: Option<Ptr>,
    index: u64,
) -> Result<Vec<u8>, Error<B::Error>> {
    let mut empty = new_block().ok_or(Error::NoMemory)?;
    context.layout.empty_bitmap(index, &mut empty);
    let Some(ptr) = ptr else {
        return Ok(empty);
    };
    let block = Space::read(disk, context, &ptr, position(0, index))?;
    // Labels, rings and what lies beyond the end are never free, whatever a stranger's bitmap says.
    match block
        .iter()
        .zip(&empty)
        .all(|(now, never)| now & never == *never)
    {
        true => Ok(block),
        false => Err(Error::Corrupt(Place::Space { lba: ptr.lba })),
    }
}

fn capacity_below(context: &Context, level: u8, child: u64) -> u64 {
    let span = FANOUT.pow(u32::from(level) - 1);
    context.layout.capacity(child.saturating_mul(span), span)
}

fn entry_of(
    context: &Context,
    block: &[u8],
    level: u8,
    index: u64,
    slot: u64,
) -> Option<TableEntry> {
    let capacity = capacity_below(context, level, index * FANOUT + slot);
    get_entry(block, level, slot, &context.layout, context.txg, capacity)
}

fn fresh_table(context: &Context, level: u8, index: u64) -> Option<Vec<u8>> {
    let mut block = new_block()?;
    start_table(&mut block, level);
    for slot in 0..FANOUT {
        let free = capacity_below(context, level, index * FANOUT + slot);
        put_entry(&mut block, slot, &TableEntry { ptr: None, free });
    }
    Some(block)
}
