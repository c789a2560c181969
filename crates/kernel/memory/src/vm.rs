use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use cpu::Lock;
use frames::{FRAME_BYTES, Frames};
use paging::{Access, AddressSpace, MapError, USER_END};
use ring_abi::Refusal;

use crate::{Charge, MemoryObject, Quota};

/// Where the kernel places what programs map, above anything an image is linked to.
const FIRST: u64 = 0x1_0000_0000;

/// Protection bits of the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection(pub u8);

impl Protection {
    /// Reads.
    pub const READ: u8 = 1;
    /// Writes.
    pub const WRITE: u8 = 2;
    /// Instruction fetches.
    pub const EXECUTE: u8 = 4;

    /// The access it stands for.
    ///
    /// # Errors
    /// `WriteExecute`, or `BadArgument` for no read or an unknown bit.
    pub const fn access(self) -> Result<Access, Refusal> {
        match self.0 {
            1 => Ok(Access::Read),
            3 => Ok(Access::ReadWrite),
            5 => Ok(Access::ReadExecute),
            6 | 7 => Err(Refusal::WriteExecute),
            _ => Err(Refusal::BadArgument),
        }
    }
}

#[derive(Debug)]
struct Region {
    pages: u64,
    offset_pages: u64,
    /// `None` once the object was revoked: the spare page is mapped in its place.
    object: Option<Arc<MemoryObject>>,
    /// What it was mapped for. `None`: memory that no other process can name, which may be protected at will.
    most: Option<Access>,
    /// Page tables are being changed: nobody else touches the region, and its place is not free.
    busy: bool,
    /// What the mapping itself costs, beside the pages of the object.
    charge: Option<Arc<Charge>>,
}

/// The user half of one process: its page tables and what is mapped where.
#[derive(Debug)]
pub struct Vm {
    space: Arc<AddressSpace>,
    regions: Lock<BTreeMap<u64, Region>>,
    quota: Arc<Quota>,
    /// What takes the place of revoked pages; private to this address space, so that nothing leaks through it.
    spare: Lock<Option<Frames>>,
}

const fn refusal(e: MapError) -> Refusal {
    match e {
        MapError::NoMemory => Refusal::NoMemory,
        MapError::Occupied => Refusal::AlreadyExists,
        MapError::OutOfRange => Refusal::OutOfRange,
    }
}

/// Rounds a length up to pages.
fn pages_of(bytes: u64) -> Result<u64, Refusal> {
    match bytes {
        0 => Err(Refusal::ZeroLength),
        _ if bytes > USER_END => Err(Refusal::OutOfRange),
        _ => Ok(bytes.div_ceil(FRAME_BYTES)),
    }
}

