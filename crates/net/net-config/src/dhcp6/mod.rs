//! A client of DHCPv6: RFC 8415, one address of one association, and name servers (RFC 3646).
//!
//! ```text
//! Idle -> Soliciting -> Requesting -> Bound -> Renewing -> Rebinding -> Soliciting
//!   |                                   |                      |
//!   +-> Informing -> Informed           +- duplicate: Declining +- REPLY: Bound
//! ```
//!
//! Answers count only from a link-local address and the port of servers, in the open transaction, to our identifier, and from
//! the server that was asked; a Rebind asks all. Where a router asks for it ([`Mode`]) is decided by [`ipv6`](crate::ipv6).

mod exchange;
mod message;

use core::net::Ipv6Addr;

use arrayvec::ArrayVec;
use units::Nanoseconds;

use crate::packet::{Message, Route, send_udp6};
use crate::random::Random;
use crate::{Buffer, Counters, Hop, LinkAddress, Refusal, Sent};
use exchange::Exchange;
use message::{Answer, Given, Writer, kind, status};
pub use message::{Duid, MAX_DUID, MOST_SERVERS};

pub(crate) const CLIENT_PORT: u16 = 546;
const SERVER_PORT: u16 = 547;
/// RFC 8415 section 7.1.
const SERVERS_AND_RELAYS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
/// SOL_MAX_DELAY and INF_MAX_DELAY of section 7.6.
const DELAY: Nanoseconds = Nanoseconds::from_secs(1);
/// IRT_DEFAULT and IRT_MINIMUM of section 7.6.
const REFRESH_SECS: u32 = 86_400;
const REFRESH_LEAST_SECS: u32 = 600;
/// A shorter T1 would make a storm of renewals.
const T1_LEAST: Nanoseconds = Nanoseconds::from_secs(2);
/// Section 21.7: at once, whoever else there may be.
const PREFERENCE_MOST: u8 = 255;

/// What the routers want done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Nothing.
    #[default]
    Off,
    /// Only name servers are asked for.
    Information,
    /// An address is asked for.
    Address,
}

/// Where the client is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Nothing is asked for.
    Idle,
    /// It looks for a server.
    Soliciting,
    /// It asked a server for what that advertised.
    Requesting,
    /// It has an address.
    Bound,
    /// It asks its server for more time.
    Renewing,
    /// It asks all servers for more time.
    Rebinding,
    /// It tells the server that somebody else has the address.
    Declining,
    /// It gives the address back.
    Releasing,
    /// It asks for name servers.
    Informing,
    /// It has them.
    Informed,
}

/// A lease: an address for a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The address.
    pub address: Ipv6Addr,
    /// Who gave it.
    pub server: Duid,
    /// Until when it is for new connections.
    pub preferred_until: Nanoseconds,
    /// Until when it is ours.
    pub valid_until: Nanoseconds,
    /// T1.
    pub renew_at: Nanoseconds,
    /// T2.
    pub rebind_at: Nanoseconds,
}

#[derive(Debug)]
enum State {
    Idle,
    Soliciting {
        exchange: Exchange,
        best: Option<(u8, Duid)>,
    },
    Requesting {
        exchange: Exchange,
        server: Duid,
    },
    Bound {
        lease: Lease,
    },
    Renewing {
        exchange: Exchange,
        lease: Lease,
    },
    Rebinding {
        exchange: Exchange,
        lease: Lease,
    },
    Leaving {
        exchange: Exchange,
        address: Ipv6Addr,
        server: Duid,
    },
    Informing {
        exchange: Exchange,
    },
    Informed {
        until: Nanoseconds,
    },
}

/// What became of the address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    /// It was given, or is ours for longer.
    Given {
        address: Ipv6Addr,
        preferred_until: Nanoseconds,
        valid_until: Nanoseconds,
    },
    /// It is ours no more.
    Lost,
    /// Other name servers, or another phase.
    Other,
}

/// The client of one interface.
#[derive(Debug)]
pub(crate) struct Client {
    identifier: [u8; 10],
    identity: [u8; 4],
    mode: Mode,
    state: State,
    servers: ArrayVec<Ipv6Addr, MOST_SERVERS>,
}

impl Client {
    pub(crate) fn new(hardware: LinkAddress) -> Self {
        let mut identifier = [0, 3, 0, 1, 0, 0, 0, 0, 0, 0];
        // RFC 8415 section 11.4: DUID-LL, of Ethernet.
        for (place, byte) in identifier.iter_mut().skip(4).zip(hardware) {
            *place = byte;
        }
        let [_, _, identity @ ..] = hardware;
        Self {
            identifier,
            identity,
            mode: Mode::Off,
            state: State::Idle,
            servers: ArrayVec::new(),
        }
    }

