//! Recounting: every total is computed anew from the entries and compared with what the record says.

use crate::parts::{BufferUse, Held};
use crate::record::{FunctionRecord, FunctionState, Phase, Released};

/// Totals of one function.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Accounting {
    /// Budgets of all pools.
    pub pool_budgets: u64,
    /// Bytes charged to pools.
    pub pool_bytes: u64,
    /// Bytes that the broker keeps.
    pub broker_bytes: u64,
    /// Buffers, the broker's runs included.
    pub buffers: u32,
    /// Mappings held.
    pub mappings: u32,
    /// Queues.
    pub queues: u32,
    /// Commands in flight.
    pub in_flight: u32,
    /// Segments pinned by them.
    pub pinned: u32,
}

/// A total that does not add up. Only a defect or a tampered record causes one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AuditFault {
    /// A pool's bytes or buffers differ from its buffers.
    Pool,
    /// The broker's bytes differ from its runs.
    Broker,
    /// Budgets differ from the pools, or exceed the limit.
    Budget,
    /// A buffer's map count differs from the mappings held.
    Mappings,
    /// A buffer's in-flight count differs from the segments pinned on it.
    Pins,
    /// A queue's counts differ from its slots.
    Queue,
    /// The function's in-flight count differs from its queues'.
    InFlight,
    /// Bus mastering is on in a state that does not allow it.
    BusMaster,
    /// Something is held although nobody holds the function.
    Leftover,
}

impl<F> FunctionRecord<F> {
    /// Returns the totals as the record keeps them.
    #[must_use]
    pub fn accounting(&self) -> Accounting {
        Accounting {
            pool_budgets: self.pool_budgets,
            pool_bytes: self.pools.iter().map(|(_, pool)| pool.used).sum(),
            broker_bytes: self.broker_bytes,
            buffers: self.buffers.len() + self.buffers.reserved(),
            mappings: self.mappings.len(),
            queues: self.queues.len(),
            in_flight: self.in_flight,
            pinned: self
                .queues
                .iter()
                .map(|(_, queue)| queue.info().pinned)
                .sum(),
        }
    }

    /// Recounts everything. Takes time in proportion to the product of buffers and entries: for tests, for diagnostics and
    /// for the end of a teardown, never for an operation.
    ///
    /// # Errors
    /// The first total that does not add up.
    pub fn audit(&self) -> Result<(), AuditFault> {
        self.audit_charges()?;
        self.audit_pins()?;
        let may_master = match self.state {
            FunctionState::Claimed(Phase::Unproven | Phase::Stopped | Phase::Configured) => false,
            FunctionState::Claimed(_) | FunctionState::Revoking(_) => true,
            FunctionState::Unclaimed | FunctionState::Quarantined | FunctionState::Dead => false,
        };
        if self.bus_master && !may_master {
            return Err(AuditFault::BusMaster);
        }
        let free = matches!(self.state, FunctionState::Unclaimed | FunctionState::Dead);
        if free && self.accounting() != Accounting::default() {
            return Err(AuditFault::Leftover);
        }
        Ok(())
    }

    fn audit_charges(&self) -> Result<(), AuditFault> {
        // The bytes of an open reservation are charged, and known only to whoever holds it.
        let exact = self.buffers.reserved() == 0;
        let agrees = |counted: u64, kept: u64| counted == kept || (!exact && counted < kept);
        let sum = |usage: BufferUse| {
            let mine = self
                .buffers
                .iter()
                .filter(|(_, buffer)| buffer.usage == usage);
            mine.fold((0u64, 0u64), |(bytes, count), (_, buffer)| {
                (bytes + buffer.bytes, count + 1)
            })
        };
        let mut budgets = 0;
        for (handle, pool) in self.pools.iter() {
            let (bytes, count) = sum(BufferUse::Pool(crate::ids::PoolId {
                function: self.id,
                handle,
            }));
            if !agrees(bytes, pool.used)
                || !agrees(count, u64::from(pool.buffers))
                || pool.used > pool.budget()
            {
                return Err(AuditFault::Pool);
            }
            budgets += pool.budget();
        }
        if !agrees(sum(BufferUse::Broker).0, self.broker_bytes)
            || self.broker_bytes > self.limits.broker_bytes
        {
            return Err(AuditFault::Broker);
        }
        if budgets != self.pool_budgets || budgets > self.limits.pool_bytes {
            return Err(AuditFault::Budget);
        }
        Ok(())
    }

    fn audit_pins(&self) -> Result<(), AuditFault> {
        if self.released != Released::Nothing {
            // The device has stopped, and pins are being released: commands and pages do not agree before that is over.
            return Ok(());
        }
        let mut in_flight = 0;
        for (_, queue) in self.queues.iter() {
            let info = queue.info();
            let (count, bytes) = queue.recount();
            let pins = queue.pinned_buffers().count();
            if (count, bytes, pins) != (info.in_flight, info.bytes_in_flight, info.pinned as usize)
            {
                return Err(AuditFault::Queue);
            }
            in_flight += u32::from(info.in_flight);
        }
        if in_flight != self.in_flight {
            return Err(AuditFault::InFlight);
        }
        for (handle, buffer) in self.buffers.iter() {
            let pinned = self
                .queues
                .iter()
                .flat_map(|(_, queue)| queue.pinned_buffers())
                .filter(|pin| *pin == handle);
            // A broker's run is visible on its own account until the device has stopped.
            let standing = usize::from(
                buffer.usage == BufferUse::Broker && matches!(buffer.held, Held::DeviceVisible(_)),
            );
            if pinned.count() + standing != buffer.in_flight() as usize {
                return Err(AuditFault::Pins);
            }
            let maps = self.mappings().filter(|(_, mapping)| {
                matches!(mapping.what, crate::parts::Mapped::Buffer(buffer) if buffer.handle == handle)
            });
            if maps.count() != buffer.maps as usize {
                return Err(AuditFault::Mappings);
            }
        }
        Ok(())
    }
}
