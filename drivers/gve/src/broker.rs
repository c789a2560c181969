//! The broker of one device: which operation may follow which, and which queues take commands.

use arrayvec::ArrayVec;
use driver_core::{
    Access, Broker, BrokerIo, CommandSlot, Completed, Direction, Opcode, Operation, Poll,
    QueuePlace, QueueSpec, Refusal, Segment, Settings, Step, Transfer,
};
use gve_format::Status;
use gve_format::brokered::{Side, Template, kind};

use crate::admin::{Admin, POLL_NS, Whose, judged};
use crate::enable::{Enabling, Learned, Memory};
use crate::lane::{Lane, begin_lane, check_frame, check_room, side_at, side_of, take_rings};
use crate::lists::List;
use crate::open::{Opening, block_of};
use crate::queue::{Frames, Receive, Rings, Transmit};
use crate::registers;
use crate::reset::{self, Reset};

/// Commands in flight of the queue for lists.
const LISTS_DEPTH: u16 = 8;

/// How far the device is.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Nothing may be asked of it before a reset.
    Unknown,
    /// Proven stopped.
    Stopped,
    /// Stopped, with nothing left to choose.
    Configured,
    /// On its way up.
    Enabling,
    /// Running.
    Enabled(Learned),
}

/// What was begun last and has not ended.
#[derive(Debug)]
enum UnderWay {
    Reset(Reset),
    Enabling(Enabling),
    /// The queue for lists is the broker's own affair.
    OpeningLists,
    Opening(Opening),
}

/// The broker.
pub(crate) struct Gve {
    bar_bytes: u64,
    access: Access,
    phase: Phase,
    under_way: Option<UnderWay>,
    memory: Option<Memory>,
    admin: Option<Admin>,
    receive_list: Option<List>,
    transmit_list: Option<List>,
    takes_lists: bool,
    /// Completions of the queue for lists.
    ready: ArrayVec<Completed, { LISTS_DEPTH as usize }>,
    receive: Lane<Receive>,
    transmit: Lane<Transmit>,
    /// Memory of queues that were never opened, receive and transmit.
    left: [Option<Rings>; 2],
}

impl Gve {
    pub(crate) fn new(bar_bytes: u64) -> Self {
        Self {
            bar_bytes,
            access: registers::access(),
            phase: Phase::Unknown,
            under_way: None,
            memory: None,
            admin: None,
            receive_list: None,
            transmit_list: None,
            takes_lists: false,
            ready: ArrayVec::new(),
            receive: Lane::Closed(None, None),
            transmit: Lane::Closed(None, None),
            left: [None, None],
        }
    }

    /// Keeps the memory of a queue that comes to nothing.
    fn keep(&mut self, opening: Opening) {
        let [receive, transmit] = &mut self.left;
        let left = match opening.side {
            Side::Receive => receive,
            Side::Transmit => transmit,
        };
        *left = Some(opening.rings);
    }

    fn learned(&self) -> Result<Learned, Refusal> {
        match self.phase {
            Phase::Enabled(learned) => Ok(learned),
            _ => Err(Refusal::WrongState),
        }
    }

    fn list(&mut self, side: Side) -> &mut Option<List> {
        match side {
            Side::Receive => &mut self.receive_list,
            Side::Transmit => &mut self.transmit_list,
        }
    }

    fn begin_reset(&mut self, io: &dyn BrokerIo) {
        self.phase = Phase::Unknown;
        self.takes_lists = false;
        self.ready.clear();
        self.receive.close();
        self.transmit.close();
        let lists = [&mut self.receive_list, &mut self.transmit_list];
        for list in lists.into_iter().flatten() {
            list.forget();
        }
        if let Some(UnderWay::Opening(opening)) = self.under_way.take() {
            self.keep(opening);
        }
        self.under_way = Some(UnderWay::Reset(reset::begin(io)));
    }

