//! What neighbours, routers and servers of a network send.
//!
//! Sums and transactions are made right here: a mutation of a whole packet would hardly ever get beyond them.

use core::net::{Ipv4Addr, Ipv6Addr};

use net_config::{Buffer, Keys, MAX_SENT, Taken, dhcp4, ipv6};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv6Packet, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, UdpPacket, UdpRepr,
};
use units::Nanoseconds;

use crate::record::{record, records};

const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 7];
const KEYS: Keys = Keys {
    stable: [1; 32],
    fresh: [2; 32],
};
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

fn udp(
    body: &mut [u8],
    ports: (u16, u16),
    ends: (core::net::IpAddr, core::net::IpAddr),
    message: &[u8],
) {
    let header = UdpRepr {
        src_port: ports.0,
        dst_port: ports.1,
    };
    header.emit(
        &mut UdpPacket::new_unchecked(body),
        &ends.0.into(),
        &ends.1.into(),
        message.len(),
        |payload| payload.copy_from_slice(message),
        &ChecksumCapabilities::default(),
    );
}

fn ipv4(message: &[u8]) -> Vec<u8> {
    let mut packet = vec![0; 28 + message.len()];
    let header = Ipv4Repr {
        src_addr: SERVER,
        dst_addr: Ipv4Addr::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: 8 + message.len(),
        hop_limit: 64,
    };
    let sums = ChecksumCapabilities::default();
    header.emit(&mut Ipv4Packet::new_unchecked(&mut packet[..]), &sums);
    let ends = (SERVER.into(), Ipv4Addr::BROADCAST.into());
    udp(&mut packet[20..], (67, 68), ends, message);
    packet
}

fn ipv6(protocol: IpProtocol, hop_limit: u8, bytes: usize) -> Vec<u8> {
    let mut packet = vec![0; 40 + bytes];
    let header = Ipv6Repr {
        src_addr: ROUTER,
        dst_addr: ALL_NODES,
        next_header: protocol,
        payload_len: bytes,
        hop_limit,
    };
    header.emit(&mut Ipv6Packet::new_unchecked(&mut packet[..]));
    packet
}

/// The input is [`records`]: kind 0 an IPv4 packet, 1 an ARP packet, else a message of a server. It is taken if it leads to
/// a lease.
pub fn dhcp4(data: &[u8]) -> bool {
    let mut client = dhcp4::Client::new(HARDWARE, KEYS, dhcp4::Probing::QUICK, Nanoseconds::ZERO);
    let (mut now, mut transaction) = (Nanoseconds::ZERO, [0; 4]);
    let mut taken = false;
    for (seconds, kind, record) in records(data) {
        now = now.saturating_add(Nanoseconds::from_secs(seconds));
        let mut out: Buffer = [0; MAX_SENT];
        let mut sent = 0;
        while let Some(packet) = client.poll(now, &mut out) {
            assert!(packet.length <= MAX_SENT && sent < 16);
            sent += 1;
            if packet.kind == net_config::Kind::Ipv4 {
                transaction.copy_from_slice(&out[32..36]);
            }
        }
        let _ = match kind {
            0 => client.receive(now, record),
            1 => client.receive_arp(now, record),
            _ => {
                let mut message = record.to_vec();
                if let Some(place) = message.get_mut(4..8) {
                    place.copy_from_slice(&transaction);
                }
                client.receive(now, &ipv4(&message))
            }
        };
        if let Some(lease) = client.lease() {
            assert!((1..=32).contains(&lease.prefix) && !lease.address.is_multicast());
            assert!(lease.renew_at <= lease.rebind_at && lease.rebind_at <= lease.expires_at);
            taken = true;
        }
    }
    taken
}

/// The input is [`records`]: kind 0 an IPv6 packet, 1 a message of ICMPv6, else one of a DHCPv6 server. It is taken if it
/// leads to an address beyond the link.
pub fn ipv6_host(data: &[u8]) -> bool {
    let mut host = ipv6::Host::new(HARDWARE, 1500, KEYS, Nanoseconds::ZERO);
    let (mut now, mut transaction) = (Nanoseconds::ZERO, [0; 3]);
    let mut taken = false;
    for (seconds, kind, record) in records(data) {
        now = now.saturating_add(Nanoseconds::from_secs(seconds));
        let mut out: Buffer = [0; MAX_SENT];
        let mut sent = 0;
        while let Some(packet) = host.poll(now, &mut out) {
            assert!(packet.length <= MAX_SENT && sent < 32);
            sent += 1;
            if out[6] == 17 {
                transaction.copy_from_slice(&out[49..52]);
            }
        }
        let packet = match kind {
            0 => record.to_vec(),
            1 => {
                let mut packet = ipv6(IpProtocol::Icmpv6, 255, record.len());
                packet[40..].copy_from_slice(record);
                if record.len() >= 4 {
                    Icmpv6Packet::new_unchecked(&mut packet[40..])
                        .fill_checksum(&ROUTER, &ALL_NODES);
                }
                packet
            }
            _ => {
                let mut message = record.to_vec();
                if let Some(place) = message.get_mut(1..4) {
                    place.copy_from_slice(&transaction);
                }
                let mut packet = ipv6(IpProtocol::Udp, 64, 8 + message.len());
                udp(
                    &mut packet[40..],
                    (547, 546),
                    (ROUTER.into(), ALL_NODES.into()),
                    &message,
                );
                packet
            }
        };
        if let Ok(Taken::TooBig(too_big)) = host.receive(now, &packet) {
            host.believe(now, &too_big);
            assert!(host.path_mtu(too_big.target, now) >= ipv6::LEAST_MTU);
        }
        assert!(host.mtu() >= ipv6::LEAST_MTU && host.mtu() <= 1500);
        assert!(host.addresses(now).count() <= ipv6::MOST_ADDRESSES);
        taken |= host
            .addresses(now)
            .any(|address| address.origin != ipv6::Origin::LinkLocal);
    }
    taken
}

