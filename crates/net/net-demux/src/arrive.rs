//! What becomes of a packet.

use units::Nanoseconds;

use crate::Refusal;
use crate::key::{Endpoint, Key, Protocol, is_host};
use crate::table::{Demux, In, NONE, Socket, Standing};

/// The flags of TCP that decide.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flags {
    /// SYN.
    pub syn: bool,
    /// ACK.
    pub ack: bool,
    /// RST.
    pub rst: bool,
    /// FIN.
    pub fin: bool,
}

/// A packet that arrived for one of our addresses, or for a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Its protocol.
    pub protocol: Protocol,
    /// To whom.
    pub local: Endpoint,
    /// From whom.
    pub remote: Endpoint,
    /// Of TCP alone.
    pub flags: Flags,
}

/// Why nothing is done, not even an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ignored {
    /// It comes from nobody who can be answered.
    NoHost,
    /// Its flags contradict each other.
    Flags,
    /// It answers nothing of ours, and an answer to it would be answered.
    Reset,
    /// It is TCP to a group.
    Group,
    /// As many connections wait as the listener has room for.
    Backlog,
    /// The client has no socket left for it.
    Share,
    /// It would be answered, but strangers were answered enough.
    Enough,
}

/// What is done with a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Verdict {
    /// It is this socket's.
    Deliver(Socket),
    /// It begins a connection to a listener, which is this socket; another of the client's that was not complete gave way.
    Begin(Socket, Option<Socket>),
    /// The sender gets a RST.
    Reset,
    /// The sender gets a "port unreachable".
    Unreachable,
    /// Nothing.
    Ignore(Ignored),
}

impl Demux {
    /// Says what is done with a packet. A connection that begins takes a place; nothing else changes.
    pub fn arrive(&mut self, now: Nanoseconds, packet: &Arrival) -> Verdict {
        let Arrival {
            protocol,
            local,
            remote,
            flags,
        } = *packet;
        if !remote.is_host() || local.port == 0 {
            return Verdict::Ignore(Ignored::NoHost);
        }
        if protocol == Protocol::Tcp && !is_host(local.address) {
            return Verdict::Ignore(Ignored::Group);
        }
        let exact = Key {
            protocol,
            local,
            remote: Some(remote),
        };
        if let Some(place) = self.find(&exact) {
            return Verdict::Deliver(self.socket_at(place));
        }
        match (protocol, self.bound(protocol, local)) {
            (Protocol::Udp, Some(place)) => Verdict::Deliver(self.socket_at(place)),
            (Protocol::Udp, None) if !is_host(local.address) => Verdict::Ignore(Ignored::Group),
            (Protocol::Udp, None) => self.answer(now, Verdict::Unreachable),
            (Protocol::Tcp, _) if flags.syn && (flags.rst || flags.fin) => {
                Verdict::Ignore(Ignored::Flags)
            }
            // RFC 9293 section 3.10.7: a RST is never answered.
            (Protocol::Tcp, _) if flags.rst => Verdict::Ignore(Ignored::Reset),
            (Protocol::Tcp, Some(place)) if flags.syn && !flags.ack => {
                self.begin(now, place, exact)
            }
            // The same, state LISTEN: an ACK is answered by a RST, and what has neither is dropped.
            (Protocol::Tcp, Some(_)) if !flags.ack => Verdict::Ignore(Ignored::Flags),
            (Protocol::Tcp, _) => self.answer(now, Verdict::Reset),
        }
    }

    /// Whose listener takes the connections to a local end.
    #[must_use]
    pub fn listening(&self, local: Endpoint) -> Option<crate::Client> {
        let place = self.bound(Protocol::Tcp, local)?;
        self.client_of(self.socket_at(place)).ok()
    }

    fn answer(&mut self, now: Nanoseconds, verdict: Verdict) -> Verdict {
        if self.strangers.take(now) {
            verdict
        } else {
            Verdict::Ignore(Ignored::Enough)
        }
    }

    /// A stranger begins a connection. Where the client's half-open connections are at their bound, its oldest gives way: a
    /// flood costs the one who listens, and nobody else.
    fn begin(&mut self, now: Nanoseconds, listener: u32, key: Key) -> Verdict {
        let Some(entry) = self.entries.get(listener as usize) else {
            return Verdict::Ignore(Ignored::Share);
        };
        let client = entry.client;
        if entry.waiting.count >= entry.backlog {
            return Verdict::Ignore(Ignored::Backlog);
        }
        let Some((owner, share)) = self
            .owners
            .get(client as usize)
            .and_then(|owner| Some((owner, owner.share?)))
        else {
            return Verdict::Ignore(Ignored::Share);
        };
        let is_full =
            owner.sockets.count >= share.sockets || owner.half_open.count >= share.half_open;
        let oldest = owner.half_open.first;
        let mut gone = None;
        if is_full && !sabotage::sabotage!(NET_IGNORE_SHARES) {
            if oldest == NONE {
                return Verdict::Ignore(Ignored::Share);
            }
            gone = Some(self.socket_at(oldest));
            self.remove(oldest, &mut |_| {});
        }
        let Ok(place) = self.insert(client, key, Standing::HalfOpen) else {
            return Verdict::Ignore(Ignored::Share);
        };
        if let Some(entry) = self.entries.get_mut(place as usize) {
            entry.listener = listener;
            entry.since = now;
        }
        self.append(place, In::Queue);
        Verdict::Begin(self.socket_at(place), gone)
    }

    /// The handshake of a half-open connection is complete: it waits to be accepted, if the listener has room for it still.
    ///
    /// # Errors
    /// It is gone, or not half open; or the backlog is full, and it is closed.
    pub fn complete(&mut self, socket: Socket) -> Result<(), Refusal> {
        let entry = self.entry(socket)?;
        if entry.standing != Standing::HalfOpen {
            return Err(Refusal::Kind);
        }
        let listener = self
            .entries
            .get(entry.listener as usize)
            .ok_or(Refusal::Stale)?;
        if listener.waiting.count >= listener.backlog {
            self.remove(socket.place, &mut |_| {});
            return Err(Refusal::Share);
        }
        self.unlink(socket.place, In::Queue);
        if let Some(entry) = self.entries.get_mut(socket.place as usize) {
            entry.standing = Standing::Waiting;
        }
        self.append(socket.place, In::Queue);
        Ok(())
    }

    /// The socket that has both these ends, for what a message about a packet of ours quotes.
    #[must_use]
    pub fn flow(&self, protocol: Protocol, local: Endpoint, remote: Endpoint) -> Option<Socket> {
        let key = Key {
            protocol,
            local,
            remote: Some(remote),
        };
        self.find(&key).map(|place| self.socket_at(place))
    }

    /// Closes the oldest half-open connection of a client that began before `since`, and names it. Call it until there is none.
    ///
    /// # Errors
    /// The client has ended.
    pub fn expire(
        &mut self,
        client: crate::Client,
        since: Nanoseconds,
    ) -> Result<Option<Socket>, Refusal> {
        let oldest = self.owner(client)?.half_open.first;
        let is_over = self
            .entries
            .get(oldest as usize)
            .is_some_and(|entry| entry.since < since);
        if !is_over {
            return Ok(None);
        }
        let socket = self.socket_at(oldest);
        self.remove(oldest, &mut |_| {});
        Ok(Some(socket))
    }
}