    fn begin_enable(&mut self, io: &mut dyn BrokerIo) -> Result<UnderWay, Refusal> {
        if !matches!(self.phase, Phase::Configured) {
            return Err(Refusal::WrongState);
        }
        let page = match self.admin.take() {
            Some(admin) => admin.into_page(),
            None => io.pages(gve_format::PAGE_BYTES as usize)?,
        };
        let admin = self.admin.insert(Admin::new(page));
        if self.memory.is_none() {
            self.memory = Some(Memory::new(io)?);
        }
        let memory = self.memory.as_ref().ok_or(Refusal::WrongState)?;
        let enabling = Enabling::begin(io, admin, memory, self.bar_bytes)?;
        self.phase = Phase::Enabling;
        Ok(UnderWay::Enabling(enabling))
    }

    fn begin_open(&mut self, io: &mut dyn BrokerIo, spec: QueueSpec) -> Result<UnderWay, Refusal> {
        let learned = self.learned()?;
        let limit = self.queue_limit(spec.place()).ok_or(Refusal::OutOfRange)?;
        if spec.depth == 0 || spec.depth > limit {
            return Err(Refusal::OutOfRange);
        }
        let Some(side) = side_of(spec.kind) else {
            if spec.vector.is_some() {
                return Err(Refusal::OutOfRange);
            }
            self.make_lists(io, &learned)?;
            self.takes_lists = true;
            return Ok(UnderWay::OpeningLists);
        };
        if learned.facts.format.has_lists() {
            let list = self.list(side).as_ref();
            if list.and_then(List::is_held) == Some(false) || list.is_none() {
                return Err(Refusal::WrongState);
            }
        }
        let (own, other) = match side {
            Side::Receive => (self.receive.block(), self.transmit.block()),
            Side::Transmit => (self.transmit.block(), self.receive.block()),
        };
        if own.is_some() {
            return Err(Refusal::WrongState);
        }
        let block = block_of(side, &spec, other)?;
        let [left_receive, left_transmit] = &mut self.left;
        let old = match side {
            Side::Receive => left_receive
                .take()
                .or_else(|| take_rings(&mut self.receive)),
            Side::Transmit => left_transmit
                .take()
                .or_else(|| take_rings(&mut self.transmit)),
        };
        let opening = Opening::new(io, (side, spec, block), &learned, old)?;
        match side {
            Side::Receive => begin_lane(&mut self.receive, block),
            Side::Transmit => begin_lane(&mut self.transmit, block),
        }
        Ok(UnderWay::Opening(opening))
    }

    /// Makes room for page lists, where the device has any.
    fn make_lists(&mut self, io: &mut dyn BrokerIo, learned: &Learned) -> Result<(), Refusal> {
        if !learned.facts.format.has_lists() {
            return Ok(());
        }
        let (receive, transmit) = learned.facts.pages;
        for (side, pages) in [(Side::Receive, receive), (Side::Transmit, transmit)] {
            let list = self.list(side);
            if list.as_ref().is_none_or(|list| list.room() < pages.into()) {
                *list = Some(List::new(io, side, pages)?);
            }
        }
        Ok(())
    }

    /// Takes every answer of the device; gives that of the broker's own command.
    fn take_answers(&mut self, io: &dyn BrokerIo) -> Result<Option<Status>, Refusal> {
        let admin = self.admin.as_mut().ok_or(Refusal::WrongState)?;
        let mut own = None;
        while let Some((whose, status)) = admin.take(io)? {
            let list = match whose {
                Whose::Own => {
                    own = Some(status);
                    continue;
                }
                Whose::List(Side::Receive) => &mut self.receive_list,
                Whose::List(Side::Transmit) => &mut self.transmit_list,
            };
            let refused = list.as_mut().and_then(|it| it.answered(judged(status)));
            if let Some(slot) = refused {
                let completed = Completed {
                    slot,
                    status: status.0 as u16,
                    result: 0,
                };
                let put = self.ready.try_push(completed);
                put.map_err(|_| Refusal::Corrupt)?;
            }
        }
        Ok(own)
    }

