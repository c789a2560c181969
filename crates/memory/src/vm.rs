use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use cpu::Lock;
use frames::{FRAME_BYTES, Frames};
use paging::{Access, AddressSpace, MapError, USER_END};
use ring_abi::Refusal;

use crate::{MemoryObject, Quota};

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

    /// Maps pages of an object: at `wanted`, or where there is room. Returns the address.
    ///
    /// # Errors
    /// `OutOfRange` past the object, `ReadOnly` for a write mapping of what is not writable, `NoMemory`, `Revoked`,
    /// `AlreadyExists` where `wanted` overlaps.
    pub fn map_object(
        self: &Arc<Self>,
        object: &Arc<MemoryObject>,
        offset: u64,
        bytes: u64,
        access: Access,
        wanted: Option<u64>,
    ) -> Result<u64, Refusal> {
        let pages = pages_of(bytes)?;
        if offset % FRAME_BYTES != 0 {
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
            regions.insert(
                address,
                Region {
                    pages,
                    offset_pages,
                    object: Some(object.clone()),
                },
            );
            address
        };
        let access = object.page_access(access);
        let noted = object.note_mapping(self, address).and_then(|()| {
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
        if let Err(e) = noted {
            self.drop_region(address);
            object.forget_mapping(self, address);
            return Err(e);
        }
        // A revocation between the note and the last page has replaced only what it saw.
        if object.is_revoked() {
            self.drop_region(address);
            return Err(Refusal::Revoked);
        }
        Ok(address)
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
        self.map_object(&object, 0, bytes, access, wanted)
    }

    /// Unmaps `bytes` from `address`: parts of one region, or the whole. Pages go when nothing maps or names them.
    ///
    /// # Errors
    /// `NotFound` unless one region covers the range; `Misaligned`, `ZeroLength`.
    pub fn unmap(self: &Arc<Self>, address: u64, bytes: u64) -> Result<(), Refusal> {
        let pages = pages_of(bytes)?;
        if address % FRAME_BYTES != 0 {
            return Err(Refusal::Misaligned);
        }
        let (start, region) = {
            let mut regions = self.regions.lock();
            let start = covering(&regions, address, pages)?;
            (start, regions.remove(&start).ok_or(Refusal::NotFound)?)
        };
        if let Some(object) = &region.object {
            object.forget_mapping(self, start);
        }
        self.take_out(address, pages);
        let before = (address - start) / FRAME_BYTES;
        let after = region.pages - before - pages;
        let put_back = |at: u64, pages: u64, skip: u64| {
            if pages > 0 {
                let part = Region {
                    pages,
                    offset_pages: region.offset_pages + skip,
                    object: region.object.clone(),
                };
                self.regions.lock().insert(at, part);
                if let Some(object) = &region.object {
                    if object.note_mapping(self, at).is_err() {
                        self.revoke_region(at);
                    }
                }
            }
        };
        put_back(start, before, 0);
        put_back(address + pages * FRAME_BYTES, after, before + pages);
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
    /// `NotFound` unless one region covers the range; `ReadOnly`; `Misaligned`, `ZeroLength`.
    pub fn protect(&self, address: u64, bytes: u64, access: Access) -> Result<(), Refusal> {
        let pages = pages_of(bytes)?;
        if address % FRAME_BYTES != 0 {
            return Err(Refusal::Misaligned);
        }
        let regions = self.regions.lock();
        let start = covering(&regions, address, pages)?;
        let region = regions.get(&start).ok_or(Refusal::NotFound)?;
        let object = region.object.as_ref().ok_or(Refusal::Revoked)?;
        if access == Access::ReadWrite && !object.writable() {
            return Err(Refusal::ReadOnly);
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

    /// Puts the spare page in the place of a region's pages, because its object is revoked.
    pub(crate) fn revoke_region(&self, address: u64) {
        // The spare page was allocated before anything of an object was mapped.
        let Ok(spare) = self.spare() else { return };
        let object = {
            let mut regions = self.regions.lock();
            let Some(region) = regions.get_mut(&address) else {
                return;
            };
            let _ = self.space.replace(address, region.pages, spare);
            region.object.take()
        };
        drop(object);
    }

    /// Takes a region out again that could not be mapped whole.
    fn drop_region(&self, address: u64) {
        let region = self.regions.lock().remove(&address);
        if let Some(region) = region {
            self.take_out(address, region.pages);
        }
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

    /// Physical address behind a mapped user address.
    pub fn translate(&self, address: u64) -> Option<u64> {
        self.space.translate(address)
    }
}

fn check_free(regions: &BTreeMap<u64, Region>, address: u64, pages: u64) -> Result<u64, Refusal> {
    let end = pages
        .checked_mul(FRAME_BYTES)
        .and_then(|b| address.checked_add(b))
        .filter(|end| *end <= USER_END)
        .ok_or(Refusal::OutOfRange)?;
    if address % FRAME_BYTES != 0 || address == 0 {
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
    let end = address
        .checked_add(pages * FRAME_BYTES)
        .ok_or(Refusal::OutOfRange)?;
    if end <= start + region.pages * FRAME_BYTES {
        Ok(*start)
    } else {
        Err(Refusal::NotFound)
    }
}
