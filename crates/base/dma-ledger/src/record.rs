//! The record of one function and its state machine up to teardown.

use alloc::vec::Vec;

use handles::HandleTable;
use sabotage::sabotage;

use crate::ids::{Claim, FunctionId, OwnerId};
use crate::parts::{Buffer, Mapping, Pool, Route, TeardownStep};
use crate::queue::Queue;
use crate::receipts::{ResetProof, ResetReceipt};
use crate::refusal::Refusal;

/// The last reset that can have a receipt. A function that has used it up ends in quarantine.
const LAST_RESET: u64 = u64::MAX - 1;
/// Routes that are made in one go.
const ROUTES: usize = 64;

/// What enumeration found of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FunctionShape {
    /// Segment, bus, device and function as one number, unique in the machine.
    pub address: u32,
    /// Bytes of each BAR, 0 where there is none.
    pub bar_bytes: [u64; 6],
    /// Interrupt sources: MSI-X table entries, MSI messages, or 1 for a line.
    pub sources: u16,
}

/// What one claim may make the kernel hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// DMA bytes of all pools together; the pages a broker keeps are charged apart.
    pub pool_bytes: u64,
    /// DMA bytes that the broker may keep for queues and lists.
    pub broker_bytes: u64,
    /// Pools.
    pub pools: u32,
    /// Buffers, the broker's runs included.
    pub buffers: u32,
    /// User mappings of registers and buffers together.
    pub mappings: u32,
    /// Queues, at most 4096 whatever is asked.
    pub queues: u32,
    /// Pages of one contiguous buffer.
    pub contiguous_pages: u32,
}

/// How far a claimed function has come. The numbers are stable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Phase {
    /// Claimed; nothing shows yet that the device has stopped what it did before.
    Unproven = 0,
    /// A reset is under way.
    Resetting = 1,
    /// A receipt shows that the device has stopped.
    Stopped = 2,
    /// Stopped, and the broker has chosen sizes and features.
    Configured = 3,
    /// Bus mastering is on; the broker is enabling the device.
    Enabling = 4,
    /// Enabled: queues take commands.
    Running = 5,
}

/// The state of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FunctionState {
    /// Free to be claimed.
    Unclaimed,
    /// Claimed by one owner.
    Claimed(Phase),
    /// In the teardown transaction, past this step.
    Revoking(TeardownStep),
    /// It never proved that it stopped; its pages are never freed. For good.
    Quarantined,
    /// Its last generation is used up. For good.
    Dead,
}

/// How far pins are released by a receipt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Released {
    /// Not begun, or long over.
    Nothing,
    /// Up to this slot.
    UpTo(u32),
    /// All.
    All,
}

/// Everything that is known of one function. One per function, made by the [`crate::Ledger`].
///
/// `F` is what the caller keeps of a buffer's frames; the ledger only holds it.
#[derive(Debug)]
pub struct FunctionRecord<F> {
    pub(crate) id: FunctionId,
    pub(crate) shape: FunctionShape,
    pub(crate) limits: Limits,
    pub(crate) state: FunctionState,
    pub(crate) owner: OwnerId,
    /// The claim's generation; that of the last claim while unclaimed, 0 before the first.
    pub(crate) generation: u64,
    /// Rises with each reset that is begun, over all claims.
    pub(crate) reset: u64,
    /// Whether the current reset has its receipt.
    pub(crate) proven: bool,
    pub(crate) bus_master: bool,
    /// Budgets of all pools together.
    pub(crate) pool_budgets: u64,
    /// Bytes of the broker's runs.
    pub(crate) broker_bytes: u64,
    /// Commands that a device may still be working on.
    pub(crate) in_flight: u32,
    /// How far the pins of a device that has stopped are released: the slot of the buffer that comes next.
    pub(crate) released: Released,
    /// Buffers scrubbed by the teardown, and how far it has looked through them.
    pub(crate) scrubbed: u32,
    pub(crate) cursor: u32,
    pub(crate) pools: HandleTable<Pool>,
    pub(crate) buffers: HandleTable<Buffer<F>>,
    pub(crate) mappings: HandleTable<Mapping>,
    pub(crate) queues: HandleTable<Queue>,
    pub(crate) routes: Vec<Route>,
    /// Sources from this one on have no route.
    pub(crate) attached: u16,
    /// The generation of every source: rises when all routes are detached.
    pub(crate) source_generation: u64,
}

