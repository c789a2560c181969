//! Neighbours, routers and servers whose every byte the test chooses, and what they see of the host.

use std::net::Ipv6Addr;

use net_config::ipv6::{Address, Host, Origin, Standing};
use net_config::{Hop, Keys, Kind, MAX_SENT, Refusal, Taken};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv6Packet, IpProtocol, Ipv6Packet, Ipv6Repr, UdpPacket, UdpRepr};
use units::Nanoseconds;

pub const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 7];
pub const IDENTIFIER: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 7];
pub const IDENTITY: [u8; 4] = [0, 0, 0, 7];
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
pub const OTHER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
pub const PREFIX: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0);
pub const GIVEN: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100);
pub const NAMES: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x53);

pub const ALL: u8 = 0xc0;

pub fn secs(seconds: u64) -> Nanoseconds {
    Nanoseconds::from_secs(seconds)
}

pub fn keys() -> Keys {
    Keys {
        stable: [1; 32],
        fresh: [2; 32],
    }
}

/// A packet of the host.
#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Nanoseconds,
    pub source: Ipv6Addr,
    pub target: Ipv6Addr,
    pub hop_limit: u8,
    pub body: Vec<u8>,
    pub is_udp: bool,
}

impl Seen {
    /// The type of ICMPv6, or of DHCPv6 and 256.
    pub fn kind(&self) -> u16 {
        if self.is_udp {
            256 + u16::from(self.body[8])
        } else {
            self.body[0].into()
        }
    }

    pub fn transaction(&self) -> [u8; 3] {
        self.body[9..12].try_into().unwrap()
    }

    /// An option of DHCPv6.
    pub fn option(&self, code: u16) -> Option<&[u8]> {
        let mut rest = &self.body[12..];
        while rest.len() >= 4 {
            let [found, length] = [0, 2].map(|at| u16::from_be_bytes([rest[at], rest[at + 1]]));
            let (value, after) = rest[4..].split_at(length.into());
            if found == code {
                return Some(value);
            }
            rest = after;
        }
        None
    }
}

pub const ROUTER_SOLICITATION: u16 = 133;
pub const SOLICITATION: u16 = 135;
pub const SOLICIT: u16 = 256 + 1;
pub const REQUEST: u16 = 256 + 3;
pub const RENEW: u16 = 256 + 5;
pub const REBIND: u16 = 256 + 6;
pub const RELEASE: u16 = 256 + 8;
pub const DECLINE: u16 = 256 + 9;
pub const INFORMATION_REQUEST: u16 = 256 + 11;

pub struct Bench {
    pub host: Host,
    pub now: Nanoseconds,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            host: Host::new(HARDWARE, 1500, keys(), Nanoseconds::ZERO),
            now: Nanoseconds::ZERO,
        }
    }

    /// One whose link-local address is ready, and that has asked for routers.
    pub fn ready() -> Self {
        let mut bench = Self::new();
        bench.until(ROUTER_SOLICITATION);
        bench
    }

    /// One that was told to ask for an address, and its message that looks for servers.
    pub fn soliciting() -> (Self, Seen) {
        let mut bench = Self::ready();
        bench.advertise(&Advertisement::new(0x80)).unwrap();
        let seen = bench.until(SOLICIT);
        (bench, seen)
    }

    /// One that has asked a server for an address, and its request.
    pub fn requesting() -> (Self, Seen) {
        let (mut bench, solicit) = Self::soliciting();
        let _ = bench.give(&Answer::new(2, solicit.transaction())).unwrap();
        let seen = bench.until(REQUEST);
        (bench, seen)
    }

    /// One that has an address for these lifetimes, looked for.
    pub fn bound(preferred: u32, valid: u32) -> Self {
        let (mut bench, request) = Self::requesting();
        let mut answer = Answer::new(7, request.transaction());
        answer.address = Some((GIVEN, preferred, valid));
        let _ = bench.give(&answer).unwrap();
        bench.run(secs(2));
        assert_eq!(
            bench.of(Origin::Dhcp).unwrap().standing,
            Standing::Preferred
        );
        bench
    }

    pub fn of(&self, origin: Origin) -> Option<Address> {
        self.host
            .addresses(self.now)
            .find(|address| address.origin == origin)
    }

    pub fn sent(&mut self) -> Vec<Seen> {
        let mut out = [0; MAX_SENT];
        let mut packets = Vec::new();
        for _ in 0..32 {
            let Some(sent) = self.host.poll(self.now, &mut out) else {
                return packets;
            };
            assert_eq!(sent.kind, Kind::Ipv6);
            packets.push(seen(&out[..sent.length], sent.hop, self.now));
        }
        panic!("the host does not stop sending");
    }

    pub fn run(&mut self, span: Nanoseconds) -> Vec<Seen> {
        let end = self.now.saturating_add(span);
        let mut packets = Vec::new();
        for _ in 0..10_000 {
            packets.extend(self.sent());
            let deadline = self.host.deadline();
            if deadline > end {
                self.now = end;
                return packets;
            }
            self.now = self.now.max(deadline);
        }
        panic!("the host does not come to rest");
    }

    /// Lets time pass until the host sends a packet of a kind.
    pub fn until(&mut self, kind: u16) -> Seen {
        for _ in 0..1000 {
            if let Some(found) = self.sent().into_iter().find(|seen| seen.kind() == kind) {
                return found;
            }
            let deadline = self.host.deadline();
            assert!(!deadline.is_never(), "nothing is due before {kind}");
            self.now = self.now.max(deadline);
        }
        panic!("the host never sends {kind}");
    }

    pub fn take(&mut self, packet: &[u8]) -> Result<Taken, Refusal> {
        self.host.receive(self.now, packet)
    }

    pub fn advertise(&mut self, advertisement: &Advertisement) -> Result<(), Refusal> {
        self.take(&advertisement.packet())
            .map(|taken| assert_eq!(taken, Taken::Yes))
    }

    pub fn give(&mut self, answer: &Answer) -> Result<Taken, Refusal> {
        self.take(&answer.packet())
    }

    pub fn count(&self, refusal: Refusal) -> u64 {
        self.host.counters().of(refusal)
    }
}