    /// One look. Gives what is under way afterwards; an error ends it.
    fn look(
        &mut self,
        io: &mut dyn BrokerIo,
        under_way: UnderWay,
    ) -> Result<(Poll, Option<UnderWay>), Refusal> {
        match under_way {
            UnderWay::Reset(reset) => {
                let poll = reset::poll(io, reset);
                if let Poll::Done(_) = poll {
                    self.phase = Phase::Stopped;
                }
                Ok((poll, going(poll, UnderWay::Reset(reset))))
            }
            UnderWay::Enabling(mut enabling) => {
                let (Some(admin), Some(memory)) = (&mut self.admin, &self.memory) else {
                    return Err(Refusal::WrongState);
                };
                let looked = enabling.poll(io, admin, memory);
                let (poll, learned) = looked.inspect_err(|_| self.phase = Phase::Unknown)?;
                if let Some(learned) = learned {
                    self.phase = Phase::Enabled(learned);
                }
                Ok((poll, going(poll, UnderWay::Enabling(enabling))))
            }
            UnderWay::OpeningLists => Ok((Poll::Done(Step::QueueOpen), None)),
            UnderWay::Opening(opening) => self.look_opening(io, opening),
        }
    }

    fn look_opening(
        &mut self,
        io: &mut dyn BrokerIo,
        mut opening: Opening,
    ) -> Result<(Poll, Option<UnderWay>), Refusal> {
        let learned = self.learned()?;
        match self.step_opening(io, &mut opening, &learned) {
            Ok(Some(poll)) => Ok((poll, Some(UnderWay::Opening(opening)))),
            Ok(None) => {
                self.opened(io, opening, &learned)?;
                Ok((Poll::Done(Step::QueueOpen), None))
            }
            Err(refusal) => {
                self.keep(opening);
                Err(refusal)
            }
        }
    }

    /// One look at an opening: its list is there, then the device has made it. `None`: it has.
    fn step_opening(
        &mut self,
        io: &dyn BrokerIo,
        opening: &mut Opening,
        learned: &Learned,
    ) -> Result<Option<Poll>, Refusal> {
        let answer = self.take_answers(io)?;
        if opening.is_asked {
            return match answer {
                Some(status) => judged(status).map(|()| None),
                None => opening.question.wait(io).map(Some),
            };
        }
        if learned.facts.format.has_lists() {
            match self.list(opening.side).as_ref().and_then(List::is_held) {
                None => return opening.question.wait(io).map(Some),
                Some(false) => return Err(Refusal::DeviceError),
                Some(true) => {}
            }
        }
        let (Some(admin), Some(memory)) = (&mut self.admin, &self.memory) else {
            return Err(Refusal::WrongState);
        };
        opening.ask(io, admin, memory, learned)?;
        Ok(Some(Poll::Pending { after_ns: POLL_NS }))
    }

    /// The device has made a queue.
    fn opened(
        &mut self,
        io: &dyn BrokerIo,
        opening: Opening,
        learned: &Learned,
    ) -> Result<(), Refusal> {
        let memory = self.memory.as_ref().ok_or(Refusal::WrongState)?;
        match opening.side {
            Side::Receive => {
                let Lane::Opening(index, tags) = &self.receive else {
                    return Err(Refusal::WrongState);
                };
                let made = opening.received(memory, learned, self.bar_bytes, tags.as_ref())?;
                let (mut block, queue) = made;
                block.begin(io);
                self.receive = Lane::Open(*index, block, queue);
            }
            Side::Transmit => {
                let Lane::Opening(index, tags) = &self.transmit else {
                    return Err(Refusal::WrongState);
                };
                let made = opening.transmitted(memory, learned, self.bar_bytes, tags.as_ref())?;
                let (mut block, queue) = made;
                block.begin(io);
                self.transmit = Lane::Open(*index, block, queue);
            }
        }
        Ok(())
    }

