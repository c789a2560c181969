//! Enabling the controller and learning its limits (Base 1.4, 7.6.1): administration queue, CC.EN, then IDENTIFY and
//! the number of queues. All answers land in a page of the broker's own.

use alloc::vec::Vec;

use arrayvec::ArrayVec;
use driver_core::{BrokerIo, DmaPages, Poll, Refusal, Step};
use nvme_format::identify::{Controller, IDENTIFY_BYTES, Namespace, active_namespaces, cns};
use nvme_format::regs::{self, Cap, Cc};
use nvme_format::{Command, MAX_TRANSFER_BYTES, Status};

use crate::admin::{AdminQueue, COMMAND_POLL_NS, COMMAND_TIMEOUT_NS};
use crate::clear::RANGE_ROOM;
use crate::reset;

/// The most namespaces the broker keeps a shadow of; transfers to others are refused.
pub(crate) const MAX_NAMESPACES: usize = 32;

/// How long to wait before looking at CSTS again.
const READY_POLL_NS: u64 = 100_000;

/// What `configure` settled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) cap: Cap,
    pub(crate) admin_depth: u16,
    /// I/O queue pairs to ask for.
    pub(crate) pairs: u16,
    /// CC.MPS.
    pub(crate) mps: u8,
}

/// What the controller said of itself while it was being enabled.
#[derive(Debug)]
pub(crate) struct Learned {
    pub(crate) max_transfer_bytes: u32,
    pub(crate) namespaces: ArrayVec<Namespace, MAX_NAMESPACES>,
    /// I/O queue pairs granted.
    pub(crate) pairs: u16,
}

impl Learned {
    /// Bytes of the longest transfer that the lists of an I/O pair have room for.
    pub(crate) fn longest_listed(&self) -> u32 {
        self.max_transfer_bytes.max(RANGE_ROOM)
    }
}

/// What the enabling waits for.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    Ready,
    Controller,
    QueueCount,
    NamespaceList,
    /// The namespace at this index of the list.
    Namespace(usize),
}

/// As many of the first numbers as there is a place for.
#[expect(
    clippy::disallowed_methods,
    reason = "stack: an array, which allocates nothing"
)]
fn first(numbers: impl Iterator<Item = u32>) -> ArrayVec<u32, MAX_NAMESPACES> {
    numbers.take(MAX_NAMESPACES).collect()
}

/// An enabling under way.
#[derive(Debug)]
pub(crate) struct Enabling {
    settings: Settings,
    waiting: Waiting,
    deadline_ns: u64,
    listed: ArrayVec<u32, MAX_NAMESPACES>,
    learned: Learned,
    /// A private copy of the answer: parsed here, never in the page the device can write.
    answer: Vec<u8>,
}

impl Enabling {
    /// Gives the controller its administration queue and tells it to run.
    pub(crate) fn begin(
        io: &dyn BrokerIo,
        settings: Settings,
        admin: &AdminQueue,
    ) -> Result<Self, Refusal> {
        if !reset::is_stopped(io)? {
            return Err(Refusal::WrongState);
        }
        let registers = io.registers(0)?;
        let entries = admin.queue.entries();
        let aqa = regs::aqa(entries, entries).ok_or(Refusal::OutOfRange)?;
        let written = registers
            .write32(regs::AQA, aqa)
            .and_then(|()| registers.write64(regs::ASQ, admin.queue.sq_base()))
            .and_then(|()| registers.write64(regs::ACQ, admin.queue.cq_base()))
            .and_then(|()| {
                driver_core::release_to_device();
                let cc = Cc::enabled(settings.mps, settings.cap.command_sets());
                registers.write32(regs::CC, cc.0)
            });
        written?;
        Ok(Self {
            settings,
            waiting: Waiting::Ready,
            deadline_ns: io.now_ns().saturating_add(settings.cap.timeout_ns()),
            listed: ArrayVec::new(),
            learned: Learned {
                max_transfer_bytes: 0,
                namespaces: ArrayVec::new(),
                pairs: 0,
            },
            answer: driver_core::list(core::iter::repeat_n(0, IDENTIFY_BYTES))?,
        })
    }

    /// Looks how far it is. `Done` once [`Self::finish`] may be called.
    pub(crate) fn poll(
        &mut self,
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
        page: &DmaPages,
    ) -> Poll {
        self.step(io, admin, page).unwrap_or_else(Poll::Failed)
    }

