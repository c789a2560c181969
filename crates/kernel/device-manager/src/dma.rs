//! Pools, buffers, and the objects through which processes map them.

use audit_format::{Event, Kind};
use dma_ledger::{
    BufferId, BufferInfo, BufferRequest, Claim, MapTarget, OomPolicy, Pages, PoolId, PoolInfo,
    Protection, Quiesced, Withdrawn,
};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::turn::At;
use crate::views::Revoked;
use crate::{Access, DeviceManager, Layout, Platform, Reach};

impl<P: Platform> DeviceManager<P> {
    /// Makes a pool with a budget of its own.
    ///
    /// # Errors
    /// Those of the claim; `ZeroLength`; `OverBudget`, `NoMemory`, `Exhausted`.
    pub fn pool_create(&self, claim: &Claim, budget: u64) -> Result<PoolId, Refusal> {
        let mut turn = self.turn(claim)?;
        let record = &mut turn.function.record;
        let pool = record.create_pool(claim, budget, OomPolicy::Refuse)?;
        let created = Event::new(Kind::PoolCreated).value(budget);
        turn.at.note_pool(claim, created, pool);
        Ok(pool)
    }

    /// Describes a pool.
    ///
    /// # Errors
    /// Those of the claim; `WrongOwner`, `Stale` or `BadHandle`.
    pub fn pool_info(&self, claim: &Claim, pool: PoolId) -> Result<PoolInfo, Refusal> {
        let turn = self.turn(claim)?;
        turn.function.record.pool_info(claim, pool)
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
        let mut turn = self.turn(claim)?;
        turn.function.record.set_oom_policy(claim, pool, policy)
    }

    /// Takes an empty pool away.
    ///
    /// # Errors
    /// As [`Self::pool_info`]; `Busy` while it is charged for a buffer.
    pub fn pool_close(&self, claim: &Claim, pool: PoolId) -> Result<(), Refusal> {
        self.sweep_buffers(claim);
        let mut turn = self.turn(claim)?;
        turn.function.record.close_pool(claim, pool)?;
        let closed = Event::new(Kind::PoolClosed);
        turn.at.note_pool(claim, closed, pool);
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
        layout: Layout,
    ) -> Result<BufferId, Refusal> {
        self.sweep_buffers(claim);
        let at = self.of(claim)?;
        let contiguous = layout == Layout::Contiguous;
        let request = BufferRequest { bytes, contiguous };
        let (reservation, reach) = {
            let mut turn = at.turn();
            let function = &mut *turn.function;
            let reservation = function.record.reserve_buffer(claim, pool, request)?;
            let Some(held) = &function.held else {
                function.record.cancel_buffer(reservation);
                return Err(Refusal::WrongState);
            };
            (reservation, held.reach.clone())
        };
        // Before the ledger has it: nothing of the list is lent.
        if let Err(refusal) = self.make_room(at, reservation.index()) {
            at.turn().function.record.cancel_buffer(reservation);
            return Err(refusal);
        }
        // Zeroing takes time; nobody needs to wait for it.
        let pages = u32::try_from(reservation.pages()).map_err(|_| Refusal::OutOfRange);
        let frames = pages.and_then(|pages| reached(at, &reach, pages, layout));
        let mut turn = at.turn();
        let function = &mut *turn.function;
        let frames = match frames {
            Ok(frames) => frames,
            Err(refusal) => {
                function.record.cancel_buffer(reservation);
                let pool = function.record.pool_info(claim, pool);
                turn.leave();
                let short = refusal == Refusal::NoMemory;
                if short && pool.is_ok_and(|pool| pool.oom == OomPolicy::Revoke) {
                    // Whoever was first has begun it; then there is nothing left to do.
                    let _ = self.release(claim);
                }
                return Err(refusal);
            }
        };
        // The claim may have ended meanwhile.
        let held = function.held.as_mut();
        let room = held.map(|held| held.buffers.make_some_room(reservation.index()));
        if room != Some(Ok(true)) {
            function.record.cancel_buffer(reservation);
            turn.leave();
            self.give_back(&reach, frames);
            return Err(Refusal::WrongState);
        }
        match function.record.commit_buffer(reservation, frames) {
            Ok(id) => {
                if let Some(held) = &mut function.held {
                    held.buffers.add(id);
                }
                let allocated = Event::new(Kind::BufferAllocated).value(bytes);
                at.note_buffer(claim, allocated, id);
                Ok(id)
            }
            Err((refusal, frames)) => {
                turn.leave();
                self.give_back(&reach, frames);
                Err(refusal)
            }
        }
    }

