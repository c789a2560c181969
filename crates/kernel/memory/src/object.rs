//! Memory objects: pages that processes map, and their revocation.

use alloc::sync::Arc;
use core::fmt;

use frames::{FRAME_BYTES, Frames, ShootdownReceipt, Use};
use mapping_ledger::{ObjectLedger, Progress, Revocation, Unmapped};
use mmio::SharedBytes;
use paging::Access;
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::pages::{List, PageList, Pages};
use crate::{Kernel, STEP_PAGES, between_steps};

#[derive(Debug)]
enum Backing {
    /// Pages of its own, freed with the object one by one.
    Owned,
    /// One run of pages of its own, freed with the object.
    Run(Option<Frames>),
    /// Pages that `device-manager` owns: a window over a DMA buffer.
    Borrowed,
    /// Device registers: mapped uncached, and only for reading.
    Registers,
}

/// What knows an object as long as there is one: the list of what goes with its account.
pub trait Keeper: fmt::Debug + Send + Sync {
    /// Whether the account has ended that paid for the object.
    fn has_ended(&self) -> bool;
}

/// Pages that can be mapped, by one process or several.
#[derive(Debug)]
pub struct MemoryObject {
    pages: Pages,
    /// Goes with it.
    keeper: Option<Arc<dyn Keeper>>,
    backing: Backing,
    writable: bool,
    mappings: ObjectLedger<Kernel>,
}

/// Whether pages may be mapped for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// They may.
    Allowed,
    /// Nobody may.
    Never,
}

impl MemoryObject {
    /// Makes an object of `pages` zeroed pages, which who pays on this CPU pays for.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`; nothing is held then.
    pub fn new(pages: u32) -> Result<Arc<Self>, Refusal> {
        Self::fresh(pages).and_then(frames::arc)
    }

    /// As [`Self::new`]; [`Self::end`] takes the pages away although somebody still names the object. `keeper` goes with it.
    ///
    /// # Errors
    /// As for [`Self::new`].
    pub fn ending(pages: u32, keeper: Arc<dyn Keeper>) -> Result<Arc<Self>, Refusal> {
        let mut object = Self::fresh(pages)?;
        let list = core::mem::replace(&mut object.pages, Pages::Fixed(List::with_room(0)?));
        object.pages = list.let_end();
        object.keeper = Some(keeper);
        frames::arc(object)
    }

    fn fresh(pages: u32) -> Result<Self, Refusal> {
        // Before the list: more than can be had is no reason to look for memory.
        let mut payment = frames::pay(u64::from(pages) * FRAME_BYTES)?;
        let list = List::with_room(pages as usize)?;
        let mut object = Self::build(Pages::Fixed(list), Backing::Owned, Writes::Allowed);
        for at in 0..u64::from(pages) {
            if at > 0 && at.is_multiple_of(STEP_PAGES) {
                between_steps();
            }
            // What there is of it goes with it where there is no more.
            let frame = frames::allocate_out_of(&mut payment, Use::Object)?;
            let address = frame.address();
            if let Err(refusal) = object.pages.push(address) {
                frame.free_unmapped();
                return Err(refusal);
            }
        }
        Ok(object)
    }

    /// Makes an object from one physically contiguous run, which it owns from now on.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`; the run is free again then.
    pub fn from_run(run: Frames, pages: u32) -> Result<Arc<Self>, Refusal> {
        let addresses = (0..pages).map(|p| run.address() + u64::from(p) * FRAME_BYTES);
        match List::of(addresses) {
            Ok(list) => {
                let (pages, backing) = (Pages::Fixed(list), Backing::Run(Some(run)));
                frames::arc(Self::build(pages, backing, Writes::Allowed))
            }
            Err(refusal) => {
                run.free_unmapped();
                Err(refusal)
            }
        }
    }

    /// Makes an object over pages that somebody else owns and outlives: they must be revoked from this object before
    /// their owner frees them.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`.
    pub fn borrowed(list: Arc<dyn PageList>, writes: Writes) -> Result<Arc<Self>, Refusal> {
        frames::arc(Self::build(Pages::Lent(list), Backing::Borrowed, writes))
    }

    /// Makes an object over register pages in a row, read-only and uncached.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`.
    pub fn registers(physical: u64, pages: u32) -> Result<Arc<Self>, Refusal> {
        let addresses = (0..pages).map(|p| physical + u64::from(p) * FRAME_BYTES);
        let pages = Pages::Fixed(List::of(addresses)?);
        frames::arc(Self::build(pages, Backing::Registers, Writes::Never))
    }

    /// The access that pages of this object get where `wanted` is asked for.
    pub(crate) const fn page_access(&self, wanted: Access) -> Access {
        match self.backing {
            Backing::Registers => Access::DeviceRead,
            _ => wanted,
        }
    }

    /// Whether its pages are memory, which the direct map covers.
    pub(crate) const fn is_memory(&self) -> bool {
        !matches!(self.backing, Backing::Registers)
    }

    fn build(pages: Pages, backing: Backing, writes: Writes) -> Self {
        Self {
            pages,
            keeper: None,
            backing,
            writable: writes == Writes::Allowed,
            mappings: ObjectLedger::new(),
        }
    }

