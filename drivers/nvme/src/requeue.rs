//! Taking one I/O queue pair away from the controller while it runs on: submission queue first, then the completion
//! queue that answers to it.
//!
//! When DELETE I/O SUBMISSION QUEUE has completed, every command of the queue was completed or aborted (Base 1.4, 5.6):
//! that completion is the proof. The completion queue must go after it, never before (5.5).

use driver_core::{BrokerIo, Refusal};
use nvme_format::Command;
use sabotage::sabotage;

use crate::admin::{AdminQueue, COMMAND_POLL_NS, COMMAND_TIMEOUT_NS};
use crate::enable::pending_until;
use crate::reset;

/// A queue on its way from the device: the deletion of its submission queue, and after it of its completion queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requeue {
    /// Index of the pair.
    pub(crate) pair: usize,
    /// The controller's number of it.
    number: u16,
    deadline_ns: u64,
}

impl Requeue {
    /// Starts with the submission queue.
    pub(crate) fn begin(
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
        pair: usize,
        number: u16,
    ) -> Result<Self, Refusal> {
        admin.start(io, Command::delete_sq(number))?;
        Ok(Self {
            pair,
            number,
            deadline_ns: deadline(io),
        })
    }

    /// Looks whether the submission queue is gone.
    pub(crate) fn poll_stopped(
        &self,
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
    ) -> Result<bool, Refusal> {
        if sabotage!(QUEUE_RECEIPT_WITHOUT_DELETE) {
            return Ok(true);
        }
        self.answered(io, admin)
    }

    /// Goes on with the completion queue, after the submission queue is gone.
    ///
    /// # Errors
    /// Those of the administration queue.
    pub(crate) fn delete_completion(
        mut self,
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
    ) -> Result<Self, Refusal> {
        admin.start(io, Command::delete_cq(self.number))?;
        self.deadline_ns = deadline(io);
        Ok(self)
    }

    /// Looks whether the completion queue is gone too.
    ///
    /// # Errors
    /// `DeviceError`, `TimedOut`, `Corrupt`.
    pub(crate) fn poll_gone(
        &self,
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
    ) -> Result<bool, Refusal> {
        self.answered(io, admin)
    }

    /// Whether the command of this stage has completed well.
    fn answered(&self, io: &dyn BrokerIo, admin: &mut AdminQueue) -> Result<bool, Refusal> {
        let now_ns = io.now_ns();
        let (_, csts) = reset::status(io)?;
        if csts.fatal() {
            return Err(Refusal::DeviceError);
        }
        match admin.poll(io)? {
            Some((status, _)) if status.is_success() => Ok(true),
            Some(_) => Err(Refusal::DeviceError),
            None => pending_until(self.deadline_ns, now_ns, COMMAND_POLL_NS).map(|_| false),
        }
    }
}

fn deadline(io: &dyn BrokerIo) -> u64 {
    io.now_ns().saturating_add(COMMAND_TIMEOUT_NS)
}
