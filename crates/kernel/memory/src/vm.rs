//! The user half of one process: what is mapped where, and who pays for it.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use frames::{FRAME_BYTES, Use};
use mapping_ledger::{Area, Bounds, MapRequest, Progress, Retirement, SpaceLedger};
use paging::{Access, AddressSpace, TableSource, USER_END};
use ring_abi::Refusal;

use crate::ledger::{Paid, refusal};
use crate::{Kernel, MemoryObject, between_steps};

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

/// The user half of one process: its page tables, and the ledger of what is mapped where.
#[derive(Debug)]
pub struct Vm {
    space: Arc<AddressSpace>,
    regions: SpaceLedger<Kernel>,
    /// What takes the place of revoked pages; private to this address space, so that nothing leaks through it.
    spare: u64,
}

/// Most that an address space takes beside its tables.
const VM_BYTES: u64 = size_of::<Vm>() as u64 + 128;

/// Numbers of address spaces, never used again.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// Rounds a length up to pages.
fn pages_of(bytes: u64) -> Result<u64, Refusal> {
    match bytes {
        0 => Err(Refusal::ZeroLength),
        _ if bytes > USER_END => Err(Refusal::OutOfRange),
        _ => Ok(bytes.div_ceil(FRAME_BYTES)),
    }
}

impl Vm {
    /// Makes an empty address space. Who pays on this CPU pays for its tables.
    ///
    /// # Errors
    /// `NoMemory`, `OverBudget`.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    pub fn new() -> Result<Arc<Self>, Refusal> {
        // The spare page is there before anything of an object is mapped: a revocation cannot lack it.
        let spare = Paid.take().map_err(refusal)?;
        spare.set_use(Use::Object);
        let space = match AddressSpace::new(&Paid) {
            Ok(space) => space,
            Err(e) => {
                spare.free_unmapped();
                return Err(refusal(e));
            }
        };
        let bounds = Bounds {
            first: FIRST,
            end: USER_END,
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let spare = spare.address();
        let (space, regions) = (frames::arc(space), SpaceLedger::new(number, bounds));
        let vm = space.and_then(|space| {
            frames::with_room(VM_BYTES, || {
                Arc::new(Self {
                    space,
                    regions,
                    spare,
                })
            })
        });
        vm.inspect_err(|_| frames::adopt(spare).free_unmapped())
    }

    /// The page tables.
    pub const fn space(&self) -> &Arc<AddressSpace> {
        &self.space
    }

    /// What is mapped where.
    pub(crate) const fn regions(&self) -> &SpaceLedger<Kernel> {
        &self.regions
    }

    /// The page that takes the place of revoked ones.
    pub(crate) const fn spare(&self) -> u64 {
        self.spare
    }

    /// Maps pages of an object: at `wanted`, or where there is room. Returns the address. Who pays on this CPU pays for
    /// the page tables and the record.
    ///
    /// # Errors
    /// `OutOfRange` past the object, `ReadOnly` for a write mapping of what is not writable, `NoMemory`, `OverBudget`,
    /// `Revoked`, `AlreadyExists` where `wanted` overlaps, `WrongState` in a process that ends.
    pub fn map_object(
        self: &Arc<Self>,
        object: &Arc<MemoryObject>,
        offset: u64,
        bytes: u64,
        access: Access,
        wanted: Option<u64>,
    ) -> Result<u64, Refusal> {
        self.map_region(object, offset, bytes, access, wanted, Some(access))
    }

    /// As [`Self::map_object`]; `most` is what it may be protected for later, `None` where the object is the region's
    /// alone.
    fn map_region(
        self: &Arc<Self>,
        object: &Arc<MemoryObject>,
        offset: u64,
        bytes: u64,
        access: Access,
        wanted: Option<u64>,
        most: Option<Access>,
    ) -> Result<u64, Refusal> {
        let pages = pages_of(bytes)?;
        if !offset.is_multiple_of(FRAME_BYTES) {
            return Err(Refusal::Misaligned);
        }
        if access == Access::ReadWrite && !object.writable() {
            return Err(Refusal::ReadOnly);
        }
        let request = MapRequest {
            offset: offset / FRAME_BYTES,
            pages,
            access,
            most,
            wanted,
        };
        mapping_ledger::map::<Kernel>(self, object, request)
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
        let object = MemoryObject::new(pages)?;
        self.map_region(&object, 0, bytes, access, wanted, None)
    }

