//! A server whose every byte the test chooses, and what it sees of the client.

use std::net::Ipv4Addr;

use net_config::dhcp4::{Client, Probing};
use net_config::{Hop, Keys, Kind, MAX_SENT, Refusal, Taken};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{ArpPacket, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr};
use units::Nanoseconds;

pub const HARDWARE: [u8; 6] = [2, 0, 0, 0, 0, 7];
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 50);

pub const DISCOVER: u8 = 1;
pub const OFFER: u8 = 2;
pub const REQUEST: u8 = 3;
pub const DECLINE: u8 = 4;
pub const ACK: u8 = 5;
pub const NAK: u8 = 6;
pub const RELEASE: u8 = 7;

pub fn secs(seconds: u64) -> Nanoseconds {
    Nanoseconds::from_secs(seconds)
}

pub fn keys() -> Keys {
    Keys {
        stable: [1; 32],
        fresh: [2; 32],
    }
}

/// A message of the client, taken apart by hand.
#[derive(Clone, Debug)]
pub struct Seen {
    pub kind: u8,
    pub transaction: u32,
    pub source: Ipv4Addr,
    pub target: Ipv4Addr,
    pub hop: Hop,
    pub client: Ipv4Addr,
    pub bytes: Vec<u8>,
}

impl Seen {
    pub fn option(&self, code: u8) -> Option<&[u8]> {
        let mut rest = &self.bytes[240..];
        while let [found, length, after @ ..] = rest {
            let (value, after) = after.split_at((*length).into());
            if *found == code {
                return Some(value);
            }
            rest = match after {
                [255, ..] => return None,
                after => after,
            };
        }
        None
    }
}

/// An ARP packet of the client: who it says it is, and whom it asks for.
pub type SeenArp = (Ipv4Addr, Ipv4Addr);

pub struct Bench {
    pub client: Client,
    pub now: Nanoseconds,
    pub arps: Vec<SeenArp>,
}

impl Bench {
    pub fn new(probing: Probing) -> Self {
        Self {
            client: Client::new(HARDWARE, keys(), probing, Nanoseconds::ZERO),
            now: Nanoseconds::ZERO,
            arps: Vec::new(),
        }
    }

    /// One that has been offered nothing yet, and the message that asks for it.
    pub fn discovering() -> (Self, Seen) {
        let mut bench = Self::new(Probing::QUICK);
        let seen = bench.next();
        assert_eq!(seen.kind, DISCOVER);
        (bench, seen)
    }

    /// One that has asked for what was offered, and its request.
    pub fn requesting() -> (Self, Seen) {
        let (mut bench, discover) = Self::discovering();
        assert_eq!(
            bench.give(&Answer::new(OFFER, discover.transaction)),
            Ok(Taken::Yes)
        );
        let seen = bench.next();
        assert_eq!(seen.kind, REQUEST);
        (bench, seen)
    }

    /// One that has a lease of these seconds.
    pub fn bound(seconds: u32) -> Self {
        let (mut bench, request) = Self::requesting();
        let answer = Answer::new(ACK, request.transaction).with(51, &seconds.to_be_bytes());
        assert_eq!(bench.give(&answer), Ok(Taken::Yes));
        bench.run(secs(1));
        assert!(bench.client.lease().is_some());
        bench
    }

    pub fn give(&mut self, answer: &Answer) -> Result<Taken, Refusal> {
        self.client.receive(self.now, &answer.packet())
    }

    /// All that the client sends now.
    pub fn sent(&mut self) -> Vec<Seen> {
        let mut out = [0; MAX_SENT];
        let mut messages = Vec::new();
        for _ in 0..16 {
            let Some(sent) = self.client.poll(self.now, &mut out) else {
                return messages;
            };
            let bytes = &out[..sent.length];
            if sent.kind == Kind::Arp {
                let arp = ArpPacket::new_checked(bytes).unwrap();
                let address = |octets: &[u8]| Ipv4Addr::from(<[u8; 4]>::try_from(octets).unwrap());
                self.arps.push((
                    address(arp.source_protocol_addr()),
                    address(arp.target_protocol_addr()),
                ));
                continue;
            }
            messages.push(seen(bytes, sent.hop));
        }
        panic!("the client does not stop sending");
    }

    /// Lets time pass to the client's deadlines until it sends a message, and gives it.
    pub fn next(&mut self) -> Seen {
        for _ in 0..64 {
            let mut messages = self.sent();
            assert!(messages.len() < 2);
            if let Some(message) = messages.pop() {
                return message;
            }
            let deadline = self.client.deadline();
            assert!(!deadline.is_never());
            self.now = self.now.max(deadline);
        }
        panic!("the client sends nothing");
    }

