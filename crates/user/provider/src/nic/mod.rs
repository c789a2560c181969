//! Serving `Nic` and `NicSession` over one network interface.
//!
//! The endpoint's facet with cookie 0 is the `Nic`; the session is a facet minted for each `open`. Frames go from the
//! device's buffer to the client's window and back without a copy here: they are the same pages, and this process maps
//! none of them.
//!
//! A posted piece comes back only with a frame in it or when the device has been stopped. So the end of a session that
//! had pieces posted is a reset of the device: then the pages can be freed.

mod session;

pub use provider_core::nic::Layout;
use provider_core::nic::{Lane, Piece, Traffic};
use sdk::net::nic;
use sdk::net::nic_session::{self, PieceReader};
use sdk::stub::Incoming as _;
use sdk::stub::read::List;
use sdk::{
    Answered, Call, CapArg, DmaBuffer, DmaPool, Endpoint, Error, Late, Lifetime, Received, Refusal,
    Reply, Service, Timer,
};

use crate::notice::Notice;
use crate::pool::allocate;
use crate::ring::QueueRing;
use crate::run::{Runner, Work};

use session::{Session, events};

/// The most pieces of one call, and events of one answer.
const MAX_PIECES: usize = 64;

/// Bytes of a slot of the ring: a call with [`MAX_PIECES`] pieces, each a word, and what is around them.
const SLOT_BYTES: u32 = 1024;

/// The longest window of a session.
const MAX_WINDOW_BYTES: u32 = 8 << 20;

const PAGE_BYTES: u32 = ring_abi::PAGE_BYTES as u32;

/// What all windows together may take: one, and one that is on its way out.
pub const POOL_BYTES: u64 = 2 * MAX_WINDOW_BYTES as u64;

/// What is known of an interface once it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its address; the first byte is the most significant of the 48 bits.
    pub mac: u64,
    /// Bytes of the longest payload.
    pub mtu: u16,
    /// Bytes of the longest frame.
    pub frame_bytes: u16,
    /// What is demanded of the pieces of a window.
    pub layout: Layout,
}

/// The two queues of an interface.
#[derive(Debug)]
pub struct Queues {
    /// Frames from the wire.
    pub receive: QueueRing,
    /// Frames to the wire.
    pub transmit: QueueRing,
    /// Places of the receive queue.
    pub receive_depth: u16,
    /// Places of the transmit queue.
    pub transmit_depth: u16,
}

/// An interface that is up.
#[derive(Debug)]
pub struct Card {
    /// Its queues; none where they are opened over the pages of a session.
    pub queues: Option<Queues>,
    /// How completions are noticed.
    pub notice: Notice,
    /// What is known of it.
    pub facts: Facts,
}

/// One kind of interface. Commands of both queues name neither a part of the device nor a block.
pub trait Adapter {
    /// Takes the device from whatever state it is in to an interface that moves frames. Called again after each
    /// session: the queues of before are gone then.
    ///
    /// # Errors
    /// The refusal of the step that failed.
    fn bring_up(&mut self) -> Result<Card, Refusal>;

    /// Opens the queues over a session's buffer of `bytes` bytes, where that is how they are opened. After a refusal the device
    /// is brought up again.
    ///
    /// # Errors
    /// The refusal of the step that failed.
    fn attach(&mut self, buffer: &DmaBuffer, bytes: u32) -> Result<Option<Queues>, Refusal> {
        let _ = (buffer, bytes);
        Ok(None)
    }

    /// Looks at what is of no queue, after a source above those of the queues was raised.
    ///
    /// # Errors
    /// As `DeviceMmio.read`.
    fn look(&mut self) -> Result<Wish, Refusal> {
        Ok(Wish::Nothing)
    }

    /// Whether there is a link.
    ///
    /// # Errors
    /// As `DeviceMmio.read`.
    fn is_link_up(&self) -> Result<bool, Refusal>;
}

/// What a device wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To go on.
    Nothing,
    /// To be brought up again.
    Reset,
}

/// Interrupt sources of queues; those above are of none.
const QUEUE_SOURCES: usize = 2;

/// Serves an interface until the device or the endpoint is taken away. `card` is what the first `bring_up` of `adapter`
/// gave; windows come from `pool`, which outlives the device's resets.
///
/// # Errors
/// Always: what ended it.
pub fn serve<A: Adapter>(
    endpoint: &Endpoint,
    timer: &Timer,
    pool: DmaPool,
    adapter: A,
    card: Card,
) -> Result<(), Error> {
    let mut runner = Runner::new(endpoint, timer, SLOT_BYTES)?;
    let mut notice = card.notice.share();
    let mut provider = Provider {
        endpoint,
        pool,
        adapter,
        card,
        session: None,
        is_over: false,
        sessions: 0,
        next: None,
        counters: nic::CountersReply {
            resets: 1,
            ..nic::CountersReply::default()
        },
    };
    loop {
        runner.run(&mut provider, &notice)?;
        notice = provider.again()?;
    }
}

