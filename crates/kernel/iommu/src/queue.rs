//! The ring of commands of one unit, and the word that it answers in.

use core::sync::atomic::{Ordering, fence};

use frames::Frames;
use iommu_tables::Ring;
use iommu_tables::{amd, vtd};
use mmio::{OutOfRegion, Registers};
use sabotage::sabotage;

use crate::memory::{Caches, page};

mod requests;

pub(crate) use requests::Requests;

/// How long a unit may take for what it was told, whatever is on its way to memory.
const DEADLINE_NS: u64 = 100_000_000;
/// The ring takes one page: 2^8 places of 16 bytes.
pub(crate) const ORDER: u8 = 8;

/// How a vendor's units are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dialect {
    /// The invalidation queue (VT-d 4.1, 6.5.2).
    Vtd,
    /// The command buffer (AMD 3.08, 2.4).
    Amd,
}

impl Dialect {
    /// Where the register of the tail is.
    const fn tail(self) -> usize {
        match self {
            Self::Vtd => vtd::register::IQT,
            Self::Amd => amd::register::COMMAND_TAIL,
        }
    }

    /// The command that has a number written once everything before it is done.
    const fn wait(self, address: u64, data: u32) -> [u64; 2] {
        match self {
            Self::Vtd => vtd::Invalidation::Wait { address, data }.words(),
            Self::Amd => {
                let data = data as u64;
                amd::Command::Wait { address, data }.words()
            }
        }
    }
}

/// The unit did not answer in time, or its registers make no sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NoAnswer;

impl From<OutOfRegion> for NoAnswer {
    fn from(_: OutOfRegion) -> Self {
        Self
    }
}

/// Shows that a unit has done all that it was told: made where a unit was seen to answer, here and in `requests`.
pub(crate) struct Done(());

impl domain_ledger::WaitProof for Done {}

/// The ring and the word that the unit answers in. Both stay for good: the unit may write the word at any time.
#[derive(Debug)]
pub(crate) struct Queue {
    ring: Ring,
    commands: Frames,
    answer: Frames,
    asked: u32,
    dialect: Dialect,
    caches: Caches,
    now_ns: fn() -> u64,
}

impl Queue {
    /// Makes one; `None` where there is no memory for it.
    pub(crate) fn new(dialect: Dialect, caches: Caches, now_ns: fn() -> u64) -> Option<Self> {
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
            dialect,
            caches,
            now_ns,
        })
    }

    /// The address of its one page.
    pub(crate) const fn address(&self) -> u64 {
        self.commands.address()
    }

    /// Tells the unit, and returns once it has done it. Nothing was asked before that it has not done, so that it has come to where
    /// the tail is: its head need not be read for that, which takes as long as the rest.
    pub(crate) fn carry_out(
        &mut self,
        registers: &Registers,
        commands: impl Iterator<Item = [u64; 2]>,
    ) -> Result<Done, NoAnswer> {
        self.asked = self.asked.wrapping_add(1);
        let answer = self.answer.shared();
        answer.store32(0, !self.asked, Ordering::Relaxed)?;
        self.caches.publish(&answer, 0, 4);
        let wait = self.dialect.wait(self.answer.address(), self.asked);
        let head = self.ring.tail_register();
        for command in commands {
            self.put(head, command)?;
        }
        self.put(head, wait)?;
        // The unit reads nothing behind its tail.
        fence(Ordering::Release);
        registers.write64(self.dialect.tail(), self.ring.tail_register())?;
        // Nobody asks for the time where the answer is there at once.
        let mut end = None;
        while answer.load32(0, Ordering::Acquire)? != self.asked {
            let now = (self.now_ns)();
            if now >= *end.get_or_insert(now.saturating_add(DEADLINE_NS)) {
                sabotage!(BELIEVE_DEAF_UNIT => break);
                return Err(NoAnswer);
            }
            cpu::relax();
        }
        Ok(Done(()))
    }

    /// Writes a command into the next place.
    fn put(&mut self, head: u64, command: [u64; 2]) -> Result<(), NoAnswer> {
        let place = self.ring.take(head).map_err(|_| NoAnswer)?;
        let at = place as usize * 16;
        let memory = self.commands.shared();
        memory.store_words(at, &command)?;
        self.caches.publish(&memory, at, 16);
        Ok(())
    }
}
