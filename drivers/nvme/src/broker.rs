//! The broker of one controller: which operation may follow which, and the way from the ledger's queue numbers to the
//! controller's.

use alloc::vec::Vec;

use driver_core::{
    Broker, BrokerIo, CommandSlot, Completed, Configured, DmaPages, Mappable, Poll, Probed,
    QueueSpec, Refusal, Segment, Step, Window,
};
use nvme_format::identify::IDENTIFY_BYTES;
use nvme_format::prp::{self, PrpError};
use nvme_format::template::{self, Limits, TemplateError, Transfer};
use nvme_format::{PAGE_SHIFT, regs};
use sabotage::sabotage;

use crate::admin::{AdminQueue, COMMAND_POLL_NS};
use crate::enable::{Enabling, Learned, Settings};
use crate::let_through;
use crate::open::Opening;
use crate::pieces::{self, Pieces};
use crate::queue::{MAX_SLOTS, Queue};
use crate::requeue::Requeue;
use crate::reset::{self, Reset};
use crate::windows;

/// Queue kind: administration. One queue, index 0, interrupt source 0.
pub const ADMIN_KIND: u16 = 0;

/// Queue kind: input and output. Indices 1 to the number of pairs that the controller granted.
pub const IO_KIND: u16 = 1;

/// The most commands in the administration queue: with the broker's own and the gap, one page of entries.
const MAX_ADMIN_DEPTH: u16 = 62;

/// The most I/O queue pairs.
const MAX_PAIRS: u16 = 8;

/// The longest transfer of an administration command (a log page).
const MAX_ADMIN_TRANSFER_BYTES: u32 = 256 << 10;

/// The most queues the ledger may number.
const MAX_QUEUE_NUMBERS: usize = 256;

/// How far the controller is.
#[derive(Debug)]
enum Phase {
    /// Nothing may be asked of it before a reset.
    Unknown,
    /// Proven stopped.
    Stopped,
    /// Stopped, sizes agreed.
    Configured(Settings),
    /// On its way up.
    Enabling(Settings, Enabling),
    /// Running.
    Enabled(Settings, Learned),
}

/// Where a queue that the ledger knows by number lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Admin,
    /// The I/O pair of this index, at the device.
    Pair(usize),
    /// The same, not yet at the device.
    Opening(usize),
}

/// The broker.
pub(crate) struct Nvme {
    bar_bytes: u64,
    msix_vectors: u16,
    phase: Phase,
    reset: Reset,
    admin: Option<AdminQueue>,
    /// I/O pair `n` is the controller's queue `n + 1`.
    pairs: [Option<Queue>; MAX_PAIRS as usize],
    /// By the ledger's number.
    places: Vec<Option<Place>>,
    opening: Option<Opening>,
    requeue: Option<Requeue>,
    /// The vectors that the pairs' completions raise.
    vectors: [Option<u16>; MAX_PAIRS as usize],
    /// Where answers to the broker's own questions land.
    page: Option<DmaPages>,
}

impl Nvme {
    pub(crate) fn new(probed: &Probed) -> Self {
        Self {
            bar_bytes: probed.bar_bytes.first().copied().unwrap_or(0),
            msix_vectors: probed.msix_vectors,
            phase: Phase::Unknown,
            reset: Reset::Idle,
            admin: None,
            pairs: [const { None }; MAX_PAIRS as usize],
            places: Vec::new(),
            opening: None,
            requeue: None,
            vectors: [None; MAX_PAIRS as usize],
            page: None,
        }
    }

    fn place(&self, queue: u16) -> Result<Place, Refusal> {
        self.places
            .get(usize::from(queue))
            .copied()
            .flatten()
            .ok_or(Refusal::OutOfRange)
    }

    fn set_place(&mut self, queue: u16, place: Place) -> Result<(), Refusal> {
        let at = usize::from(queue);
        if at >= MAX_QUEUE_NUMBERS {
            return Err(Refusal::OutOfRange);
        }
        if self.places.len() <= at {
            self.places.resize(at + 1, None);
        }
        match self.places.get_mut(at) {
            Some(entry) if entry.is_none() => *entry = Some(place),
            _ => return Err(Refusal::WrongState),
        }
        Ok(())
    }

