//! What a DHCPv4 server says, read and judged.

use core::net::Ipv4Addr;

use arrayvec::ArrayVec;
use smoltcp::wire::{DhcpOpCode, DhcpPacket};
use units::Nanoseconds;

use super::lease::{Lease, MOST, Route};
use crate::packet::is_host4;
use crate::{Counters, LinkAddress, Refusal};

/// RFC 2131 section 3, the first four octets of the options.
const MAGIC: u32 = 0x6382_5363;
/// Where the options start: RFC 2131 section 2 and the magic number.
const OPTIONS: usize = 240;

/// Options of RFC 2132, and of RFC 3442.
pub(super) mod option {
    pub const MASK: u8 = 1;
    pub const ROUTERS: u8 = 3;
    pub const SERVERS: u8 = 6;
    pub const MTU: u8 = 26;
    pub const LEASE: u8 = 51;
    pub const TYPE: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const T1: u8 = 58;
    pub const T2: u8 = 59;
    pub const CLASSLESS_ROUTES: u8 = 121;
}

/// The kinds of answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Offer,
    Ack,
    Nak,
}

/// An answer to us: of the asked transaction, with a server that names itself.
pub(super) struct Answer<'a> {
    pub kind: Kind,
    pub server: Ipv4Addr,
    pub address: Ipv4Addr,
    options: &'a [u8],
}

/// The options in turn; ends at the first that leaves the message.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = Result<(u8, &'a [u8]), Refusal>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (code, rest) = self.0.split_first()?;
            match code {
                0 => self.0 = rest,
                255 => {
                    self.0 = &[];
                    return None;
                }
                code => {
                    let field = rest
                        .split_first()
                        .and_then(|(length, rest)| rest.split_at_checked((*length).into()));
                    let Some((value, rest)) = field else {
                        self.0 = &[];
                        return Some(Err(Refusal::D4Option));
                    };
                    self.0 = rest;
                    return Some(Ok((*code, value)));
                }
            }
        }
    }
}

/// Reads an answer to `transaction` of `hardware`.
pub(super) fn read(
    message: &[u8],
    transaction: Option<u32>,
    hardware: LinkAddress,
) -> Result<Answer<'_>, Refusal> {
    let packet = DhcpPacket::new_checked(message).map_err(|_| Refusal::D4Header)?;
    let is_ethernet = u16::from(packet.hardware_type()) == 1 && packet.hardware_len() == 6;
    if packet.opcode() != DhcpOpCode::Reply || !is_ethernet {
        return Err(Refusal::D4Header);
    }
    if packet.magic_number() != MAGIC {
        return Err(Refusal::D4Magic);
    }
    if Some(packet.transaction_id()) != transaction
        && !sabotage::sabotage!(DHCP_TAKE_ANY_TRANSACTION)
    {
        return Err(Refusal::D4Transaction);
    }
    if packet.client_hardware_address().0 != hardware {
        return Err(Refusal::D4Hardware);
    }
    let options = message.get(OPTIONS..).unwrap_or_default();
    let (mut kind, mut server) = (None, None);
    for entry in Options(options) {
        match entry? {
            (option::TYPE, [2]) => kind = Some(Kind::Offer),
            (option::TYPE, [5]) => kind = Some(Kind::Ack),
            (option::TYPE, [6]) => kind = Some(Kind::Nak),
            (option::TYPE, [_]) => return Err(Refusal::D4Type),
            (option::SERVER, value) => server = Some(address(value)?),
            (option::TYPE, _) => return Err(Refusal::D4Option),
            _ => {}
        }
    }
    // RFC 2131 table 3: the type and the server are in each answer.
    Ok(Answer {
        kind: kind.ok_or(Refusal::D4Type)?,
        server: server
            .filter(|server| is_host4(*server))
            .ok_or(Refusal::D4Server)?,
        address: packet.your_ip(),
        options,
    })
}

impl Answer<'_> {
    /// The lease that an offer or an acknowledgement is about, had the request been sent at `asked`. What is only partly
    /// believed is counted.
    pub(super) fn lease(
        &self,
        asked: Nanoseconds,
        counters: &mut Counters,
    ) -> Result<Lease, Refusal> {
        let (mut prefix, mut seconds, mut times) = (None, None, (None, None));
        let mut lease = Lease::empty(self.address, self.server);
        let mut classless = None;
        for entry in Options(self.options) {
            let (code, value) = entry?;
            match code {
                option::MASK => prefix = Some(prefix_of(address(value)?)?),
                option::LEASE => seconds = Some(number(value)?),
                option::T1 => times.0 = Some(number(value)?),
                option::T2 => times.1 = Some(number(value)?),
                option::ROUTERS => addresses(value, &mut lease.routers, counters),
                option::SERVERS => addresses(value, &mut lease.servers, counters),
                option::CLASSLESS_ROUTES => classless = Some(value),
                option::MTU => {
                    let mtu = value.try_into().map(u16::from_be_bytes);
                    // RFC 2132 section 5.1: 68 is the least.
                    lease.mtu = mtu.ok().filter(|mtu| *mtu >= 68);
                }
                _ => {}
            }
        }
        lease.prefix = prefix.ok_or(Refusal::D4Mask)?;
        if !is_usable(lease.address, lease.prefix) {
            return Err(Refusal::D4Address);
        }
        // RFC 3442: where routes are stated, routers are not looked at.
        if let Some(value) = classless {
            lease.routers.clear();
            routes(value, &mut lease, counters);
        } else if let Some(router) = lease.routers.first().copied() {
            let _ = lease.routes.try_push(Route {
                target: Ipv4Addr::UNSPECIFIED,
                prefix: 0,
                router,
            });
        }
        lease.set_times(asked, seconds.ok_or(Refusal::D4Lease)?, times, counters)?;
        Ok(lease)
    }
}