    /// Makes room for what is known of a buffer, a bounded part in each turn.
    fn make_room(&self, at: At<'_, P>, index: u32) -> Result<(), Refusal> {
        loop {
            let mut turn = at.turn();
            if turn.function.held()?.buffers.make_some_room(index)? {
                return Ok(());
            }
            turn.leave();
            self.machine.platform.look();
        }
    }

    /// Gives frames back that nobody has seen: they are as zero as they came. What the unit does not forget stays out.
    fn give_back(&self, reach: &P::Reach, frames: P::Frames) {
        if reach.unmap(&frames).is_ok() {
            self.machine.free(frames);
        }
    }

    /// A sabotage: some live buffer of a claim, whoever holds it.
    #[cfg(sabotage)]
    pub fn guess_buffer(&self, claim: &Claim) -> Option<BufferId> {
        let turn = self.turn(claim).ok()?;
        turn.function.held.as_ref()?.buffers.all().next()
    }

    /// Describes a buffer.
    ///
    /// # Errors
    /// Those of the claim; `ForeignBuffer`, `Stale` or `BadHandle`.
    pub fn buffer_info(&self, claim: &Claim, buffer: BufferId) -> Result<BufferInfo, Refusal> {
        let turn = self.turn(claim)?;
        turn.function.record.buffer_info(claim, buffer)
    }

    /// Gives the object through which processes map the buffer: one read-only, one writable, each made once.
    ///
    /// # Errors
    /// As [`Self::buffer_info`]; `WrongState` once it is being freed; `OverBudget`, `NoMemory`.
    pub fn buffer_window(
        &self,
        claim: &Claim,
        buffer: BufferId,
        access: Access,
    ) -> Result<P::Mapping, Refusal> {
        let mut turn = self.turn(claim)?;
        let function = &mut *turn.function;
        let info = function.record.buffer_info(claim, buffer)?;
        let writable = access == Access::ReadWrite;
        let which = usize::from(writable);
        let held = function.held.as_mut().ok_or(Refusal::WrongState)?;
        let place = held.buffers.object(buffer, which);
        if let Some(Some((_, mapping))) = &place {
            return Ok(mapping.clone());
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
            let made = self.machine.platform.share(frames, access);
            made.ok_or(Refusal::NoMemory)
        });
        match (mapping, place) {
            (Ok(mapping), Some(entry)) => {
                *entry = Some((id, mapping.clone()));
                let shared = Event::new(Kind::BufferShared).detail(writable.into());
                turn.at.note_buffer(claim, shared, buffer);
                Ok(mapping)
            }
            (outcome, _) => {
                let _ = record.release_mapping(id);
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
        let mut turn = self.turn(claim)?;
        turn.function.record.buffer_info(claim, buffer)?;
        let buffers = &mut turn.function.held()?.buffers;
        let mut mapping = |which| Some(buffers.object(buffer, which)?.as_ref()?.1.clone());
        Ok([mapping(0), mapping(1)])
    }

    /// Frees a buffer: windows and mappings are revoked, the shootdown is awaited, the pages are wiped and go back.
    ///
    /// # Errors
    /// As [`Self::buffer_info`]; `Busy` while a segment is in flight; `Duplicate` if it is being freed already.
    pub fn buffer_free(&self, claim: &Claim, buffer: BufferId) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let (objects, reach) = {
            let mut turn = at.turn();
            let record = &mut turn.function.record;
            // Before its pins are read, and even where they keep it: a ring must not be able to keep a buffer for ever.
            record.end_bindings(claim, buffer)?;
            record.begin_free(claim, buffer)?;
            let held = turn.function.held()?;
            (held.buffers.take(buffer), held.reach.clone())
        };
        let proof = Revoked::of(objects.iter().map(|(_, mapping)| mapping.clone()));
        let pages = {
            let mut turn = at.turn();
            for (id, _) in &objects {
                // A teardown waits for this: it ends no mapping that it did not revoke itself.
                let _ = turn.function.record.release_mapping(*id);
            }
            turn.function.record.take_for_scrub(buffer, proof)?
        };
        let pages = match forgotten(&reach, pages) {
            Ok(pages) => pages,
            Err((refusal, pages)) => {
                let _ = at.turn().function.record.put_unforgotten(pages);
                // Nothing of this claim can be freed any more, so it ends, in quarantine.
                let _ = self.release(claim);
                return Err(refusal);
            }
        };
        let pages = pages.scrub(|frames| {
            let mut from = Some(0);
            while let Some(at) = from {
                from = self.machine.scrub(frames, at);
                self.machine.platform.look();
            }
        });
        let freed = {
            let mut turn = at.turn();
            match turn.function.record.free(pages) {
                Ok(frames) => Some(frames),
                // The claim has ended meanwhile: the teardown takes the pages over. In quarantine they stay where
                // they are, for good.
                Err((_, pages)) => {
                    let _ = turn.function.record.put_scrubbed(pages);
                    None
                }
            }
        };
        if let Some(frames) = freed {
            at.note_buffer(claim, Event::new(Kind::BufferFreed), buffer);
            self.machine.free(frames);
        }
        Ok(())
    }