    /// The queue that carries the commands of this number.
    fn running(&mut self, queue: u16) -> Result<&mut Queue, Refusal> {
        match self.place(queue)? {
            Place::Admin => self.admin.as_mut().map(|admin| &mut admin.queue),
            Place::Pair(pair) => self.pairs.get_mut(pair).and_then(Option::as_mut),
            Place::Opening(_) => None,
        }
        .ok_or(Refusal::WrongState)
    }

    fn check_vector(&self, vector: Option<u16>) -> Result<(), Refusal> {
        match vector {
            Some(vector) if vector >= self.msix_vectors.max(1) => Err(Refusal::OutOfRange),
            _ => Ok(()),
        }
    }

    fn open_admin(&mut self, queue: u16, spec: QueueSpec) -> Result<(), Refusal> {
        // The administration completion queue raises vector 0 and nothing else (Base 1.4, 3.1.10).
        if spec.vector.is_some_and(|vector| vector != 0) {
            return Err(Refusal::BadArgument);
        }
        if self.places.contains(&Some(Place::Admin)) {
            return Err(Refusal::WrongState);
        }
        self.set_place(queue, Place::Admin)
    }

    /// Where a pair is being made again: looks whether the device has let go of the old one, and then starts creating
    /// it anew. `true` once there is nothing to do of this.
    fn make_again(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: u16,
        pair: usize,
    ) -> Result<bool, Refusal> {
        let Some(requeue) = self.requeue.filter(|requeue| requeue.queue == queue) else {
            return Ok(true);
        };
        let Phase::Enabled(settings, learned) = &self.phase else {
            return Err(Refusal::WrongState);
        };
        let admin = self.admin.as_mut().ok_or(Refusal::WrongState)?;
        if !requeue.poll_gone(io, admin)? {
            return Ok(false);
        }
        self.requeue = None;
        let stride = settings.cap.doorbell_stride();
        let slot = self.pairs.get_mut(pair).ok_or(Refusal::OutOfRange)?;
        let old = slot.take().ok_or(Refusal::WrongState)?;
        let (number, depth) = (old.number(), old.depth());
        let mut ready = Queue::prepare(io, Some(old), number, depth, 0, stride)?;
        ready
            .lists
            .reserve(io, usize::from(depth), learned.max_transfer_bytes)?;
        let vector = self.vectors.get(pair).copied().flatten();
        self.opening = Some(Opening::begin(io, admin, queue, &ready, vector)?);
        *slot = Some(ready);
        Ok(true)
    }

    fn open_pair(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: u16,
        spec: QueueSpec,
    ) -> Result<(), Refusal> {
        let Phase::Enabled(settings, learned) = &self.phase else {
            return Err(Refusal::WrongState);
        };
        let pair = usize::from(spec.index - 1);
        let taken = [Some(Place::Pair(pair)), Some(Place::Opening(pair))];
        if self.opening.is_some() || self.requeue.is_some() {
            return Err(Refusal::Busy);
        }
        if self.places.iter().any(|place| taken.contains(place))
            || self
                .places
                .get(usize::from(queue))
                .is_some_and(Option::is_some)
        {
            return Err(Refusal::WrongState);
        }
        let stride = settings.cap.doorbell_stride();
        let slot = self.pairs.get_mut(pair).ok_or(Refusal::OutOfRange)?;
        let mut ready = Queue::prepare(io, slot.take(), spec.index, spec.depth, 0, stride)?;
        ready
            .lists
            .reserve(io, usize::from(spec.depth), learned.max_transfer_bytes)?;
        let admin = self.admin.as_mut().ok_or(Refusal::WrongState)?;
        let opening = Opening::begin(io, admin, queue, &ready, spec.vector)?;
        *slot = Some(ready);
        self.opening = Some(opening);
        if let Some(vector) = self.vectors.get_mut(pair) {
            *vector = spec.vector;
        }
        self.set_place(queue, Place::Opening(pair))
    }
}