/// The interface and who uses it.
struct Provider<'e, A> {
    endpoint: &'e Endpoint,
    pool: DmaPool,
    adapter: A,
    card: Card,
    session: Option<Session>,
    /// The device must be brought up again whatever the session does.
    is_over: bool,
    /// How many there have been.
    sessions: u64,
    /// A client that asked for a session while the last one was ending, and how long a window it wants.
    next: Option<(Late<nic::call::Open>, u32)>,
    /// `delivered` counts those of interrupts that are gone.
    counters: nic::CountersReply,
}

impl<A: Adapter> Work for Provider<'_, A> {
    fn submit(&mut self) -> Result<(), Refusal> {
        if let (Some(session), Some(queues)) = (&mut self.session, &mut self.card.queues) {
            let counters = &mut self.counters;
            if !session.is_closing {
                counters.received += session.submit(&mut queues.receive, Lane::Receive)?;
            }
            counters.transmitted += session.submit(&mut queues.transmit, Lane::Transmit)?;
            session.tell();
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<(), Refusal> {
        if let (Some(session), Some(queues)) = (&mut self.session, &mut self.card.queues) {
            let counters = &mut self.counters;
            counters.received += session.complete(&mut queues.receive, Lane::Receive)?;
            counters.transmitted += session.complete(&mut queues.transmit, Lane::Transmit)?;
            session.tell();
        }
        self.settle();
        Ok(())
    }

    fn heard(&mut self, source: usize) -> Result<(), Refusal> {
        if source >= QUEUE_SOURCES {
            self.is_over |= self.adapter.look()? == Wish::Reset;
        }
        Ok(())
    }

    fn room(&self) -> usize {
        // Every call is answered at once but one `wait` and one `open`.
        usize::MAX
    }

    fn owed(&self) -> usize {
        self.session
            .as_ref()
            .map_or(0, |s| s.traffic.flying(Lane::Transmit).into())
    }

    fn expects(&self) -> bool {
        let holds = |s: &Session| s.traffic.flying(Lane::Receive) > 0;
        self.owed() > 0 || self.session.as_ref().is_some_and(holds)
    }

    fn completed(&self) -> u64 {
        self.session.as_ref().map_or(0, |s| s.completed)
    }

    fn is_over(&self) -> bool {
        self.is_over || self.session.as_ref().is_some_and(Session::needs_reset)
    }
}

impl<A: Adapter> Provider<'_, A> {
    /// The device is stopped and brought up again; what it held of the session that has ended is free.
    fn again(&mut self) -> Result<Notice, Refusal> {
        self.counters.delivered += self.card.notice.delivered().unwrap_or(0);
        self.counters.resets += 1;
        self.card = self.adapter.bring_up()?;
        self.is_over = false;
        self.end();
        Ok(self.card.notice.share())
    }

    /// Ends a session whose client is gone once nothing of it is in flight.
    fn settle(&mut self) {
        let is_idle = |s: &Session| s.is_closing && !s.is_sending() && !s.needs_reset();
        if self.session.as_ref().is_some_and(is_idle) {
            self.end();
        }
    }

    /// Frees the session's buffer, which wipes it, and lets the next client in.
    fn end(&mut self) {
        if let Some(session) = self.session.take() {
            // Where that is refused the kernel has taken it already.
            let _ = session.buffer.free();
        }
        if let Some((late, window_bytes)) = self.next.take() {
            let opened = self.open(window_bytes);
            late.answer(opened);
        }
    }

    /// Opens the session: a buffer, its window for the client, and a facet.
    fn open(&mut self, window_bytes: u32) -> Result<nic::OpenReply<CapArg>, Refusal> {
        if window_bytes == 0 {
            return Err(Refusal::ZeroLength);
        }
        let layout = self.card.facts.layout;
        let unit = if layout.halves {
            2 * PAGE_BYTES
        } else {
            PAGE_BYTES
        };
        let bytes = window_bytes.min(MAX_WINDOW_BYTES).next_multiple_of(unit);
        let buffer = allocate(&self.pool, bytes, sdk::Layout::Contiguous)?;
        // A buffer that is dropped is freed.
        let window = buffer.window(sdk::WindowAccess::ReadWrite)?.memory;
        let cookie = self.sessions + 1;
        let minted =
            self.endpoint
                .mint(cookie, nic_session::INTERFACE_ID, Lifetime::Incarnation)?;
        self.sessions = cookie;
        let is_attached = self.card.queues.is_none();
        if is_attached {
            // Half of it may be at the device: only a reset goes on from here.
            let attached = self.adapter.attach(&buffer, bytes);
            self.card.queues = attached.inspect_err(|_| self.is_over = true)?;
        }
        let queues = self.card.queues.as_ref().ok_or(Refusal::WrongState)?;
        let bindings = (
            queues.receive.bind(&buffer)?,
            queues.transmit.bind(&buffer)?,
        );
        let traffic = Traffic::new(
            bytes,
            self.card.facts.frame_bytes.into(),
            queues.receive_depth,
            queues.transmit_depth,
        );
        let traffic = traffic.with_layout(layout);
        let mut session = Session::new(cookie, buffer, bindings, traffic);
        session.is_attached = is_attached;
        self.session = Some(session);
        Ok(nic::OpenReply {
            session: minted.facet.into_cap(),
            window: window.into_cap(),
            window_bytes: bytes,
        })
    }

    /// The session of a cookie, while its client lives.
    fn session(&mut self, cookie: u64) -> Result<&mut Session, Refusal> {
        self.session
            .as_mut()
            .filter(|session| session.cookie == cookie && !session.is_closing)
            .ok_or(Refusal::Stale)
    }

    /// Takes pieces from a client until one is refused.
    fn take(
        &mut self,
        cookie: u64,
        lane: Lane,
        pieces: List<'_, PieceReader<'_>>,
    ) -> Result<(u16, Option<Refusal>), Refusal> {
        let session = self.session(cookie)?;
        let mut accepted = 0;
        for piece in pieces.iter() {
            let piece = Piece {
                offset: piece.offset(),
                length: piece.length(),
            };
            let taken = if usize::from(accepted) < MAX_PIECES {
                session.traffic.hand_over(lane, piece)
            } else {
                Err(Refusal::OverBudget)
            };
            match taken {
                Ok(()) => accepted += 1,
                Err(refusal) => return Ok((accepted, Some(refusal))),
            }
        }
        Ok((accepted, None))
    }
}

