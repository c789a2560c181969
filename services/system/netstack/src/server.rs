//! Who holds what: facets by their cookies, and the calls that wait for the stack.

use net_demux::{Endpoint as End, Protocol, Socket};
use net_stack::{Stack, State};
use sdk::alloc::collections::VecDeque;
use sdk::alloc::rc::Rc;
use sdk::alloc::vec::Vec;
use sdk::net::{
    icmp_echo, network_manager, tcp_connect_authority, tcp_listen_authority, tcp_listener,
    tcp_socket, udp_bind_authority, udp_connect_authority, udp_socket,
};
use sdk::{
    Access, Answered, Call, Cap, CapArg, Endpoint, HashMap, Interface as _, Late, Lifetime,
    MemoryObject, Received, Refusal, Service, Window, ip, stub,
};
use units::Nanoseconds;

use crate::datagrams::Datagrams;
use crate::exports::{Right, Shared};
use crate::link::Link;
use crate::streams::{Connecting, Listener, Stream};
use crate::tell::Told;

/// The first cookie that is made here; those of exports are smaller.
const FIRST_COOKIE: u64 = 1 << 32;
/// The largest window of a client.
const MAX_WINDOW_BYTES: u64 = 16 << 20;
/// Turns of work before calls are looked at again.
const TURNS: u32 = 8;

/// What a facet that was made here stands for.
pub enum Opened {
    /// A narrower right, and the export that it was made of.
    Right(Right, usize),
    /// `TcpListener`.
    Listener(Listener),
    /// `TcpSocket`.
    Stream(Stream),
    /// `UdpSocket`.
    Datagrams(Datagrams),
}

/// The service.
pub struct Server<'e> {
    pub(crate) endpoint: &'e Endpoint,
    pub(crate) stack: Stack,
    /// The time of this turn.
    pub(crate) now: Nanoseconds,
    pub(crate) exports: Vec<Shared>,
    pub(crate) opened: HashMap<u64, Opened>,
    pub(crate) connecting: HashMap<u64, Connecting>,
    /// Echoes that were asked for, by the cookie of the facet that did.
    pub(crate) echoing: HashMap<u64, Late<icmp_echo::call::Echo>>,
    pub(crate) watching: VecDeque<(Late<network_manager::call::Watch>, u64)>,
    cookie: u64,
    pub(crate) sessions: u32,
    told: Told,
}

impl<'e> Server<'e> {
    /// Serves these exports.
    pub fn new(
        endpoint: &'e Endpoint,
        stack: Stack,
        exports: Vec<Shared>,
        now: Nanoseconds,
    ) -> Self {
        Self {
            endpoint,
            stack,
            now,
            exports,
            opened: HashMap::new(),
            connecting: HashMap::new(),
            echoing: HashMap::new(),
            watching: VecDeque::new(),
            cookie: FIRST_COOKIE,
            sessions: 0,
            told: Told::default(),
        }
    }

    /// Does what is due, sends what wants to go out, and answers the calls that can be answered by now.
    ///
    /// # Errors
    /// The interface's: its session is of no more use.
    pub fn work(&mut self, link: &mut Link) -> Result<(), Refusal> {
        self.sessions = link.number() as u32;
        for _ in 0..TURNS {
            // What is given up is told to its other end in the same turn.
            self.give_connections_up();
            self.stack.poll(self.now);
            link.send(&mut self.stack)?;
            self.answer_echoes();
            let mut is_quiet = true;
            while let Some((socket, cookie)) = self.stack.touched() {
                is_quiet = false;
                self.look(socket, cookie);
            }
            if is_quiet {
                break;
            }
        }
        self.told.tell(&self.stack, self.now);
        self.answer_watchers();
        Ok(())
    }

    /// When [`Self::work`] has something to do next.
    pub fn deadline(&self) -> Nanoseconds {
        let connecting = self.connecting.values().map(|connecting| connecting.until);
        connecting.fold(self.stack.deadline(), Nanoseconds::min)
    }

    /// A socket may have something for its owner.
    fn look(&mut self, socket: Socket, cookie: u64) {
        if self.connecting.contains_key(&cookie) {
            return self.look_at_connection(socket, cookie);
        }
        match self.opened.get(&cookie) {
            Some(Opened::Listener(_)) => self.answer_accepts(cookie),
            Some(Opened::Stream(_)) => self.answer_stream(cookie),
            Some(Opened::Datagrams(_)) => self.answer_datagrams(cookie),
            Some(Opened::Right(..)) | None => {}
        }
    }

    /// A new cookie, which is never used again.
    pub(crate) const fn next_cookie(&mut self) -> u64 {
        self.cookie += 1;
        self.cookie
    }

