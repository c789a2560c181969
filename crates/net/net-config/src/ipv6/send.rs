//! What neighbour discovery of ours sends.

use core::net::Ipv6Addr;

use smoltcp::wire::{Icmpv6Packet, IpProtocol};

use super::nd::{option, solicited_node};
use crate::packet::{IPV6_HEADER, Route, begin_ipv6};
use crate::{Buffer, Hop, LinkAddress, Sent};

const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// RFC 4862 section 5.4.2: asks whether somebody has an address, from nobody. The nonce of RFC 7527 tells it from another's.
pub(super) fn solicit_neighbour(
    out: &mut Buffer,
    address: Ipv6Addr,
    nonce: [u8; 6],
) -> Option<Sent> {
    let mut body = [0; 32];
    body[0] = 135;
    body[8..24].copy_from_slice(&address.octets());
    body[24..26].copy_from_slice(&[option::NONCE, 1]);
    body[26..].copy_from_slice(&nonce);
    send(out, Ipv6Addr::UNSPECIFIED, solicited_node(address), &body)
}

/// RFC 4861 section 6.3.7.
pub(super) fn solicit_routers(
    out: &mut Buffer,
    source: Ipv6Addr,
    hardware: LinkAddress,
) -> Option<Sent> {
    let mut body = [0; 16];
    body[0] = 133;
    body[8..10].copy_from_slice(&[option::SOURCE, 1]);
    body[10..].copy_from_slice(&hardware);
    send(out, source, ALL_ROUTERS, &body)
}

fn send(out: &mut Buffer, source: Ipv6Addr, target: Ipv6Addr, body: &[u8]) -> Option<Sent> {
    let route = Route {
        source,
        target,
        ports: (0, 0),
        hop: Hop::Group(target),
    };
    let sent = begin_ipv6(out, &route, IpProtocol::Icmpv6, 255, body.len())?;
    let place = out.get_mut(IPV6_HEADER..sent.length)?;
    place.copy_from_slice(body);
    Icmpv6Packet::new_unchecked(place).fill_checksum(&source, &target);
    Some(sent)
}
