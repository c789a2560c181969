//! Who holds what: the right, one listener, the connections; and the calls that wait.

use sdk::alloc::rc::Rc;
use sdk::alloc::vec::Vec;
use sdk::net::{tcp_listen_authority, tcp_listener, tcp_socket};
use sdk::{
    Access, Answered, Call, Cap, CapArg, Endpoint, Interface as _, Late, Lifetime, NEVER, Received,
    Refusal, Reply, Ring, Service, TcpListenAuthority, TcpListener, TcpSocket, VirtualMemory,
    Window, fact, stub,
};
use sealed_stream::{PART_BYTES, Tag};
use tls_core::{Connection, Server as Tls};

use crate::ACCEPT;
use crate::link::{Above, Client, LINKS, Link, Range};

/// The cookie of the right, as `init` gave it, is smaller; those of the listener and of connections are made here.
const FIRST_COOKIE: u64 = 1 << 32;
const LISTENER: u64 = FIRST_COOKIE;
/// The largest window of a client.
const MAX_WINDOW_BYTES: u64 = 16 << 20;
const SECOND_NS: u64 = 1_000_000_000;
/// How long a handshake may take, and how long what is left may take to be sent.
const SHAKE_NS: u64 = 10 * SECOND_NS;
const LEAVE_NS: u64 = 5 * SECOND_NS;

/// The listener below, and the client's above.
struct Listening {
    /// What accepting is known by: a listener of before may end later.
    user: u64,
    below: TcpListener,
    /// Of the connections below.
    memory: Window,
    /// The client's.
    window: Rc<Window>,
    waiting: Option<Late<tcp_listener::call::Accept>>,
    is_accepting: bool,
}

/// The service.
pub struct Front<'e> {
    endpoint: &'e Endpoint,
    tls: Tls,
    below: TcpListenAuthority,
    vm: VirtualMemory,
    listening: Option<Listening>,
    /// By their places, which are parts of the window below.
    links: [Option<Link>; LINKS],
    /// The last connection's number, which is its cookie, too.
    number: u64,
    /// Connections that came to no handshake.
    refused: u64,
    /// The time of this turn.
    pub now_ns: u64,
}

impl<'e> Front<'e> {
    /// In front of whoever may listen below.
    pub fn new(
        endpoint: &'e Endpoint,
        tls: Tls,
        below: TcpListenAuthority,
        vm: VirtualMemory,
    ) -> Self {
        Self {
            endpoint,
            tls,
            below,
            vm,
            listening: None,
            links: [const { None }; LINKS],
            number: FIRST_COOKIE,
            refused: 0,
            now_ns: 0,
        }
    }

    /// Asks below for what is wanted, answers what can be, and ends what is over.
    pub fn work(&mut self, ring: &mut Ring) {
        let now_ns = self.now_ns;
        for place in 0..LINKS {
            let Some((link, listening)) = self.at(place) else {
                continue;
            };
            // What was shaken is accepted; what an answer took makes room below.
            if matches!(link.above, Above::Shaking { .. }) && link.is_open() {
                link.above = Above::Ready;
            }
            link.answer();
            let asked = link.ask(ring, &listening.memory);
            if asked.is_err() || link.is_over(now_ns) {
                self.end(place);
            }
        }
        self.answer_accept();
        let has_room = self.links.iter().any(Option::is_none);
        if let Some(listening) = self.listening.as_mut().filter(|_| has_room)
            && !listening.is_accepting
        {
            let below = listening.below.object();
            let called = ring.call::<tcp_listener::call::Accept>(below, (), listening.user, NEVER);
            // Where calls of connections that have ended still fill the ring, it is asked again when one is back.
            listening.is_accepting = called.is_ok();
        }
    }

    fn at(&mut self, place: usize) -> Option<(&mut Link, &Listening)> {
        let link = self.links.get_mut(place)?.as_mut()?;
        Some((link, self.listening.as_ref()?))
    }

    /// When something is given up next.
    pub fn deadline_ns(&self) -> Option<u64> {
        let all = self.links.iter().flatten();
        all.filter_map(|link| match link.above {
            Above::Shaking { until_ns } | Above::Leaving { until_ns } => Some(until_ns),
            Above::Ready | Above::Taken(_) => None,
        })
        .min()
    }

    /// Takes a connection away; one that came to no handshake is counted, and said now and then: whoever makes them must not fill the log.
    fn end(&mut self, place: usize) {
        let Some(link) = self.links.get_mut(place).and_then(Option::take) else {
            return;
        };
        if !link.is_open() {
            self.refused += 1;
            if self.refused.is_power_of_two() {
                fact!("tls.refused", times = self.refused);
            }
        }
        if link.below.is_broken || !link.is_open() {
            let _ = link.below.socket.abort();
        }
    }

