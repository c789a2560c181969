//! The broker of one controller: which operation may follow which, and which queues take commands.

use alloc::boxed::Box;

use dma_ledger::QueueProof;
use driver_core::{
    Access, Broker, BrokerIo, CommandSlot, Completed, Counts, DmaPages, Opcode, Operation, Poll,
    Probed, QueuePlace, QueueSpec, Refusal, Segment, Step,
};
use nvme_format::identify::IDENTIFY_BYTES;
use nvme_format::template::{self, Limits, TemplateError};
use nvme_format::{FUA, PAGE_SHIFT, io, regs};
use sabotage::sabotage;

use crate::admin::{AdminQueue, COMMAND_POLL_NS};
use crate::direct::DirectPair;
use crate::enable::{Enabling, Learned, Settings};
use crate::lane::{Lane, MAX_ADMIN_DEPTH, MAX_ADMIN_TRANSFER_BYTES, MAX_PAIRS};
use crate::let_through;
use crate::open::Opening;
use crate::queue::Queue;
use crate::requeue::Requeue;
use crate::reset::{self, Reset};
use crate::windows;

/// How far the controller is.
#[expect(
    clippy::large_enum_variant,
    reason = "one for each controller, and its largest while it runs"
)]
#[derive(Debug)]
pub(crate) enum Phase {
    /// Nothing may be asked of it before a reset.
    Unknown,
    /// Proven stopped.
    Stopped,
    /// Stopped, sizes agreed.
    Configured(Settings),
    /// On its way up.
    Enabling(Settings),
    /// Running.
    Enabled(Settings, Learned),
}

/// Whether commands go to a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    #[default]
    Closed,
    /// Not yet at the device, or half of it may exist there: only a reset closes it.
    Opening,
    Open,
    /// Open, and its holder writes the entries.
    Direct,
}

/// What was begun last and has not ended.
#[derive(Debug)]
pub(crate) enum UnderWay {
    Reset(Reset),
    Enabling(Box<Enabling>),
    /// The administration queue came up with the controller.
    OpeningAdmin,
    Opening(Opening),
    Stopping(Requeue),
    /// The submission queue is gone. Nothing else begins before the pair is made again.
    Stopped(Requeue),
    Remaking(Requeue),
}

/// The broker.
pub(crate) struct Nvme {
    bar_bytes: u64,
    msix_vectors: u16,
    access: Access,
    pub(crate) phase: Phase,
    under_way: Option<UnderWay>,
    pub(crate) admin: Option<AdminQueue>,
    admin_state: State,
    /// I/O pair `n` is the controller's queue `n + 1`.
    pub(crate) pairs: [Option<Queue>; MAX_PAIRS as usize],
    pub(crate) states: [State; MAX_PAIRS as usize],
    /// Of those whose holder writes the entries.
    pub(crate) directs: [Option<DirectPair>; MAX_PAIRS as usize],
    /// The vectors that the pairs' completions raise.
    pub(crate) vectors: [Option<u16>; MAX_PAIRS as usize],
    /// Where answers to the broker's own questions land.
    page: Option<DmaPages>,
}

impl Nvme {
    pub(crate) fn new(probed: &Probed) -> Self {
        Self {
            bar_bytes: probed.bar_bytes.first().copied().unwrap_or(0),
            msix_vectors: probed.msix_vectors,
            access: windows::access(probed.msix_vectors),
            phase: Phase::Unknown,
            under_way: None,
            admin: None,
            admin_state: State::Closed,
            pairs: [const { None }; MAX_PAIRS as usize],
            states: [State::Closed; MAX_PAIRS as usize],
            directs: [None; MAX_PAIRS as usize],
            vectors: [None; MAX_PAIRS as usize],
            page: None,
        }
    }

    /// How a queue stands.
    fn state(&mut self, lane: Lane) -> Option<&mut State> {
        match lane {
            Lane::Admin => Some(&mut self.admin_state),
            Lane::Io(pair) => self.states.get_mut(pair),
        }
    }

    /// Which queue it is, if it carries commands.
    #[inline]
    fn open_lane(&mut self, place: QueuePlace) -> Result<Lane, Refusal> {
        let lane = Lane::at(place).ok_or(Refusal::OutOfRange)?;
        match self.state(lane).copied().unwrap_or_default() {
            State::Closed => Err(Refusal::OutOfRange),
            State::Opening => Err(Refusal::WrongState),
            // Nothing of it is the broker's to write or to read.
            State::Direct => Err(Refusal::NotSupported),
            State::Open => Ok(lane),
        }
    }