fn address(value: &[u8]) -> Result<Ipv4Addr, Refusal> {
    let octets: [u8; 4] = value.try_into().map_err(|_| Refusal::D4Option)?;
    Ok(Ipv4Addr::from(octets))
}

fn number(value: &[u8]) -> Result<u32, Refusal> {
    address(value).map(u32::from)
}

fn prefix_of(mask: Ipv4Addr) -> Result<u8, Refusal> {
    let mask = u32::from(mask);
    let prefix = mask.leading_ones();
    let has_holes = mask.checked_shl(prefix).unwrap_or(0) != 0;
    if prefix == 0 || has_holes {
        return Err(Refusal::D4Mask);
    }
    Ok(prefix as u8)
}

/// Whether a host can have this address in a network of this size.
fn is_usable(address: Ipv4Addr, prefix: u8) -> bool {
    if !is_host4(address) {
        return false;
    }
    // RFC 3021: of two addresses both are hosts'.
    if prefix >= 31 {
        return true;
    }
    let host = u32::MAX >> prefix;
    let part = u32::from(address) & host;
    part != 0 && part != host
}

/// Keeps the first usable addresses of a list.
fn addresses(value: &[u8], list: &mut ArrayVec<Ipv4Addr, MOST>, counters: &mut Counters) {
    let (entries, rest) = value.as_chunks::<4>();
    let mut is_whole = rest.is_empty() && !entries.is_empty();
    for entry in entries.iter().map(|entry| Ipv4Addr::from(*entry)) {
        if list.contains(&entry) {
            continue;
        }
        is_whole &= is_host4(entry) && list.try_push(entry).is_ok();
    }
    if !is_whole {
        counters.count(Refusal::D4Routes);
        list.retain(|entry| is_host4(*entry));
    }
}

/// RFC 3442: prefix length, as many octets of the target as that needs, the router.
fn routes(mut value: &[u8], lease: &mut Lease, counters: &mut Counters) {
    let mut is_whole = true;
    while let Some((prefix, rest)) = value.split_first() {
        let octets = usize::from(*prefix).div_ceil(8);
        let field = rest.split_at_checked(octets).filter(|_| *prefix <= 32);
        let Some((target, (router, rest))) =
            field.and_then(|(target, rest)| Some((target, rest.split_at_checked(4)?)))
        else {
            is_whole = false;
            break;
        };
        let mut network = [0; 4];
        network
            .iter_mut()
            .zip(target)
            .for_each(|(place, octet)| *place = *octet);
        let Ok(router) = address(router) else { break };
        // A router of 0.0.0.0 says that the target is on the link.
        let is_router = router.is_unspecified() || is_host4(router);
        let route = Route {
            target: Ipv4Addr::from(network),
            prefix: *prefix,
            router,
        };
        is_whole &= is_router && lease.routes.try_push(route).is_ok();
        value = rest;
    }
    if !is_whole {
        counters.count(Refusal::D4Routes);
    }
    for route in lease.routes.iter().filter(|route| route.prefix == 0) {
        let _ = lease.routers.try_push(route.router);
    }
}

#[cfg(test)]
mod tests {
    use super::{is_usable, prefix_of};
    use core::net::Ipv4Addr;

    #[test]
    fn masks_have_no_holes() {
        assert_eq!(prefix_of(Ipv4Addr::new(255, 255, 255, 0)), Ok(24));
        assert_eq!(prefix_of(Ipv4Addr::BROADCAST), Ok(32));
        assert!(prefix_of(Ipv4Addr::new(255, 0, 255, 0)).is_err());
        assert!(prefix_of(Ipv4Addr::UNSPECIFIED).is_err());
    }

    #[test]
    fn the_ends_of_a_network_are_no_hosts() {
        let at = |last| Ipv4Addr::new(10, 0, 0, last);
        assert!(is_usable(at(1), 24) && is_usable(at(255), 23) && is_usable(at(0), 31));
        assert!(!is_usable(at(0), 24) && !is_usable(at(255), 24));
        assert!(!is_usable(Ipv4Addr::LOCALHOST, 32) && !is_usable(Ipv4Addr::new(224, 0, 0, 1), 32));
    }
}
