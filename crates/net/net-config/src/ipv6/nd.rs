//! Messages of neighbour discovery, read and judged: RFC 4861, RFC 4191, RFC 6980, RFC 7527, RFC 8106.

use core::net::Ipv6Addr;

use smoltcp::wire::{Icmpv6Message, Icmpv6Packet, IpProtocol, Ipv6Packet};

use crate::Refusal;
use crate::packet::{IPV6_HEADER, is_host6};

/// No more options of one message are looked at.
const MOST_OPTIONS: usize = 64;

/// Options by number.
pub(super) mod option {
    pub const SOURCE: u8 = 1;
    pub const PREFIX: u8 = 3;
    pub const MTU: u8 = 5;
    pub const NONCE: u8 = 14;
    pub const SERVERS: u8 = 25;
}

/// What an ICMPv6 packet is to us.
pub(super) enum Heard<'a> {
    Advertisement(Advertisement<'a>),
    /// A solicitation from nobody: somebody else wants the address.
    Wanted {
        target: Ipv6Addr,
        nonce: Option<&'a [u8]>,
    },
    /// An advertisement: somebody has the address.
    Had {
        target: Ipv6Addr,
    },
    TooBig {
        mtu: u32,
        quote: &'a [u8],
    },
}

/// A router advertisement: RFC 4861 section 4.2.
pub(super) struct Advertisement<'a> {
    pub router: Ipv6Addr,
    pub hop_limit: u8,
    pub is_managed: bool,
    pub has_other: bool,
    pub preference: i8,
    pub lifetime_secs: u16,
    pub options: Options<'a>,
}

/// The options of a message, of which every one has a length and none leaves the message.
#[derive(Clone, Copy)]
pub(super) struct Options<'a>(&'a [u8]);

impl<'a> Options<'a> {
    /// RFC 4861 sections 6.1.2 and 7.1: all lengths are greater than zero, or the whole message is discarded.
    fn checked(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let mut rest = bytes;
        let mut count = 0;
        while !rest.is_empty() {
            let units = rest
                .get(1)
                .copied()
                .filter(|units| *units > 0)
                .ok_or(Refusal::NdOption)?;
            rest = rest
                .get(usize::from(units) * 8..)
                .ok_or(Refusal::NdOption)?;
            count += 1;
            if count > MOST_OPTIONS {
                return Err(Refusal::NdOptionMany);
            }
        }
        Ok(Self(bytes))
    }

    fn value(self, code: u8) -> Option<&'a [u8]> {
        self.into_iter()
            .find(|(found, _)| *found == code)
            .map(|(_, value)| value)
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    /// The code, and the whole option with its two first octets.
    fn next(&mut self) -> Option<Self::Item> {
        let units = usize::from(*self.0.get(1)?).max(1);
        let (option, rest) = self.0.split_at_checked(units * 8)?;
        self.0 = rest;
        Some((*option.first()?, option))
    }
}

/// Reads an IPv6 packet as a message of ICMPv6 that matters here; `None` if it is anything else.
pub(super) fn read(packet: &[u8]) -> Result<Option<Heard<'_>>, Refusal> {
    let header = Ipv6Packet::new_checked(packet).map_err(|_| Refusal::Ip6Header)?;
    let body = header.payload();
    if header.next_header() == IpProtocol::Ipv6Frag {
        return fragment(body);
    }
    if header.next_header() != IpProtocol::Icmpv6 {
        return Ok(None);
    }
    let kind = Icmpv6Message::from(*body.first().ok_or(Refusal::Icmp6Short)?);
    let least = match kind {
        Icmpv6Message::RouterAdvert => 16,
        Icmpv6Message::NeighborSolicit | Icmpv6Message::NeighborAdvert => 24,
        Icmpv6Message::PktTooBig => 8,
        _ => return Ok(None),
    };
    if body.len() < least {
        return Err(Refusal::Icmp6Short);
    }
    let (source, target) = (header.src_addr(), header.dst_addr());
    let message = Icmpv6Packet::new_unchecked(body);
    if !message.verify_checksum(&source, &target) {
        return Err(Refusal::Icmp6Checksum);
    }
    if kind == Icmpv6Message::PktTooBig {
        let mtu = body
            .get(4..8)
            .and_then(|field| field.try_into().ok())
            .map(u32::from_be_bytes);
        let quote = body.get(8..).unwrap_or_default();
        return Ok(mtu.map(|mtu| Heard::TooBig { mtu, quote }));
    }
    if header.hop_limit() != 255 && !sabotage::sabotage!(ND_TAKE_ROUTED) {
        return Err(Refusal::NdHopLimit);
    }
    if message.msg_code() != 0 {
        return Err(Refusal::NdCode);
    }
    let options = Options::checked(body.get(least..).unwrap_or_default())?;
    match kind {
        Icmpv6Message::RouterAdvert => advertisement(source, body, options).map(Some),
        Icmpv6Message::NeighborSolicit => solicitation(source, target, body, options),
        _ => neighbour(target, body).map(Some),
    }
}

