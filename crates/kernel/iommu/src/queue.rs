//! The queue of invalidations of one VT-d unit.

use core::sync::atomic::Ordering;

use frames::Frames;
use iommu_tables::Ring;
use iommu_tables::vtd::{Invalidation, register};
use mmio::{OutOfRegion, Registers};

use crate::memory::{Caches, page};

/// How long a unit may take for what it was told, whatever is on its way to memory.
const DEADLINE_NS: u64 = 100_000_000;
/// The queue takes one page: 2^8 places of 16 bytes.
const ORDER: u8 = 8;

/// The unit did not answer in time, or its registers make no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoAnswer;

impl From<OutOfRegion> for NoAnswer {
    fn from(_: OutOfRegion) -> Self {
        Self
    }
}

/// Shows that a unit has done all that it was told.
pub(crate) struct Done(());

impl domain_ledger::WaitProof for Done {}

/// The ring and the word that the unit answers in. Both stay for good: the unit may write the word at any time.
#[derive(Debug)]
pub(crate) struct Queue {
    ring: Ring,
    commands: Frames,
    answer: Frames,
    asked: u32,
    caches: Caches,
    now_ns: fn() -> u64,
}

impl Queue {
    /// Makes one; `None` where there is no memory for it.
    pub(crate) fn new(caches: Caches, now_ns: fn() -> u64) -> Option<Self> {
        let commands = page()?;
        let Some(answer) = page() else {
            commands.free_unmapped();
            return None;
        };
        Some(Self {
            ring: Ring::new(ORDER),
            commands,
            answer,
            asked: 0,
            caches,
            now_ns,
        })
    }

    /// What the unit's register for the queue holds: its address, one page.
    pub(crate) const fn register(&self) -> u64 {
        self.commands.address()
    }

    /// Tells the unit, and returns once it has done it. Nothing was asked before that it has not done.
    pub(crate) fn carry_out(
        &mut self,
        registers: &Registers,
        commands: &[Invalidation],
    ) -> Result<Done, NoAnswer> {
        self.asked = self.asked.wrapping_add(1);
        let answer = self.answer.shared();
        answer.store32(0, !self.asked, Ordering::Relaxed)?;
        self.caches.publish(&answer, 0, 4);
        let wait = Invalidation::Wait {
            address: self.answer.address(),
            data: self.asked,
        };
        let head = registers.read64(register::IQH)?;
        for command in commands.iter().chain([&wait]) {
            let place = self.ring.take(head).map_err(|_| NoAnswer)?;
            let memory = self.commands.shared();
            self.caches
                .write_pair(&memory, place as usize * 16, command.words());
        }
        registers.write64(register::IQT, self.ring.tail_register())?;
        let end = (self.now_ns)().saturating_add(DEADLINE_NS);
        while answer.load32(0, Ordering::Acquire)? != self.asked {
            if (self.now_ns)() >= end {
                return Err(NoAnswer);
            }
            cpu::relax();
        }
        Ok(Done(()))
    }
}