fn seen(bytes: &[u8], hop: Hop, at: Nanoseconds) -> Seen {
    let header = Ipv6Packet::new_checked(bytes).unwrap();
    let (source, target) = (header.src_addr(), header.dst_addr());
    assert_eq!(hop, Hop::Group(target));
    let body = header.payload().to_vec();
    let is_udp = header.next_header() == IpProtocol::Udp;
    if is_udp {
        let udp = UdpPacket::new_checked(&body[..]).unwrap();
        assert!(udp.verify_checksum(&source.into(), &target.into()));
        assert_eq!((udp.src_port(), udp.dst_port()), (546, 547));
    } else {
        assert!(
            Icmpv6Packet::new_checked(&body[..])
                .unwrap()
                .verify_checksum(&source, &target)
        );
    }
    Seen {
        at,
        source,
        target,
        hop_limit: header.hop_limit(),
        body,
        is_udp,
    }
}

fn header(
    source: Ipv6Addr,
    target: Ipv6Addr,
    protocol: IpProtocol,
    hop_limit: u8,
    bytes: usize,
) -> Vec<u8> {
    let mut packet = vec![0; 40 + bytes];
    let repr = Ipv6Repr {
        src_addr: source,
        dst_addr: target,
        next_header: protocol,
        payload_len: bytes,
        hop_limit,
    };
    repr.emit(&mut Ipv6Packet::new_unchecked(&mut packet[..]));
    packet
}

pub fn icmp(source: Ipv6Addr, target: Ipv6Addr, hop_limit: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = header(source, target, IpProtocol::Icmpv6, hop_limit, body.len());
    packet[40..].copy_from_slice(body);
    Icmpv6Packet::new_unchecked(&mut packet[40..]).fill_checksum(&source, &target);
    packet
}

pub fn udp(source: Ipv6Addr, port: u16, message: &[u8]) -> Vec<u8> {
    let mut packet = header(source, ALL_NODES, IpProtocol::Udp, 64, 8 + message.len());
    let ports = UdpRepr {
        src_port: port,
        dst_port: 546,
    };
    ports.emit(
        &mut UdpPacket::new_unchecked(&mut packet[40..]),
        &source.into(),
        &ALL_NODES.into(),
        message.len(),
        |payload| payload.copy_from_slice(message),
        &ChecksumCapabilities::default(),
    );
    packet
}

/// A router advertisement.
#[derive(Clone)]
pub struct Advertisement {
    pub source: Ipv6Addr,
    pub hops: u8,
    pub code: u8,
    pub flags: u8,
    pub lifetime: u16,
    pub options: Vec<u8>,
}

impl Advertisement {
    pub fn new(flags: u8) -> Self {
        Self {
            source: ROUTER,
            hops: 255,
            code: 0,
            flags,
            lifetime: 1800,
            options: Vec::new(),
        }
    }

    pub fn with(mut self, option: &[u8]) -> Self {
        self.options.extend(option);
        self
    }