impl<F> FunctionRecord<F> {
    pub(crate) fn unclaimed(
        id: FunctionId,
        shape: FunctionShape,
        limits: Limits,
        generation: u64,
    ) -> Self {
        Self {
            id,
            shape,
            limits,
            state: if generation == u64::MAX {
                FunctionState::Dead
            } else {
                FunctionState::Unclaimed
            },
            owner: OwnerId(0),
            generation,
            reset: 0,
            proven: false,
            bus_master: false,
            pool_budgets: 0,
            broker_bytes: 0,
            in_flight: 0,
            released: Released::Nothing,
            scrubbed: 0,
            cursor: 0,
            pools: HandleTable::new(limits.pools),
            buffers: HandleTable::new(limits.buffers),
            mappings: HandleTable::new(limits.mappings),
            queues: HandleTable::new(limits.queues.min(crate::queue::MAX_QUEUES)),
            routes: Vec::new(),
            attached: 0,
            source_generation: 1,
        }
    }

    /// Makes a bounded part of the routes of the function's sources, of which there may be thousands. `false`: there is more to
    /// make, which [`Self::claim`] does at once. They outlive claims, because their generations must not start again.
    ///
    /// # Errors
    /// `NoMemory`.
    pub fn make_some_routes(&mut self) -> Result<bool, Refusal> {
        let missing = usize::from(self.shape.sources).saturating_sub(self.routes.len());
        self.routes
            .try_reserve_exact(missing)
            .map_err(|_| Refusal::NoMemory)?;
        let made = (0..missing.min(ROUTES)).map(|_| Route::new());
        self.routes.extend(made);
        Ok(missing <= ROUTES)
    }

    /// Gives the function to an owner, under the next generation.
    ///
    /// # Errors
    /// `Busy` while somebody holds it or its teardown runs; `Quarantined`; `Exhausted` after the last generation;
    /// `NoMemory`.
    pub fn claim(&mut self, owner: OwnerId) -> Result<Claim, Refusal> {
        match self.state {
            FunctionState::Unclaimed => {}
            FunctionState::Quarantined if sabotage!(CLAIM_QUARANTINED) => {}
            FunctionState::Claimed(_) | FunctionState::Revoking(_) => return Err(Refusal::Busy),
            FunctionState::Quarantined => return Err(Refusal::Quarantined),
            FunctionState::Dead => return Err(Refusal::Exhausted),
        }
        let mut generation = self.generation.checked_add(1).ok_or(Refusal::Exhausted)?;
        if sabotage!(KEEP_GENERATION) {
            generation = self.generation.max(1);
        }
        while !self.make_some_routes()? {}
        self.generation = generation;
        self.owner = owner;
        self.state = FunctionState::Claimed(Phase::Unproven);
        Ok(Claim {
            function: self.id,
            owner,
            generation,
        })
    }

    /// Checks a claim, and tells how far the function has come.
    ///
    /// # Errors
    /// `WrongOwner` for a claim of another function or by another owner; `Stale` for an old generation or one that was
    /// never given; `Revoked` under teardown; `Quarantined`.
    #[inline]
    pub fn check(&self, claim: &Claim) -> Result<Phase, Refusal> {
        if claim.function != self.id {
            return Err(Refusal::WrongOwner);
        }
        if let FunctionState::Claimed(phase) = self.state
            && sabotage!(SKIP_CLAIM_CHECK)
        {
            return Ok(phase);
        }
        if claim.generation != self.generation || claim.generation == 0 {
            return Err(Refusal::Stale);
        }
        if claim.owner != self.owner {
            return Err(Refusal::WrongOwner);
        }
        match self.state {
            FunctionState::Claimed(phase) => Ok(phase),
            FunctionState::Revoking(_) => Err(Refusal::Revoked),
            FunctionState::Quarantined => Err(Refusal::Quarantined),
            FunctionState::Unclaimed | FunctionState::Dead => Err(Refusal::Stale),
        }
    }

    /// Begins a reset: queues stop, routes and completions of before become stale, pins stay.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `Busy` if one is under way; `Exhausted` after the last reset generation.
    pub fn begin_reset(&mut self, claim: &Claim) -> Result<(), Refusal> {
        if self.check(claim)? == Phase::Resetting {
            return Err(Refusal::Busy);
        }
        if self.reset >= LAST_RESET {
            return Err(Refusal::Exhausted);
        }
        self.void_receipts();
        self.stop_all_queues();
        self.detach_all_routes();
        self.state = FunctionState::Claimed(Phase::Resetting);
        Ok(())
    }