impl Broker for Nvme {
    fn windows(&self) -> &'static [Window] {
        if self.msix_vectors == 0 {
            windows::WINDOWS_PIN
        } else {
            windows::WINDOWS_MSIX
        }
    }

    fn readable(&self) -> &'static [(u8, u64, u64)] {
        windows::READABLE
    }

    fn mappable(&self) -> &'static [Mappable] {
        windows::MAPPABLE
    }

    fn begin_reset(&mut self, io: &mut dyn BrokerIo) {
        let leave = matches!(self.phase, Phase::Enabled(..)) && sabotage!(LEAVE_RUNNING);
        self.phase = Phase::Unknown;
        self.places.clear();
        self.opening = None;
        self.requeue = None;
        self.reset = if leave {
            Reset::Claimed
        } else {
            reset::begin(io)
        };
    }

    fn poll_reset(&mut self, io: &mut dyn BrokerIo) -> Poll {
        let poll = reset::poll(io, &mut self.reset);
        if let Poll::Done(Step::Stopped(_)) = poll {
            self.phase = Phase::Stopped;
        }
        poll
    }

    /// `[commands in the administration queue, I/O queue pairs, page shift]`: the first two are wishes, cut to what
    /// there is; the shift must be 12.
    fn configure(
        &mut self,
        io: &mut dyn BrokerIo,
        request: [u64; 3],
    ) -> Result<Configured, Refusal> {
        if !matches!(self.phase, Phase::Stopped | Phase::Configured(_)) || !reset::is_stopped(io)? {
            return Err(Refusal::WrongState);
        }
        let cap = reset::capabilities(io)?;
        if !cap.nvm_command_set() || cap.page_min() != 0 {
            return Err(Refusal::NotSupported);
        }
        let [admin, pairs, shift] = request;
        if admin == 0 || pairs == 0 {
            return Err(Refusal::BadArgument);
        }
        let mps = page_size(cap, shift)?;
        let doorbells =
            |pairs: u16| regs::cq_head_doorbell(pairs, cap.doorbell_stride()) as u64 + 4;
        let pairs = (1..=MAX_PAIRS)
            .take_while(|n| u64::from(*n) <= pairs && doorbells(*n) <= self.bar_bytes)
            .last()
            .ok_or(Refusal::NotSupported)?;
        let admin_depth = admin.min(u64::from(MAX_ADMIN_DEPTH)) as u16;
        self.phase = Phase::Configured(Settings {
            cap,
            admin_depth,
            pairs,
            mps,
        });
        let shift = PAGE_SHIFT + u32::from(mps);
        Ok(Configured([
            u64::from(admin_depth),
            u64::from(pairs),
            u64::from(shift),
        ]))
    }

    fn begin_enable(&mut self, io: &mut dyn BrokerIo) -> Result<(), Refusal> {
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
        let admin = AdminQueue::new(queue);
        let enabling = Enabling::begin(io, settings, &admin)?;
        self.admin = Some(admin);
        self.phase = Phase::Enabling(settings, enabling);
        Ok(())
    }

    fn poll_enable(&mut self, io: &mut dyn BrokerIo) -> Poll {
        let (Phase::Enabling(_, enabling), Some(admin), Some(page)) =
            (&mut self.phase, &mut self.admin, &self.page)
        else {
            return Poll::Failed(Refusal::WrongState);
        };
        let poll = enabling.poll(io, admin, page);
        if matches!(poll, Poll::Pending { .. }) {
            return poll;
        }
        if let Phase::Enabling(settings, enabling) =
            core::mem::replace(&mut self.phase, Phase::Unknown)
            && matches!(poll, Poll::Done(_))
        {
            self.phase = Phase::Enabled(settings, enabling.finish());
        }
        poll
    }

    fn queue_limit(&self, kind: u16, index: u16) -> Option<u16> {
        let (settings, pairs) = match &self.phase {
            Phase::Configured(settings) | Phase::Enabling(settings, _) => {
                (settings, settings.pairs)
            }
            Phase::Enabled(settings, learned) => (settings, learned.pairs),
            Phase::Unknown | Phase::Stopped => return None,
        };
        match (kind, index) {
            (ADMIN_KIND, 0) => Some(settings.admin_depth),
            (IO_KIND, 1..) if index <= pairs => {
                let most = settings.cap.max_queue_entries().saturating_sub(1);
                Some(most.min(u32::from(MAX_SLOTS)) as u16)
            }
            _ => None,
        }
    }

    fn begin_open(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: u16,
        spec: QueueSpec,
    ) -> Result<(), Refusal> {
        if !matches!(self.phase, Phase::Enabled(..)) {
            return Err(Refusal::WrongState);
        }
        let limit = self
            .queue_limit(spec.kind, spec.index)
            .ok_or(Refusal::OutOfRange)?;
        if spec.depth == 0 || spec.depth > limit {
            return Err(Refusal::OutOfRange);
        }
        self.check_vector(spec.vector)?;
        if spec.kind == ADMIN_KIND {
            self.open_admin(queue, spec)
        } else {
            self.open_pair(io, queue, spec)
        }
    }

    fn poll_open(&mut self, io: &mut dyn BrokerIo, queue: u16) -> Poll {
        let pair = match self.place(queue) {
            Ok(Place::Admin | Place::Pair(_)) => return Poll::Done(Step::QueueOpen),
            Ok(Place::Opening(pair)) => pair,
            Err(refusal) => return Poll::Failed(refusal),
        };
        match self.make_again(io, queue, pair) {
            Ok(true) => {}
            Ok(false) => {
                return Poll::Pending {
                    after_ns: COMMAND_POLL_NS,
                };
            }
            Err(refusal) => return Poll::Failed(refusal),
        }
        let ready = self.pairs.get(pair).and_then(Option::as_ref);
        let (Some(opening), Some(admin), Some(ready)) = (
            self.opening
                .as_mut()
                .filter(|opening| opening.queue == queue),
            &mut self.admin,
            ready,
        ) else {
            return Poll::Failed(Refusal::WrongState);
        };
        let poll = opening.poll(io, admin, ready);
        if !matches!(poll, Poll::Pending { .. }) {
            self.opening = None;
        }
        // A pair that failed keeps its place: half of it may exist at the device, so only a reset frees it.
        if let (Poll::Done(_), Some(place)) = (poll, self.places.get_mut(usize::from(queue))) {
            *place = Some(Place::Pair(pair));
        }
        poll
    }

    fn begin_queue_reset(&mut self, io: &mut dyn BrokerIo, queue: u16) -> Result<(), Refusal> {
        if !matches!(self.phase, Phase::Enabled(..)) {
            return Err(Refusal::WrongState);
        }
        // The administration queue ends with the controller alone.
        let Place::Pair(pair) = self.place(queue)? else {
            return Err(Refusal::NotSupported);
        };
        if self.opening.is_some() || self.requeue.is_some() {
            return Err(Refusal::Busy);
        }
        let number = self.pairs.get(pair).and_then(Option::as_ref);
        let number = number.map(Queue::number).ok_or(Refusal::WrongState)?;
        let admin = self.admin.as_mut().ok_or(Refusal::WrongState)?;
        self.requeue = Some(Requeue::begin(io, admin, queue, number)?);
        if let Some(place) = self.places.get_mut(usize::from(queue)) {
            *place = Some(Place::Opening(pair));
        }
        Ok(())
    }

    fn poll_queue_reset(&mut self, io: &mut dyn BrokerIo, queue: u16) -> Poll {
        match (&mut self.requeue, &mut self.admin) {
            (Some(requeue), Some(admin)) if requeue.queue == queue => {
                requeue.poll_stopped(io, admin)
            }
            _ => Poll::Failed(Refusal::WrongState),
        }
    }

    fn begin_reopen(&mut self, io: &mut dyn BrokerIo, queue: u16) -> Result<(), Refusal> {
        match (&mut self.requeue, &mut self.admin) {
            (Some(requeue), Some(admin)) if requeue.queue == queue => {
                requeue.delete_completion(io, admin)
            }
            _ => Err(Refusal::WrongState),
        }
    }

    fn submit(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: u16,
        slot: CommandSlot,
        template: &[u8],
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        let place = self.place(queue)?;
        let Phase::Enabled(_, learned) = &self.phase else {
            return Err(Refusal::WrongState);
        };
        let (target, most) = match place {
            Place::Admin => (
                self.admin.as_mut().map(|admin| &mut admin.queue),
                learned.max_transfer_bytes.min(MAX_ADMIN_TRANSFER_BYTES),
            ),
            Place::Pair(pair) => (
                self.pairs.get_mut(pair).and_then(Option::as_mut),
                learned.max_transfer_bytes,
            ),
            Place::Opening(_) => (None, 0),
        };
        let target = target.ok_or(Refusal::WrongState)?;
        let slot = slot.slot;
        if slot >= target.depth() {
            return Err(Refusal::OutOfRange);
        }
        // Before the slot's list is touched: a slot in flight has a list that the device is reading.
        target.check_slot(slot)?;
        let limits = Limits {
            namespaces: &learned.namespaces,
            max_transfer_bytes: most,
        };
        let admitted = template::admit(target.kind(), template, &limits);
        let admitted = let_through::admit(target.kind(), template, &limits, admitted);
        let (mut command, transfer) = admitted.map_err(template_refusal)?;
        let given = pieces::check(segments, transfer)?;
        if given != transfer.bytes() && !sabotage!(SKIP_LENGTH_CHECK) {
            return Err(Refusal::LengthMismatch);
        }
        if transfer != Transfer::Nothing {
            let mut list = target.lists.of(slot);
            let start = list.start;
            let built = prp::build(Pieces::new(segments), &mut list, start).map_err(prp_refusal)?;
            if built.bytes != given {
                return Err(Refusal::OutOfRange);
            }
            command.prp1 = built.prp1;
            command.prp2 = built.prp2;
        }
        target.push(slot, command)
    }

    fn ring(&mut self, io: &mut dyn BrokerIo, queue: u16) {
        if let (Ok(target), Ok(registers)) = (self.running(queue), io.registers(0)) {
            target.ring(registers);
        }
    }

    fn next_completion(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: u16,
    ) -> Result<Option<Completed>, Refusal> {
        if let (Place::Admin, Some(admin)) = (self.place(queue)?, &mut self.admin) {
            return admin.take();
        }
        let taken = self.running(queue)?.take()?;
        Ok(taken.map(|taken| Completed {
            slot: taken.slot,
            status: taken.status.field(),
            result: taken.result,
        }))
    }

    fn completions_taken(&mut self, io: &mut dyn BrokerIo, queue: u16) {
        if let (Ok(target), Ok(registers)) = (self.running(queue), io.registers(0)) {
            target.hand_back(registers);
        }
    }
}

/// CC.MPS for a page shift. PRP lists are built for 4 KiB pages, so that is the only size the broker takes.
fn page_size(cap: regs::Cap, shift: u64) -> Result<u8, Refusal> {
    if sabotage!(LET_MPS_THROUGH)
        && let Some(mps) = shift.checked_sub(u64::from(PAGE_SHIFT))
        && mps <= u64::from(cap.page_max())
    {
        return Ok(mps as u8);
    }
    if shift == u64::from(PAGE_SHIFT) {
        Ok(0)
    } else {
        Err(Refusal::BadArgument)
    }
}

const fn template_refusal(error: TemplateError) -> Refusal {
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

const fn prp_refusal(error: PrpError) -> Refusal {
    match error {
        PrpError::Misaligned | PrpError::Gap => Refusal::Misaligned,
        PrpError::Empty => Refusal::LengthMismatch,
        PrpError::ListFull | PrpError::TooLong => Refusal::OutOfRange,
    }
}