/// RFC 6980 section 5: neighbour discovery does not come in fragments.
fn fragment(body: &[u8]) -> Result<Option<Heard<'_>>, Refusal> {
    let is_nd = matches!(body, [58, _, 0, rest, _, _, _, _, 133..=137, ..] if rest & 0xf8 == 0);
    if is_nd {
        return Err(Refusal::NdFragment);
    }
    Ok(None)
}

fn advertisement<'a>(
    router: Ipv6Addr,
    body: &'a [u8],
    options: Options<'a>,
) -> Result<Heard<'a>, Refusal> {
    // RFC 4861 section 6.1.2.
    if !router.is_unicast_link_local() {
        return Err(Refusal::RaSource);
    }
    let at = |place: usize| body.get(place).copied().unwrap_or(0);
    let flags = at(5);
    Ok(Heard::Advertisement(Advertisement {
        router,
        hop_limit: at(4),
        is_managed: flags & 0x80 != 0,
        has_other: flags & 0x40 != 0,
        // RFC 4191 section 2.1: the reserved value is medium.
        preference: match flags >> 3 & 3 {
            1 => 1,
            3 => -1,
            _ => 0,
        },
        lifetime_secs: u16::from_be_bytes([at(6), at(7)]),
        options,
    }))
}

fn target_of(body: &[u8]) -> Result<Ipv6Addr, Refusal> {
    let octets: [u8; 16] = body
        .get(8..24)
        .and_then(|field| field.try_into().ok())
        .ok_or(Refusal::Icmp6Short)?;
    let target = Ipv6Addr::from(octets);
    if !is_host6(target) {
        return Err(Refusal::NsTarget);
    }
    Ok(target)
}

/// RFC 4861 section 7.1.1, RFC 4862 section 5.4.3.
fn solicitation<'a>(
    source: Ipv6Addr,
    to: Ipv6Addr,
    body: &'a [u8],
    options: Options<'a>,
) -> Result<Option<Heard<'a>>, Refusal> {
    let target = target_of(body)?;
    if !source.is_unspecified() {
        return Ok(None);
    }
    if to != solicited_node(target) || options.value(option::SOURCE).is_some() {
        return Err(Refusal::NsSource);
    }
    let nonce = options
        .value(option::NONCE)
        .and_then(|value| value.get(2..));
    Ok(Some(Heard::Wanted { target, nonce }))
}

/// RFC 4861 section 7.1.2.
fn neighbour(to: Ipv6Addr, body: &[u8]) -> Result<Heard<'_>, Refusal> {
    let target = target_of(body)?;
    let is_solicited = body.get(4).is_some_and(|flags| flags & 0x40 != 0);
    if to.is_multicast() && is_solicited {
        return Err(Refusal::NaFlags);
    }
    Ok(Heard::Had { target })
}

/// The group of RFC 4291 section 2.7.1 that a host with this address is in.
pub(super) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let last = address.octets();
    let low = u16::from_be_bytes([last[14], last[15]]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(last[13]), low)
}

/// Who sent what is said to be too big, to whom, and the first octets of what it carried.
pub(super) fn quoted(quote: &[u8]) -> Option<(Ipv6Addr, Ipv6Addr, u8, [u8; 8])> {
    let (header, rest) = quote.split_at_checked(IPV6_HEADER)?;
    if header.first()? >> 4 != 6 {
        return None;
    }
    let address = |at: usize| {
        let octets: [u8; 16] = header.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets))
    };
    let first = rest.get(..8)?.try_into().ok()?;
    Some((address(8)?, address(24)?, *header.get(6)?, first))
}