impl Vm {
    /// Makes an empty address space whose pages `quota` pays for.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn new(quota: Arc<Quota>) -> Result<Arc<Self>, Refusal> {
        let space = Arc::new(AddressSpace::new().ok_or(Refusal::NoMemory)?);
        Ok(Arc::new(Self {
            space,
            regions: Lock::new(BTreeMap::new()),
            quota,
            spare: Lock::new(None),
        }))
    }

    /// The page tables.
    pub const fn space(&self) -> &Arc<AddressSpace> {
        &self.space
    }

    /// The quota that pays for pages.
    pub const fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    /// Maps pages of an object: at `wanted`, or where there is room. Returns the address. The quota pays one page for
    /// the mapping itself and one for every 512 pages of it.
    ///
    /// # Errors
    /// `OutOfRange` past the object, `ReadOnly` for a write mapping of what is not writable, `NoMemory`, `OverBudget`,
    /// `Revoked`, `AlreadyExists` where `wanted` overlaps.
    pub fn map_object(
        self: &Arc<Self>,
        object: &Arc<MemoryObject>,
        offset: u64,
        bytes: u64,
        access: Access,
        wanted: Option<u64>,
    ) -> Result<u64, Refusal> {
        let cost = u32::try_from(1 + pages_of(bytes)? / 512).map_err(|_| Refusal::OverBudget)?;
        let charge = self.quota.reserve(cost)?;
        self.map_region(object, offset, bytes, access, wanted, Some(charge))
    }

    /// As [`Self::map_object`]; without a charge the object is the region's alone.
    fn map_region(
        self: &Arc<Self>,
        object: &Arc<MemoryObject>,
        offset: u64,
        bytes: u64,
        access: Access,
        wanted: Option<u64>,
        charge: Option<Charge>,
    ) -> Result<u64, Refusal> {
        let pages = pages_of(bytes)?;
        if !offset.is_multiple_of(FRAME_BYTES) {
            return Err(Refusal::Misaligned);
        }
        let offset_pages = offset / FRAME_BYTES;
        let end = offset_pages.checked_add(pages).ok_or(Refusal::OutOfRange)?;
        if end > object.bytes() / FRAME_BYTES {
            return Err(Refusal::OutOfRange);
        }
        if access == Access::ReadWrite && !object.writable() {
            return Err(Refusal::ReadOnly);
        }
        self.spare()?;
        let address = {
            let mut regions = self.regions.lock();
            let address = match wanted {
                Some(address) => check_free(&regions, address, pages)?,
                None => find_room(&regions, pages)?,
            };
            let region = Region {
                pages,
                offset_pages,
                object: Some(object.clone()),
                most: charge.as_ref().map(|_| access),
                busy: true,
                charge: charge.map(Arc::new),
            };
            regions.insert(address, region);
            address
        };
        let access = object.page_access(access);
        // Noted before the first page: a revocation from now on waits until the region is no longer busy.
        let mapped = object.note_mapping(self, address).and_then(|()| {
            for page in 0..pages {
                let physical = object
                    .page(offset_pages + page)
                    .ok_or(Refusal::OutOfRange)?;
                self.space
                    .map(address + page * FRAME_BYTES, physical, access)
                    .map_err(refusal)?;
            }
            Ok(())
        });
        if let Err(e) = mapped {
            let _ = self.space.unmap(address, pages);
            object.forget_mapping(self, address);
            self.end_change(address, 0);
            return Err(e);
        }
        self.end_change(address, pages);
        Ok(address)
    }

    /// Ends a change of the region at `address`, of which `pages` pages are left.
    fn end_change(&self, address: u64, pages: u64) {
        let gone = {
            let mut regions = self.regions.lock();
            match regions.get_mut(&address) {
                Some(region) if pages > 0 => {
                    region.pages = pages;
                    region.busy = false;
                    None
                }
                _ => regions.remove(&address),
            }
        };
        drop(gone);
    }

    /// Maps fresh zeroed memory.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`, and those of [`Self::map_object`].
    pub fn map_new(
        self: &Arc<Self>,
        bytes: u64,
        access: Access,
        wanted: Option<u64>,
    ) -> Result<u64, Refusal> {
        let pages = u32::try_from(pages_of(bytes)?).map_err(|_| Refusal::OverBudget)?;
        let charge = self.quota.reserve(pages)?;
        let object = MemoryObject::new(pages, Some(charge))?;
        self.map_region(&object, 0, bytes, access, wanted, None)
    }

    /// Unmaps `bytes` from `address`: parts of one region, or the whole. Pages go when nothing maps or names them.
    ///
    /// # Errors
    /// `NotFound` unless one region covers the range; `Busy` while another thread changes it; `Misaligned`,
    /// `ZeroLength`.
    pub fn unmap(self: &Arc<Self>, address: u64, bytes: u64) -> Result<(), Refusal> {
        let pages = pages_of(bytes)?;
        if !address.is_multiple_of(FRAME_BYTES) {
            return Err(Refusal::Misaligned);
        }
        let (start, before, behind) = {
            let mut regions = self.regions.lock();
            let start = covering(&regions, address, pages)?;
            let region = regions.get_mut(&start).ok_or(Refusal::NotFound)?;
            if region.busy {
                return Err(Refusal::Busy);
            }
            // Its place stays taken, and its pages held, until no CPU can reach them any more.
            region.busy = true;
            let before = (address - start) / FRAME_BYTES;
            let behind = Region {
                pages: region.pages - before - pages,
                offset_pages: region.offset_pages + before + pages,
                object: region.object.clone(),
                most: region.most,
                busy: true,
                charge: region.charge.clone(),
            };
            (start, before, behind)
        };
        self.take_out(address, pages);
        let object = behind.object.clone();
        if behind.pages > 0 {
            let (at, left) = (address + pages * FRAME_BYTES, behind.pages);
            self.regions.lock().insert(at, behind);
            let noted = object.as_ref().map_or(Ok(()), |o| o.note_mapping(self, at));
            self.end_change(at, left);
            if noted.is_err() {
                // Revoked meanwhile, by somebody who waits for the front part and knows of no other.
                self.revoke_region(at);
            }
        }
        if let (0, Some(object)) = (before, &object) {
            object.forget_mapping(self, start);
        }
        self.end_change(start, before);
        Ok(())
    }

    fn take_out(&self, address: u64, pages: u64) {
        #[cfg(sabotage)]
        if cpu::sabotaged("skip-shootdown") {
            let _ = self.space.unmap_without_shootdown(address, pages);
            return;
        }
        let _ = self.space.unmap(address, pages);
    }

    /// Unmaps the whole region that starts at `address`.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn unmap_region(self: &Arc<Self>, address: u64) -> Result<(), Refusal> {
        let pages = self
            .regions
            .lock()
            .get(&address)
            .map(|r| r.pages)
            .ok_or(Refusal::NotFound)?;
        self.unmap(address, pages * FRAME_BYTES)
    }

    /// Changes what mapped pages allow.
    ///
    /// # Errors
    /// `NotFound` unless one region covers the range; `ReadOnly` and `WriteExecute` for more than a shared object was
    /// mapped for; `Busy` while another thread changes the region; `Revoked`; `Misaligned`, `ZeroLength`.
    pub fn protect(&self, address: u64, bytes: u64, access: Access) -> Result<(), Refusal> {
        let pages = pages_of(bytes)?;
        if !address.is_multiple_of(FRAME_BYTES) {
            return Err(Refusal::Misaligned);
        }
        let regions = self.regions.lock();
        let start = covering(&regions, address, pages)?;
        let region = regions.get(&start).ok_or(Refusal::NotFound)?;
        let object = region.object.as_ref().ok_or(Refusal::Revoked)?;
        if region.busy {
            return Err(Refusal::Busy);
        }
        match (region.most, access) {
            (None, _) | (_, Access::Read) => {}
            (Some(most), _) if most == access => {}
            (_, Access::ReadWrite) => return Err(Refusal::ReadOnly),
            _ => return Err(Refusal::WriteExecute),
        }
        self.space
            .protect(address, pages, object.page_access(access));
        Ok(())
    }

    /// The page that takes the place of revoked ones.
    fn spare(&self) -> Result<u64, Refusal> {
        let mut spare = self.spare.lock();
        if spare.is_none() {
            *spare = frames::allocate(0);
        }
        spare.as_ref().map(Frames::address).ok_or(Refusal::NoMemory)
    }

    /// Puts the spare page in the place of a region's pages, because its object is revoked, after whatever change of the
    /// region is under way.
    pub(crate) fn revoke_region(&self, address: u64) {
        // The spare page was allocated before anything of an object was mapped.
        let Ok(spare) = self.spare() else { return };
        let object = loop {
            match self.regions.lock().get_mut(&address) {
                None => return,
                Some(region) if !region.busy => {
                    #[cfg(sabotage)]
                    if cpu::sabotaged("keep-mappings") {
                        return;
                    }
                    let _ = self.space.replace(address, region.pages, spare);
                    break region.object.take();
                }
                Some(_) => {}
            }
            cpu::relax();
        };
        drop(object);
    }

    /// Ends everything: no CPU runs on these tables afterwards, and every page no one else holds is freed.
    pub fn retire(&self) {
        let regions = core::mem::take(&mut *self.regions.lock());
        let receipt = self.space.retire();
        for (address, region) in &regions {
            if let Some(object) = &region.object {
                object.forget_mapping(self, *address);
            }
        }
        if let Some(spare) = self.spare.lock().take() {
            spare.free(receipt);
        }
    }

    /// Reads an aligned word of the program's memory.
    ///
    /// # Errors
    /// `Misaligned`; `OutOfRange` where nothing is mapped; `NotSupported` for device registers, which the direct map
    /// does not hold and where a read may have an effect.
    pub fn read_word(&self, address: u64) -> Result<u32, Refusal> {
        if !address.is_multiple_of(4) {
            return Err(Refusal::Misaligned);
        }
        // While the regions are locked, no page that is still mapped goes: its region holds its object.
        let regions = self.regions.lock();
        let start =
            covering(&regions, address & !(FRAME_BYTES - 1), 1).map_err(|_| Refusal::OutOfRange)?;
        let object = regions.get(&start).and_then(|r| r.object.as_ref());
        if object.is_some_and(|o| !o.is_memory()) {
            return Err(Refusal::NotSupported);
        }
        let physical = self.space.translate(address).ok_or(Refusal::OutOfRange)?;
        // SAFETY: a page of a memory object or the spare page: in the direct map, aligned, and read as an atomic
        // whoever writes it meanwhile.
        let word = unsafe { AtomicU32::from_ptr(frames::direct_map(physical).cast()) };
        Ok(word.load(Ordering::SeqCst))
    }
}

