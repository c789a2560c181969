//! What reaches the network stack, and what a resolver is answered.
//!
//! Sums are made right here: a mutation of a whole packet would hardly ever get beyond them.

use core::net::{IpAddr, Ipv6Addr};

use net_config::{Keys, dhcp4};
use net_demux::{Endpoint, Listen, Protocol, Share};
use net_stack::{Limits, MAX_FRAME, Options, Stack};
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Packet, IpProtocol, Ipv6Packet,
    Ipv6Repr, TcpPacket, UdpPacket,
};
use units::Nanoseconds;

use crate::record::{record, records};

const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 7];
const STRANGER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);

fn stack() -> Stack {
    let options = Options {
        hardware: HARDWARE,
        mtu: 1500,
        keys: Keys {
            stable: [1; 32],
            fresh: [2; 32],
        },
        secret: [3; 16],
        seed: 4,
        probing: dhcp4::Probing::QUICK,
        limits: Limits {
            sockets: 8,
            clients: 1,
            buffer_bytes: 1024,
            datagrams: 2,
        },
    };
    Stack::new(options, Nanoseconds::ZERO)
}

/// A frame of IPv6 to `target` with this body, whose sum is made right.
fn frame(target: Ipv6Addr, kind: u8, body: &[u8]) -> Vec<u8> {
    let next_header = match kind {
        1 => IpProtocol::Tcp,
        2 => IpProtocol::Udp,
        _ => IpProtocol::Icmpv6,
    };
    let mut bytes = vec![0; 54 + body.len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_dst_addr(EthernetAddress(HARDWARE));
    frame.set_src_addr(EthernetAddress([2, 0, 0, 0, 0, 9]));
    frame.set_ethertype(EthernetProtocol::Ipv6);
    let header = Ipv6Repr {
        src_addr: STRANGER,
        dst_addr: target,
        next_header,
        payload_len: body.len(),
        hop_limit: 255,
    };
    let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
    header.emit(&mut packet);
    packet.payload_mut().copy_from_slice(body);
    let (from, to) = (IpAddr::from(STRANGER).into(), IpAddr::from(target).into());
    let body = packet.payload_mut();
    match kind {
        1 if TcpPacket::new_checked(&body[..]).is_ok() => {
            TcpPacket::new_unchecked(body).fill_checksum(&from, &to);
        }
        2 if UdpPacket::new_checked(&body[..]).is_ok() => {
            UdpPacket::new_unchecked(body).fill_checksum(&from, &to);
        }
        3 if Icmpv6Packet::new_checked(&body[..]).is_ok() => {
            Icmpv6Packet::new_unchecked(body).fill_checksum(&STRANGER, &target);
        }
        _ => {}
    }
    bytes
}

/// The input is records: kind 0 a frame; 1, 2 and 3 the body of a packet of TCP, UDP or ICMPv6 to the stack's own address. It is
/// taken if somebody begins a connection.
pub fn stack_input(data: &[u8]) -> bool {
    let mut stack = stack();
    let share = Share {
        sockets: 8,
        half_open: 4,
    };
    let client = stack.admit(share).expect("there is room");
    let any = Listen::new(Protocol::Tcp, 1, 65_535);
    let local = Endpoint {
        address: Ipv6Addr::UNSPECIFIED.into(),
        port: 80,
    };
    let listener = stack.listen(client, &any, local, 2).expect("it is free");
    let mut now = Nanoseconds::ZERO;
    let mut most = 0;
    for (seconds, kind, record) in records(data) {
        now = now.saturating_add(Nanoseconds::from_secs(seconds));
        let own = stack.host().addresses(now).next().map(|one| one.address);
        match (kind, own) {
            (1..=3, Some(own)) => stack.receive(now, &frame(own, kind, record)),
            _ => stack.receive(now, record),
        }
        for _ in 0..8 {
            stack.poll(now);
            while let Some(frame) = stack.outgoing() {
                assert!(frame.len() <= MAX_FRAME);
                stack.sent(now);
            }
            while let Some((socket, _)) = stack.touched() {
                let _ = stack.read(socket, 0, usize::MAX, <[u8]>::len);
            }
        }
        while let Ok(Some((socket, _))) = stack.accept(listener) {
            stack.release(now, socket);
        }
        assert!(stack.sockets() <= 8);
        most = most.max(stack.sockets());
    }
    most > 1
}

/// The input is a message that answers a question, whose number is made right. It is taken if it gives an address.
pub fn dns(data: &[u8]) -> bool {
    let name = dns_core::read("www.example.org").expect("a name");
    let (asked, message) = dns_core::ask(&name, dns_core::Kind::A, 0x1234, 0);
    let question = message.get(12..).unwrap_or_default();
    let (head, rest) = data.split_at(data.len().min(10));
    let answer = [&[0x12, 0x34][..], head, question, rest].concat();
    let taken = asked.answer(&answer);
    taken.is_ok_and(|answer| !answer.addresses.is_empty())
}

/// What the readers take.
pub fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let syn = [
        0xc0, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0x10, 0, 0, 0, 0, 0, 2, 4, 5, 0xa0,
    ];
    let address = [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1];
    let head = [0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    vec![
        (
            "net-stack",
            "connection",
            [record(1, 0, &[]), record(3, 0, &[]), record(1, 1, &syn)].concat(),
        ),
        ("dns", "address", [&head[..], &address].concat()),
    ]
}
