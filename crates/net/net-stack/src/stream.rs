//! What clients do with connections: listen, accept, connect, read, write, end.

use net_demux::{Client, Connect, Endpoint, Listen, Protocol, Socket};
use smoltcp::socket::tcp;
use smoltcp::wire::{IpEndpoint, IpListenEndpoint};
use units::Nanoseconds;

use crate::Refusal;
use crate::arrive::prepared;
use crate::slot::{Part, Slot, tcp_socket};
use crate::stack::Stack;

/// Nobody holds the connection any more: what is on its way may take so long.
const ORPHAN_SECS: u64 = 30;

/// Where a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// The other end was asked.
    Connecting,
    /// Both ends may send.
    Open,
    /// The other end sends no more.
    PeerDone,
    /// This end sends no more.
    Done,
    /// It has ended as it should.
    Closed,
    /// It was refused, cut off, or given up.
    Broken,
}

/// What there is to read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Read<R> {
    /// Bytes, and what became of them.
    Bytes(R),
    /// The other end sends no more.
    End,
    /// Nothing yet.
    Wait,
}

impl Stack {
    /// Takes connections to a local end.
    ///
    /// # Errors
    /// See [`net_demux::Refusal`].
    pub fn listen(
        &mut self,
        client: Client,
        authority: &Listen,
        local: Endpoint,
        backlog: u32,
    ) -> Result<Socket, Refusal> {
        let socket = self.open(client, |demux| {
            demux.listen(client, authority, local, backlog)
        })?;
        self.put(Slot::new(socket, Part::Listener));
        Ok(socket)
    }

    /// The connection that has waited longest, with its other end.
    ///
    /// # Errors
    /// The listener is closed.
    pub fn accept(&mut self, listener: Socket) -> Result<Option<(Socket, Endpoint)>, Refusal> {
        while let Some(socket) = self.demux.accept(listener)? {
            let remote = self.demux.look(socket)?.2;
            if let Some(remote) = remote.filter(|_| self.slot(socket).is_ok()) {
                return Ok(Some((socket, remote)));
            }
            self.close_now(socket);
        }
        Ok(None)
    }

