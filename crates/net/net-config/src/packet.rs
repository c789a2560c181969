//! Packets as they go out, and the layers around what comes in.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, UdpPacket, UdpRepr};

use crate::Refusal;

/// No packet that this crate sends is longer.
pub const MAX_SENT: usize = 576;
/// Room for one packet that goes out.
pub type Buffer = [u8; MAX_SENT];

const IPV4_HEADER: usize = 20;
pub(crate) const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
/// What a UDP message of ours has room for, over IPv6, the longer of the headers.
pub(crate) const MAX_MESSAGE: usize = MAX_SENT - IPV6_HEADER - UDP_HEADER;

/// Where on the link a packet goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hop {
    /// To everybody.
    Broadcast,
    /// To the members of a group, at the Ethernet address that RFC 2464 section 7 gives it.
    Group(Ipv6Addr),
    /// To one host, or by way of the route to it.
    Host(IpAddr),
}

/// What the packet is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An ARP packet.
    Arp,
    /// An IPv4 packet.
    Ipv4,
    /// An IPv6 packet.
    Ipv6,
}

/// A packet to send: the first `length` bytes of the buffer that was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// What it is.
    pub kind: Kind,
    /// Where it goes.
    pub hop: Hop,
    /// How long it is.
    pub length: usize,
}

/// A UDP message that arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a, A> {
    pub source: A,
    pub source_port: u16,
    pub bytes: &'a [u8],
}

/// From where to where a UDP message goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Route<A> {
    pub source: A,
    pub target: A,
    pub ports: (u16, u16),
    pub hop: Hop,
}

/// Writes a UDP message over IPv4; `None` if it does not fit.
pub(crate) fn send_udp4(out: &mut Buffer, route: &Route<Ipv4Addr>, message: &[u8]) -> Option<Sent> {
    let length = IPV4_HEADER + UDP_HEADER + message.len();
    let sums = ChecksumCapabilities::default();
    let header = Ipv4Repr {
        src_addr: route.source,
        dst_addr: route.target,
        next_header: IpProtocol::Udp,
        payload_len: UDP_HEADER + message.len(),
        hop_limit: 64,
    };
    let packet = out.get_mut(..length)?;
    header.emit(&mut Ipv4Packet::new_unchecked(&mut *packet), &sums);
    let body = packet.get_mut(IPV4_HEADER..)?;
    let (from, to) = (route.source.into(), route.target.into());
    emit_udp(body, route.ports, (&from, &to), message);
    Some(Sent {
        kind: Kind::Ipv4,
        hop: route.hop,
        length,
    })
}

/// Writes a UDP message over IPv6; `None` if it does not fit.
pub(crate) fn send_udp6(out: &mut Buffer, route: &Route<Ipv6Addr>, message: &[u8]) -> Option<Sent> {
    let body_bytes = UDP_HEADER + message.len();
    let mut sent = begin_ipv6(out, route, IpProtocol::Udp, 64, body_bytes)?;
    let body = out.get_mut(IPV6_HEADER..IPV6_HEADER + body_bytes)?;
    let (from, to) = (route.source.into(), route.target.into());
    emit_udp(body, route.ports, (&from, &to), message);
    sent.hop = route.hop;
    Some(sent)
}

fn emit_udp(
    body: &mut [u8],
    ports: (u16, u16),
    ends: (&smoltcp::wire::IpAddress, &smoltcp::wire::IpAddress),
    message: &[u8],
) {
    let header = UdpRepr {
        src_port: ports.0,
        dst_port: ports.1,
    };
    header.emit(
        &mut UdpPacket::new_unchecked(body),
        ends.0,
        ends.1,
        message.len(),
        |payload| payload.copy_from_slice(message),
        &ChecksumCapabilities::default(),
    );
}

/// Writes the header of an IPv6 packet; `None` if it does not fit with its body.
pub(crate) fn begin_ipv6(
    out: &mut Buffer,
    route: &Route<Ipv6Addr>,
    protocol: IpProtocol,
    hop_limit: u8,
    body_bytes: usize,
) -> Option<Sent> {
    let length = IPV6_HEADER + body_bytes;
    let header = Ipv6Repr {
        src_addr: route.source,
        dst_addr: route.target,
        next_header: protocol,
        payload_len: body_bytes,
        hop_limit,
    };
    let packet = out.get_mut(..length)?;
    header.emit(&mut Ipv6Packet::new_unchecked(packet));
    Some(Sent {
        kind: Kind::Ipv6,
        hop: route.hop,
        length,
    })
}

/// The UDP message to `port` in an IPv4 packet; `None` if the packet is anything else.
pub(crate) fn udp4(packet: &[u8], port: u16) -> Result<Option<Message<'_, Ipv4Addr>>, Refusal> {
    let header = Ipv4Packet::new_checked(packet).map_err(|_| Refusal::Ip4Header)?;
    if header.version() != 4 {
        return Err(Refusal::Ip4Header);
    }
    if header.next_header() != IpProtocol::Udp {
        return Ok(None);
    }
    if !header.verify_checksum() {
        return Err(Refusal::Ip4Checksum);
    }
    if header.more_frags() || header.frag_offset() != 0 {
        // Whose it is cannot be seen in any but the first.
        return match UdpPacket::new_unchecked(header.payload()) {
            first
                if header.frag_offset() == 0
                    && header.payload().len() >= UDP_HEADER
                    && first.dst_port() == port =>
            {
                Err(Refusal::Ip4Fragment)
            }
            _ => Ok(None),
        };
    }
    let ends = (header.src_addr().into(), header.dst_addr().into());
    let Some((source_port, bytes)) = udp(header.payload(), port, &ends.0, &ends.1)? else {
        return Ok(None);
    };
    Ok(Some(Message {
        source: header.src_addr(),
        source_port,
        bytes,
    }))
}

/// The source port and the bytes of a UDP message to `port`; `None` if it is to another port.
pub(crate) fn udp<'a>(
    body: &'a [u8],
    port: u16,
    source: &smoltcp::wire::IpAddress,
    target: &smoltcp::wire::IpAddress,
) -> Result<Option<(u16, &'a [u8])>, Refusal> {
    let message = UdpPacket::new_checked(body).map_err(|_| Refusal::UdpHeader)?;
    if message.dst_port() != port {
        return Ok(None);
    }
    // RFC 8200 section 8.1: over IPv6 a sum of zero is no sum.
    let lacks_sum = message.checksum() == 0 && matches!(source, smoltcp::wire::IpAddress::Ipv6(_));
    if lacks_sum || !message.verify_checksum(source, target) {
        return Err(Refusal::UdpChecksum);
    }
    Ok(Some((message.src_port(), message.payload())))
}

/// Whether a host can have this IPv4 address as its own or reach another at it.
pub(crate) fn is_host4(address: Ipv4Addr) -> bool {
    let first = address.octets()[0];
    !(first == 0 || first == 127 || first >= 224)
}

/// Whether a host can have this IPv6 address as its own or reach another at it: neither nobody, nor this host, nor a group,
/// nor an IPv4 address in IPv6's clothes (RFC 4291 section 2.5.5).
pub(crate) fn is_host6(address: Ipv6Addr) -> bool {
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.to_ipv4().is_some())
}