fn check_free(regions: &BTreeMap<u64, Region>, address: u64, pages: u64) -> Result<u64, Refusal> {
    let end = pages
        .checked_mul(FRAME_BYTES)
        .and_then(|b| address.checked_add(b))
        .filter(|end| *end <= USER_END)
        .ok_or(Refusal::OutOfRange)?;
    if !address.is_multiple_of(FRAME_BYTES) || address == 0 {
        return Err(Refusal::Misaligned);
    }
    let before = regions.range(..end).next_back();
    match before {
        Some((start, r)) if start + r.pages * FRAME_BYTES > address => Err(Refusal::AlreadyExists),
        _ => Ok(address),
    }
}

/// First room of `pages` pages with an unmapped page on either side.
fn find_room(regions: &BTreeMap<u64, Region>, pages: u64) -> Result<u64, Refusal> {
    let wanted = pages
        .checked_add(2)
        .and_then(|p| p.checked_mul(FRAME_BYTES))
        .ok_or(Refusal::OutOfRange)?;
    let mut at = FIRST;
    for (start, region) in regions.range(FIRST..) {
        if start.saturating_sub(at) >= wanted {
            break;
        }
        at = start + region.pages * FRAME_BYTES;
    }
    match at.checked_add(wanted) {
        Some(end) if end <= USER_END => Ok(at + FRAME_BYTES),
        _ => Err(Refusal::NoMemory),
    }
}