    /// A connection has come below, or nothing can come any more.
    pub fn came(&mut self, user: u64, socket: Result<TcpSocket, Refusal>) {
        let Some(listening) = self.listening.as_mut().filter(|now| now.user == user) else {
            return;
        };
        listening.is_accepting = false;
        let Ok(socket) = socket else {
            // Whoever serves learns that its listener has gone.
            let waiting = listening.waiting.take();
            self.listening = None;
            self.links = [const { None }; LINKS];
            if let Some(late) = waiting {
                late.refuse(Refusal::Stale);
            }
            return;
        };
        let place = self.links.iter().position(Option::is_none);
        let (Some(place), Ok(tls)) = (place, Connection::new(&self.tls)) else {
            return;
        };
        self.number += 1;
        let until_ns = self.now_ns.saturating_add(SHAKE_NS);
        let link = Link::new(self.number, place, socket, tls, until_ns);
        if let Some(empty) = self.links.get_mut(place) {
            *empty = Some(link);
        }
    }

    fn place_of(&self, number: u64) -> Option<usize> {
        let is_it = |link: &Option<Link>| {
            link.as_ref()
                .is_some_and(|link| link.below.number == number)
        };
        self.links.iter().position(is_it)
    }

    /// What came at a connection.
    pub fn received(&mut self, tag: Tag, count: Result<u32, Refusal>) {
        if let Some(place) = self.place_of(tag.number)
            && let Some((link, listening)) = self.at(place)
        {
            link.received(count, &listening.memory);
        }
    }

    /// What was sent at a connection.
    pub fn sent(&mut self, tag: Tag, count: Result<u32, Refusal>) {
        if let Some(place) = self.place_of(tag.number)
            && let Some((link, _)) = self.at(place)
        {
            link.sent(count);
        }
    }

    /// A facet for the connection that was shaken first, if there is one.
    fn accept_one(&mut self) -> Result<Option<CapArg>, Refusal> {
        let ready = self.links.iter_mut().flatten();
        let ready = ready.filter(|link| matches!(link.above, Above::Ready));
        let Some(link) = ready.min_by_key(|link| link.below.number) else {
            return Ok(None);
        };
        let listening = self.listening.as_ref().ok_or(Refusal::Stale)?;
        let interface = tcp_socket::INTERFACE_ID;
        let minted = self
            .endpoint
            .mint(link.below.number, interface, Lifetime::Incarnation)?;
        link.above = Above::Taken(Client {
            window: Rc::clone(&listening.window),
            receive: None,
            send: None,
            read: 0,
            written: 0,
        });
        Ok(Some(minted.facet.into_cap()))
    }

    fn answer_accept(&mut self) {
        let Some(late) = self.listening.as_mut().and_then(|l| l.waiting.take()) else {
            return;
        };
        match self.accept_one() {
            Ok(Some(socket)) => late.send(tcp_listener::AcceptReply { socket }),
            Err(refusal) => late.refuse(refusal),
            Ok(None) => {
                if let Some(listening) = self.listening.as_mut() {
                    listening.waiting = Some(late);
                }
            }
        }
    }

    fn open(&mut self, window: Cap, at: &[u8], port: u16, backlog: u16) -> Result<CapArg, Refusal> {
        if self.listening.is_some() {
            return Err(Refusal::AlreadyExists);
        }
        let window = Window::of_client(window, MAX_WINDOW_BYTES).map(Rc::new)?;
        let bytes = u64::from(PART_BYTES) * LINKS as u64;
        let memory = self.vm.create_memory(bytes)?.memory;
        let memory = Window::map(memory, bytes, Access::ReadWrite)?;
        let below = self
            .below
            .listen(memory.memory().cap(), at, port, backlog)?;
        let interface = tcp_listener::INTERFACE_ID;
        let minted = self
            .endpoint
            .mint(LISTENER, interface, Lifetime::Incarnation)?;
        self.number += 1;
        self.listening = Some(Listening {
            user: ACCEPT | self.number,
            below: below.listener,
            memory,
            window,
            waiting: None,
            is_accepting: false,
        });
        fact!("tls.listening", port = port);
        Ok(minted.facet.into_cap())
    }

    /// The connection of a facet.
    fn link(&mut self, cookie: u64) -> Result<&mut Link, Refusal> {
        let place = self.place_of(cookie).ok_or(Refusal::Stale)?;
        let link = self.links.get_mut(place).and_then(Option::as_mut);
        link.filter(|link| matches!(link.above, Above::Taken(_)))
            .ok_or(Refusal::Stale)
    }
}

impl Service for Front<'_> {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        use sdk::stub::Incoming as _;
        match call.cookie() {
            LISTENER if self.listening.is_some() => tcp_listener::dispatch(self, received, call),
            0..FIRST_COOKIE => tcp_listen_authority::dispatch(self, received, call),
            cookie if self.place_of(cookie).is_some() => tcp_socket::dispatch(self, received, call),
            _ => stub::refuse(call, Refusal::Stale),
        }
    }

    fn dropped(&mut self, cookie: u64) {
        if cookie == LISTENER {
            self.listening = None;
            self.links = [const { None }; LINKS];
            return;
        }
        let until_ns = self.now_ns.saturating_add(LEAVE_NS);
        if let Ok(link) = self.link(cookie) {
            link.leave(until_ns);
        }
    }
}