impl<A: Adapter> Service for Provider<'_, A> {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        if call.cookie() == 0 {
            nic::dispatch(self, received, call)
        } else {
            nic_session::dispatch(self, received, call)
        }
    }

    fn dropped(&mut self, cookie: u64) {
        if let Ok(session) = self.session(cookie) {
            session.is_closing = true;
            session.wait = None;
        }
        self.settle();
    }
}

impl<'c, A: Adapter> nic::Server<Call<'c>> for Provider<'_, A> {
    fn info(&mut self, reply: Reply<Call<'c>, nic::call::Info>) -> Answered {
        let facts = self.card.facts;
        let polled = matches!(self.card.notice, Notice::Polled);
        let link = self.adapter.is_link_up();
        reply.answer(link.map(|link_up| nic::InfoReply {
            mac: facts.mac,
            mtu: facts.mtu,
            frame_bytes: facts.frame_bytes,
            link_up,
            polled,
            lead: facts.layout.lead,
            piece_bytes: facts.layout.piece_bytes,
            halves: facts.layout.halves,
        }))
    }

    fn open(&mut self, reply: Reply<Call<'c>, nic::call::Open>, window_bytes: u32) -> Answered {
        match &self.session {
            None => {
                let opened = Provider::open(self, window_bytes);
                reply.answer(opened)
            }
            Some(session) if session.is_closing && self.next.is_none() => {
                let (answered, later) = reply.defer();
                self.next = Some((later, window_bytes));
                answered
            }
            Some(_) => reply.refuse(Refusal::Busy),
        }
    }

    fn counters(&mut self, reply: Reply<Call<'c>, nic::call::Counters>) -> Answered {
        let now = self.card.notice.delivered();
        let counters = self.counters;
        reply.answer(now.map(|delivered| nic::CountersReply {
            delivered: counters.delivered + delivered,
            ..counters
        }))
    }
}

impl<'c, A: Adapter> nic_session::Server<Call<'c>> for Provider<'_, A> {
    fn transmit(
        &mut self,
        reply: Reply<Call<'c>, nic_session::call::Transmit>,
        frames: List<'_, PieceReader<'_>>,
    ) -> Answered {
        let taken = self.take(reply.cookie(), Lane::Transmit, frames);
        reply.answer(
            taken.map(|(accepted, refusal)| nic_session::TransmitReply { accepted, refusal }),
        )
    }

    fn post(
        &mut self,
        reply: Reply<Call<'c>, nic_session::call::Post>,
        buffers: List<'_, PieceReader<'_>>,
    ) -> Answered {
        let taken = self.take(reply.cookie(), Lane::Receive, buffers);
        reply.answer(taken.map(|(accepted, refusal)| nic_session::PostReply { accepted, refusal }))
    }

    fn wait(
        &mut self,
        reply: Reply<Call<'c>, nic_session::call::Wait>,
        from: u64,
        max: u16,
    ) -> Answered {
        let session = match self.session(reply.cookie()) {
            Ok(session) => session,
            Err(refusal) => return reply.refuse(refusal),
        };
        if max == 0 {
            return reply.refuse(Refusal::ZeroLength);
        }
        if let Err(refusal) = session.traffic.give_up(from) {
            return reply.refuse(refusal);
        }
        if session.traffic.has_event() {
            let events = events(&session.traffic, max);
            return reply.send(nic_session::WaitReply { events: &events });
        }
        let (answered, later) = reply.defer();
        // Whoever waited before may be gone: its deadline is known to the kernel alone.
        if let Some((before, _)) = session.wait.replace((later, max)) {
            before.refuse(Refusal::Cancelled);
        }
        answered
    }
}
