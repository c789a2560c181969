//! IPv6 on one interface: its addresses, what routers say, a client of DHCPv6, and how long a packet may be.
//!
//! It begins with a link-local address (RFC 7217) that is looked for (RFC 4862 section 5.4); then routers are asked (RFC 4861
//! section 6.3.7, RFC 7559), and addresses made from what they advertise, or asked for by DHCPv6 where they say so. Default
//! routes come from advertisements alone. Advertised redirects are not followed.

mod address;
mod nd;
mod pmtu;
mod routers;
mod send;

use core::net::Ipv6Addr;

use smoltcp::wire::{IpProtocol, Ipv6Packet};
use units::Nanoseconds;

use crate::dhcp6::{self, Change, Mode};
use crate::packet::{Message, is_host6, udp};
use crate::random::Random;
use crate::{Buffer, Counters, Keys, LinkAddress, Refusal, Sent, Taken};
pub use address::{Address, MOST_ADDRESSES, Origin, Standing};
use address::{Addresses, Conflict, LINK_LOCAL};
use nd::{Advertisement, Heard, option};
use pmtu::Paths;
pub use pmtu::{LEAST_MTU, MOST_PATHS, TooBig};
use routers::Link;
pub use routers::{MOST_PREFIXES, MOST_ROUTERS, MOST_SERVERS, Prefix, Router, Server};

/// RFC 4861 section 10, RTR_SOLICITATION_INTERVAL, and MAX_RTR_SOLICITATION_INTERVAL of RFC 7559 section 2.
const SOLICIT_WAIT: Nanoseconds = Nanoseconds::from_secs(4);
const SOLICIT_LONGEST: Nanoseconds = Nanoseconds::from_secs(3600);

/// When routers are asked, and how long after the last time.
#[derive(Clone, Copy, Debug)]
struct Soliciting {
    due: Nanoseconds,
    wait: Nanoseconds,
}

/// IPv6 on one interface.
#[derive(Debug)]
pub struct Host {
    hardware: LinkAddress,
    device_mtu: u32,
    mtu: u32,
    hop_limit: u8,
    random: Random,
    addresses: Addresses,
    link: Link,
    dhcp: dhcp6::Client,
    paths: Paths,
    soliciting: Option<Soliciting>,
    polled: Nanoseconds,
    counters: Counters,
    changes: u64,
}

impl Host {
    /// IPv6 on an interface that carries packets of at most `device_mtu` octets.
    #[must_use]
    pub fn new(hardware: LinkAddress, device_mtu: u32, keys: Keys, now: Nanoseconds) -> Self {
        let mut random = Random::new(keys, 6);
        let addresses = Addresses::new(hardware, &mut random, now);
        let device_mtu = device_mtu.max(LEAST_MTU);
        Self {
            hardware,
            device_mtu,
            mtu: device_mtu,
            hop_limit: 64,
            random,
            addresses,
            link: Link::default(),
            dhcp: dhcp6::Client::new(hardware),
            paths: Paths::default(),
            soliciting: Some(Soliciting {
                due: Nanoseconds::ZERO,
                wait: Nanoseconds::ZERO,
            }),
            polled: now,
            counters: Counters::default(),
            changes: 0,
        }
    }