    /// A command of the queue for lists.
    fn submit_lists(
        &mut self,
        slot: CommandSlot,
        template: &[u8],
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        let learned = self.learned()?;
        if !self.takes_lists {
            return Err(Refusal::OutOfRange);
        }
        match Template::read(template).ok_or(Refusal::TemplateRefused)? {
            Template::Tell(word) => {
                if !segments.is_empty() {
                    return Err(Refusal::LengthMismatch);
                }
                let word = learned.facts.word(word).ok_or(Refusal::TemplateRefused)?;
                let completed = Completed {
                    slot: slot.slot,
                    status: 0,
                    result: word,
                };
                let put = self.ready.try_push(completed);
                put.map_err(|_| Refusal::QueueFull)
            }
            Template::Register(side) => {
                if !learned.facts.format.has_lists() {
                    return Err(Refusal::NotSupported);
                }
                let is_closed = match side {
                    Side::Receive => self.receive.block().is_none(),
                    Side::Transmit => self.transmit.block().is_none(),
                };
                if !is_closed {
                    return Err(Refusal::WrongState);
                }
                let (Some(list), Some(admin)) = (
                    match side {
                        Side::Receive => self.receive_list.as_mut(),
                        Side::Transmit => self.transmit_list.as_mut(),
                    },
                    self.admin.as_mut(),
                ) else {
                    return Err(Refusal::WrongState);
                };
                let command = list.form(slot.slot, segments)?;
                let written = admin.write(Whose::List(side), &command);
                written.inspect_err(|_| list.forget())
            }
        }
    }

    /// A frame, or room for one.
    #[inline]
    fn submit_frame(
        &mut self,
        place: QueuePlace,
        slot: CommandSlot,
        segment: &Segment<'_>,
    ) -> Result<(), Refusal> {
        let Phase::Enabled(learned) = &self.phase else {
            return Err(Refusal::WrongState);
        };
        let side = side_at(place)?;
        let is_listed = learned.facts.format.has_lists();
        match side {
            Side::Receive => {
                check_room(segment)?;
                let (_, queue) = self.receive.open()?;
                let list = self.receive_list.as_ref().filter(|_| is_listed);
                queue.push(slot.slot, segment, list)
            }
            Side::Transmit => {
                check_frame(segment, learned.facts.mtu)?;
                let (_, queue) = self.transmit.open()?;
                let list = self.transmit_list.as_ref().filter(|_| is_listed);
                queue.push(slot.slot, segment, list)
            }
        }
    }
}

/// What goes on after a look.
fn going(poll: Poll, under_way: UnderWay) -> Option<UnderWay> {
    matches!(poll, Poll::Pending { .. }).then_some(under_way)
}

impl Broker for Gve {
    fn access(&self) -> &Access {
        &self.access
    }

    fn configure(&mut self, io: &mut dyn BrokerIo, settings: Settings<'_>) -> Result<(), Refusal> {
        settings.plain()?;
        if !matches!(self.phase, Phase::Stopped | Phase::Configured) || !reset::is_stopped(io)? {
            return Err(Refusal::WrongState);
        }
        self.phase = Phase::Configured;
        Ok(())
    }

    fn queue_limit(&self, queue: QueuePlace) -> Option<u16> {
        let Phase::Enabled(learned) = &self.phase else {
            return None;
        };
        match queue.kind {
            _ if queue.index != 0 => None,
            kind::LISTS => Some(LISTS_DEPTH),
            kind::RECEIVE => Some(learned.facts.depths.0),
            kind::TRANSMIT => Some(learned.facts.depths.1),
            _ => None,
        }
    }