    /// Begins a connection; [`Self::state`] tells what came of it.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn connect(
        &mut self,
        client: Client,
        authority: &Connect,
        remote: Endpoint,
    ) -> Result<Socket, Refusal> {
        // Before anything is said of addresses: who may not go there learns nothing of how it would go.
        if !authority.covers(Protocol::Tcp, remote) {
            return Err(net_demux::Refusal::NotGranted.into());
        }
        let from = self.source(remote.address).ok_or(Refusal::NoAddress)?;
        let socket = self.open(client, |demux| {
            demux.connect(client, authority, Protocol::Tcp, from, remote)
        })?;
        let local = self.demux.look(socket)?.1;
        let mut tcp = prepared(tcp_socket(&self.limits));
        let to = IpEndpoint::new(remote.address.into(), remote.port);
        let from = IpListenEndpoint {
            addr: Some(local.address.into()),
            port: local.port,
        };
        if tcp.connect(self.interface.context(), to, from).is_err() {
            self.close_now(socket);
            return Err(net_demux::Refusal::Address.into());
        }
        self.put(Slot::new(socket, Part::Connection).with(tcp));
        self.mark(socket.place());
        Ok(socket)
    }

    /// Both ends of a socket.
    ///
    /// # Errors
    /// It is closed.
    pub fn ends(&self, socket: Socket) -> Result<(Endpoint, Option<Endpoint>), Refusal> {
        let (_, local, remote) = self.demux.look(socket)?;
        Ok((local, remote))
    }

    /// Where a connection is.
    ///
    /// # Errors
    /// It is closed, or none.
    pub fn state(&mut self, socket: Socket) -> Result<State, Refusal> {
        let slot = self.slot(socket)?;
        let (is_shut, was_open) = (slot.is_shut, slot.was_open);
        let tcp = slot.tcp().ok_or(net_demux::Refusal::Kind)?;
        Ok(match tcp.state() {
            tcp::State::SynSent | tcp::State::SynReceived | tcp::State::Listen => State::Connecting,
            tcp::State::Established => State::Open,
            tcp::State::CloseWait => State::PeerDone,
            tcp::State::FinWait1 | tcp::State::FinWait2 => State::Done,
            tcp::State::Closing | tcp::State::LastAck | tcp::State::TimeWait => State::Closed,
            // After both ends have said that they are done nothing is left that could break.
            tcp::State::Closed if was_open && is_shut && ended(tcp) => State::Closed,
            tcp::State::Closed => State::Broken,
        })
    }

    /// Shows what there is to read from position `from` on, at most `most` bytes in one piece. What was before it is given up;
    /// what is shown stays until that is said of it.
    ///
    /// # Errors
    /// [`Refusal::Position`] where `from` was given up before or not shown yet; [`Refusal::Reset`]; it is closed.
    pub fn read<R>(
        &mut self,
        socket: Socket,
        from: u64,
        most: usize,
        show: impl FnOnce(&[u8]) -> R,
    ) -> Result<Read<R>, Refusal> {
        let slot = self.slot(socket)?;
        let (taken, shown) = (slot.taken, slot.shown);
        if from < taken || from > shown {
            return Err(Refusal::Position);
        }
        let tcp = slot.tcp().ok_or(net_demux::Refusal::Kind)?;
        let mut left = from - taken;
        while left > 0 {
            let given_up = tcp.recv(|bytes| {
                let count = bytes.len().min(left as usize);
                (count, count)
            });
            match given_up {
                Ok(count) if count > 0 => left -= count as u64,
                _ => return Err(Refusal::Reset),
            }
        }
        let is_given_up = from > taken;
        let (outcome, count) = look(tcp, most, show);
        slot.taken = from;
        slot.shown = slot.shown.max(from + count);
        if is_given_up {
            // The window may be wider now.
            self.mark(socket.place());
        }
        outcome
    }

    /// Takes bytes from position `from` on, of which `write` gives as many as it is asked for; how many of them were taken.
    /// Bytes of before the end of what was taken are not taken again; none where there is no room.
    ///
    /// # Errors
    /// [`Refusal::Position`] behind what was taken; [`Refusal::Shut`]; [`Refusal::Reset`]; it is closed.
    pub fn write<E>(
        &mut self,
        socket: Socket,
        from: u64,
        length: usize,
        mut write: impl FnMut(usize, &mut [u8]) -> Result<(), E>,
    ) -> Result<Result<usize, E>, Refusal> {
        let slot = self.slot(socket)?;
        let skipped = slot.given.checked_sub(from).ok_or(Refusal::Position)?;
        let Some(mut at) = usize::try_from(skipped).ok().filter(|at| *at < length) else {
            return Ok(Ok(length));
        };
        let is_shut = slot.is_shut;
        let tcp = slot.tcp().ok_or(net_demux::Refusal::Kind)?;
        if is_shut {
            return Err(Refusal::Shut);
        }
        match tcp.state() {
            tcp::State::SynSent | tcp::State::SynReceived => return Ok(Ok(at)),
            _ if !tcp.may_send() => return Err(Refusal::Reset),
            _ => {}
        }
        // Twice: the buffer is a ring.
        for _ in 0..2 {
            let taken = tcp.send(|room| {
                let count = room.len().min(length - at);
                let room = room.get_mut(..count).unwrap_or_default();
                match write(at, room) {
                    Ok(()) => (count, Ok(count)),
                    Err(error) => (0, Err(error)),
                }
            });
            match taken {
                Ok(Ok(count)) => at += count,
                Ok(Err(error)) => return Ok(Err(error)),
                Err(_) => return Err(Refusal::Reset),
            }
            if at == length {
                break;
            }
        }
        slot.given = from + at as u64;
        self.mark(socket.place());
        Ok(Ok(at))
    }

    /// This end sends no more; the other end still may.
    ///
    /// # Errors
    /// It is closed.
    pub fn shut(&mut self, socket: Socket) -> Result<(), Refusal> {
        let slot = self.slot(socket)?;
        slot.is_shut = true;
        slot.tcp().ok_or(net_demux::Refusal::Kind)?.close();
        self.mark(socket.place());
        Ok(())
    }

    /// Cuts a connection off, which its other end learns.
    ///
    /// # Errors
    /// It is closed.
    pub fn abort(&mut self, socket: Socket) -> Result<(), Refusal> {
        let slot = self.slot(socket)?;
        slot.tcp().ok_or(net_demux::Refusal::Kind)?.abort();
        slot.is_shut = true;
        self.mark(socket.place());
        Ok(())
    }

    /// Nobody holds a socket any more. A connection ends as TCP says: with a RST where bytes were not read (RFC 1122 section
    /// 4.2.2.13), else with a FIN and all that is on its way. What came to a listener and nobody has accepted is cut off.
    pub fn release(&mut self, now: Nanoseconds, socket: Socket) {
        let Ok(slot) = self.slot(socket) else {
            return;
        };
        match slot.part {
            Part::Connection => {}
            Part::Listener => return self.close_listener(now, socket),
            Part::HalfOpen(_) | Part::Orphan | Part::Datagrams => return self.close_now(socket),
        }
        let Some(tcp) = slot.tcp() else {
            return self.close_now(socket);
        };
        if tcp.recv_queue() > 0 {
            tcp.abort();
        } else {
            tcp.close();
            let span = smoltcp::time::Duration::from_secs(ORPHAN_SECS);
            tcp.set_timeout(Some(span));
            // A peer that is gone without a word is found out, too.
            tcp.set_keep_alive(Some(span / 3));
        }
        slot.part = Part::Orphan;
        slot.owner = 0;
        let place = socket.place();
        self.send_now(now, place);
    }
}

/// The other end has said that it sends no more.
fn ended(tcp: &mut tcp::Socket<'static>) -> bool {
    tcp.peek(1) == Err(tcp::RecvError::Finished)
}

fn look<R>(
    tcp: &mut tcp::Socket<'static>,
    most: usize,
    show: impl FnOnce(&[u8]) -> R,
) -> (Result<Read<R>, Refusal>, u64) {
    if matches!(tcp.state(), tcp::State::SynSent | tcp::State::SynReceived) {
        return (Ok(Read::Wait), 0);
    }
    match tcp.peek(most) {
        Ok([]) => (Ok(Read::Wait), 0),
        Ok(bytes) => {
            let count = bytes.len() as u64;
            (Ok(Read::Bytes(show(bytes))), count)
        }
        Err(tcp::RecvError::Finished) => (Ok(Read::End), 0),
        Err(tcp::RecvError::InvalidState) => (Err(Refusal::Reset), 0),
    }
}
