//! What becomes of a frame.

use core::net::IpAddr;

use net_config::Taken;
use net_demux::{Arrival, Endpoint, Flags, Ignored, Protocol, Socket, Verdict};
use sabotage::sabotage;
use smoltcp::iface::SocketSet;
use smoltcp::socket::tcp;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpListenEndpoint, IpProtocol, Ipv4Packet,
    Ipv6Packet, TcpPacket, UdpPacket,
};
use units::Nanoseconds;

use crate::count::Count;
use crate::slot::{Part, Slot, tcp_socket};
use crate::stack::{Stack, instant};
use crate::wire::Wire;

/// A packet whose header was looked at.
pub(crate) struct Packet<'a> {
    pub frame: &'a [u8],
    /// Who sent the frame on the link.
    pub neighbour: EthernetAddress,
    pub source: IpAddr,
    pub target: IpAddr,
    pub protocol: IpProtocol,
    pub hop_limit: u8,
    pub body: &'a [u8],
}

impl Packet<'_> {
    /// What arrived, from one port to another.
    fn arrival(&self, protocol: Protocol, (from, to): (u16, u16), flags: Flags) -> Arrival {
        Arrival {
            protocol,
            local: Endpoint {
                address: self.target,
                port: to,
            },
            remote: Endpoint {
                address: self.source,
                port: from,
            },
            flags,
        }
    }
}

impl Stack {
    /// Takes a frame; `Err` says why nothing came of it.
    pub(crate) fn arrive(&mut self, now: Nanoseconds, bytes: &[u8]) -> Result<(), Count> {
        let frame = EthernetFrame::new_checked(bytes).map_err(|_| Count::Short)?;
        let target = frame.dst_addr();
        if !(target == self.hardware || target.is_broadcast() || target.is_multicast()) {
            return Err(Count::NotOurs);
        }
        match frame.ethertype() {
            EthernetProtocol::Arp => {
                // What is wrong with it `net-config` has counted.
                let _ = self.dhcp.receive_arp(now, frame.payload());
                self.show(now, bytes);
                Ok(())
            }
            EthernetProtocol::Ipv4 => self.arrive4(now, bytes, &frame),
            EthernetProtocol::Ipv6 => self.arrive6(now, bytes, &frame),
            EthernetProtocol::Unknown(_) => Err(Count::Type),
        }
    }

