//! Who holds what: facets by their cookies, and the calls that wait for the stack.

use net_demux::{Protocol, Socket};
use net_stack::Stack;
use sdk::alloc::collections::VecDeque;
use sdk::alloc::vec::Vec;
use sdk::net::{
    icmp_echo, network_manager, packet_capture, packet_trace, tcp_connect_authority,
    tcp_listen_authority, tcp_listener, tcp_socket, udp_bind_authority, udp_connect_authority,
    udp_socket,
};
use sdk::{
    Answered, Call, CapArg, Endpoint, HashMap, Late, Lifetime, Received, Refusal, Service, stub,
};
use units::Nanoseconds;

use crate::exports::{Right, Shared};
use crate::link::Link;
use crate::opened::{Connecting, Opened};
use crate::tell::Told;

/// The first cookie that is made here; those of exports are smaller.
const FIRST_COOKIE: u64 = 1 << 32;
/// Turns of work before calls are looked at again.
const TURNS: u32 = 8;

/// The service.
pub struct Server<'e> {
    pub(crate) endpoint: &'e Endpoint,
    pub(crate) stack: Stack,
    /// The time of this turn.
    pub(crate) now: Nanoseconds,
    pub(crate) exports: Vec<Shared>,
    pub(crate) opened: HashMap<u64, Opened>,
    pub(crate) connecting: HashMap<u64, Connecting>,
    /// None of them is given up before.
    pub(crate) give_up_at: Nanoseconds,
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
            give_up_at: Nanoseconds::NEVER,
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
            link.send(self.now, &mut self.stack)?;
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
        self.stack.deadline().min(self.give_up_at)
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
            Some(Opened::Right(..) | Opened::Capture(_)) | None => {}
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
            Opened::Capture(_) => self.end_capture(),
        }
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
            Some(Opened::Capture(_)) => return packet_capture::dispatch(self, received, call),
            Some(Opened::Right(..)) | None => {}
        }
        match self.right(cookie).map(|(right, _)| right) {
            Ok(Right::Status) => network_manager::dispatch(self, received, call),
            Ok(Right::Echo) => icmp_echo::dispatch(self, received, call),
            Ok(Right::Trace(_)) => packet_trace::dispatch(self, received, call),
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