/// The input is a request with its body. It is taken if the head is.
pub fn http(data: &[u8]) -> bool {
    let limits = http_head::Limits::default();
    if data.starts_with(b"HTTP/") {
        return http_answer(data, &limits);
    }
    let (head, length) = match http_head::parse(data, &limits) {
        Ok(http_head::Parsed::Whole(head, length)) => (head, length),
        Ok(http_head::Parsed::Partial) => {
            assert!(data.len() < limits.head);
            return false;
        }
        Err(refusal) => {
            assert!((400..=505).contains(&refusal.status()));
            return false;
        }
    };
    assert!(length <= data.len() && data[..length].ends_with(b"\r\n\r\n"));
    assert!(head.path.starts_with('/') && !head.path.split('/').any(|segment| segment == ".."));
    let mut chunks = http_head::Chunks::new(limits.body);
    let mut body = 0;
    for part in data[length..].chunks(5) {
        let Ok(piece) = chunks.take(part) else { break };
        body += piece.data.len() as u64;
    }
    assert!(body <= limits.body);
    let site = http_head::Site {
        scheme: "https",
        hosts: &["a"],
    };
    let mut sessions = http_head::Sessions::<(), 2>::default();
    let secret = http_head::Secret([0x11; 32]);
    sessions.begin(secret, secret, (), Nanoseconds::ZERO);
    let may_change = site.admit(&head, http_head::Purpose::Change).is_ok();
    if may_change && sessions.open_to_change(&head, Nanoseconds::ZERO).is_ok() {
        assert!(
            head.host.eq_ignore_ascii_case("a") && head.token.is_some() && head.cookie.is_some()
        );
    }
    true
}

/// The head of an answer: it ends where its own lines do, however much of it has come.
fn http_answer(data: &[u8], limits: &http_head::Limits) -> bool {
    let Ok(Some(answer)) = http_head::answer(data, limits) else {
        return false;
    };
    assert!(answer.body <= data.len().min(limits.head) && answer.length as u64 <= limits.body);
    assert!(data[..answer.body].ends_with(b"\n"));
    let whole = Ok(Some(answer));
    assert_eq!(http_head::answer(&data[..answer.body], limits), whole);
    for part in [answer.body / 2, answer.body - 1] {
        assert!(!matches!(
            http_head::answer(&data[..part], limits),
            Ok(Some(_))
        ));
    }
    true
}

/// An offer and an acknowledgement; an advertisement of a prefix, a name server and DHCPv6, and what a server says then; a
/// request that changes something, and an answer.
#[must_use]
pub fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let answer = |kind: u8| {
        let mut message = vec![0; 240];
        message[..3].copy_from_slice(&[2, 1, 6]);
        message[16..20].copy_from_slice(&[10, 0, 0, 50]);
        message[28..34].copy_from_slice(&HARDWARE);
        message[236..].copy_from_slice(&[99, 130, 83, 99]);
        message.extend([
            53, 1, kind, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 0, 120, 1, 4, 255, 255, 255, 0,
        ]);
        message.extend([3, 4, 10, 0, 0, 1, 121, 9, 24, 10, 1, 2, 10, 0, 0, 1, 0, 255]);
        message
    };
    let lease = [
        record(2, 2, &answer(2)),
        record(0, 2, &answer(5)),
        record(0, 1, &[]),
        record(1, 1, &[]),
    ];
    let mut prefix = vec![
        134, 0, 0, 0, 61, 0xc0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 3, 4, 64, 0xc0, 0, 0, 9, 0, 0, 0, 8,
    ];
    prefix.extend([
        0, 0, 0, 0, 0, 0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    prefix.extend([
        25, 3, 0, 0, 0, 0, 9, 0, 0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53,
    ]);
    let given = |kind: u8| {
        let mut message = vec![
            kind, 0, 0, 0, 0, 1, 0, 10, 0, 3, 0, 1, 2, 0, 0, 0, 0, 7, 0, 2, 0, 5, 0, 3, 0, 1, 2,
        ];
        message.extend([
            0, 7, 0, 1, 255, 0, 3, 0, 40, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 24,
        ]);
        message.extend([
            0xfd, 0x77, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 100, 0, 0, 0, 120,
        ]);
        message
    };
    let advertised = [record(1, 0, &[]), record(2, 0, &[]), record(1, 1, &prefix)].concat();
    let host = [
        record(1, 0, &[]),
        record(2, 0, &[]),
        record(1, 1, &[&prefix[..16], &[0; 0]].concat()),
        record(2, 2, &given(2)),
        record(0, 2, &given(7)),
    ];
    let mut all = vec![
        ("dhcp4", "lease", lease.concat()),
        ("ipv6-host", "advertised", advertised),
        ("ipv6-host", "given", host.concat()),
    ];
    all.extend(http_seeds());
    all.extend(crate::stack::seeds());
    all
}

/// A request that changes something, and an answer.
fn http_seeds() -> [(&'static str, &'static str, Vec<u8>); 2] {
    let (secret, digits) = (http_head::COOKIE, "11".repeat(32));
    let request = format!(
        "POST /api/log?from=3 HTTP/1.1\r\nHost: a\r\nOrigin: https://a\r\nCookie: {secret}={digits}\r\n\
         X-CSRF-Token: {digits}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    );
    let said =
        b"HTTP/1.1 503 -\r\ncontent-length: 3\r\nretry-after: 7\r\nconnection: close\r\n\r\nabc";
    [
        ("http", "change", request.into_bytes()),
        ("http", "answer", said.to_vec()),
    ]
}