    fn begin(&mut self, io: &mut dyn BrokerIo, operation: Operation) -> Result<(), Refusal> {
        let begun = match (operation, &self.under_way) {
            (Operation::Reset, _) => {
                self.begin_reset(io);
                return Ok(());
            }
            (Operation::Reopen(_), _) => return Err(Refusal::WrongState),
            (_, Some(_)) => return Err(Refusal::Busy),
            (Operation::Enable, None) => self.begin_enable(io)?,
            (Operation::Open(spec), None) => self.begin_open(io, spec)?,
            (Operation::OpenDirect(_) | Operation::Stop(_), None) => {
                return Err(Refusal::NotSupported);
            }
        };
        self.under_way = Some(begun);
        Ok(())
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
        if queue.kind == kind::LISTS && queue.index == 0 {
            return self.submit_lists(slot, template, segments);
        }
        if !template.is_empty() {
            return Err(Refusal::TemplateRefused);
        }
        match segments {
            [segment] => self.submit_frame(queue, slot, segment),
            _ => Err(Refusal::LengthMismatch),
        }
    }

    fn transfer(
        &mut self,
        _: &mut dyn BrokerIo,
        queue: QueuePlace,
        slot: CommandSlot,
        transfer: &Transfer<'_>,
    ) -> Result<(), Refusal> {
        let side = side_at(queue).map_err(|_| Refusal::NotSupported)?;
        let is_its_own = match side {
            Side::Receive => transfer.opcode == Opcode::Read,
            Side::Transmit => transfer.opcode == Opcode::Write,
        };
        if !is_its_own || transfer.unit != 0 || transfer.block != 0 {
            return Err(Refusal::TemplateRefused);
        }
        let segment = transfer.data.as_ref().ok_or(Refusal::LengthMismatch)?;
        self.submit_frame(queue, slot, segment)
    }

    fn ring(&mut self, io: &mut dyn BrokerIo, queue: QueuePlace) {
        match queue.kind {
            kind::LISTS => {
                if let Some(admin) = self.admin.as_mut().filter(|_| self.takes_lists) {
                    let _ = admin.ring(io);
                }
            }
            kind::RECEIVE => {
                if let Ok((_, queue)) = self.receive.open() {
                    queue.ring(io);
                }
            }
            _ => {
                if let Ok((_, queue)) = self.transmit.open() {
                    queue.ring(io);
                }
            }
        }
    }

    fn next_completion(
        &mut self,
        io: &mut dyn BrokerIo,
        queue: QueuePlace,
    ) -> Result<Option<Completed>, Refusal> {
        let (block, taken) = match queue.kind {
            kind::LISTS => {
                self.learned()?;
                // While a queue is being opened, its answer is the opening's to take.
                if self.under_way.is_none() {
                    self.take_answers(io)?;
                }
                return Ok(self.ready.pop_at(0));
            }
            kind::RECEIVE => {
                let (block, queue) = self.receive.open()?;
                (block, queue.take()?)
            }
            _ => {
                let (block, queue) = self.transmit.open()?;
                if let (Transmit::Gqi(queue), Some(memory)) = (&mut *queue, &self.memory) {
                    queue.look(&memory.counters)?;
                }
                (block, queue.take()?)
            }
        };
        if taken.is_none() {
            block.look(io);
        }
        Ok(taken)
    }

    fn frames(&self, queue: QueuePlace) -> Option<Direction> {
        match queue.kind {
            kind::RECEIVE => Some(Direction::FromDevice),
            kind::TRANSMIT => Some(Direction::ToDevice),
            _ => None,
        }
    }

    fn completions_taken(&mut self, io: &mut dyn BrokerIo, queue: QueuePlace) {
        match queue.kind {
            kind::RECEIVE => {
                if let Ok((block, _)) = self.receive.open() {
                    block.arm(io);
                }
            }
            kind::TRANSMIT => {
                if let Ok((block, _)) = self.transmit.open() {
                    block.arm(io);
                }
            }
            _ => {}
        }
    }
}