    pub(crate) const fn phase(&self) -> Phase {
        match &self.state {
            State::Idle => Phase::Idle,
            State::Soliciting { .. } => Phase::Soliciting,
            State::Requesting { .. } => Phase::Requesting,
            State::Bound { .. } => Phase::Bound,
            State::Renewing { .. } => Phase::Renewing,
            State::Rebinding { .. } => Phase::Rebinding,
            State::Leaving { exchange, .. } if exchange.kind == kind::DECLINE => Phase::Declining,
            State::Leaving { .. } => Phase::Releasing,
            State::Informing { .. } => Phase::Informing,
            State::Informed { .. } => Phase::Informed,
        }
    }

    pub(crate) const fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Bound { lease }
            | State::Renewing { lease, .. }
            | State::Rebinding { lease, .. } => Some(lease),
            _ => None,
        }
    }

    pub(crate) fn servers(&self) -> &[Ipv6Addr] {
        &self.servers
    }

    /// What the routers want from now on. What was begun is not given up for less.
    pub(crate) fn want(&mut self, mode: Mode, random: &mut Random, now: Nanoseconds) {
        self.mode = mode;
        let is_asking_less = matches!(self.state, State::Informing { .. } | State::Informed { .. });
        match mode {
            Mode::Address if is_asking_less || matches!(self.state, State::Idle) => {
                self.solicit(random, now)
            }
            Mode::Information if matches!(self.state, State::Idle) => self.inform(random, now),
            _ => {}
        }
    }

    pub(crate) fn deadline(&self) -> Nanoseconds {
        match &self.state {
            State::Idle => Nanoseconds::NEVER,
            State::Soliciting { exchange, .. }
            | State::Requesting { exchange, .. }
            | State::Leaving { exchange, .. }
            | State::Informing { exchange } => exchange.due,
            State::Bound { lease } => lease.renew_at.min(lease.valid_until),
            State::Renewing { exchange, lease } => {
                exchange.due.min(lease.rebind_at).min(lease.valid_until)
            }
            State::Rebinding { exchange, lease } => exchange.due.min(lease.valid_until),
            State::Informed { until } => *until,
        }
    }

    fn solicit(&mut self, random: &mut Random, now: Nanoseconds) {
        let due = now.saturating_add(random.up_to(DELAY));
        self.state = State::Soliciting {
            exchange: Exchange::new(kind::SOLICIT, random, due),
            best: None,
        };
    }

    fn inform(&mut self, random: &mut Random, now: Nanoseconds) {
        let due = now.saturating_add(random.up_to(DELAY));
        self.state = State::Informing {
            exchange: Exchange::new(kind::INFORMATION_REQUEST, random, due),
        };
    }

    fn begin(&mut self, random: &mut Random, now: Nanoseconds) {
        match self.mode {
            Mode::Address => self.solicit(random, now),
            Mode::Information => self.inform(random, now),
            Mode::Off => self.state = State::Idle,
        }
    }

    /// Somebody else has the address: RFC 8415 section 18.2.8.
    pub(crate) fn decline(&mut self, random: &mut Random, now: Nanoseconds) {
        self.leave(kind::DECLINE, random, now);
    }

    /// Gives the address back, and asks for no other: RFC 8415 section 18.2.7.
    pub(crate) fn release(&mut self, random: &mut Random, now: Nanoseconds) {
        self.mode = Mode::Off;
        self.leave(kind::RELEASE, random, now);
    }

    fn leave(&mut self, kind: u8, random: &mut Random, now: Nanoseconds) {
        let Some(lease) = self.lease() else {
            self.begin(random, now);
            return;
        };
        self.state = State::Leaving {
            address: lease.address,
            server: lease.server.clone(),
            exchange: Exchange::new(kind, random, now),
        };
    }

    fn open(&self) -> Option<[u8; 3]> {
        match &self.state {
            State::Soliciting { exchange, .. }
            | State::Requesting { exchange, .. }
            | State::Renewing { exchange, .. }
            | State::Rebinding { exchange, .. }
            | State::Leaving { exchange, .. }
            | State::Informing { exchange } => exchange.open(),
            State::Idle | State::Bound { .. } | State::Informed { .. } => None,
        }
    }

    /// Takes a message that arrived at the client's port.
    pub(crate) fn receive(
        &mut self,
        now: Nanoseconds,
        message: &Message<'_, Ipv6Addr>,
        random: &mut Random,
        counters: &mut Counters,
    ) -> Result<Option<Change>, Refusal> {
        if message.source_port != SERVER_PORT {
            return Err(Refusal::D6Port);
        }
        // What was asked went to a group of the link; servers and relays answer from the link.
        if !message.source.is_unicast_link_local() {
            return Err(Refusal::D6Source);
        }
        let answer = message::read(
            message.bytes,
            self.open(),
            &self.identifier,
            self.identity,
            counters,
        )?;
        let asked = match &self.state {
            State::Requesting { server, .. } | State::Leaving { server, .. } => Some(server),
            State::Renewing { lease, .. } => Some(&lease.server),
            _ => None,
        };
        let is_other = asked.is_some_and(|asked| *asked != answer.server);
        if is_other && !sabotage::sabotage!(DHCP_TAKE_ANY_SERVER) {
            return Err(Refusal::D6Server);
        }
        match (&mut self.state, answer.kind) {
            (State::Soliciting { .. }, kind::ADVERTISE) => {
                self.take_advertise(now, &answer, random).map(|()| None)
            }
            (State::Informing { .. }, kind::REPLY) => Ok(Some(self.take_information(now, answer))),
            (State::Leaving { .. }, kind::REPLY) => {
                self.begin(random, now);
                Ok(Some(Change::Other))
            }
            (
                State::Requesting { .. } | State::Renewing { .. } | State::Rebinding { .. },
                kind::REPLY,
            ) => self.take_reply(now, answer, random),
            _ => Err(Refusal::D6Type),
        }
    }

    /// RFC 8415 section 18.2.9: the best is asked at the end of the first wait, one of highest preference at once, and any if
    /// there was none in the first wait.
    fn take_advertise(
        &mut self,
        now: Nanoseconds,
        answer: &Answer,
        random: &mut Random,
    ) -> Result<(), Refusal> {
        let has_address = answer
            .association
            .is_some_and(|association| association.address.is_some());
        if !has_address || answer.status != 0 {
            return Err(Refusal::D6NoAddress);
        }
        let State::Soliciting { exchange, best } = &mut self.state else {
            return Err(Refusal::D6Type);
        };
        if best
            .as_ref()
            .is_none_or(|(preference, _)| *preference < answer.preference)
        {
            *best = Some((answer.preference, answer.server.clone()));
        }
        if exchange.sent > 1 || answer.preference == PREFERENCE_MOST {
            self.choose(random, now);
        }
        Ok(())
    }

    fn choose(&mut self, random: &mut Random, now: Nanoseconds) {
        if let State::Soliciting { best, .. } = &mut self.state
            && let Some((_, server)) = best.take()
        {
            self.state = State::Requesting {
                exchange: Exchange::new(kind::REQUEST, random, now),
                server,
            };
        }
    }

    fn take_information(&mut self, now: Nanoseconds, answer: Answer) -> Change {
        self.servers = answer.name_servers;
        let seconds = answer
            .refresh_secs
            .unwrap_or(REFRESH_SECS)
            .max(REFRESH_LEAST_SECS);
        self.state = State::Informed {
            until: after(now, seconds),
        };
        Change::Other
    }

    /// RFC 8415 section 18.2.10.1.
    fn take_reply(
        &mut self,
        now: Nanoseconds,
        answer: Answer,
        random: &mut Random,
    ) -> Result<Option<Change>, Refusal> {
        let had = self.lease().map(|lease| lease.address);
        let association = answer.association.ok_or(Refusal::D6Association)?;
        let lost = if had.is_some() {
            Change::Lost
        } else {
            Change::Other
        };
        match (answer.status, association.status) {
            (0, 0) => {}
            // The server forgot us, and may give the address to others: it is asked anew.
            (_, status::NO_BINDING) if had.is_some() => {
                self.state = State::Requesting {
                    exchange: Exchange::new(kind::REQUEST, random, now),
                    server: answer.server,
                };
                return Ok(Some(Change::Lost));
            }
            (_, status::NO_ADDRESSES | status::NOT_ON_LINK) | (status::NOT_ON_LINK, _) => {
                self.begin(random, now);
                return Ok(Some(lost));
            }
            _ => return Err(Refusal::D6Status),
        }
        let given = association.address.ok_or(Refusal::D6NoAddress)?;
        if had.is_some_and(|had| had != given.address) {
            return Err(Refusal::D6Address);
        }
        if given.valid == 0 {
            if had.is_none() {
                return Err(Refusal::D6NoAddress);
            }
            self.begin(random, now);
            return Ok(Some(Change::Lost));
        }
        let lease = lease(answer.server, given, (association.t1, association.t2), now);
        let change = Change::Given {
            address: lease.address,
            preferred_until: lease.preferred_until,
            valid_until: lease.valid_until,
        };
        self.servers = answer.name_servers;
        self.state = State::Bound { lease };
        Ok(Some(change))
    }

    /// Goes on to the state that the time demands.
    pub(crate) fn advance(&mut self, now: Nanoseconds, random: &mut Random) -> Option<Change> {
        if self
            .lease()
            .is_some_and(|lease| lease.valid_until.has_passed(now))
        {
            self.begin(random, now);
            return Some(Change::Lost);
        }
        match &self.state {
            State::Soliciting { exchange, best }
                if best.is_some() && exchange.due.has_passed(now) =>
            {
                self.choose(random, now);
            }
            State::Requesting { exchange, .. } | State::Leaving { exchange, .. }
                if exchange.is_spent() && exchange.due.has_passed(now) =>
            {
                self.begin(random, now);
            }
            State::Bound { lease } | State::Renewing { lease, .. }
                if lease.rebind_at.has_passed(now) =>
            {
                self.state = State::Rebinding {
                    exchange: Exchange::new(kind::REBIND, random, now),
                    lease: lease.clone(),
                };
            }
            State::Bound { lease } if lease.renew_at.has_passed(now) => {
                self.state = State::Renewing {
                    exchange: Exchange::new(kind::RENEW, random, now),
                    lease: lease.clone(),
                };
            }
            State::Informed { until } if until.has_passed(now) => self.begin(random, now),
            _ => {}
        }
        None
    }

    /// Sends what is due, from our link-local address.
    pub(crate) fn ask(
        &mut self,
        now: Nanoseconds,
        source: Ipv6Addr,
        random: &mut Random,
        out: &mut Buffer,
    ) -> Option<Sent> {
        let identity = self.identity;
        let (exchange, server, address) = match &mut self.state {
            State::Soliciting { exchange, .. } => (exchange, None, Some(None)),
            State::Requesting { exchange, server } => (exchange, Some(&*server), Some(None)),
            State::Renewing { exchange, lease } => {
                (exchange, Some(&lease.server), Some(Some(lease.address)))
            }
            State::Rebinding { exchange, lease } => (exchange, None, Some(Some(lease.address))),
            State::Leaving {
                exchange,
                address,
                server,
            } => (exchange, Some(&*server), Some(Some(*address))),
            State::Informing { exchange } => (exchange, None, None),
            State::Idle | State::Bound { .. } | State::Informed { .. } => return None,
        };
        if !exchange.due.has_passed(now) || exchange.is_spent() {
            return None;
        }
        let elapsed = exchange.send(random, now);
        let mut writer = Writer::new(exchange.kind, exchange.transaction);
        writer.client(&self.identifier);
        if let Some(server) = server {
            writer.server(server);
        }
        writer.elapsed(elapsed);
        if !matches!(exchange.kind, kind::RELEASE | kind::DECLINE) {
            writer.requested();
        }
        if let Some(address) = address {
            writer.association(identity, address);
        }
        let route = Route {
            source,
            target: SERVERS_AND_RELAYS,
            ports: (CLIENT_PORT, SERVER_PORT),
            hop: Hop::Group(SERVERS_AND_RELAYS),
        };
        send_udp6(out, &route, writer.bytes()?)
    }
}

fn after(now: Nanoseconds, seconds: u32) -> Nanoseconds {
    if seconds == u32::MAX {
        return Nanoseconds::NEVER;
    }
    now.saturating_add(Nanoseconds::from_secs(seconds.into()))
}

/// RFC 8415 section 21.4: where the server leaves T1 and T2 open they are a half and four fifths of the preferred lifetime.
fn lease(server: Duid, given: Given, (t1, t2): (u32, u32), now: Nanoseconds) -> Lease {
    let base = if given.preferred == 0 {
        given.valid
    } else {
        given.preferred
    };
    let usual = match base {
        u32::MAX => (u32::MAX, u32::MAX),
        base => (base / 2, base / 5 * 4),
    };
    let t2 = if t2 == 0 { usual.1.max(t1) } else { t2 };
    let t1 = if t1 == 0 { usual.0.min(t2) } else { t1 };
    let valid_until = after(now, given.valid);
    let renew_at = after(now, t1).max(now.saturating_add(T1_LEAST));
    Lease {
        address: given.address,
        server,
        preferred_until: after(now, given.preferred),
        valid_until,
        renew_at,
        rebind_at: after(now, t2).max(renew_at),
    }
}