    /// The queue that carries commands, and which it is.
    fn running(&mut self, place: QueuePlace) -> Result<(Lane, &mut Queue), Refusal> {
        let lane = self.open_lane(place)?;
        Ok((lane, queue_of(lane, &mut self.admin, &mut self.pairs)?))
    }

    /// The queue whose slot is free for a command, and what a command in it may be.
    #[inline]
    fn open_slot(
        &mut self,
        queue: QueuePlace,
        slot: CommandSlot,
    ) -> Result<(&mut Queue, Limits<'_>), Refusal> {
        let lane = self.open_lane(queue)?;
        let Phase::Enabled(_, learned) = &self.phase else {
            return Err(Refusal::WrongState);
        };
        let target = queue_of(lane, &mut self.admin, &mut self.pairs)?;
        if slot.slot >= target.depth() {
            return Err(Refusal::OutOfRange);
        }
        // Before the slot's list is touched: a slot in flight has a list that the device is reading.
        target.check_slot(slot.slot)?;
        let limits = Limits {
            namespaces: &learned.namespaces,
            max_transfer_bytes: lane.longest(learned),
        };
        Ok((target, limits))
    }

    fn check_vector(&self, vector: Option<u16>) -> Result<(), Refusal> {
        match vector {
            Some(vector) if vector >= self.msix_vectors.max(1) => Err(Refusal::OutOfRange),
            _ => Ok(()),
        }
    }

    fn begin_reset(&mut self, io: &dyn BrokerIo) {
        let leave = matches!(self.phase, Phase::Enabled(..)) && sabotage!(LEAVE_RUNNING);
        self.phase = Phase::Unknown;
        self.admin_state = State::Closed;
        self.states = [State::Closed; MAX_PAIRS as usize];
        self.directs = [None; MAX_PAIRS as usize];
        let reset = if leave {
            Reset::Claimed
        } else {
            reset::begin(io)
        };
        self.under_way = Some(UnderWay::Reset(reset));
    }

    fn begin_enable(&mut self, io: &mut dyn BrokerIo) -> Result<UnderWay, Refusal> {
        let Phase::Configured(settings) = self.phase else {
            return Err(Refusal::WrongState);
        };
        if self.page.is_none() {
            self.page = Some(io.pages(IDENTIFY_BYTES)?);
        }
        let old = self.admin.take().map(|admin| admin.queue);
        let (depth, stride) = (settings.admin_depth, settings.cap.doorbell_stride());
        let mut queue = Queue::prepare(io, old, 0, depth, AdminQueue::OWN_SLOTS, stride)?;
        queue
            .lists
            .reserve(io, usize::from(depth), MAX_ADMIN_TRANSFER_BYTES)?;
        let admin = AdminQueue::new(queue)?;
        let enabling = Enabling::begin(io, settings, &admin)?;
        self.admin = Some(admin);
        self.phase = Phase::Enabling(settings);
        Ok(UnderWay::Enabling(driver_core::boxed(enabling)?))
    }

    fn begin_open(&mut self, io: &mut dyn BrokerIo, spec: QueueSpec) -> Result<UnderWay, Refusal> {
        match self.may_open(spec)? {
            Lane::Admin => {
                self.admin_state = State::Open;
                Ok(UnderWay::OpeningAdmin)
            }
            Lane::Io(pair) => self.open_pair(io, pair, spec),
        }
    }

    /// Whether a queue may be opened, and which it is.
    pub(crate) fn may_open(&mut self, spec: QueueSpec) -> Result<Lane, Refusal> {
        if !matches!(self.phase, Phase::Enabled(..)) {
            return Err(Refusal::WrongState);
        }
        let limit = self.queue_limit(spec.place()).ok_or(Refusal::OutOfRange)?;
        if spec.depth == 0 || spec.depth > limit {
            return Err(Refusal::OutOfRange);
        }
        self.check_vector(spec.vector)?;
        let lane = Lane::at(spec.place()).ok_or(Refusal::OutOfRange)?;
        lane.check_vector(spec.vector)?;
        match self.state(lane) {
            Some(State::Closed) => Ok(lane),
            Some(_) => Err(Refusal::WrongState),
            None => Err(Refusal::OutOfRange),
        }
    }

