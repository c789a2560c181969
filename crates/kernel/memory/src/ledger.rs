//! What the ledger of mappings stands on in the kernel.

use alloc::sync::Arc;

use cpu::Lock;
use frames::ShootdownReceipt;
use mapping_ledger::{Cached, Guarded, Machine, Mapped, ObjectLedger, SpaceLedger, Tables};
use paging::{Access, MapError, TableSource};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::{MemoryObject, Vm};

/// Most that the record of one mapping takes, with its object's: a node of each tree, and one more where a node splits,
/// at each level.
const RECORD_BYTES: u64 = 8192;

/// The kernel, as the ledger of mappings sees it.
#[derive(Debug)]
pub struct Kernel;

/// A spin lock that the ledger can hold.
#[derive(Debug)]
pub struct Held<T>(Lock<T>);

impl<T> Guarded<T> for Held<T> {
    fn new(value: T) -> Self {
        Self(Lock::new(value))
    }

    #[inline]
    fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock())
    }
}

impl Machine for Kernel {
    type Lock<T> = Held<T>;
    type Space = Vm;
    type Object = MemoryObject;
    type Access = Access;
    type Receipt = ShootdownReceipt;

    fn between_steps() {
        crate::between_steps();
    }

    fn wait() {
        cpu::relax();
        crate::between_steps();
    }
}

impl Mapped<Kernel> for MemoryObject {
    fn ledger(&self) -> &ObjectLedger<Kernel> {
        self.mappings()
    }

    fn pages(&self) -> u64 {
        self.count()
    }
}

/// Page tables are paid for by who needs them, and are the program's, not the kernel's reserve.
#[derive(Debug)]
pub(crate) struct Paid;

impl TableSource for Paid {
    fn take(&self) -> Result<frames::Frames, MapError> {
        #[cfg(sabotage)]
        let _nobody = sabotage!(TABLES_FOR_FREE).then(frames::paid_by_nobody);
        frames::allocate_for_program(0, frames::Use::Table).map_err(|refusal| match refusal {
            Refusal::NoMemory => MapError::NoMemory,
            _ => MapError::OverBudget,
        })
    }

    fn freed(&self) {}
}

pub(crate) const fn refusal(e: MapError) -> Refusal {
    match e {
        MapError::NoMemory => Refusal::NoMemory,
        MapError::OverBudget => Refusal::OverBudget,
        MapError::Occupied => Refusal::AlreadyExists,
        MapError::OutOfRange => Refusal::OutOfRange,
    }
}

#[expect(
    clippy::fn_params_excessive_bools,
    reason = "what was seen, not what to do"
)]
const fn cached(perhaps: bool) -> Cached {
    if perhaps { Cached::Perhaps } else { Cached::No }
}

impl Tables<Kernel> for Vm {
    fn ledger(&self) -> &SpaceLedger<Kernel> {
        self.regions()
    }

    fn enter(
        &self,
        address: u64,
        pages: u64,
        access: Access,
        object: &Arc<MemoryObject>,
        first: u64,
    ) -> Result<(), Refusal> {
        let access = object.page_access(access);
        let page = |at| object.page(first + at);
        self.space()
            .enter(address, pages, access, page, &Paid)
            .map_err(refusal)
    }

    fn clear(&self, address: u64, pages: u64) -> Cached {
        let perhaps = self.space().clear(address, pages, &Paid);
        cached(perhaps && !sabotage!(SKIP_SHOOTDOWN))
    }

    fn replace(&self, address: u64, pages: u64) -> Cached {
        sabotage!(KEEP_MAPPINGS => return Cached::No);
        cached(self.space().replace(address, pages, self.spare()))
    }

    fn restrict(
        &self,
        address: u64,
        pages: u64,
        access: Access,
        object: &Arc<MemoryObject>,
    ) -> Cached {
        let access = object.page_access(access);
        cached(self.space().protect(address, pages, access))
    }

    fn shoot_down(&self, address: u64, pages: u64, cached: Cached) -> ShootdownReceipt {
        match cached {
            Cached::Perhaps => self.space().shoot_down(address, pages),
            // SAFETY: no entry was present, or each that was has been shot down already.
            _ => unsafe { ShootdownReceipt::after_shootdown() },
        }
    }

    fn evict(&self) -> ShootdownReceipt {
        self.space().evict()
    }

    fn within_room<R>(&self, f: impl FnOnce() -> R) -> Result<R, Refusal> {
        frames::with_room(0, f)
    }

    fn pay(&self) -> Result<(), Refusal> {
        // The allocator charges the record itself, out of the room that `Vm` begins a change in.
        frames::more_room(RECORD_BYTES)
    }

    fn refund(&self) {}
}