    /// Lets a span pass, deadline by deadline, and gives what was sent, with when.
    pub fn run(&mut self, span: Nanoseconds) -> Vec<(Nanoseconds, Seen)> {
        let end = self.now.saturating_add(span);
        let mut messages = Vec::new();
        loop {
            let now = self.now;
            messages.extend(self.sent().into_iter().map(|seen| (now, seen)));
            let deadline = self.client.deadline();
            if deadline > end {
                self.now = end;
                return messages;
            }
            self.now = self.now.max(deadline);
        }
    }
}

fn seen(bytes: &[u8], hop: Hop) -> Seen {
    let header = Ipv4Packet::new_checked(bytes).unwrap();
    assert!(header.verify_checksum());
    let (source, target) = (header.src_addr(), header.dst_addr());
    let udp = UdpPacket::new_checked(header.payload()).unwrap();
    assert!(udp.verify_checksum(&source.into(), &target.into()));
    assert_eq!((udp.src_port(), udp.dst_port()), (68, 67));
    let bytes = udp.payload().to_vec();
    let four = |at: usize| <[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap();
    assert_eq!(bytes[..4], [1, 1, 6, 0]);
    assert_eq!(bytes[28..34], HARDWARE);
    let seen = Seen {
        kind: 0,
        transaction: u32::from_be_bytes(four(4)),
        source,
        target,
        hop,
        client: four(12).into(),
        bytes,
    };
    Seen {
        kind: seen.option(53).unwrap()[0],
        ..seen
    }
}

/// A message of the server.
#[derive(Clone)]
pub struct Answer {
    pub source_port: u16,
    pub opcode: u8,
    pub hardware_kind: u8,
    pub transaction: u32,
    pub hardware: [u8; 6],
    pub address: Ipv4Addr,
    pub magic: [u8; 4],
    pub options: Vec<(u8, Vec<u8>)>,
    pub tail: Vec<u8>,
    pub fragment: u16,
    pub break_sum: Option<usize>,
}

impl Answer {
    pub fn new(kind: u8, transaction: u32) -> Self {
        Self {
            source_port: 67,
            opcode: 2,
            hardware_kind: 1,
            transaction,
            hardware: HARDWARE,
            address: ADDRESS,
            magic: [99, 130, 83, 99],
            options: vec![
                (53, vec![kind]),
                (54, SERVER.octets().to_vec()),
                (51, 120u32.to_be_bytes().to_vec()),
                (1, vec![255, 255, 255, 0]),
                (3, SERVER.octets().to_vec()),
                (6, [SERVER.octets(), OTHER.octets()].concat()),
            ],
            tail: vec![255],
            fragment: 0,
            break_sum: None,
        }
    }

    /// The same with another value of an option; an empty one leaves it out.
    pub fn with(mut self, code: u8, value: &[u8]) -> Self {
        self.options.retain(|(found, _)| *found != code);
        if !value.is_empty() {
            self.options.push((code, value.to_vec()));
        }
        self
    }

    pub fn packet(&self) -> Vec<u8> {
        let mut message = vec![0; 240];
        message[..3].copy_from_slice(&[self.opcode, self.hardware_kind, 6]);
        message[4..8].copy_from_slice(&self.transaction.to_be_bytes());
        message[16..20].copy_from_slice(&self.address.octets());
        message[28..34].copy_from_slice(&self.hardware);
        message[236..240].copy_from_slice(&self.magic);
        for (code, value) in &self.options {
            message.extend([*code, value.len() as u8]);
            message.extend(value);
        }
        message.extend(&self.tail);
        let mut packet = udp(self.source_port, &message);
        packet[6..8].copy_from_slice(&self.fragment.to_be_bytes());
        Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
        if let Some(at) = self.break_sum {
            packet[at] ^= 0x40;
        }
        packet
    }
}

fn udp(source_port: u16, message: &[u8]) -> Vec<u8> {
    let sums = ChecksumCapabilities::default();
    let header = Ipv4Repr {
        src_addr: SERVER,
        dst_addr: Ipv4Addr::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: 8 + message.len(),
        hop_limit: 64,
    };
    let mut packet = vec![0; 28 + message.len()];
    header.emit(&mut Ipv4Packet::new_unchecked(&mut packet[..]), &sums);
    let ports = UdpRepr {
        src_port: source_port,
        dst_port: 68,
    };
    ports.emit(
        &mut UdpPacket::new_unchecked(&mut packet[20..]),
        &SERVER.into(),
        &Ipv4Addr::BROADCAST.into(),
        message.len(),
        |payload| payload.copy_from_slice(message),
        &sums,
    );
    packet
}

/// An ARP request of another host: from `sender`, for `target`.
pub fn arp(hardware: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, 1];
    bytes.extend(hardware);
    bytes.extend(sender.octets());
    bytes.extend([0; 6]);
    bytes.extend(target.octets());
    bytes
}
