//! DMA pools: budgets, and charging a buffer before its frames exist.

use handles::Reservation;
use sabotage::sabotage;

use crate::PAGE_BYTES;
use crate::ids::{BufferId, Claim, PoolId};
use crate::pages::Pages;
use crate::parts::{Buffer, BufferUse, Held, OomPolicy, Pool};
use crate::record::{FunctionRecord, FunctionState};
use crate::refusal::Refusal;

/// The largest buffer: segments name offset and length in 32 bits.
pub(crate) const MAX_BUFFER_BYTES: u64 = 1 << 32;

/// What a new buffer is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BufferRequest {
    /// Bytes; rounded up to pages.
    pub bytes: u64,
    /// Whether its frames must be one physical run.
    pub contiguous: bool,
}

/// A buffer that is charged but has no frames yet.
#[must_use = "a reservation is charged until it is committed or cancelled"]
#[derive(Debug)]
pub struct BufferReservation {
    slot: Reservation,
    id: BufferId,
    usage: BufferUse,
    bytes: u64,
    generation: u64,
}

impl BufferReservation {
    /// Returns the whole pages to allocate.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.bytes / PAGE_BYTES
    }

    /// The index that the buffer will have.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.id.index()
    }
}

/// What a pool's holder may know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolInfo {
    /// Bytes it may use.
    pub budget: u64,
    /// Bytes charged, in whole pages.
    pub used: u64,
    /// Buffers charged.
    pub buffers: u32,
    /// What happens when the machine is out of memory.
    pub oom: OomPolicy,
}

impl Pool {
    pub(crate) const fn info(&self) -> PoolInfo {
        PoolInfo {
            budget: self.budget,
            used: self.used,
            buffers: self.buffers,
            oom: self.oom,
        }
    }

    pub(crate) const fn budget(&self) -> u64 {
        self.budget
    }
}

impl<F> FunctionRecord<F> {
    /// Makes a pool with a budget of its own, out of the function's.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `ZeroLength`; `OverBudget`, `NoMemory`, `Exhausted`.
    pub fn create_pool(
        &mut self,
        claim: &Claim,
        budget: u64,
        oom: OomPolicy,
    ) -> Result<PoolId, Refusal> {
        self.check(claim)?;
        if budget == 0 {
            return Err(Refusal::ZeroLength);
        }
        let total = self
            .pool_budgets
            .checked_add(budget)
            .ok_or(Refusal::OverBudget)?;
        if total > self.limits.pool_bytes {
            return Err(Refusal::OverBudget);
        }
        let pool = Pool {
            budget,
            used: 0,
            buffers: 0,
            oom,
        };
        let handle = self
            .pools
            .insert(pool)
            .map_err(|(error, _)| Refusal::from(error))?;
        self.pool_budgets = total;
        Ok(PoolId {
            function: self.id,
            handle,
        })
    }

    /// Takes an empty pool away.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle`; `Busy` while it is charged for a buffer.
    pub fn close_pool(&mut self, claim: &Claim, pool: PoolId) -> Result<(), Refusal> {
        self.check(claim)?;
        if self.pool(pool)?.buffers != 0 {
            return Err(Refusal::Busy);
        }
        let closed = self.pools.remove(pool.handle).map_err(Refusal::from)?;
        self.pool_budgets = self.pool_budgets.saturating_sub(closed.budget);
        Ok(())
    }

    /// Charges a buffer before its frames are allocated.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongState` during a reset; `ZeroLength`; `OutOfRange` for a size no buffer can have or
    /// a contiguous one over the limit; `WrongOwner`, `Stale` or `BadHandle` for the pool; `OverBudget`, `NoMemory`.
    pub fn reserve_buffer(
        &mut self,
        claim: &Claim,
        pool: PoolId,
        request: BufferRequest,
    ) -> Result<BufferReservation, Refusal> {
        self.check(claim)?;
        let known = self.pool(pool)?;
        let bytes = whole_pages(request.bytes)?;
        if request.contiguous && bytes / PAGE_BYTES > u64::from(self.limits.contiguous_pages) {
            return Err(Refusal::OutOfRange);
        }
        let left = known.budget.saturating_sub(known.used);
        let beyond = u64::from(sabotage!(BUDGET_OFF_BY_A_PAGE)) * PAGE_BYTES;
        if bytes > left + beyond {
            return Err(Refusal::OverBudget);
        }
        self.reserve(BufferUse::Pool(pool), bytes)
    }

    /// Charges a run of pages that the broker will keep. It is device-visible as soon as it is committed.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `ZeroLength`, `OutOfRange`, `OverBudget`, `NoMemory`.
    pub fn reserve_broker_pages(
        &mut self,
        claim: &Claim,
        bytes: u64,
    ) -> Result<BufferReservation, Refusal> {
        self.check(claim)?;
        let bytes = whole_pages(bytes)?;
        if bytes > self.limits.broker_bytes.saturating_sub(self.broker_bytes) {
            return Err(Refusal::OverBudget);
        }
        self.reserve(BufferUse::Broker, bytes)
    }