    /// Records that the device was seen to have stopped, and makes the one receipt of this reset.
    ///
    /// Call it only with a proof just read from the device by its broker, or after a completed function-level reset.
    ///
    /// # Errors
    /// `WrongState` unless a reset is under way (of a claim, or as a step of the teardown); `Duplicate` if this reset has
    /// its receipt already; `Exhausted` after the last reset; `Quarantined`.
    pub fn prove_reset(&mut self, proof: ResetProof) -> Result<ResetReceipt, Refusal> {
        match self.state {
            FunctionState::Claimed(Phase::Resetting)
            | FunctionState::Revoking(TeardownStep::QueuesQuiesced) => {}
            FunctionState::Quarantined => return Err(Refusal::Quarantined),
            _ => return Err(Refusal::WrongState),
        }
        if self.proven {
            return Err(Refusal::Duplicate);
        }
        if self.reset > LAST_RESET {
            return Err(Refusal::Exhausted);
        }
        self.proven = true;
        Ok(ResetReceipt {
            function: self.id,
            generation: self.generation,
            reset: self.reset,
            proof,
        })
    }

    /// Ends a reset: the device has stopped, so every pin is released. Returns the commands that end `revoked`; their
    /// cookies wait in the queues ([`Self::next_revoked`]).
    ///
    /// # Errors
    /// `Stale` or `WrongOwner` for a receipt of another reset or function; `WrongState` unless a reset is under way.
    pub fn finish_reset(&mut self, receipt: &ResetReceipt) -> Result<u32, Refusal> {
        self.check_receipt(receipt)?;
        if self.state != FunctionState::Claimed(Phase::Resetting) {
            return Err(Refusal::WrongState);
        }
        let revoked = self.release_by(receipt);
        self.bus_master = false;
        self.state = FunctionState::Claimed(Phase::Stopped);
        Ok(revoked)
    }

    /// Records that the broker has chosen sizes and features; may be repeated.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongState` unless the device has stopped.
    pub fn configured(&mut self, claim: &Claim) -> Result<(), Refusal> {
        match self.check(claim)? {
            Phase::Stopped | Phase::Configured => {
                self.state = FunctionState::Claimed(Phase::Configured);
                Ok(())
            }
            _ => Err(Refusal::WrongState),
        }
    }

    /// Spends the receipt on bus mastering, which the caller then turns on at the function.
    ///
    /// # Errors
    /// The receipt comes back with those of [`Self::check`]; `Stale` or `WrongOwner` for a receipt of another reset or
    /// function; `WrongState` before [`Self::configured`].
    pub fn set_bus_master(
        &mut self,
        claim: &Claim,
        receipt: ResetReceipt,
    ) -> Result<(), (Refusal, ResetReceipt)> {
        let allowed = self.check(claim).and_then(|phase| {
            self.check_receipt(&receipt)?;
            if phase == Phase::Configured {
                Ok(())
            } else {
                Err(Refusal::WrongState)
            }
        });
        match allowed {
            Ok(()) => {
                // From here the device may use whatever the broker kept from before the reset.
                self.expose_broker_runs();
                self.bus_master = true;
                self.state = FunctionState::Claimed(Phase::Enabling);
                Ok(())
            }
            Err(refusal) => Err((refusal, receipt)),
        }
    }

    /// Records that the device is enabled and ready.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongState` unless bus mastering was just set.
    pub fn enabled(&mut self, claim: &Claim) -> Result<(), Refusal> {
        if self.check(claim)? != Phase::Enabling {
            return Err(Refusal::WrongState);
        }
        self.state = FunctionState::Claimed(Phase::Running);
        Ok(())
    }

    /// Returns the state.
    #[must_use]
    pub const fn state(&self) -> FunctionState {
        self.state
    }

    /// Returns the function's number.
    #[must_use]
    pub const fn id(&self) -> FunctionId {
        self.id
    }

    /// Returns what enumeration found.
    #[must_use]
    pub const fn shape(&self) -> &FunctionShape {
        &self.shape
    }

    /// Returns the generation of the current claim, or of the last one.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the number of resets begun so far.
    #[must_use]
    pub const fn resets(&self) -> u64 {
        self.reset
    }

    /// Returns the owner while the function is claimed or under teardown.
    #[must_use]
    pub const fn owner(&self) -> Option<OwnerId> {
        match self.state {
            FunctionState::Claimed(_) | FunctionState::Revoking(_) => Some(self.owner),
            _ => None,
        }
    }

    /// Whether the function may be a bus master now.
    #[must_use]
    pub const fn bus_master(&self) -> bool {
        self.bus_master
    }

    /// Makes every receipt of before worthless. Past the last reset none is made any more.
    pub(crate) fn void_receipts(&mut self) {
        self.reset = self.reset.saturating_add(1);
        self.proven = false;
        self.released = Released::Nothing;
    }

    /// A receipt is good for the reset it came from, until the device runs.
    pub(crate) fn check_receipt(&self, receipt: &ResetReceipt) -> Result<(), Refusal> {
        if receipt.function != self.id {
            return Err(Refusal::WrongOwner);
        }
        if receipt.generation != self.generation || receipt.reset != self.reset || !self.proven {
            return Err(Refusal::Stale);
        }
        Ok(())
    }
}