    /// What was learned.
    pub(crate) fn finish(self) -> Learned {
        self.learned
    }

    fn step(
        &mut self,
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
        page: &DmaPages,
    ) -> Result<Poll, Refusal> {
        let now_ns = io.now_ns();
        let (_, csts) = reset::status(io)?;
        if csts.fatal() {
            return Err(Refusal::DeviceError);
        }
        if let Waiting::Ready = self.waiting {
            if csts.ready() {
                let command = Command::identify(cns::CONTROLLER, 0, page.address().bus());
                return self.ask(io, admin, Waiting::Controller, command);
            }
            return pending_until(self.deadline_ns, now_ns, READY_POLL_NS);
        }
        match admin.poll(io)? {
            Some((status, result)) => {
                page.read(0, &mut self.answer)?;
                self.answered(io, admin, page, status, result)
            }
            None => pending_until(self.deadline_ns, now_ns, COMMAND_POLL_NS),
        }
    }

    /// Takes the answer in and asks the next question.
    fn answered(
        &mut self,
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
        page: &DmaPages,
        status: Status,
        result: u32,
    ) -> Result<Poll, Refusal> {
        let bus = page.address().bus();
        match self.waiting {
            Waiting::Ready => Err(Refusal::Corrupt),
            Waiting::Controller => {
                let controller = Controller::parse(&self.answer)
                    .filter(|_| status.is_success())
                    .ok_or(Refusal::DeviceError)?;
                if !controller.takes_standard_entries() {
                    return Err(Refusal::NotSupported);
                }
                let page_min = self.settings.cap.page_min();
                self.learned.max_transfer_bytes =
                    controller.max_transfer_bytes(page_min, MAX_TRANSFER_BYTES);
                // Controllers before 1.1 have no list of active namespaces; these are the ones they can have.
                self.listed = first(1..=controller.nn);
                let command = Command::number_of_queues(self.settings.pairs);
                self.ask(io, admin, Waiting::QueueCount, command)
            }
            Waiting::QueueCount => {
                if !status.is_success() {
                    return Err(Refusal::DeviceError);
                }
                // Both counts are zero-based: submission queues in 15:0, completion queues in 31:16.
                let granted = (result & 0xffff).min(result >> 16) + 1;
                self.learned.pairs = u32::from(self.settings.pairs).min(granted) as u16;
                let command = Command::identify(cns::ACTIVE_NAMESPACES, 0, bus);
                self.ask(io, admin, Waiting::NamespaceList, command)
            }
            Waiting::NamespaceList => {
                if status.is_success() {
                    self.listed = first(active_namespaces(&self.answer));
                }
                self.ask_namespace(io, admin, page, 0)
            }
            Waiting::Namespace(index) => {
                let nsid = self.listed.get(index).copied().unwrap_or(0);
                // A namespace that cannot be used is left out; commands to it are refused.
                if let (true, Ok(namespace)) =
                    (status.is_success(), Namespace::parse(nsid, &self.answer))
                {
                    let _ = self.learned.namespaces.try_push(namespace);
                }
                self.ask_namespace(io, admin, page, index + 1)
            }
        }
    }

    fn ask_namespace(
        &mut self,
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
        page: &DmaPages,
        index: usize,
    ) -> Result<Poll, Refusal> {
        match self.listed.get(index) {
            None => Ok(Poll::Done(Step::Ready)),
            Some(nsid) => {
                let command = Command::identify(cns::NAMESPACE, *nsid, page.address().bus());
                self.ask(io, admin, Waiting::Namespace(index), command)
            }
        }
    }

    fn ask(
        &mut self,
        io: &dyn BrokerIo,
        admin: &mut AdminQueue,
        waiting: Waiting,
        command: Command,
    ) -> Result<Poll, Refusal> {
        admin.start(io, command)?;
        self.waiting = waiting;
        self.deadline_ns = io.now_ns().saturating_add(COMMAND_TIMEOUT_NS);
        Ok(Poll::Pending {
            after_ns: COMMAND_POLL_NS,
        })
    }
}

/// Waits on, or gives up where the deadline has passed.
pub(crate) const fn pending_until(
    deadline_ns: u64,
    now_ns: u64,
    after_ns: u64,
) -> Result<Poll, Refusal> {
    if now_ns >= deadline_ns {
        Err(Refusal::TimedOut)
    } else {
        Ok(Poll::Pending { after_ns })
    }
}