fn covering(regions: &BTreeMap<u64, Region>, address: u64, pages: u64) -> Result<u64, Refusal> {
    let (start, region) = regions
        .range(..=address)
        .next_back()
        .ok_or(Refusal::NotFound)?;
    let end = pages
        .checked_mul(FRAME_BYTES)
        .and_then(|b| address.checked_add(b))
        .ok_or(Refusal::OutOfRange)?;
    if end <= start + region.pages * FRAME_BYTES {
        Ok(*start)
    } else {
        Err(Refusal::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = FRAME_BYTES;

    fn region(pages: u64) -> Region {
        Region {
            pages,
            offset_pages: 0,
            object: None,
            most: None,
            busy: false,
            charge: None,
        }
    }

    #[test]
    fn rooms_have_an_unmapped_page_on_either_side() {
        let mut r = BTreeMap::new();
        let mut last = FIRST;
        for pages in [1, 2, 3, 1] {
            let at = find_room(&r, pages).unwrap();
            assert_eq!(at, last + PAGE);
            r.insert(at, region(pages));
            last = at + pages * PAGE;
        }
        // The hole of two pages takes two, and no more.
        let hole = FIRST + 3 * PAGE;
        assert_eq!(r.remove(&hole).map(|r| r.pages), Some(2));
        assert_eq!(find_room(&r, 2), Ok(hole));
        assert_eq!(find_room(&r, 3), Ok(last + PAGE));
        assert_eq!(find_room(&r, USER_END / PAGE), Err(Refusal::NoMemory));
        assert_eq!(find_room(&r, u64::MAX), Err(Refusal::OutOfRange));
    }

    #[test]
    fn rooms_never_overlap_what_is_there() {
        let mut r = BTreeMap::new();
        let mut seed = 7u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        for _ in 0..3000 {
            let pages = 1 + next(9);
            let at = find_room(&r, pages).unwrap();
            assert_eq!(check_free(&r, at, pages), Ok(at));
            assert!(check_free(&r, at - PAGE, pages + 2).is_ok(), "guards");
            r.insert(at, region(pages));
            assert_eq!(check_free(&r, at, 1), Err(Refusal::AlreadyExists));
            if next(3) == 0 {
                let victim = *r.keys().nth(next(r.len() as u64) as usize).unwrap();
                r.remove(&victim);
            }
        }
    }

    #[test]
    fn wanted_places_are_checked() {
        let mut r = BTreeMap::new();
        r.insert(0x20_0000, region(4));
        for (at, pages, e) in [
            (0x20_3000, 1, Refusal::AlreadyExists),
            (0x1f_f000, 2, Refusal::AlreadyExists),
            (0x1f_0000, 100, Refusal::AlreadyExists),
            (0, 1, Refusal::Misaligned),
            (0x30_0001, 1, Refusal::Misaligned),
            (USER_END, 1, Refusal::OutOfRange),
            (USER_END - PAGE, 2, Refusal::OutOfRange),
            (u64::MAX - PAGE + 1, 1, Refusal::OutOfRange),
            (0x30_0000, u64::MAX / PAGE + 1, Refusal::OutOfRange),
        ] {
            assert_eq!(check_free(&r, at, pages), Err(e), "{at:#x}");
        }
        assert_eq!(check_free(&r, 0x20_4000, 1), Ok(0x20_4000));
        assert_eq!(check_free(&r, USER_END - PAGE, 1), Ok(USER_END - PAGE));
    }

    #[test]
    fn a_range_is_covered_by_one_region_or_by_none() {
        let mut r = BTreeMap::new();
        r.insert(0x20_0000, region(2));
        r.insert(0x20_2000, region(2));
        assert_eq!(covering(&r, 0x20_1000, 1), Ok(0x20_0000));
        assert_eq!(covering(&r, 0x20_2000, 2), Ok(0x20_2000));
        assert_eq!(covering(&r, 0x20_1000, 2), Err(Refusal::NotFound));
        assert_eq!(covering(&r, 0x20_4000, 1), Err(Refusal::NotFound));
        assert_eq!(covering(&r, 0x1f_f000, 1), Err(Refusal::NotFound));
        assert_eq!(covering(&r, 0x20_0000, 1 << 52), Err(Refusal::OutOfRange));
        assert_eq!(
            covering(&r, u64::MAX - PAGE + 1, 2),
            Err(Refusal::OutOfRange)
        );
    }

    #[test]
    fn nothing_is_writable_and_executable() {
        for bits in 0..=255 {
            match Protection(bits).access() {
                Ok(access) => assert_eq!(bits & !(access_bits(access)), 0),
                Err(e) => assert!(e == Refusal::BadArgument || matches!(bits, 6 | 7)),
            }
        }
    }

    fn access_bits(access: Access) -> u8 {
        match access {
            Access::ReadWrite => Protection::READ | Protection::WRITE,
            Access::ReadExecute => Protection::READ | Protection::EXECUTE,
            _ => Protection::READ,
        }
    }
}