    fn open_pair(
        &mut self,
        io: &mut dyn BrokerIo,
        pair: usize,
        spec: QueueSpec,
    ) -> Result<UnderWay, Refusal> {
        let entry = self.vectors.get_mut(pair).ok_or(Refusal::OutOfRange)?;
        *entry = spec.vector;
        let old = self.pairs.get_mut(pair).and_then(Option::take);
        self.create_pair(io, pair, old, spec.index, spec.depth)
    }

    /// Starts creating a pair at the device, in the pages of the one before where there was one.
    fn create_pair(
        &mut self,
        io: &mut dyn BrokerIo,
        pair: usize,
        old: Option<Queue>,
        number: u16,
        depth: u16,
    ) -> Result<UnderWay, Refusal> {
        let Phase::Enabled(settings, learned) = &self.phase else {
            return Err(Refusal::WrongState);
        };
        let stride = settings.cap.doorbell_stride();
        let mut ready = Queue::prepare(io, old, number, depth, 0, stride)?;
        ready
            .lists
            .reserve(io, usize::from(depth), learned.longest_listed())?;
        let admin = self.admin.as_mut().ok_or(Refusal::WrongState)?;
        let vector = self.vectors.get(pair).copied().flatten();
        let opening = Opening::begin(io, admin, pair, ready.rings(), vector)?;
        if let (Some(slot), Some(state)) = (self.pairs.get_mut(pair), self.states.get_mut(pair)) {
            *slot = Some(ready);
            *state = State::Opening;
        }
        Ok(UnderWay::Opening(opening))
    }

    fn begin_stop(&mut self, io: &dyn BrokerIo, queue: QueuePlace) -> Result<UnderWay, Refusal> {
        if !matches!(self.phase, Phase::Enabled(..)) {
            return Err(Refusal::WrongState);
        }
        let pair = Lane::at(queue).ok_or(Refusal::OutOfRange)?.pair()?;
        // One whose holder writes the entries is not running here: it ends with the controller.
        let number = self.running(queue)?.1.number();
        let admin = self.admin.as_mut().ok_or(Refusal::WrongState)?;
        let requeue = Requeue::begin(io, admin, pair, number)?;
        if let Some(state) = self.states.get_mut(pair) {
            *state = State::Opening;
        }
        Ok(UnderWay::Stopping(requeue))
    }

    /// One look. Gives what is under way afterwards; an error ends it.
    fn look(
        &mut self,
        io: &mut dyn BrokerIo,
        under_way: UnderWay,
    ) -> Result<(Poll, Option<UnderWay>), Refusal> {
        const LATER: Poll = Poll::Pending {
            after_ns: COMMAND_POLL_NS,
        };
        let (poll, again) = match under_way {
            UnderWay::Reset(mut reset) => {
                let poll = reset::poll(io, &mut reset);
                if let Poll::Done(_) = poll {
                    self.phase = Phase::Stopped;
                }
                (poll, UnderWay::Reset(reset))
            }
            UnderWay::Enabling(enabling) => return self.look_enabling(io, enabling),
            UnderWay::OpeningAdmin => (Poll::Done(Step::QueueOpen), UnderWay::OpeningAdmin),
            UnderWay::Opening(mut opening) => {
                let admin = self.admin.as_mut().ok_or(Refusal::WrongState)?;
                let poll = opening.poll(io, admin)?;
                let direct = self.directs.get(opening.pair).copied().flatten();
                // A pair that failed is not closed: half of it may exist at the device, so only a reset frees it.
                if let (Poll::Done(_), Some(state)) = (poll, self.states.get_mut(opening.pair)) {
                    *state = if direct.is_some() {
                        State::Direct
                    } else {
                        State::Open
                    };
                }
                (poll, UnderWay::Opening(opening))
            }
            UnderWay::Stopping(requeue) => {
                let admin = self.admin.as_mut().ok_or(Refusal::WrongState)?;
                if requeue.poll_stopped(io, admin)? {
                    let proof = Step::QueueStopped(QueueProof::SubmissionQueueDeleted);
                    return Ok((Poll::Done(proof), Some(UnderWay::Stopped(requeue))));
                }
                (LATER, UnderWay::Stopping(requeue))
            }
            UnderWay::Stopped(_) => {
                return Ok((Poll::Failed(Refusal::WrongState), Some(under_way)));
            }
            UnderWay::Remaking(requeue) => {
                let admin = self.admin.as_mut().ok_or(Refusal::WrongState)?;
                if requeue.poll_gone(io, admin)? {
                    let old = self.pairs.get_mut(requeue.pair).and_then(Option::take);
                    let old = old.ok_or(Refusal::WrongState)?;
                    let (number, depth) = (old.number(), old.depth());
                    let made = self.create_pair(io, requeue.pair, Some(old), number, depth)?;
                    (LATER, made)
                } else {
                    (LATER, UnderWay::Remaking(requeue))
                }
            }
        };
        let pending = matches!(poll, Poll::Pending { .. });
        Ok((poll, pending.then_some(again)))
    }