impl<'c> tcp_listen_authority::Server<Call<'c>> for Front<'_> {
    fn info(&mut self, reply: Reply<Call<'c>, tcp_listen_authority::call::Info>) -> Answered {
        let told = self.below.info(|info| {
            let address = info.address()?.to_vec();
            Ok::<_, Refusal>((address, info.first_port(), info.last_port()))
        });
        match told.and_then(|told| told) {
            Ok((address, first_port, last_port)) => reply.send(tcp_listen_authority::InfoReply {
                address: &address,
                first_port,
                last_port,
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn narrow(
        &mut self,
        reply: Reply<Call<'c>, tcp_listen_authority::call::Narrow>,
        _: &[u8],
        _: u16,
        _: u16,
    ) -> Answered {
        // The right below is narrowed in the manifest.
        reply.refuse(Refusal::NotSupported)
    }

    fn listen(
        &mut self,
        reply: Reply<Call<'c>, tcp_listen_authority::call::Listen>,
        window: Cap,
        at: &[u8],
        port: u16,
        backlog: u16,
    ) -> Answered {
        let listener = self.open(window, at, port, backlog);
        reply.answer(listener.map(|listener| tcp_listen_authority::ListenReply { listener }))
    }
}

impl<'c> tcp_listener::Server<Call<'c>> for Front<'_> {
    fn accept(&mut self, reply: Reply<Call<'c>, tcp_listener::call::Accept>) -> Answered {
        match self.accept_one() {
            Ok(Some(socket)) => return reply.send(tcp_listener::AcceptReply { socket }),
            Err(refusal) => return reply.refuse(refusal),
            Ok(None) => {}
        }
        let Some(listening) = self.listening.as_mut() else {
            return reply.refuse(Refusal::Stale);
        };
        let (answered, late) = reply.defer();
        if let Some(before) = listening.waiting.replace(late) {
            before.refuse(Refusal::Cancelled);
        }
        answered
    }
}

impl<'c> tcp_socket::Server<Call<'c>> for Front<'_> {
    fn info(&mut self, reply: Reply<Call<'c>, tcp_socket::call::Info>) -> Answered {
        let told = self.link(reply.cookie()).and_then(|link| {
            link.below.socket.info(|info| {
                let local: Vec<u8> = info.local_address()?.to_vec();
                let remote: Vec<u8> = info.remote_address()?.to_vec();
                let ports = (info.local_port(), info.remote_port());
                Ok::<_, Refusal>((local, remote, ports, info.state()?))
            })?
        });
        match told {
            Ok((local, remote, (local_port, remote_port), state)) => {
                reply.send(tcp_socket::InfoReply {
                    local_address: &local,
                    local_port,
                    remote_address: &remote,
                    remote_port,
                    state,
                })
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn receive(
        &mut self,
        reply: Reply<Call<'c>, tcp_socket::call::Receive>,
        position: u64,
        offset: u32,
        length: u32,
    ) -> Answered {
        let range = Range {
            position,
            offset,
            length,
        };
        let link = match self.link(reply.cookie()) {
            Ok(link) => link,
            Err(refusal) => return reply.refuse(refusal),
        };
        match link.receive_now(range) {
            Ok(Some(bytes)) => reply.send(tcp_socket::ReceiveReply { bytes }),
            Err(refusal) => reply.refuse(refusal),
            Ok(None) => {
                let (answered, late) = reply.defer();
                link.wait_to_receive(late, range);
                answered
            }
        }
    }

    fn send(
        &mut self,
        reply: Reply<Call<'c>, tcp_socket::call::Send>,
        position: u64,
        offset: u32,
        length: u32,
    ) -> Answered {
        let range = Range {
            position,
            offset,
            length,
        };
        let link = match self.link(reply.cookie()) {
            Ok(link) => link,
            Err(refusal) => return reply.refuse(refusal),
        };
        match link.send_now(range) {
            Ok(Some(bytes)) => reply.send(tcp_socket::SendReply { bytes }),
            Err(refusal) => reply.refuse(refusal),
            Ok(None) => {
                let (answered, late) = reply.defer();
                link.wait_to_send(late, range);
                answered
            }
        }
    }

    fn shutdown(&mut self, reply: Reply<Call<'c>, tcp_socket::call::Shutdown>) -> Answered {
        let shut = self.link(reply.cookie()).map(Link::shut);
        reply.answer(shut)
    }

    fn abort(&mut self, reply: Reply<Call<'c>, tcp_socket::call::Abort>) -> Answered {
        let cut = self.link(reply.cookie()).and_then(|link| {
            link.below.is_broken = true;
            link.below.socket.abort()
        });
        reply.answer(cut)
    }
}