    /// Gives a buffer up whose holder is gone: it is freed now, or once nothing is in flight.
    pub fn buffer_release(&self, claim: &Claim, buffer: BufferId) {
        if self.buffer_free(claim, buffer) == Err(Refusal::Busy)
            && let Ok(mut turn) = self.turn(claim)
            && let Ok(held) = turn.function.held()
        {
            held.buffers.abandon(buffer);
        }
    }

    /// Frees a few buffers whose holders are gone, if there are such: looks for them a stretch at a time, at each once.
    fn sweep_buffers(&self, claim: &Claim) {
        let mut looked_at = 0;
        loop {
            let (idle, looked, places) = {
                let Ok(mut turn) = self.turn(claim) else {
                    return;
                };
                let function = &mut *turn.function;
                let Some(held) = &mut function.held else {
                    return;
                };
                let record = &function.record;
                let (idle, looked) = held.buffers.sweep(|id| {
                    let info = record.buffer_info(claim, id);
                    info.is_ok_and(|info| info.in_flight == 0)
                });
                (idle, looked, held.buffers.places())
            };
            looked_at += looked;
            for buffer in &idle {
                let _ = self.buffer_free(claim, *buffer);
            }
            if looked == 0 || !idle.is_empty() || looked_at >= places {
                return;
            }
            self.machine.platform.look();
        }
    }
}

/// Frames that the device reaches.
fn reached<P: Platform>(
    at: At<'_, P>,
    reach: &P::Reach,
    pages: u32,
    layout: Layout,
) -> Result<P::Frames, Refusal> {
    let mut frames = frames_for(at, pages, layout)?;
    match reach.map(&mut frames, Access::ReadWrite) {
        Ok(()) => Ok(frames),
        Err(refusal) => {
            // What the device may still reach stays out of the allocator.
            if reach.unmap(&frames).is_ok() {
                at.machine.free(frames);
            }
            Err(refusal)
        }
    }
}

/// Withdrawn pages, or the refusal with the pages that were given.
type Forgotten<F> = Result<Pages<Withdrawn, F>, (Refusal, Pages<Quiesced, F>)>;

/// Pages that the device reaches no more; they come back where its unit does not say so.
fn forgotten<F, R: Reach<F>>(reach: &R, pages: Pages<Quiesced, F>) -> Forgotten<F> {
    match reach.unmap(pages.frames()) {
        Ok(proof) => Ok(pages.withdraw(proof)),
        Err(refusal) => Err((refusal, pages)),
    }
}

fn frames_for<P: Platform>(
    at: At<'_, P>,
    pages: u32,
    layout: Layout,
) -> Result<P::Frames, Refusal> {
    sabotage!(SHARE_WINDOW => if let Some(shared) = alias_of_another(at, pages) {
        return Ok(shared);
    });
    at.machine.platform.allocate(pages, layout)
}

/// A sabotage: the pages of another live buffer of the same size, so that two sessions share one window.
#[cfg(sabotage)]
fn alias_of_another<P: Platform>(at: At<'_, P>, pages: u32) -> Option<P::Frames> {
    use crate::FrameRun;
    let turn = at.turn();
    let function = &*turn.function;
    let live = function.held.as_ref()?.buffers.all();
    let mut frames = live.filter_map(|id| function.record.frames(id).ok());
    let same = frames.find(|frames| frames.pages().len() == pages as usize)?;
    at.machine.platform.alias(same)
}
