//! Creating an I/O queue pair at the controller: completion queue first, then the submission queue that answers to it.

use driver_core::{BrokerIo, Poll, Refusal, Step};
use nvme_format::Command;

use crate::admin::{AdminQueue, COMMAND_POLL_NS, COMMAND_TIMEOUT_NS};
use crate::enable::pending_until;
use crate::reset;

/// Which of the two commands runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Creating {
    Completion,
    Submission,
}

/// Where the two rings of a pair lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rings {
    /// The controller's number of the pair.
    pub(crate) number: u16,
    /// Of each ring.
    pub(crate) entries: u16,
    pub(crate) submissions: u64,
    pub(crate) completions: u64,
}

/// A queue on its way to the device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// Index of the pair.
    pub(crate) pair: usize,
    rings: Rings,
    creating: Creating,
    deadline_ns: u64,
}

impl Opening {
    /// Starts with the completion queue.
    pub(crate) fn begin(
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
        pair: usize,
        rings: Rings,
        vector: Option<u16>,
    ) -> Result<Self, Refusal> {
        let command = Command::create_cq(rings.number, rings.entries, rings.completions, vector);
        admin.start(io, command)?;
        Ok(Self {
            pair,
            rings,
            creating: Creating::Completion,
            deadline_ns: deadline(io),
        })
    }

    /// Looks how far it is.
    pub(crate) fn poll(
        &mut self,
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
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
        let rings = self.rings;
        let command = Command::create_sq(rings.number, rings.entries, rings.submissions);
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