    fn look_enabling(
        &mut self,
        io: &dyn BrokerIo,
        mut enabling: Box<Enabling>,
    ) -> Result<(Poll, Option<UnderWay>), Refusal> {
        let (Phase::Enabling(settings), Some(admin), Some(page)) =
            (&self.phase, &mut self.admin, &self.page)
        else {
            return Err(Refusal::WrongState);
        };
        let settings = *settings;
        let poll = enabling.poll(io, admin, page);
        match poll {
            Poll::Pending { .. } => return Ok((poll, Some(UnderWay::Enabling(enabling)))),
            Poll::Done(_) => self.phase = Phase::Enabled(settings, enabling.finish()),
            Poll::Failed(_) => self.phase = Phase::Unknown,
        }
        Ok((poll, None))
    }
}

/// The queue of a lane, once it was made.
#[inline]
fn queue_of<'q>(
    lane: Lane,
    admin: &'q mut Option<AdminQueue>,
    pairs: &'q mut [Option<Queue>],
) -> Result<&'q mut Queue, Refusal> {
    match lane {
        Lane::Admin => admin.as_mut().map(|admin| &mut admin.queue),
        Lane::Io(pair) => pairs.get_mut(pair).and_then(Option::as_mut),
    }
    .ok_or(Refusal::WrongState)
}

impl Broker for Nvme {
    fn access(&self) -> &Access {
        &self.access
    }

    fn configure(
        &mut self,
        io: &mut dyn BrokerIo,
        settings: driver_core::Settings<'_>,
    ) -> Result<(), Refusal> {
        let driver_core::Settings::Nvme(chosen) = settings else {
            return Err(Refusal::NotSupported);
        };
        if !matches!(self.phase, Phase::Stopped | Phase::Configured(_)) || !reset::is_stopped(io)? {
            return Err(Refusal::WrongState);
        }
        let cap = reset::capabilities(io)?;
        if !cap.nvm_command_set() || cap.page_min() != 0 {
            return Err(Refusal::NotSupported);
        }
        if chosen.admin_depth == 0 || chosen.pairs == 0 {
            return Err(Refusal::BadArgument);
        }
        let mps = page_size(cap, chosen.page_shift)?;
        let doorbells =
            |pairs: u16| regs::cq_head_doorbell(pairs, cap.doorbell_stride()) as u64 + 4;
        let pairs = (1..=MAX_PAIRS)
            .take_while(|n| *n <= chosen.pairs && doorbells(*n) <= self.bar_bytes)
            .last()
            .ok_or(Refusal::NotSupported)?;
        let admin_depth = chosen.admin_depth.min(MAX_ADMIN_DEPTH);
        self.phase = Phase::Configured(Settings {
            cap,
            admin_depth,
            pairs,
            mps,
        });
        chosen.admin_depth = admin_depth;
        chosen.pairs = pairs;
        Ok(())
    }

    fn queue_limit(&self, queue: QueuePlace) -> Option<u16> {
        let (settings, pairs) = match &self.phase {
            Phase::Configured(settings) | Phase::Enabling(settings) => (settings, settings.pairs),
            Phase::Enabled(settings, learned) => (settings, learned.pairs),
            Phase::Unknown | Phase::Stopped => return None,
        };
        Lane::at(queue)?.depth(settings, pairs)
    }

    fn begin(&mut self, io: &mut dyn BrokerIo, operation: Operation) -> Result<(), Refusal> {
        let begun = match (operation, &self.under_way) {
            (Operation::Reset, _) => {
                self.begin_reset(io);
                return Ok(());
            }
            (Operation::Reopen(queue), Some(UnderWay::Stopped(requeue)))
                if Lane::at(queue) == Some(Lane::Io(requeue.pair)) =>
            {
                let admin = self.admin.as_mut().ok_or(Refusal::WrongState)?;
                UnderWay::Remaking(requeue.delete_completion(io, admin)?)
            }
            (Operation::Reopen(_), _) => return Err(Refusal::WrongState),
            (_, Some(_)) => return Err(Refusal::Busy),
            (Operation::Enable, None) => self.begin_enable(io)?,
            (Operation::Open(spec), None) => self.begin_open(io, spec)?,
            (Operation::OpenDirect(spec), None) => self.begin_open_direct(io, &spec)?,
            (Operation::Stop(queue), None) => self.begin_stop(io, queue)?,
        };
        self.under_way = Some(begun);
        Ok(())
    }

