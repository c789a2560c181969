//! What a person who looks for a fault may see: copies of what the manager knows, made under one function's lock.

use alloc::vec::Vec;

use dma_ledger::{Accounting, FunctionState, PoolInfo, QueueInfo};

use crate::{DeviceManager, Platform};

/// Whether the record's totals agree with its entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Books {
    /// They agree.
    Agree,
    /// A total is wrong: a defect of the ledger.
    Differ,
    /// There was too much to count.
    NotCounted,
}

/// The ledger's record of one function.
#[derive(Debug)]
pub struct Inspection {
    /// Segment, bus, device, function as one number.
    pub address: u32,
    /// The driver that takes it.
    pub driver: &'static str,
    /// Its state.
    pub state: FunctionState,
    /// The holder's number, 0 for none.
    pub owner: u64,
    /// Generation of the claim, or of the last one.
    pub generation: u64,
    /// Resets begun so far.
    pub resets: u64,
    /// It may be a bus master.
    pub bus_master: bool,
    /// Totals.
    pub totals: Accounting,
    /// Whether they are right.
    pub books: Books,
    /// Its pools.
    pub pools: Vec<PoolInfo>,
    /// Its queues.
    pub queues: Vec<QueueInfo>,
}

impl<P: Platform> DeviceManager<P> {
    /// Visits the record of each function that has a driver, from number `from` on, while `visit` says so. Returns where
    /// to go on, 0 after the last.
    #[expect(
        clippy::disallowed_methods,
        reason = "lent: a copy of what one claim has, for one answer"
    )]
    pub fn inspect(&self, from: u32, visit: &mut dyn FnMut(Inspection) -> bool) -> u32 {
        for (next, (id, hardware)) in (from..).zip(self.hardware.iter().skip(from as usize)) {
            let Some(driver) = hardware.driver else {
                continue;
            };
            let Ok(at) = self.at(*id) else { return 0 };
            let seen = {
                let turn = at.turn();
                let record = &turn.function.record;
                let address = at.bdf().as_u32();
                Inspection {
                    address,
                    driver: driver.name,
                    state: record.state(),
                    owner: record.owner().map_or(0, |owner| owner.0),
                    generation: record.generation(),
                    resets: record.resets(),
                    bus_master: record.bus_master(),
                    totals: record.accounting(),
                    books: match record.audit_bounded() {
                        None => Books::NotCounted,
                        Some(Ok(())) => Books::Agree,
                        Some(Err(_)) => Books::Differ,
                    },
                    pools: record.pools().collect(),
                    queues: record.queues().collect(),
                }
            };
            if !visit(seen) {
                return next;
            }
        }
        0
    }

    /// Bytes of pages that quarantined functions keep for good.
    pub fn quarantined_bytes(&self) -> u64 {
        let mut bytes = 0u64;
        for (id, _) in &self.hardware {
            let Ok(at) = self.at(*id) else { continue };
            let turn = at.turn();
            let record = &turn.function.record;
            if record.state() == FunctionState::Quarantined {
                let totals = record.accounting();
                bytes = bytes.saturating_add(totals.pool_bytes + totals.broker_bytes);
            }
        }
        bytes
    }
}
