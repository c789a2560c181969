//! The administration queue: shared by the provider's commands and the broker's own, one of the latter at a time.

use alloc::collections::VecDeque;

use driver_core::{BrokerIo, Completed, Grow, Refusal};
use nvme_format::{Command, Status};

use crate::queue::Queue;

/// How long one of the broker's own commands may take.
pub(crate) const COMMAND_TIMEOUT_NS: u64 = 10_000_000_000;

/// How long to wait before looking for its completion again.
pub(crate) const COMMAND_POLL_NS: u64 = 20_000;

/// The administration queue. The broker's own command uses the slot above those of the ledger, so neither its
/// identifier nor its place in the ring can collide with a provider's.
#[derive(Debug)]
pub(crate) struct AdminQueue {
    pub(crate) queue: Queue,
    /// Completions of the provider that were met while looking for the broker's own. Never grows past its capacity.
    waiting: VecDeque<Completed>,
    /// The broker's own completion, met while looking for the provider's.
    own: Option<(Status, u32)>,
}

impl AdminQueue {
    /// Slots the broker keeps for itself.
    pub(crate) const OWN_SLOTS: u16 = 1;

    /// # Errors
    /// `OverBudget`.
    pub(crate) fn new(queue: Queue) -> Result<Self, Refusal> {
        let mut waiting = VecDeque::new();
        waiting.grow(usize::from(queue.depth()))?;
        Ok(Self {
            queue,
            waiting,
            own: None,
        })
    }

    /// Starts one of the broker's own commands.
    ///
    /// # Errors
    /// `Busy` while another one runs.
    pub(crate) fn start(&mut self, io: &dyn BrokerIo, command: Command) -> Result<(), Refusal> {
        let registers = io.registers(0)?;
        self.queue.push(self.queue.depth(), command)?;
        self.own = None;
        self.queue.ring(registers);
        Ok(())
    }

    /// Looks for the completion of the broker's own command.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn poll(&mut self, io: &dyn BrokerIo) -> Result<Option<(Status, u32)>, Refusal> {
        let registers = io.registers(0)?;
        while self.own.is_none() {
            let Some(completed) = self.take_other()? else {
                break;
            };
            let put = self.waiting.put(completed);
            put.map_err(|_| Refusal::Corrupt)?;
        }
        self.queue.hand_back(registers);
        Ok(self.own.take())
    }

    /// The provider's next completion.
    ///
    /// # Errors
    /// `Corrupt`.
    pub(crate) fn take(&mut self) -> Result<Option<Completed>, Refusal> {
        match self.waiting.pop_front() {
            Some(completed) => Ok(Some(completed)),
            None => self.take_other(),
        }
    }

    /// Takes completions until one is not the broker's own, which is put aside.
    fn take_other(&mut self) -> Result<Option<Completed>, Refusal> {
        while let Some(taken) = self.queue.take()? {
            if taken.slot < self.queue.depth() {
                return Ok(Some(Completed {
                    slot: taken.slot,
                    status: taken.status.field(),
                    result: taken.result,
                }));
            }
            self.own = Some((taken.status, taken.result));
        }
        Ok(None)
    }
}
