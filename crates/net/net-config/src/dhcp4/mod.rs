//! A client of DHCPv4: RFC 2131, with options of RFC 2132 and RFC 3442, and the probe of RFC 5227.
//!
//! ```text
//! Waiting -> Selecting -> Requesting -> Probing -> Bound -> Renewing -> Rebinding -> Waiting
//!               ^                 NAK |      | somebody has it                |
//!               +---------------------+      +-> Waiting, ten seconds         +-> ACK: Bound
//! ```
//!
//! The first offer that can be believed is taken. Answers count only in the transaction that was drawn for them, for our
//! hardware address, from the server that was asked; while rebinding from any.

mod answer;
mod ask;
mod lease;

use core::net::Ipv4Addr;

use smoltcp::wire::{ArpPacket, ArpRepr};
use units::Nanoseconds;

use crate::packet::udp4;
use crate::random::Random;
use crate::{Buffer, Counters, Keys, LinkAddress, Refusal, Sent, Taken};
use answer::{Answer, Kind};
pub use lease::{Lease, MOST, Route};

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// RFC 2131 section 4.1: the first answer is waited for four seconds, give or take one, each next one twice as long up to 64.
const FIRST_WAIT_SECS: u64 = 4;
const LONGEST_WAIT_SECS: u64 = 64;
/// RFC 2131 section 4.4.5: while renewing and rebinding half of what is left, but not below 60 seconds.
const RENEW_WAIT: Nanoseconds = Nanoseconds::from_secs(60);
/// Leases of less than a few minutes would be lost with that: they are asked for in quarters of what is left.
const RENEW_LEAST: Nanoseconds = Nanoseconds::from_secs(1);
/// RFC 2131 section 3.1, step 5: after a refusal of ours nothing is asked for ten seconds.
const DECLINE_WAIT: Nanoseconds = Nanoseconds::from_secs(10);
/// RFC 2131 section 4.4.1: a request is repeated four times before everything starts again.
const REQUESTS: u8 = 4;
/// RFC 5227 section 1.1, DEFEND_INTERVAL.
const DEFEND_INTERVAL: Nanoseconds = Nanoseconds::from_secs(10);

/// How an address is looked for on the link before it is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probing {
    /// How many probes are sent.
    pub probes: u8,
    /// The span between two.
    pub between: Nanoseconds,
    /// The span after the last, in which somebody may still object.
    pub after: Nanoseconds,
}

impl Probing {
    /// What RFC 5227 section 1.1 demands.
    pub const RFC_5227: Self = Self {
        probes: 3,
        between: Nanoseconds::from_millis(1500),
        after: Nanoseconds::from_secs(2),
    };
    /// One probe and a fifth of a second, for links whose server keeps account of its addresses, as clouds' do.
    pub const QUICK: Self = Self {
        probes: 1,
        between: Nanoseconds::ZERO,
        after: Nanoseconds::from_millis(200),
    };
}

/// Where the client is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It asks for nothing until a time comes.
    Waiting,
    /// It looks for a server.
    Selecting,
    /// It asked for what was offered.
    Requesting,
    /// It looks whether somebody else has the address.
    Probing,
    /// It has an address.
    Bound,
    /// It has one, and asks its server for more time.
    Renewing,
    /// It has one, and asks anybody for more time.
    Rebinding,
    /// It gave its address back and asks no more.
    Released,
}

#[derive(Debug)]
enum State {
    Waiting {
        until: Nanoseconds,
    },
    Selecting {
        due: Nanoseconds,
        tries: u8,
    },
    Requesting {
        offer: Lease,
        due: Nanoseconds,
        tries: u8,
    },
    Probing {
        lease: Lease,
        sent: u8,
        due: Nanoseconds,
    },
    Bound {
        lease: Lease,
        announce: u8,
    },
    Renewing {
        lease: Lease,
        due: Nanoseconds,
    },
    Rebinding {
        lease: Lease,
        due: Nanoseconds,
    },
    Released,
}

/// A message that goes out beside what the state asks for.
#[derive(Clone, Copy, Debug)]
enum Farewell {
    Decline { address: Ipv4Addr, server: Ipv4Addr },
    Release { address: Ipv4Addr, server: Ipv4Addr },
}