    /// All addresses, whatever they are good for now.
    pub fn addresses(&self, now: Nanoseconds) -> impl Iterator<Item = Address> + '_ {
        self.addresses.all(now)
    }

    /// The groups that the interface listens to.
    pub fn groups(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let of_addresses = self
            .addresses
            .all(self.polled)
            .map(|address| nd::solicited_node(address.address));
        core::iter::once(all_nodes).chain(of_addresses)
    }

    /// The default routers, the best first. There are none by DHCPv6.
    #[must_use]
    pub fn routers(&self) -> &[Router] {
        &self.link.routers
    }

    /// What is on the link.
    #[must_use]
    pub fn prefixes(&self) -> &[Prefix] {
        &self.link.prefixes
    }

    /// Name servers: those that routers named, then those by DHCPv6 (RFC 8106 section 5.3.1).
    pub fn servers(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        let advertised = self.link.servers.iter().map(|server| server.address);
        let is_new = |address: &&Ipv6Addr| {
            self.link
                .servers
                .iter()
                .all(|server| server.address != **address)
        };
        advertised.chain(self.dhcp.servers().iter().filter(is_new).copied())
    }

    /// The hop limit that routers advise.
    #[must_use]
    pub const fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    /// The link's MTU.
    #[must_use]
    pub const fn mtu(&self) -> u32 {
        self.mtu
    }

    /// How long a packet to somebody may be.
    #[must_use]
    pub fn path_mtu(&self, target: Ipv6Addr, now: Nanoseconds) -> u32 {
        self.paths.mtu(target, self.mtu, now)
    }

    /// Where the client of DHCPv6 is.
    #[must_use]
    pub const fn dhcp_phase(&self) -> dhcp6::Phase {
        self.dhcp.phase()
    }

    /// What DHCPv6 gave.
    #[must_use]
    pub const fn lease(&self) -> Option<&dhcp6::Lease> {
        self.dhcp.lease()
    }

    /// What was not believed so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Goes up whenever addresses, routers, prefixes, name servers or the MTU are others than before.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    /// When [`Self::poll`] has something to do next, if nothing arrives.
    #[must_use]
    pub fn deadline(&self) -> Nanoseconds {
        let mut deadline = self
            .addresses
            .deadline(self.polled)
            .min(self.link.deadline());
        // Nothing is asked from before the link-local address is ready.
        if self.addresses.link_local().is_some() {
            deadline = deadline.min(self.dhcp.deadline());
            deadline = self
                .soliciting
                .map_or(deadline, |soliciting| deadline.min(soliciting.due));
        }
        deadline
    }

    /// Gives what DHCPv6 gave back, and asks for no other.
    pub fn release(&mut self, now: Nanoseconds) {
        self.dhcp.release(&mut self.random, now);
        self.changes += u64::from(self.addresses.taken());
    }

    /// Does what is due and gives a packet to send. Call it again until there is none.
    pub fn poll(&mut self, now: Nanoseconds, out: &mut Buffer) -> Option<Sent> {
        self.changes += self.addresses.advance(self.polled, now) + self.link.advance(now);
        self.polled = now;
        let change = self.dhcp.advance(now, &mut self.random);
        self.apply(change, now);
        if let Some((address, nonce)) = self.addresses.probe(now) {
            return send::solicit_neighbour(out, address, nonce);
        }
        let source = self.addresses.link_local()?;
        if let Some(soliciting) = &mut self.soliciting
            && soliciting.due.has_passed(now)
        {
            let doubled = Nanoseconds::new(soliciting.wait.as_u64().saturating_mul(2));
            soliciting.wait = doubled.max(SOLICIT_WAIT).min(SOLICIT_LONGEST);
            soliciting.due = now.saturating_add(self.random.about(soliciting.wait));
            return send::solicit_routers(out, source, self.hardware);
        }
        self.dhcp.ask(now, source, &mut self.random, out)
    }

    /// Looks at an IPv6 packet, from its header on.
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

    /// Takes the word of somebody on the way for how long a packet may be, now that the caller knows the flow for one of its
    /// own.
    pub fn believe(&mut self, now: Nanoseconds, too_big: &TooBig) {
        self.paths
            .learn(too_big.target, too_big.mtu.max(LEAST_MTU), now);
    }

    fn take(&mut self, now: Nanoseconds, packet: &[u8]) -> Result<Taken, Refusal> {
        if let Some(message) = dhcp_message(packet)? {
            let change = self
                .dhcp
                .receive(now, &message, &mut self.random, &mut self.counters)?;
            self.apply(change, now);
            return Ok(Taken::Yes);
        }
        match nd::read(packet)? {
            None => Ok(Taken::NotMine),
            Some(Heard::Advertisement(advertisement)) => {
                self.take_advertisement(&advertisement, now);
                Ok(Taken::Yes)
            }
            Some(Heard::Wanted { target, nonce }) => Ok(self.claimed(target, nonce, now)),
            Some(Heard::Had { target }) => Ok(self.claimed(target, None, now)),
            Some(Heard::TooBig { mtu, quote }) => self.too_big(mtu, quote, now).map(Taken::TooBig),
        }
    }

    /// Solicitations and advertisements are for whoever resolves addresses too, unless the address is one that is looked for.
    fn claimed(&mut self, target: Ipv6Addr, nonce: Option<&[u8]>, now: Nanoseconds) -> Taken {
        match self.addresses.claimed(target, nonce, &mut self.random, now) {
            Conflict::None => return Taken::NotMine,
            Conflict::Own => {}
            Conflict::Given(_) => self.dhcp.decline(&mut self.random, now),
        }
        self.changes += 1;
        Taken::Yes
    }

    fn too_big(&self, mtu: u32, quote: &[u8], now: Nanoseconds) -> Result<TooBig, Refusal> {
        let (source, target, protocol, first) = nd::quoted(quote).ok_or(Refusal::PtbQuote)?;
        if !self.addresses.is_in_use(source) || !is_host6(target) {
            return Err(Refusal::PtbQuote);
        }
        // RFC 8201 section 4: never below what every link carries, and never upwards.
        if mtu < LEAST_MTU {
            return Err(Refusal::PtbSmall);
        }
        if mtu >= self.path_mtu(target, now) {
            return Err(Refusal::PtbGrows);
        }
        Ok(TooBig {
            mtu,
            source,
            target,
            protocol,
            first,
        })
    }

    /// RFC 4861 section 6.3.4.
    fn take_advertisement(&mut self, heard: &Advertisement<'_>, now: Nanoseconds) {
        if heard.hop_limit != 0 {
            self.hop_limit = heard.hop_limit;
        }
        let router = Router {
            address: heard.router,
            preference: heard.preference,
            until: after(now, heard.lifetime_secs.into()),
        };
        let known = self.link.router(router, now);
        self.note(known);
        if heard.lifetime_secs > 0 {
            self.soliciting = None;
        } else if self.link.routers.is_empty() && self.soliciting.is_none() {
            // RFC 7559 section 2.1: without a router it is asked for one again.
            self.soliciting = Some(Soliciting {
                due: now.saturating_add(SOLICIT_WAIT),
                wait: SOLICIT_WAIT,
            });
        }
        for (code, value) in heard.options {
            let changed = match code {
                option::PREFIX => self.take_prefix(value, now),
                option::MTU => self.take_mtu(value),
                option::SERVERS => self.take_servers(value, now),
                _ => Ok(false),
            };
            self.note(changed);
        }
        let mode = match (heard.is_managed, heard.has_other) {
            (true, _) => Mode::Address,
            (false, true) => Mode::Information,
            (false, false) => return,
        };
        self.dhcp.want(mode, &mut self.random, now);
    }

    fn note(&mut self, changed: Result<bool, Refusal>) {
        match changed {
            Ok(changed) => self.changes += u64::from(changed),
            Err(refusal) => self.counters.count(refusal),
        }
    }

    /// RFC 4861 section 4.6.2, RFC 4862 section 5.5.3.
    fn take_prefix(&mut self, value: &[u8], now: Nanoseconds) -> Result<bool, Refusal> {
        let option: &[u8; 32] = value.try_into().map_err(|_| Refusal::RaOption)?;
        let (length, flags) = (option[2], option[3]);
        let lifetimes = [4, 8].map(|at| number(value, at).map(span));
        let [Some(valid), Some(preferred)] = lifetimes else {
            return Err(Refusal::RaOption);
        };
        let mut octets = [0; 16];
        octets.copy_from_slice(&option[16..]);
        if length > 128 || octets[0] == 0xff || octets[..8] == LINK_LOCAL {
            return Err(Refusal::RaPrefix);
        }
        if preferred > valid {
            return Err(Refusal::RaLifetimes);
        }
        let mut changed = false;
        if flags & 0x80 != 0 {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            let prefix = Prefix {
                prefix: Ipv6Addr::from(u128::from_be_bytes(octets) & mask),
                length,
                until: now.saturating_add(valid),
            };
            changed |= self.link.prefix(prefix, now)?;
        }
        if flags & 0x40 != 0 {
            if length != 64 {
                return Err(Refusal::RaPrefixLength);
            }
            let mut prefix = [0; 8];
            prefix.copy_from_slice(&octets[..8]);
            let is_host = is_host6(address::joined(prefix, [1; 8]));
            if !is_host {
                return Err(Refusal::RaPrefix);
            }
            changed |=
                self.addresses
                    .advertised(prefix, (preferred, valid), &mut self.random, now)?;
        }
        Ok(changed)
    }

    fn take_mtu(&mut self, value: &[u8]) -> Result<bool, Refusal> {
        let mtu = number(value, 4)
            .filter(|_| value.len() == 8)
            .ok_or(Refusal::RaOption)?;
        if mtu < LEAST_MTU || mtu > self.device_mtu {
            return Err(Refusal::RaMtu);
        }
        let changed = self.mtu != mtu;
        self.mtu = mtu;
        Ok(changed)
    }

    /// RFC 8106 section 5.1.
    fn take_servers(&mut self, value: &[u8], now: Nanoseconds) -> Result<bool, Refusal> {
        let (entries, rest) = value.get(8..).unwrap_or_default().as_chunks::<16>();
        let lifetime = number(value, 4).ok_or(Refusal::RaOption)?;
        if entries.is_empty() || !rest.is_empty() {
            return Err(Refusal::RaOption);
        }
        let mut changed = false;
        for octets in entries {
            let address = Ipv6Addr::from(*octets);
            if !is_host6(address) {
                self.counters.count(Refusal::RaDns);
                continue;
            }
            let until = now.saturating_add(span(lifetime));
            changed |= self.link.server(Server { address, until }, now)?;
        }
        Ok(changed)
    }

    fn apply(&mut self, change: Option<Change>, now: Nanoseconds) {
        match change {
            None => return,
            Some(Change::Other) => {}
            Some(Change::Lost) => {
                self.addresses.taken();
            }
            Some(Change::Given {
                address,
                preferred_until,
                valid_until,
            }) => {
                let times = (preferred_until, valid_until);
                self.addresses.given(address, times, &mut self.random, now);
            }
        }
        self.changes += 1;
    }
}

fn dhcp_message(packet: &[u8]) -> Result<Option<Message<'_, Ipv6Addr>>, Refusal> {
    let header = Ipv6Packet::new_checked(packet).map_err(|_| Refusal::Ip6Header)?;
    if header.version() != 6 {
        return Err(Refusal::Ip6Header);
    }
    if header.next_header() != IpProtocol::Udp {
        return Ok(None);
    }
    let ends = (header.src_addr().into(), header.dst_addr().into());
    let message = udp(header.payload(), dhcp6::CLIENT_PORT, &ends.0, &ends.1)?;
    Ok(message.map(|(source_port, bytes)| Message {
        source: header.src_addr(),
        source_port,
        bytes,
    }))
}

fn number(value: &[u8], at: usize) -> Option<u32> {
    let field = value.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(field))
}

/// All ones are no end: RFC 4861 section 4.6.2.
fn span(seconds: u32) -> Nanoseconds {
    if seconds == u32::MAX {
        return Nanoseconds::NEVER;
    }
    Nanoseconds::from_secs(seconds.into())
}

fn after(now: Nanoseconds, seconds: u64) -> Nanoseconds {
    now.saturating_add(Nanoseconds::from_secs(seconds))
}