    /// Makes a facet for something that was opened.
    pub(crate) fn facet(
        &mut self,
        cookie: u64,
        interface: u64,
        opened: Opened,
    ) -> Result<CapArg, Refusal> {
        match self.endpoint.mint(cookie, interface, Lifetime::Incarnation) {
            Ok(minted) => {
                self.opened.insert(cookie, opened);
                Ok(minted.facet.into_cap())
            }
            Err(refusal) => {
                self.end(opened);
                Err(refusal)
            }
        }
    }

    /// Ends what nobody holds any more.
    pub(crate) fn end(&mut self, opened: Opened) {
        match opened {
            Opened::Right(_, export) => self.give_narrowed_back(export),
            Opened::Listener(listener) => {
                for socket in listener.sockets.into_iter().flatten() {
                    self.stack.release(self.now, socket);
                }
            }
            Opened::Stream(stream) => self.stack.release(self.now, stream.socket),
            Opened::Datagrams(datagrams) => self.stack.release(self.now, datagrams.socket),
        }
    }
}

/// Maps a client's window.
pub fn map(window: Cap) -> Result<Rc<Window>, Refusal> {
    let memory = MemoryObject::from_object(window);
    let info = memory.info()?;
    if !info.writable {
        return Err(Refusal::ReadOnly);
    }
    if info.bytes == 0 || info.bytes > MAX_WINDOW_BYTES {
        return Err(Refusal::OutOfRange);
    }
    Window::map(memory, info.bytes, Access::ReadWrite).map(Rc::new)
}

/// Checks a range of a window.
pub fn check_range(window: &Window, offset: u32, length: u32) -> Result<(), Refusal> {
    if length == 0 {
        return Err(Refusal::ZeroLength);
    }
    if u64::from(offset) + u64::from(length) > window.len() {
        return Err(Refusal::OutOfRange);
    }
    Ok(())
}

/// Both parts of an end as a message carries them; nothing of none.
pub fn octets_of(end: Option<End>) -> (ip::Octets, u16) {
    end.map_or_else(Default::default, |end| (ip::octets(end.address), end.port))
}

/// What a client is told.
pub const fn refusal(refusal: net_stack::Refusal) -> Refusal {
    use net_demux::Refusal as Demux;
    match refusal {
        net_stack::Refusal::Demux(demux) => match demux {
            Demux::Stale => Refusal::Stale,
            Demux::NotGranted => Refusal::NotGranted,
            Demux::InUse => Refusal::AlreadyExists,
            Demux::Address => Refusal::Unreachable,
            Demux::Share | Demux::Promised => Refusal::OverBudget,
            Demux::NoPort => Refusal::Exhausted,
            Demux::Kind => Refusal::WrongKind,
        },
        net_stack::Refusal::NoAddress => Refusal::Unreachable,
        net_stack::Refusal::Position => Refusal::OutOfRange,
        net_stack::Refusal::Refused => Refusal::Unreachable,
        net_stack::Refusal::Reset => Refusal::ConnectionReset,
        net_stack::Refusal::TimedOut => Refusal::TimedOut,
        net_stack::Refusal::Shut => Refusal::WrongState,
        net_stack::Refusal::Busy => Refusal::Busy,
    }
}

/// The same in the interface's words.
pub const fn state(state: State) -> tcp_socket::State {
    match state {
        State::Connecting => tcp_socket::State::Connecting,
        State::Open => tcp_socket::State::Open,
        State::PeerDone => tcp_socket::State::PeerDone,
        State::Done => tcp_socket::State::Done,
        State::Closed => tcp_socket::State::Closed,
        State::Broken => tcp_socket::State::Broken,
    }
}

impl Service for Server<'_> {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        use sdk::stub::Incoming as _;
        let cookie = call.cookie();
        match self.opened.get(&cookie) {
            Some(Opened::Listener(_)) => return tcp_listener::dispatch(self, received, call),
            Some(Opened::Stream(_)) => return tcp_socket::dispatch(self, received, call),
            Some(Opened::Datagrams(_)) => return udp_socket::dispatch(self, received, call),
            Some(Opened::Right(..)) | None => {}
        }
        match self.right(cookie).map(|(right, _)| right) {
            Ok(Right::Status) => network_manager::dispatch(self, received, call),
            Ok(Right::Echo) => icmp_echo::dispatch(self, received, call),
            Ok(Right::Ports(ports)) => match ports.protocol {
                Protocol::Tcp => tcp_listen_authority::dispatch(self, received, call),
                Protocol::Udp => udp_bind_authority::dispatch(self, received, call),
            },
            Ok(Right::Reach(reach)) => match reach.protocol {
                Protocol::Tcp => tcp_connect_authority::dispatch(self, received, call),
                Protocol::Udp => udp_connect_authority::dispatch(self, received, call),
            },
            Err(refusal) => stub::refuse(call, refusal),
        }
    }

    fn dropped(&mut self, cookie: u64) {
        if let Some(opened) = self.opened.remove(&cookie) {
            self.end(opened);
        }
    }
}
