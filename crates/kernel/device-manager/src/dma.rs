//! Pools, buffers, and the objects through which processes map them.

use alloc::vec::Vec;

use audit_format::{Event, Kind};
use dma_ledger::{
    BufferId, BufferInfo, BufferRequest, Claim, MapTarget, MappingId, OomPolicy, PoolId, PoolInfo,
    Protection, ShootdownProof,
};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::function::Shares;
use crate::{DeviceManager, Mapping, Platform};

/// Shows that every mapping made through a list of objects is gone from every CPU. Only [`Revoked::of`] makes one,
/// after the last object's own proof.
pub(crate) struct Revoked(());

impl ShootdownProof for Revoked {}

impl Revoked {
    /// Revokes each object and waits. No lock of this crate is held.
    pub(crate) fn of<M: Mapping>(objects: impl IntoIterator<Item = M>) -> Self {
        for object in objects {
            let _proof: M::Proof = object.revoke();
        }
        Self(())
    }
}

/// Holds over the same buffer, and the objects they stand for.
pub(crate) type Held<P> = Vec<(MappingId, <P as Platform>::Mapping)>;

/// At most this many buffers whose holders are gone are freed by the way of another operation.
const SWEEP: usize = 8;

impl<P: Platform> DeviceManager<P> {
    /// Makes a pool with a budget of its own.
    ///
    /// # Errors
    /// Those of the claim; `ZeroLength`; `OverBudget`, `NoMemory`, `Exhausted`.
    pub fn pool_create(&self, claim: &Claim, budget: u64) -> Result<PoolId, Refusal> {
        let at = self.of(claim)?;
        let mut guard = at.lock();
        let pool = guard.record.create_pool(claim, budget, OomPolicy::Refuse)?;
        let created = Event::new(Kind::PoolCreated).value(budget);
        self.note_pool(&at, claim, created, pool);
        Ok(pool)
    }

    /// Tells about a pool.
    ///
    /// # Errors
    /// Those of the claim; `WrongOwner`, `Stale` or `BadHandle`.
    pub fn pool_info(&self, claim: &Claim, pool: PoolId) -> Result<PoolInfo, Refusal> {
        self.of(claim)?.lock().record.pool_info(claim, pool)
    }