    /// Length in bytes.
    pub fn bytes(&self) -> u64 {
        self.count() * FRAME_BYTES
    }

    /// Length in pages.
    pub(crate) fn count(&self) -> u64 {
        self.pages.len()
    }

    /// What maps it.
    pub(crate) const fn mappings(&self) -> &ObjectLedger<Kernel> {
        &self.mappings
    }

    /// Whether it may be mapped for writing.
    pub const fn writable(&self) -> bool {
        self.writable
    }

    /// Whether a revocation of it has begun.
    pub fn is_revoked(&self) -> bool {
        self.mappings.is_revoked()
    }

    /// Whether the account has ended that paid for it.
    pub fn has_ended(&self) -> bool {
        self.keeper
            .as_ref()
            .is_some_and(|keeper| keeper.has_ended())
    }

    /// Whether anything maps it.
    pub fn is_mapped(&self) -> bool {
        self.mappings.mappings() > 0
    }

    /// Physical address of page `at`.
    pub(crate) fn page(&self, at: u64) -> Option<u64> {
        self.pages.get(at)
    }

    /// Copies bytes in through the direct map, page by page.
    ///
    /// # Errors
    /// `OutOfRange`; `Revoked` where another owner may have freed the pages.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let inside = (at % FRAME_BYTES) as usize;
            let n = (bytes.len() - done).min(FRAME_BYTES as usize - inside);
            let from = &bytes[done..done + n];
            self.hold(|| Ok::<_, Refusal>(self.view(at / FRAME_BYTES)?.write(inside, from)?))??;
            done += n;
        }
        Ok(())
    }

    /// Copies bytes out, as [`Self::write`] copies them in.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Refusal> {
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let inside = (at % FRAME_BYTES) as usize;
            let n = (out.len() - done).min(FRAME_BYTES as usize - inside);
            let into = &mut out[done..done + n];
            self.hold(|| Ok::<_, Refusal>(self.view(at / FRAME_BYTES)?.read(inside, into)?))??;
            done += n;
        }
        Ok(())
    }

    /// Keeps pages that may go before the object from being freed while `f` copies in one: whoever frees them revokes first.
    fn hold<R>(&self, f: impl FnOnce() -> R) -> Result<R, Refusal> {
        if matches!(self.backing, Backing::Owned | Backing::Run(_)) && !self.pages.may_go() {
            return Ok(f());
        }
        self.mappings.while_open(f)
    }

    pub(crate) fn view(&self, page: u64) -> Result<SharedBytes, Refusal> {
        if !self.is_memory() {
            return Err(Refusal::NotSupported);
        }
        let physical = self.page(page).ok_or(Refusal::OutOfRange)?;
        // SAFETY: the page is held by this object, or by its owner, who does not free it while `hold` runs; it is in the
        // direct map. User mappings of it make it shared memory, which is what the view is for.
        Ok(unsafe { SharedBytes::new(frames::direct_map(physical), FRAME_BYTES as usize) })
    }

    /// Ends every mapping, in every process; no CPU reaches a page through one when this returns, whoever began it. Who
    /// had it mapped reads zeros there until it unmaps: nobody faults for what somebody else did.
    pub fn revoke(&self) -> Unmapped {
        sabotage!(SECOND_REVOKER_GOES_ON => if self.is_revoked() {
            return Unmapped::untrue();
        });
        mapping_ledger::revoke::<Kernel>(self)
    }

    /// The account has ended that pays for it: revokes it, and frees its pages, whoever still names it. Pages that are not made
    /// by [`Self::ending`] stay.
    pub fn end(&self) {
        let proof = self.revoke();
        sabotage!(KEEP_ENDED_PAGES => return);
        let mut done = 0;
        while let Some(address) = self.pages.take() {
            frames::adopt(address).free(receipt(&proof));
            done += 1;
            if done % STEP_PAGES == 0 {
                between_steps();
            }
        }
    }

    /// One step of a revocation, which looks at nothing and waits for nobody. `None`: there is more to do.
    pub fn revoke_some(&self) -> Option<Unmapped> {
        match Revocation::<Kernel>::begin(self).step() {
            Progress::Done(proof) => Some(proof),
            Progress::More => None,
        }
    }
}

/// Every mapping ended with a receipt of its shootdown.
fn receipt(_: &Unmapped) -> ShootdownReceipt {
    // SAFETY: an `Unmapped` is made from a ledger alone in which every mapping ended with such a receipt.
    unsafe { ShootdownReceipt::after_shootdown() }
}

impl Drop for MemoryObject {
    fn drop(&mut self) {
        let Some(proof) = self.mappings.close() else {
            // A defect: what may be mapped is never freed.
            return;
        };
        match &mut self.backing {
            Backing::Borrowed | Backing::Registers => {}
            Backing::Run(run) => {
                if let Some(run) = run.take() {
                    run.free(receipt(&proof));
                }
            }
            Backing::Owned => {
                if sabotage!(LEAK_FRAME) {
                    let _ = self.pages.pop();
                }
                // The list goes with its pages: a long one is no less work.
                let mut done = 0;
                while let Some(address) = self.pages.pop() {
                    frames::adopt(address).free(receipt(&proof));
                    done += 1;
                    if done % STEP_PAGES == 0 {
                        between_steps();
                    }
                }
            }
        }
    }
}