    /// Puts zeroed frames into a reserved buffer.
    ///
    /// # Errors
    /// The frames come back with `Revoked` or `Stale` if the claim has ended since, and the reservation is
    /// cancelled; or with `WrongOwner` for a reservation of another function, which stays charged there.
    pub fn commit_buffer(
        &mut self,
        reservation: BufferReservation,
        frames: F,
    ) -> Result<BufferId, (Refusal, F)> {
        let BufferReservation {
            slot,
            id,
            usage,
            bytes,
            generation,
        } = reservation;
        if id.function != self.id {
            return Err((Refusal::WrongOwner, frames));
        }
        let refusal = match self.state {
            FunctionState::Claimed(_) if generation == self.generation => None,
            _ if generation != self.generation => Some(Refusal::Stale),
            FunctionState::Quarantined => Some(Refusal::Quarantined),
            _ => Some(Refusal::Revoked),
        };
        if let Some(refusal) = refusal {
            self.cancel_buffer(BufferReservation {
                slot,
                id,
                usage,
                bytes,
                generation,
            });
            return Err((refusal, frames));
        }
        if !self.buffers.holds(&slot) {
            return Err((Refusal::Stale, frames));
        }
        let held = Held::Committed(Pages::commit(id, frames));
        let buffer = Buffer {
            held,
            bytes,
            usage,
            maps: 0,
            freeing: false,
            unbound: 0,
        };
        // It holds the reservation, so this commits.
        let _ = self.buffers.commit(slot, buffer);
        if usage == BufferUse::Broker
            && let Ok(buffer) = self.buffers.get_mut(id.handle)
        {
            buffer.pin();
        }
        Ok(id)
    }

    /// Gives a reserved buffer up, for lack of memory say. Works at any time, so that teardown can end.
    pub fn cancel_buffer(&mut self, reservation: BufferReservation) {
        if reservation.id.function == self.id {
            self.uncharge(reservation.usage, reservation.bytes);
            self.buffers.rollback(reservation.slot);
        }
    }

    /// Chooses what an allocation does when the machine is out of memory.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle`.
    pub fn set_oom_policy(
        &mut self,
        claim: &Claim,
        pool: PoolId,
        oom: OomPolicy,
    ) -> Result<(), Refusal> {
        self.check(claim)?;
        self.pool(pool)?;
        let known = self.pools.get_mut(pool.handle).map_err(Refusal::from)?;
        known.oom = oom;
        Ok(())
    }

    /// Tells a pool's holder about it.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner`, `Stale` or `BadHandle`.
    pub fn pool_info(&self, claim: &Claim, pool: PoolId) -> Result<PoolInfo, Refusal> {
        self.check(claim)?;
        Ok(self.pool(pool)?.info())
    }

    fn pool(&self, pool: PoolId) -> Result<&Pool, Refusal> {
        if pool.function != self.id {
            return Err(Refusal::WrongOwner);
        }
        self.pools.get(pool.handle).map_err(Refusal::from)
    }

    fn reserve(&mut self, usage: BufferUse, bytes: u64) -> Result<BufferReservation, Refusal> {
        let slot = self.buffers.reserve().map_err(Refusal::from)?;
        match usage {
            BufferUse::Broker => self.broker_bytes += bytes,
            BufferUse::Pool(pool) => {
                if let Ok(pool) = self.pools.get_mut(pool.handle) {
                    pool.used += bytes;
                    pool.buffers += 1;
                }
            }
        }
        let id = BufferId {
            function: self.id,
            handle: slot.handle(),
        };
        Ok(BufferReservation {
            slot,
            id,
            usage,
            bytes,
            generation: self.generation,
        })
    }

    pub(crate) fn uncharge(&mut self, usage: BufferUse, bytes: u64) {
        match usage {
            BufferUse::Broker => self.broker_bytes = self.broker_bytes.saturating_sub(bytes),
            BufferUse::Pool(pool) => {
                if let Ok(pool) = self.pools.get_mut(pool.handle) {
                    pool.used = pool.used.saturating_sub(bytes);
                    pool.buffers = pool.buffers.saturating_sub(1);
                }
            }
        }
    }
}

/// Rounds a size up to pages.
fn whole_pages(bytes: u64) -> Result<u64, Refusal> {
    match bytes {
        0 => Err(Refusal::ZeroLength),
        1..=MAX_BUFFER_BYTES => Ok(bytes.div_ceil(PAGE_BYTES) * PAGE_BYTES),
        _ => Err(Refusal::OutOfRange),
    }
}
