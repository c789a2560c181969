//! Creating an I/O queue pair at the controller: completion queue first, then the submission queue that answers to it.

use driver_core::{BrokerIo, Poll, QueueSpec, Refusal, Step};
use nvme_format::Command;

use crate::admin::{AdminQueue, COMMAND_POLL_NS, COMMAND_TIMEOUT_NS};
use crate::broker::{Nvme, Phase};
use crate::enable::pending_until;
use crate::lane::Lane;
use crate::queue::Queue;
use crate::reset;

/// Which of the two commands runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Creating {
    Completion,
    Submission,
}

impl Nvme {
    /// Takes a part of the pages of an I/O pair that nobody has opened: see [`Broker::prepare`].
    pub(crate) fn prepare_pair(
        &mut self,
        io: &mut dyn BrokerIo,
        spec: QueueSpec,
    ) -> Result<bool, Refusal> {
        let Lane::Io(pair) = self.may_open(spec)? else {
            return Ok(true);
        };
        let Phase::Enabled(settings, learned) = &self.phase else {
            return Err(Refusal::WrongState);
        };
        let entry = self.pairs.get_mut(pair).ok_or(Refusal::OutOfRange)?;
        // The rings are one part. With more room than is asked for nothing goes: two who prepare the same pair both come to an end.
        let Some(queue) = entry
            .as_mut()
            .filter(|queue| queue.has_room_for(spec.depth))
        else {
            let stride = settings.cap.doorbell_stride();
            let made = Queue::prepare(io, entry.take(), spec.index, spec.depth, 0, stride)?;
            *entry = Some(made);
            return Ok(false);
        };
        let lists = &mut queue.lists;
        lists.shape(usize::from(spec.depth), learned.longest_listed());
        lists.reserve_some(io)
    }
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