    /// Unmaps `bytes` from `address`: parts of one region, or the whole. Pages go when nothing maps or names them.
    ///
    /// # Errors
    /// `NotFound` unless one region covers the range; `Busy` while another thread changes it; `OverBudget` where nothing
    /// is left to pay for the record of a part that remains; `Misaligned`, `ZeroLength`.
    pub fn unmap(self: &Arc<Self>, address: u64, bytes: u64) -> Result<(), Refusal> {
        let pages = pages_of(bytes)?;
        if !address.is_multiple_of(FRAME_BYTES) {
            return Err(Refusal::Misaligned);
        }
        mapping_ledger::unmap::<Kernel>(self, Area::Range { address, pages })
    }

    /// Unmaps the whole region that starts at `address`.
    ///
    /// # Errors
    /// `NotFound`; `Busy` while another thread changes it.
    pub fn unmap_region(self: &Arc<Self>, address: u64) -> Result<(), Refusal> {
        mapping_ledger::unmap::<Kernel>(self, Area::Region(address))
    }

    /// Unmaps every mapping of an object. Returns their count.
    ///
    /// # Errors
    /// `Busy` while another thread changes one of them.
    pub fn unmap_object(self: &Arc<Self>, object: &MemoryObject) -> Result<usize, Refusal> {
        mapping_ledger::unmap_object::<Kernel>(self, object)
    }

    /// Whether the page at `address` is mapped from this very object.
    pub fn maps(&self, address: u64, object: &Arc<MemoryObject>) -> bool {
        let same =
            |there: Option<&Arc<MemoryObject>>| there.is_some_and(|o| Arc::ptr_eq(o, object));
        self.regions.look(address, same).unwrap_or(false)
    }

    /// Changes what mapped pages allow.
    ///
    /// # Errors
    /// `NotFound` unless one region covers the range; `ReadOnly` and `WriteExecute` for more than a shared object was
    /// mapped for; `Busy` while another thread changes the region; `Revoked`; `Misaligned`, `ZeroLength`.
    pub fn protect(
        self: &Arc<Self>,
        address: u64,
        bytes: u64,
        access: Access,
    ) -> Result<(), Refusal> {
        let pages = pages_of(bytes)?;
        if !address.is_multiple_of(FRAME_BYTES) {
            return Err(Refusal::Misaligned);
        }
        mapping_ledger::protect::<Kernel>(self, address, pages, access, |most| {
            match (most, access) {
                (None, _) | (_, Access::Read) => Ok(()),
                (Some(most), _) if most == access => Ok(()),
                (_, Access::ReadWrite) => Err(Refusal::ReadOnly),
                _ => Err(Refusal::WriteExecute),
            }
        })
    }

    /// Ends everything: no CPU runs on these tables afterwards, and every page no one else holds is freed.
    pub fn retire(&self) {
        let mut retirement = Retirement::<Kernel>::begin(self);
        // The tables go first: no entry may name a page that the steps below free.
        while self.space.free_tables(&Paid) {
            between_steps();
        }
        while retirement.step() == Progress::More {
            between_steps();
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
        // While the ledger is looked at, no page that is still mapped goes: its region holds its object.
        let read = |object: Option<&Arc<MemoryObject>>| {
            if object.is_some_and(|o| !o.is_memory()) {
                return Err(Refusal::NotSupported);
            }
            let physical = self.space.translate(address).ok_or(Refusal::OutOfRange)?;
            // SAFETY: a page of a memory object or the spare page: in the direct map, aligned, and read as an atomic
            // whoever writes it meanwhile.
            let word = unsafe { AtomicU32::from_ptr(frames::direct_map(physical).cast()) };
            Ok(word.load(Ordering::SeqCst))
        };
        let read = self.regions.look(address, read);
        read.map_err(|_| Refusal::OutOfRange)?
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // A process retires its space itself; one that never came about does it here. No CPU has it loaded then.
        self.retire();
        frames::adopt(self.spare).free_unmapped();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
