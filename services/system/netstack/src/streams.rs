//! Connections: the rights to them, listeners, and bytes through the clients' windows.

use net_demux::{Endpoint, Socket};
use net_stack::{Read, State};
use sdk::alloc::rc::Rc;
use sdk::net::{tcp_connect_authority, tcp_listen_authority, tcp_listener, tcp_socket};
use sdk::{Answered, Call, Cap, CapArg, Refusal, Reply, Window, ip};
use units::Nanoseconds;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::opened::{Connecting, Listener, Opened, Range, Stream};
use crate::server::Server;
use crate::window::{check_range, map};
use crate::words::{octets_of, refusal, state};

/// A connection may take so long to come about.
const PATIENCE: Nanoseconds = Nanoseconds::from_secs(120);

impl Server<'_> {
    fn open_listener(
        &mut self,
        cookie: u64,
        window: Cap,
        at: &[u8],
        (port, backlog): (u16, u16),
    ) -> Result<CapArg, Refusal> {
        let (ports, client) = self.ports(cookie)?;
        let any = [
            Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        ];
        let addresses = match ip::read(at)?.or(ports.at) {
            Some(address) => [Some(address), None],
            None => any,
        };
        let window = map(window)?;
        let new = self.next_cookie();
        let mut sockets = [None; 2];
        for (place, address) in sockets.iter_mut().zip(addresses.into_iter().flatten()) {
            let local = Endpoint { address, port };
            match self
                .stack
                .listen(client, &ports.listen, local, backlog.into())
            {
                Ok(socket) => {
                    self.stack.set_owner(socket, new);
                    *place = Some(socket);
                }
                Err(why) => {
                    for socket in sockets.into_iter().flatten() {
                        self.stack.release(self.now, socket);
                    }
                    return Err(refusal(why));
                }
            }
        }
        let listener = Listener {
            sockets,
            window,
            waiting: None,
        };
        let interface = tcp_listener::INTERFACE_ID;
        self.facet(new, interface, Opened::Listener(listener))
    }

    /// The next connection of a listener, as a facet.
    fn accept_one(&mut self, cookie: u64) -> Result<Option<CapArg>, Refusal> {
        let Some(Opened::Listener(listener)) = self.opened.get(&cookie) else {
            return Err(Refusal::Stale);
        };
        let (sockets, window) = (listener.sockets, Rc::clone(&listener.window));
        for socket in sockets.into_iter().flatten() {
            if let Some((accepted, _)) = self.stack.accept(socket).map_err(refusal)? {
                return self.open_stream(accepted, window).map(Some);
            }
        }
        Ok(None)
    }

    fn open_stream(&mut self, socket: Socket, window: Rc<Window>) -> Result<CapArg, Refusal> {
        let cookie = self.next_cookie();
        self.stack.set_owner(socket, cookie);
        let stream = Stream::new(socket, window);
        self.facet(cookie, tcp_socket::INTERFACE_ID, Opened::Stream(stream))
    }

    /// Gives a connection to the call that waits for one.
    pub(crate) fn answer_accepts(&mut self, cookie: u64) {
        let Some(Opened::Listener(listener)) = self.opened.get_mut(&cookie) else {
            return;
        };
        let Some(late) = listener.waiting.take() else {
            return;
        };
        match self.accept_one(cookie) {
            Ok(None) => {
                if let Some(Opened::Listener(listener)) = self.opened.get_mut(&cookie) {
                    listener.waiting = Some(late);
                }
            }
            Ok(Some(socket)) => late.send(tcp_listener::AcceptReply { socket }),
            Err(refusal) => late.refuse(refusal),
        }
    }

    fn begin_connection(
        &mut self,
        cookie: u64,
        window: Cap,
        remote: Endpoint,
    ) -> Result<(Rc<Window>, Socket), Refusal> {
        let (reach, client) = self.reach(cookie)?;
        let connect = reach.covering(remote);
        let connect = connect.ok_or(Refusal::NotGranted)?;
        let window = map(window)?;
        let socket = self
            .stack
            .connect(client, &connect, remote)
            .map_err(refusal)?;
        Ok((window, socket))
    }

    /// Looks what came of a connection that somebody waits for.
    pub(crate) fn look_at_connection(&mut self, socket: Socket, cookie: u64) {
        let outcome = match self.stack.state(socket) {
            Ok(State::Connecting) => return,
            Ok(State::Broken) => Err(Refusal::ConnectionRefused),
            Ok(_) => Ok(()),
            Err(why) => Err(refusal(why)),
        };
        let Some(connecting) = self.connecting.remove(&cookie) else {
            return;
        };
        match outcome {
            Ok(()) => {
                let opened = self.open_stream(socket, connecting.window);
                let reply = opened.map(|socket| tcp_connect_authority::ConnectReply { socket });
                connecting.late.answer(reply);
            }
            Err(refusal) => {
                self.stack.release(self.now, socket);
                connecting.late.refuse(refusal);
            }
        }
    }

    /// Ends connections that have not come about in time.
    pub(crate) fn give_connections_up(&mut self) {
        let now = self.now;
        if !self.give_up_at.has_passed(now) {
            return;
        }
        let is_late = |connecting: &Connecting| connecting.until.has_passed(now);
        for (_, connecting) in self.connecting.extract_if(|_, value| is_late(value)) {
            let _ = self.stack.abort(connecting.socket);
            self.stack.release(now, connecting.socket);
            connecting.late.refuse(Refusal::TimedOut);
        }
        let rest = self.connecting.values().map(|connecting| connecting.until);
        self.give_up_at = rest.min().unwrap_or(Nanoseconds::NEVER);
    }

    fn stream(&mut self, cookie: u64) -> Result<&mut Stream, Refusal> {
        match self.opened.get_mut(&cookie) {
            Some(Opened::Stream(stream)) => Ok(stream),
            _ => Err(Refusal::Stale),
        }
    }

    fn receive_now(&mut self, cookie: u64, range: Range) -> Result<Option<u32>, Refusal> {
        let stream = self.stream(cookie)?;
        let (socket, window) = (stream.socket, Rc::clone(&stream.window));
        check_range(&window, range.offset, range.length)?;
        let read = self
            .stack
            .read(socket, range.position, range.length as usize, |bytes| {
                window
                    .write(range.offset.into(), bytes)
                    .map(|()| bytes.len() as u32)
            });
        match read.map_err(refusal)? {
            Read::Bytes(written) => written.map(Some),
            Read::End => Ok(Some(0)),
            Read::Wait => Ok(None),
        }
    }

    fn send_now(&mut self, cookie: u64, range: Range) -> Result<Option<u32>, Refusal> {
        let stream = self.stream(cookie)?;
        let (socket, window) = (stream.socket, Rc::clone(&stream.window));
        check_range(&window, range.offset, range.length)?;
        let written =
            self.stack
                .write(socket, range.position, range.length as usize, |at, room| {
                    window.read(u64::from(range.offset) + at as u64, room)
                });
        match written.map_err(refusal)?? {
            0 => Ok(None),
            count => Ok(Some(count as u32)),
        }
    }

    /// Answers the calls that wait at a connection, if they can be by now.
    pub(crate) fn answer_stream(&mut self, cookie: u64) {
        let Ok(stream) = self.stream(cookie) else {
            return;
        };
        let (receive, send) = (stream.receive.take(), stream.send.take());
        if let Some((late, range)) = receive {
            match self.receive_now(cookie, range) {
                Ok(None) => {
                    if let Ok(stream) = self.stream(cookie) {
                        stream.receive = Some((late, range));
                    }
                }
                Ok(Some(bytes)) => late.send(tcp_socket::ReceiveReply { bytes }),
                Err(refusal) => late.refuse(refusal),
            }
        }
        if let Some((late, range)) = send {
            match self.send_now(cookie, range) {
                Ok(None) => {
                    if let Ok(stream) = self.stream(cookie) {
                        stream.send = Some((late, range));
                    }
                }
                Ok(Some(bytes)) => late.send(tcp_socket::SendReply { bytes }),
                Err(refusal) => late.refuse(refusal),
            }
        }
    }
}