    fn prepare(&mut self, io: &mut dyn BrokerIo, spec: QueueSpec) -> Result<bool, Refusal> {
        if self.under_way.is_some() {
            return Err(Refusal::Busy);
        }
        self.prepare_pair(io, spec)
    }

    fn poll(&mut self, io: &mut dyn BrokerIo) -> Poll {
        let Some(under_way) = self.under_way.take() else {
            return Poll::Failed(Refusal::WrongState);
        };
        match self.look(io, under_way) {
            Ok((poll, again)) => {
                self.under_way = again;
                poll
            }
            Err(refusal) => Poll::Failed(refusal),
        }
    }

    fn submit(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: QueuePlace,
        slot: CommandSlot,
        template: &[u8],
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        let (target, limits) = self.open_slot(queue, slot)?;
        let admitted = template::admit(target.kind(), template, &limits);
        let admitted = let_through::admit(target.kind(), template, &limits, admitted);
        let (command, transfer) = admitted.map_err(template_refusal)?;
        target.write(slot.slot, command, transfer, segments)
    }

    fn transfer(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: QueuePlace,
        slot: CommandSlot,
        transfer: &driver_core::Transfer<'_>,
    ) -> Result<(), Refusal> {
        if Lane::at(queue) == Some(Lane::Admin) {
            return Err(Refusal::NotSupported);
        }
        let (target, limits) = self.open_slot(queue, slot)?;
        let opcode = match transfer.opcode {
            Opcode::Read => io::READ,
            Opcode::Write | Opcode::WriteThrough => io::WRITE,
            Opcode::Flush => io::FLUSH,
            Opcode::Discard | Opcode::Zero => return target.clear(slot.slot, transfer, &limits),
        };
        let bytes = transfer.data.map_or(0, |data| data.length);
        let formed = template::form(opcode, transfer.unit.into(), transfer.block, bytes, &limits);
        let (mut command, moved) = formed.map_err(template_refusal)?;
        if transfer.opcode == Opcode::WriteThrough {
            command.cdw[2] |= FUA;
        }
        target.write(slot.slot, command, moved, transfer.data.as_slice())
    }

    fn ring(&mut self, io: &mut dyn BrokerIo, queue: QueuePlace) {
        if let (Ok((_, target)), Ok(registers)) = (self.running(queue), io.registers(0)) {
            target.ring(registers);
        }
    }

    fn doorbell(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: QueuePlace,
        counts: Counts,
    ) -> Result<(), Refusal> {
        self.ring_direct(io, queue, counts)
    }

    fn next_completion(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: QueuePlace,
    ) -> Result<Option<Completed>, Refusal> {
        let (lane, target) = self.running(queue)?;
        if lane == Lane::Admin {
            // The broker's own commands run there too.
            return self.admin.as_mut().ok_or(Refusal::WrongState)?.take();
        }
        let taken = target.take()?;
        Ok(taken.map(|taken| Completed {
            slot: taken.slot,
            status: taken.status.field(),
            result: taken.result,
        }))
    }

    fn completions_taken(&mut self, io: &mut dyn BrokerIo, queue: QueuePlace) {
        if let (Ok((_, target)), Ok(registers)) = (self.running(queue), io.registers(0)) {
            target.hand_back(registers);
        }
    }
}

/// CC.MPS for a page shift. PRP lists are built for 4 KiB pages, so that is the only size the broker takes.
fn page_size(cap: regs::Cap, shift: u32) -> Result<u8, Refusal> {
    match shift.checked_sub(PAGE_SHIFT) {
        Some(0) => Ok(0),
        Some(mps) if sabotage!(LET_MPS_THROUGH) && mps <= u32::from(cap.page_max()) => {
            Ok(mps as u8)
        }
        _ => Err(Refusal::BadArgument),
    }
}

pub(crate) const fn template_refusal(error: TemplateError) -> Refusal {
    match error {
        TemplateError::Size
        | TemplateError::Opcode
        | TemplateError::Bits
        | TemplateError::Selector => Refusal::TemplateRefused,
        TemplateError::Namespace | TemplateError::LbaRange | TemplateError::TooLong => {
            Refusal::OutOfRange
        }
        TemplateError::WriteProtected => Refusal::ReadOnly,
    }
}
