//! Creating an I/O queue pair at the controller: completion queue first, then the submission queue that answers to it.

use driver_core::{BrokerIo, Poll, Refusal, Step};
use nvme_format::Command;

use crate::admin::{AdminQueue, COMMAND_POLL_NS, COMMAND_TIMEOUT_NS};
use crate::enable::pending_until;
use crate::queue::Queue;
use crate::reset;

/// Which of the two commands runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Creating {
    Completion,
    Submission,
}

/// A queue on its way to the device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// Index of the pair.
    pub(crate) pair: usize,
    creating: Creating,
    deadline_ns: u64,
}

impl Opening {
    /// Starts with the completion queue.
    pub(crate) fn begin(
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
        pair: usize,
        queue: &Queue,
        vector: Option<u16>,
    ) -> Result<Self, Refusal> {
        let command = Command::create_cq(queue.number(), queue.entries(), queue.cq_base(), vector);
        admin.start(io, command)?;
        Ok(Self {
            pair,
            creating: Creating::Completion,
            deadline_ns: deadline(io),
        })
    }

    /// Looks how far it is.
    pub(crate) fn poll(
        &mut self,
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
        queue: &Queue,
    ) -> Result<Poll, Refusal> {
        let now_ns = io.now_ns();
        let (_, csts) = reset::status(io)?;
        if csts.fatal() {
            return Err(Refusal::DeviceError);
        }
        let Some((status, _)) = admin.poll(io)? else {
            return pending_until(self.deadline_ns, now_ns, COMMAND_POLL_NS);
        };
        if !status.is_success() {
            return Err(Refusal::DeviceError);
        }
        if self.creating == Creating::Submission {
            return Ok(Poll::Done(Step::QueueOpen));
        }
        let command = Command::create_sq(queue.number(), queue.entries(), queue.sq_base());
        admin.start(io, command)?;
        self.creating = Creating::Submission;
        self.deadline_ns = deadline(io);
        Ok(Poll::Pending {
            after_ns: COMMAND_POLL_NS,
        })
    }
}

fn deadline(io: &dyn BrokerIo) -> u64 {
    io.now_ns().saturating_add(COMMAND_TIMEOUT_NS)
}