impl<'c> tcp_listen_authority::Server<Call<'c>> for Server<'_> {
    fn info(&mut self, reply: Reply<Call<'c>, tcp_listen_authority::call::Info>) -> Answered {
        match self.ports(reply.cookie()) {
            Ok((ports, _)) => {
                let octets = ip::octets(ports.at);
                reply.send(tcp_listen_authority::InfoReply {
                    address: &octets,
                    first_port: ports.ports.0,
                    last_port: ports.ports.1,
                })
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn narrow(
        &mut self,
        reply: Reply<Call<'c>, tcp_listen_authority::call::Narrow>,
        at: &[u8],
        first_port: u16,
        last_port: u16,
    ) -> Answered {
        let narrowed = self.narrow_ports(reply.cookie(), at, (first_port, last_port));
        reply.answer(narrowed.map(|authority| tcp_listen_authority::NarrowReply { authority }))
    }

    fn listen(
        &mut self,
        reply: Reply<Call<'c>, tcp_listen_authority::call::Listen>,
        window: Cap,
        at: &[u8],
        port: u16,
        backlog: u16,
    ) -> Answered {
        let listener = self.open_listener(reply.cookie(), window, at, (port, backlog));
        reply.answer(listener.map(|listener| tcp_listen_authority::ListenReply { listener }))
    }
}

impl<'c> tcp_listener::Server<Call<'c>> for Server<'_> {
    fn accept(&mut self, reply: Reply<Call<'c>, tcp_listener::call::Accept>) -> Answered {
        let cookie = reply.cookie();
        match self.accept_one(cookie) {
            Ok(Some(socket)) => return reply.send(tcp_listener::AcceptReply { socket }),
            Err(refusal) => return reply.refuse(refusal),
            Ok(None) => {}
        }
        match self.opened.get_mut(&cookie) {
            Some(Opened::Listener(listener)) => {
                let (answered, late) = reply.defer();
                if let Some(before) = listener.waiting.replace(late) {
                    before.refuse(Refusal::Cancelled);
                }
                answered
            }
            _ => reply.refuse(Refusal::Stale),
        }
    }
}

impl<'c> tcp_connect_authority::Server<Call<'c>> for Server<'_> {
    fn info(&mut self, reply: Reply<Call<'c>, tcp_connect_authority::call::Info>) -> Answered {
        match self.reach(reply.cookie()) {
            Ok((reach, _)) => {
                let to = reach.to.map(|(to, bits)| (ip::octets(to), bits));
                let (octets, prefix_bits) = to.unwrap_or_default();
                reply.send(tcp_connect_authority::InfoReply {
                    address: &octets,
                    prefix_bits,
                    first_port: reach.ports.0,
                    last_port: reach.ports.1,
                })
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn narrow(
        &mut self,
        reply: Reply<Call<'c>, tcp_connect_authority::call::Narrow>,
        to: &[u8],
        prefix_bits: u8,
        first_port: u16,
        last_port: u16,
    ) -> Answered {
        let ports = (first_port, last_port);
        let narrowed = self.narrow_reach(reply.cookie(), (to, prefix_bits), ports);
        reply.answer(narrowed.map(|authority| tcp_connect_authority::NarrowReply { authority }))
    }

    fn connect(
        &mut self,
        reply: Reply<Call<'c>, tcp_connect_authority::call::Connect>,
        window: Cap,
        to: &[u8],
        port: u16,
        timeout_ns: u64,
    ) -> Answered {
        let begun = ip::read_one(to).and_then(|address| {
            let remote = Endpoint { address, port };
            self.begin_connection(reply.cookie(), window, remote)
        });
        let (window, socket) = match begun {
            Ok(begun) => begun,
            Err(refusal) => return reply.refuse(refusal),
        };
        let (answered, late) = reply.defer();
        let until = self
            .now
            .saturating_add(Nanoseconds::new(timeout_ns).min(PATIENCE));
        self.give_up_at = self.give_up_at.min(until);
        let cookie = self.next_cookie();
        self.stack.set_owner(socket, cookie);
        let connecting = Connecting {
            late,
            window,
            socket,
            until,
        };
        self.connecting.insert(cookie, connecting);
        answered
    }
}

impl<'c> tcp_socket::Server<Call<'c>> for Server<'_> {
    fn info(&mut self, reply: Reply<Call<'c>, tcp_socket::call::Info>) -> Answered {
        let found = self.stream(reply.cookie()).map(|stream| stream.socket);
        let found = found.and_then(|socket| {
            let ends = self.stack.ends(socket).map_err(refusal)?;
            Ok((ends, self.stack.state(socket).map_err(refusal)?))
        });
        match found {
            Ok(((local, remote), now)) => {
                let (local, remote) = (octets_of(Some(local)), octets_of(remote));
                reply.send(tcp_socket::InfoReply {
                    local_address: &local.0,
                    local_port: local.1,
                    remote_address: &remote.0,
                    remote_port: remote.1,
                    state: state(now),
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
        let cookie = reply.cookie();
        match self.receive_now(cookie, range) {
            Ok(Some(bytes)) => return reply.send(tcp_socket::ReceiveReply { bytes }),
            Err(refusal) => return reply.refuse(refusal),
            Ok(None) => {}
        }
        let (answered, late) = reply.defer();
        // Whoever waited before may be gone: its deadline is known to the kernel alone.
        let before = self
            .stream(cookie)
            .map(|s| s.receive.replace((late, range)));
        if let Ok(Some((before, _))) = before {
            before.refuse(Refusal::Cancelled);
        }
        answered
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
        let cookie = reply.cookie();
        match self.send_now(cookie, range) {
            Ok(Some(bytes)) => return reply.send(tcp_socket::SendReply { bytes }),
            Err(refusal) => return reply.refuse(refusal),
            Ok(None) => {}
        }
        let (answered, late) = reply.defer();
        let before = self.stream(cookie).map(|s| s.send.replace((late, range)));
        if let Ok(Some((before, _))) = before {
            before.refuse(Refusal::Cancelled);
        }
        answered
    }

    fn shutdown(&mut self, reply: Reply<Call<'c>, tcp_socket::call::Shutdown>) -> Answered {
        let socket = self.stream(reply.cookie()).map(|stream| stream.socket);
        let shut = socket.and_then(|socket| self.stack.shut(socket).map_err(refusal));
        reply.answer(shut)
    }

    fn abort(&mut self, reply: Reply<Call<'c>, tcp_socket::call::Abort>) -> Answered {
        let socket = self.stream(reply.cookie()).map(|stream| stream.socket);
        let cut = socket.and_then(|socket| self.stack.abort(socket).map_err(refusal));
        reply.answer(cut)
    }
}