/// The client of one interface.
#[derive(Debug)]
pub struct Client {
    hardware: LinkAddress,
    probing: Probing,
    random: Random,
    state: State,
    farewell: Option<Farewell>,
    transaction: u32,
    /// When the exchange began, for the `secs` field.
    began: Nanoseconds,
    /// When the last request went out: a lease counts from there.
    asked: Nanoseconds,
    defended: Option<Nanoseconds>,
    counters: Counters,
    changes: u64,
}

impl Client {
    /// A client that asks within the first second, as RFC 2131 section 4.4.1 wants it so that machines that start together do
    /// not ask together.
    #[must_use]
    pub fn new(hardware: LinkAddress, keys: Keys, probing: Probing, now: Nanoseconds) -> Self {
        let mut random = Random::new(keys, 4);
        let until = now.saturating_add(random.up_to(Nanoseconds::from_secs(1)));
        Self {
            hardware,
            probing,
            random,
            state: State::Waiting { until },
            farewell: None,
            transaction: 0,
            began: now,
            asked: now,
            defended: None,
            counters: Counters::default(),
            changes: 0,
        }
    }

    /// What the client has, if it may use it.
    #[must_use]
    pub const fn lease(&self) -> Option<&Lease> {
        match &self.state {
            State::Bound { lease, .. }
            | State::Renewing { lease, .. }
            | State::Rebinding { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// Where it is.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self.state {
            State::Waiting { .. } => Phase::Waiting,
            State::Selecting { .. } => Phase::Selecting,
            State::Requesting { .. } => Phase::Requesting,
            State::Probing { .. } => Phase::Probing,
            State::Bound { .. } => Phase::Bound,
            State::Renewing { .. } => Phase::Renewing,
            State::Rebinding { .. } => Phase::Rebinding,
            State::Released => Phase::Released,
        }
    }

    /// What was not believed so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Goes up whenever [`Self::lease`] says something else than before.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// When [`Self::poll`] has something to do next, if nothing arrives.
    #[must_use]
    pub fn deadline(&self) -> Nanoseconds {
        if self.farewell.is_some() {
            return Nanoseconds::ZERO;
        }
        match &self.state {
            State::Waiting { until } => *until,
            State::Selecting { due, .. }
            | State::Requesting { due, .. }
            | State::Probing { due, .. } => *due,
            State::Bound { announce: 1.., .. } => Nanoseconds::ZERO,
            State::Bound { lease, .. } => lease.renew_at,
            State::Renewing { lease, due } => (*due).min(lease.rebind_at),
            State::Rebinding { lease, due } => (*due).min(lease.expires_at),
            State::Released => Nanoseconds::NEVER,
        }
    }

    /// Does what is due and gives a packet to send. Call it again until there is none.
    pub fn poll(&mut self, now: Nanoseconds, out: &mut Buffer) -> Option<Sent> {
        if let Some(farewell) = self.farewell.take() {
            return self.send_farewell(now, farewell, out);
        }
        self.advance(now);
        self.ask(now, out)
    }

    /// Gives the address back, and asks for no other.
    pub fn release(&mut self) {
        if let Some(lease) = self.lease() {
            self.farewell = Some(Farewell::Release {
                address: lease.address,
                server: lease.server,
            });
            self.changes += 1;
        }
        self.state = State::Released;
    }

    /// Looks at an IPv4 packet, from its header on.
    ///
    /// # Errors
    /// Why it was not believed; that is counted.
    pub fn receive(&mut self, now: Nanoseconds, packet: &[u8]) -> Result<Taken, Refusal> {
        let taken = self.take(now, packet);
        if let Err(refusal) = taken {
            self.counters.count(refusal);
        }
        taken
    }

    /// Looks at an ARP packet.
    ///
    /// # Errors
    /// Why it was not understood; that is counted.
    pub fn receive_arp(&mut self, now: Nanoseconds, packet: &[u8]) -> Result<Taken, Refusal> {
        let read = ArpPacket::new_checked(packet).and_then(|packet| ArpRepr::parse(&packet));
        let Ok(ArpRepr::EthernetIpv4 {
            source_hardware_addr: hardware,
            source_protocol_addr: sender,
            target_protocol_addr: target,
            ..
        }) = read
        else {
            self.counters.count(Refusal::ArpMalformed);
            return Err(Refusal::ArpMalformed);
        };
        if hardware.0 == self.hardware {
            return Ok(Taken::NotMine);
        }
        match &mut self.state {
            // RFC 5227 section 2.1.1: somebody has it, or wants it just as we do.
            State::Probing { lease, .. }
                if sender == lease.address
                    || (sender.is_unspecified() && target == lease.address) =>
            {
                let (address, server) = (lease.address, lease.server);
                self.farewell = Some(Farewell::Decline { address, server });
                self.restart(now.saturating_add(DECLINE_WAIT));
            }
            // RFC 5227 section 2.4 (c): it is defended, and kept, since a forged packet would take it from us otherwise.
            State::Bound { lease, announce } if sender == lease.address => {
                let is_time = self
                    .defended
                    .is_none_or(|at| now.since(at) >= DEFEND_INTERVAL);
                if is_time {
                    self.defended = Some(now);
                    *announce = 1;
                }
            }
            _ => {}
        }
        Ok(Taken::NotMine)
    }

    fn take(&mut self, now: Nanoseconds, packet: &[u8]) -> Result<Taken, Refusal> {
        let Some(message) = udp4(packet, CLIENT_PORT)? else {
            return Ok(Taken::NotMine);
        };
        if message.source_port != SERVER_PORT {
            return Err(Refusal::D4Port);
        }
        let expected = match &self.state {
            State::Selecting { tries: 1.., .. }
            | State::Requesting { tries: 1.., .. }
            | State::Renewing { .. }
            | State::Rebinding { .. } => Some(self.transaction),
            _ => None,
        };
        let answer = answer::read(message.bytes, expected, self.hardware)?;
        match answer.kind {
            Kind::Offer => self.take_offer(now, &answer)?,
            Kind::Ack => self.take_ack(now, &answer)?,
            Kind::Nak => self.take_nak(now, &answer)?,
        }
        Ok(Taken::Yes)
    }

    fn take_offer(&mut self, now: Nanoseconds, answer: &Answer<'_>) -> Result<(), Refusal> {
        if !matches!(self.state, State::Selecting { .. }) {
            return Err(Refusal::D4Type);
        }
        let offer = answer.lease(now, &mut self.counters)?;
        self.state = State::Requesting {
            offer,
            due: now,
            tries: 0,
        };
        Ok(())
    }

    fn take_ack(&mut self, now: Nanoseconds, answer: &Answer<'_>) -> Result<(), Refusal> {
        let asked = match &self.state {
            State::Requesting { offer, .. } => offer,
            State::Renewing { lease, .. } | State::Rebinding { lease, .. } => lease,
            _ => return Err(Refusal::D4Type),
        };
        self.check_server(asked, answer)?;
        if answer.address != asked.address {
            return Err(Refusal::D4Address);
        }
        let lease = answer.lease(self.asked, &mut self.counters)?;
        if lease.expires_at.has_passed(now) {
            return Err(Refusal::D4Lease);
        }
        if matches!(self.state, State::Requesting { .. }) {
            self.state = State::Probing {
                lease,
                sent: 0,
                due: now,
            };
            return Ok(());
        }
        self.changes += 1;
        self.state = State::Bound { lease, announce: 0 };
        Ok(())
    }

    fn take_nak(&mut self, now: Nanoseconds, answer: &Answer<'_>) -> Result<(), Refusal> {
        let asked = match &self.state {
            State::Requesting { offer, .. } => offer,
            State::Renewing { lease, .. } | State::Rebinding { lease, .. } => lease,
            _ => return Err(Refusal::D4Type),
        };
        self.check_server(asked, answer)?;
        self.restart(now);
        Ok(())
    }

    /// Whoever was asked may answer; while rebinding everybody was.
    fn check_server(&self, asked: &Lease, answer: &Answer<'_>) -> Result<(), Refusal> {
        let is_open = matches!(self.state, State::Rebinding { .. });
        if !is_open && answer.server != asked.server && !sabotage::sabotage!(DHCP_TAKE_ANY_SERVER) {
            return Err(Refusal::D4Server);
        }
        Ok(())
    }

    /// Begins anew at a time; an address that was had is had no more.
    fn restart(&mut self, until: Nanoseconds) {
        if self.lease().is_some() {
            self.changes += 1;
        }
        self.defended = None;
        self.state = State::Waiting { until };
    }
}