    pub fn prefix(self, prefix: Ipv6Addr, valid: u32, preferred: u32) -> Self {
        self.with(&prefix_option(prefix, 64, ALL, valid, preferred))
    }

    pub fn packet(&self) -> Vec<u8> {
        let lifetime = self.lifetime.to_be_bytes();
        let mut body = vec![
            134,
            self.code,
            0,
            0,
            61,
            self.flags,
            lifetime[0],
            lifetime[1],
        ];
        body.extend([0; 8]);
        body.extend(&self.options);
        icmp(self.source, ALL_NODES, self.hops, &body)
    }
}

pub fn prefix_option(
    prefix: Ipv6Addr,
    length: u8,
    flags: u8,
    valid: u32,
    preferred: u32,
) -> Vec<u8> {
    let mut option = vec![3, 4, length, flags];
    option.extend(valid.to_be_bytes());
    option.extend(preferred.to_be_bytes());
    option.extend([0; 4]);
    option.extend(prefix.octets());
    option
}

pub fn server_option(lifetime: u32, servers: &[Ipv6Addr]) -> Vec<u8> {
    let mut option = vec![25, 1 + 2 * servers.len() as u8, 0, 0];
    option.extend(lifetime.to_be_bytes());
    servers
        .iter()
        .for_each(|server| option.extend(server.octets()));
    option
}

pub fn mtu_option(mtu: u32) -> Vec<u8> {
    let mut option = vec![5, 1, 0, 0];
    option.extend(mtu.to_be_bytes());
    option
}

/// Another host that looks for an address.
pub fn wanted(target: Ipv6Addr, options: &[u8]) -> Vec<u8> {
    let mut body = vec![135, 0, 0, 0, 0, 0, 0, 0];
    body.extend(target.octets());
    body.extend(options);
    icmp(Ipv6Addr::UNSPECIFIED, group(target), 255, &body)
}

/// Another host that says it has an address.
pub fn had(target: Ipv6Addr, flags: u8) -> Vec<u8> {
    let mut body = vec![136, 0, 0, 0, flags, 0, 0, 0];
    body.extend(target.octets());
    icmp(target, ALL_NODES, 255, &body)
}

pub fn group(address: Ipv6Addr) -> Ipv6Addr {
    let low = address.octets();
    let last = u16::from_be_bytes([low[14], low[15]]);
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(low[13]), last)
}

/// A message of a DHCPv6 server.
#[derive(Clone)]
pub struct Answer {
    pub source: Ipv6Addr,
    pub port: u16,
    pub kind: u8,
    pub transaction: [u8; 3],
    pub client: Option<Vec<u8>>,
    pub server: Option<Vec<u8>>,
    pub identity: [u8; 4],
    pub times: (u32, u32),
    pub address: Option<(Ipv6Addr, u32, u32)>,
    pub status: u16,
    pub has_association: bool,
    pub more: Vec<u8>,
}

pub const SERVER: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 1];
pub const RIVAL: [u8; 10] = [0, 3, 0, 1, 2, 0, 0, 0, 0, 2];

impl Answer {
    pub fn new(kind: u8, transaction: [u8; 3]) -> Self {
        Self {
            source: ROUTER,
            port: 547,
            kind,
            transaction,
            client: Some(IDENTIFIER.to_vec()),
            server: Some(SERVER.to_vec()),
            identity: IDENTITY,
            times: (0, 0),
            address: Some((GIVEN, 100, 120)),
            status: 0,
            has_association: true,
            more: option(23, &NAMES.octets()),
        }
    }

    pub fn packet(&self) -> Vec<u8> {
        let mut message = vec![self.kind];
        message.extend(self.transaction);
        for (code, value) in [(1, &self.client), (2, &self.server)] {
            if let Some(value) = value {
                message.extend(option(code, value));
            }
        }
        let mut association = self.identity.to_vec();
        association.extend(self.times.0.to_be_bytes());
        association.extend(self.times.1.to_be_bytes());
        if let Some((address, preferred, valid)) = self.address {
            let mut given = address.octets().to_vec();
            given.extend(preferred.to_be_bytes());
            given.extend(valid.to_be_bytes());
            association.extend(option(5, &given));
        }
        if self.status != 0 {
            association.extend(option(13, &self.status.to_be_bytes()));
        }
        if self.has_association {
            message.extend(option(3, &association));
        }
        message.extend(&self.more);
        udp(self.source, self.port, &message)
    }
}

pub fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = code.to_be_bytes().to_vec();
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes
}