    fn arrive4<'a>(
        &mut self,
        now: Nanoseconds,
        bytes: &'a [u8],
        frame: &EthernetFrame<&'a [u8]>,
    ) -> Result<(), Count> {
        match self.dhcp.receive(now, frame.payload()) {
            Ok(Taken::NotMine) => {}
            Ok(_) | Err(_) => return Ok(()),
        }
        let header = Ipv4Packet::new_checked(frame.payload()).map_err(|_| Count::Ip4Header)?;
        if header.version() != 4 || !header.verify_checksum() {
            return Err(Count::Ip4Header);
        }
        if header.more_frags() || header.frag_offset() != 0 {
            return Err(Count::Ip4Fragment);
        }
        let target = header.dst_addr();
        let is_for_all = target.is_multicast() || self.is_broadcast(target);
        if !is_for_all && !self.is_own(target.into()) {
            return Err(Count::NotOurs);
        }
        self.take(
            now,
            &Packet {
                frame: bytes,
                neighbour: frame.src_addr(),
                source: header.src_addr().into(),
                target: target.into(),
                protocol: header.next_header(),
                hop_limit: header.hop_limit(),
                body: header.payload(),
            },
        )
    }

    fn arrive6<'a>(
        &mut self,
        now: Nanoseconds,
        bytes: &'a [u8],
        frame: &EthernetFrame<&'a [u8]>,
    ) -> Result<(), Count> {
        match self.host.receive(now, frame.payload()) {
            Ok(Taken::NotMine) => {}
            // To believe it takes the number of a byte that is on its way, which smoltcp does not tell.
            Ok(Taken::TooBig(_)) => return Err(Count::TooBig),
            Ok(Taken::Yes) | Err(_) => return Ok(()),
        }
        let header = Ipv6Packet::new_checked(frame.payload()).map_err(|_| Count::Ip6Header)?;
        if header.version() != 6 {
            return Err(Count::Ip6Header);
        }
        let target = header.dst_addr();
        if !target.is_multicast() && !self.is_own(target.into()) {
            return Err(Count::NotOurs);
        }
        if header.next_header() == IpProtocol::HopByHop {
            // What asks for groups has one; everything else with one is nobody's.
            if header.payload().first().copied() != Some(u8::from(IpProtocol::Icmpv6)) {
                return Err(Count::Ip6Extension);
            }
            self.show(now, bytes);
            return Ok(());
        }
        self.take(
            now,
            &Packet {
                frame: bytes,
                neighbour: frame.src_addr(),
                source: header.src_addr().into(),
                target: target.into(),
                protocol: header.next_header(),
                hop_limit: header.hop_limit(),
                body: header.payload(),
            },
        )
    }

    fn take(&mut self, now: Nanoseconds, packet: &Packet<'_>) -> Result<(), Count> {
        match packet.protocol {
            IpProtocol::Tcp => self.take_tcp(now, packet),
            IpProtocol::Udp => self.take_udp(now, packet),
            IpProtocol::Icmp => self.take_icmp4(now, packet),
            IpProtocol::Icmpv6 => self.take_icmp6(now, packet),
            _ => Err(Count::Protocol),
        }
    }

    fn take_tcp(&mut self, now: Nanoseconds, packet: &Packet<'_>) -> Result<(), Count> {
        let header = TcpPacket::new_checked(packet.body).map_err(|_| Count::TcpHeader)?;
        let (from, to) = (packet.source.into(), packet.target.into());
        if !header.verify_checksum(&from, &to) && !sabotage!(NET_SKIP_CHECKSUMS) {
            return Err(Count::TcpChecksum);
        }
        let flags = Flags {
            syn: header.syn(),
            ack: header.ack(),
            rst: header.rst(),
            fin: header.fin(),
        };
        let ports = (header.src_port(), header.dst_port());
        let arrival = packet.arrival(Protocol::Tcp, ports, flags);
        self.act(now, packet.frame, &arrival)
    }

    fn take_udp(&mut self, now: Nanoseconds, packet: &Packet<'_>) -> Result<(), Count> {
        let header = UdpPacket::new_checked(packet.body).map_err(|_| Count::UdpHeader)?;
        let (from, to) = (packet.source.into(), packet.target.into());
        // RFC 8200 section 8.1: over IPv6 a sum of zero is no sum.
        let lacks_sum = header.checksum() == 0 && packet.source.is_ipv6();
        if (lacks_sum || !header.verify_checksum(&from, &to)) && !sabotage!(NET_SKIP_CHECKSUMS) {
            return Err(Count::UdpChecksum);
        }
        let ports = (header.src_port(), header.dst_port());
        let arrival = packet.arrival(Protocol::Udp, ports, Flags::default());
        self.act(now, packet.frame, &arrival)
    }

    fn act(&mut self, now: Nanoseconds, frame: &[u8], arrival: &Arrival) -> Result<(), Count> {
        let mut verdict = self.demux.arrive(now, arrival);
        if verdict == Verdict::Ignore(Ignored::Share)
            && let Some(client) = self.demux.listening(arrival.local)
            && self.evict(client)
        {
            verdict = self.demux.arrive(now, arrival);
        }
        match verdict {
            Verdict::Deliver(socket) => self.deliver(now, frame, socket),
            Verdict::Begin(socket, gone) => {
                if let Some(gone) = gone {
                    self.counts.add(Count::GaveWay);
                    self.forget(gone);
                }
                self.begin(now, arrival, socket)?;
                self.deliver(now, frame, socket);
            }
            // smoltcp answers for whoever finds nobody.
            Verdict::Reset | Verdict::Unreachable => self.show(now, frame),
            Verdict::Ignore(ignored) => {
                return Err(match ignored {
                    Ignored::NoHost => Count::NoHost,
                    Ignored::Flags => Count::Flags,
                    Ignored::Reset => Count::Reset,
                    Ignored::Group => Count::Group,
                    Ignored::Backlog => Count::Backlog,
                    Ignored::Share => Count::Share,
                    Ignored::Enough => Count::Enough,
                });
            }
        }
        Ok(())
    }

    /// A stranger begins a connection: its place gets a socket that waits for this SYN alone.
    fn begin(&mut self, now: Nanoseconds, arrival: &Arrival, socket: Socket) -> Result<(), Count> {
        let listener = self.demux.listener_of(socket).ok_or(Count::Share)?;
        let mut tcp = tcp_socket(&self.limits);
        let local = IpListenEndpoint {
            addr: Some(arrival.local.address.into()),
            port: arrival.local.port,
        };
        if tcp.listen(local).is_err() {
            self.close_now(socket);
            return Err(Count::Flags);
        }
        let slot = Slot::new(socket, Part::HalfOpen(listener)).with(prepared(tcp));
        self.put(slot);
        self.watch_handshakes(now);
        Ok(())
    }

    fn deliver(&mut self, now: Nanoseconds, frame: &[u8], socket: Socket) {
        let Some(Some(slot)) = self.slots.get_mut(socket.place() as usize) else {
            return;
        };
        let mut wire = Wire {
            arrived: Some(frame),
            out: &mut self.out,
        };
        let _ = self
            .interface
            .poll_ingress_single(instant(now), &mut wire, &mut slot.set);
        self.mark(socket.place());
        self.settle(now, socket.place());
    }

    /// Shows a frame to the interface alone.
    pub(crate) fn show(&mut self, now: Nanoseconds, frame: &[u8]) {
        let mut wire = Wire {
            arrived: Some(frame),
            out: &mut self.out,
        };
        let nobody: &mut SocketSet<'static> = &mut self.nobody;
        let _ = self
            .interface
            .poll_ingress_single(instant(now), &mut wire, nobody);
    }
}

/// RFC 1122 section 4.2.3.5: what is not acknowledged for so long ends a connection (R2, at least 100 seconds).
const GIVE_UP_SECS: u64 = 120;

/// A connection's socket, as every one begins.
pub(crate) fn prepared(mut tcp: tcp::Socket<'static>) -> tcp::Socket<'static> {
    tcp.set_timeout(Some(smoltcp::time::Duration::from_secs(GIVE_UP_SECS)));
    tcp
}