    /// Chooses what an allocation from the pool does when the machine is out of memory.
    ///
    /// # Errors
    /// As [`Self::pool_info`].
    pub fn pool_policy(
        &self,
        claim: &Claim,
        pool: PoolId,
        policy: OomPolicy,
    ) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        at.lock().record.set_oom_policy(claim, pool, policy)
    }

    /// Takes an empty pool away.
    ///
    /// # Errors
    /// As [`Self::pool_info`]; `Busy` while it is charged for a buffer.
    pub fn pool_close(&self, claim: &Claim, pool: PoolId) -> Result<(), Refusal> {
        self.sweep_buffers(claim);
        let at = self.of(claim)?;
        at.lock().record.close_pool(claim, pool)?;
        self.note_pool(&at, claim, Event::new(Kind::PoolClosed), pool);
        Ok(())
    }

    /// Allocates a buffer of zeroed pages.
    ///
    /// # Errors
    /// As [`Self::pool_info`]; `WrongState` during a reset; `ZeroLength`, `OutOfRange`; `OverBudget`, `NoMemory`.
    /// After `NoMemory` under [`OomPolicy::Revoke`] the claim has ended.
    pub fn buffer_allocate(
        &self,
        claim: &Claim,
        pool: PoolId,
        bytes: u64,
        contiguous: bool,
    ) -> Result<BufferId, Refusal> {
        self.sweep_buffers(claim);
        let at = self.of(claim)?;
        let request = BufferRequest { bytes, contiguous };
        let reservation = at.lock().record.reserve_buffer(claim, pool, request)?;
        // Zeroing takes time; nobody needs to wait for it.
        let frames = u32::try_from(reservation.pages())
            .ok()
            .and_then(|pages| self.frames_for(&at, pages, contiguous));
        let mut guard = at.lock();
        let function = &mut *guard;
        let Some(frames) = frames else {
            function.record.cancel_buffer(reservation);
            let pool = function.record.pool_info(claim, pool);
            drop(guard);
            if pool.is_ok_and(|pool| pool.oom == OomPolicy::Revoke) {
                // Whoever was first has begun it; then there is nothing left to do.
                let _ = self.release(claim);
            }
            return Err(Refusal::NoMemory);
        };
        match function.record.commit_buffer(reservation, frames) {
            Ok(id) => {
                let place = id.index() as usize;
                if function.shares.len() <= place {
                    function.shares.resize_with(place + 1, || None);
                }
                if let Some(entry) = function.shares.get_mut(place) {
                    *entry = Some(Shares {
                        id,
                        mappings: [None, None],
                        abandoned: false,
                    });
                }
                let allocated = Event::new(Kind::BufferAllocated).value(bytes);
                self.note_buffer(&at, claim, allocated, id);
                Ok(id)
            }
            Err((refusal, frames)) => {
                drop(guard);
                // Nobody has seen them: they are as zero as they came.
                self.platform.free(frames);
                Err(refusal)
            }
        }
    }

    fn frames_for(
        &self,
        at: &crate::manager::At<'_, P>,
        pages: u32,
        contiguous: bool,
    ) -> Option<P::Frames> {
        sabotage!(SHARE_WINDOW => if let Some(shared) = self.alias_of_another(at, pages) {
            return Some(shared);
        });
        let _ = at;
        self.platform.allocate(pages, contiguous)
    }

    /// A sabotage: the pages of another live buffer of the same size, so that two sessions share one window.
    #[cfg(sabotage)]
    fn alias_of_another(&self, at: &crate::manager::At<'_, P>, pages: u32) -> Option<P::Frames> {
        use crate::FrameRun;
        let guard = at.lock();
        let live = guard.shares.iter().flatten();
        let mut frames = live.filter_map(|shares| guard.record.frames(shares.id).ok());
        let same = frames.find(|frames| frames.pages().len() == pages as usize)?;
        self.platform.alias(same)
    }

    /// A sabotage: some live buffer of a claim, whoever holds it.
    #[cfg(sabotage)]
    pub fn guess_buffer(&self, claim: &Claim) -> Option<BufferId> {
        let guard = self.of(claim).ok()?.lock();
        guard.shares.iter().flatten().next().map(|one| one.id)
    }

    /// Tells about a buffer.
    ///
    /// # Errors
    /// Those of the claim; `ForeignBuffer`, `Stale` or `BadHandle`.
    pub fn buffer_info(&self, claim: &Claim, buffer: BufferId) -> Result<BufferInfo, Refusal> {
        self.of(claim)?.lock().record.buffer_info(claim, buffer)
    }

    /// Gives the object through which processes map the buffer: one read-only, one writable, each made once.
    ///
    /// # Errors
    /// As [`Self::buffer_info`]; `WrongState` once it is being freed; `OverBudget`, `NoMemory`.
    pub fn buffer_window(
        &self,
        claim: &Claim,
        buffer: BufferId,
        writable: bool,
    ) -> Result<P::Mapping, Refusal> {
        let at = self.of(claim)?;
        let mut guard = at.lock();
        let function = &mut *guard;
        let info = function.record.buffer_info(claim, buffer)?;
        let which = usize::from(writable);
        let shares = function.shares_of(buffer);
        let made = shares.and_then(|shares| shares.mappings.get(which)?.clone());
        if let Some((_, mapping)) = made {
            return Ok(mapping);
        }
        let protection = if writable {
            Protection::READ_WRITE
        } else {
            Protection::READ
        };
        // The hold is on the object; the object knows the address spaces.
        let target = MapTarget {
            space: 1 + which as u64,
            address: 0,
        };
        let record = &mut function.record;
        let id = record.map_buffer(claim, buffer, (0, info.bytes), protection, target)?;
        let mapping = record.frames(buffer).and_then(|frames| {
            let made = self.platform.share(frames, writable);
            made.ok_or(Refusal::NoMemory)
        });
        let entry = function
            .shares_of(buffer)
            .and_then(|shares| shares.mappings.get_mut(which));
        match (mapping, entry) {
            (Ok(mapping), Some(entry)) => {
                *entry = Some((id, mapping.clone()));
                let shared = Event::new(Kind::BufferShared).detail(writable.into());
                self.note_buffer(&at, claim, shared, buffer);
                Ok(mapping)
            }
            (outcome, _) => {
                let _ = function.record.release_mapping(id);
                outcome.and(Err(Refusal::ForeignBuffer))
            }
        }
    }

    /// The objects through which processes may have mapped the buffer: those that were made.
    ///
    /// # Errors
    /// As [`Self::buffer_info`].
    pub fn buffer_windows(
        &self,
        claim: &Claim,
        buffer: BufferId,
    ) -> Result<[Option<P::Mapping>; 2], Refusal> {
        let at = self.of(claim)?;
        let mut guard = at.lock();
        guard.record.buffer_info(claim, buffer)?;
        let made = guard.shares_of(buffer).map(|shares| &shares.mappings);
        let mapping = |which: usize| Some(made?.get(which)?.as_ref()?.1.clone());
        Ok([mapping(0), mapping(1)])
    }

    /// Frees a buffer: windows and mappings are revoked, the shootdown is awaited, the pages are wiped and go back.
    ///
    /// # Errors
    /// As [`Self::buffer_info`]; `Busy` while a segment is in flight; `Duplicate` if it is being freed already.
    pub fn buffer_free(&self, claim: &Claim, buffer: BufferId) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let held: Held<P> = {
            let mut guard = at.lock();
            guard.record.begin_free(claim, buffer)?;
            let entry = guard.shares.get_mut(buffer.index() as usize);
            let shares = entry.and_then(Option::take);
            shares.map_or_else(Vec::new, |shares| {
                shares.mappings.into_iter().flatten().collect()
            })
        };
        let proof = Revoked::of(held.iter().map(|(_, mapping)| mapping.clone()));
        let pages = {
            let mut guard = at.lock();
            for (id, _) in &held {
                // A teardown waits for this: it ends no mapping that it did not revoke itself.
                let _ = guard.record.release_mapping(*id);
            }
            guard.record.take_for_scrub(buffer, proof)?
        };
        let pages = pages.scrub(|frames| self.scrub(frames));
        let freed = {
            let mut guard = at.lock();
            match guard.record.free(pages) {
                Ok(frames) => Some(frames),
                // The claim has ended meanwhile: the teardown takes the pages over. In quarantine they stay where
                // they are, for good.
                Err((_, pages)) => {
                    let _ = guard.record.put_scrubbed(pages);
                    None
                }
            }
        };
        if let Some(frames) = freed {
            self.note_buffer(&at, claim, Event::new(Kind::BufferFreed), buffer);
            self.platform.free(frames);
        }
        Ok(())
    }

    /// Gives a buffer up whose holder is gone: it is freed now, or once nothing is in flight.
    pub fn buffer_release(&self, claim: &Claim, buffer: BufferId) {
        if self.buffer_free(claim, buffer) == Err(Refusal::Busy)
            && let Ok(at) = self.of(claim)
            && let Some(shares) = at.lock().shares_of(buffer)
        {
            shares.abandoned = true;
        }
    }

    /// Frees a few buffers whose holders are gone.
    fn sweep_buffers(&self, claim: &Claim) {
        let Ok(at) = self.of(claim) else { return };
        let idle: arrayvec::ArrayVec<BufferId, SWEEP> = {
            let guard = at.lock();
            let abandoned = guard.shares.iter().flatten().filter(|one| one.abandoned);
            abandoned
                .map(|one| one.id)
                .filter(|id| {
                    let info = guard.record.buffer_info(claim, *id);
                    info.is_ok_and(|info| info.in_flight == 0)
                })
                .take(SWEEP)
                .collect()
        };
        for buffer in idle {
            let _ = self.buffer_free(claim, buffer);
        }
    }

    /// Wipes frames.
    pub(crate) fn scrub(&self, frames: &mut P::Frames) {
        if sabotage!(SKIP_SCRUB) {
            return;
        }
        self.platform.scrub(frames);
    }
}
