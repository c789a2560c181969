//! From what `net-config` learnt to the interface, and its packets onto the link.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};

use net_config::{Buffer, Hop, Kind, MAX_SENT, Sent, dhcp4, ipv6};
use smoltcp::iface::{Route, SocketSet};
use smoltcp::socket::raw;
use smoltcp::wire::{EthernetAddress, EthernetProtocol, IpCidr};
use units::Nanoseconds;

use crate::applied::{NEIGHBOUR, Waiting};
use crate::stack::{Stack, instant};
use crate::wire::Wire;

/// Addresses that the interface has places for (smoltcp's `iface-max-addr-count-8`). With one of IPv4 beside all that
/// `net-config` may learn, the last is left out.
const MOST: usize = 8;
/// So long a packet of configuration waits for that.
const PATIENCE: Nanoseconds = Nanoseconds::from_secs(3);

impl Stack {
    /// The client of DHCPv4.
    #[must_use]
    pub const fn dhcp(&self) -> &dhcp4::Client {
        &self.dhcp
    }

    /// IPv6 on the link.
    #[must_use]
    pub const fn host(&self) -> &ipv6::Host {
        &self.host
    }

    /// Goes up whenever addresses, routes or name servers are others than before.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.applied.changes
    }

    /// Sends what the machines of `net-config` ask for, and tells the interface what they learnt.
    pub(crate) fn configure(&mut self, now: Nanoseconds) {
        let mut buffer: Buffer = [0; MAX_SENT];
        while self.out.has_room() && self.dhcp.deadline().has_passed(now) {
            let Some(sent) = self.dhcp.poll(now, &mut buffer) else {
                break;
            };
            self.put_on_link(now, &sent, &buffer);
        }
        while self.out.has_room() && self.host.deadline().has_passed(now) {
            let Some(sent) = self.host.poll(now, &mut buffer) else {
                break;
            };
            self.put_on_link(now, &sent, &buffer);
        }
        if let Some(mut waiting) = self
            .applied
            .waiting
            .take_if(|waiting| waiting.again_at.has_passed(now))
        {
            let packet = waiting.buffer.get(..waiting.sent.length);
            let is_sent = self.send_by_route(now, packet.unwrap_or_default());
            if !is_sent && !waiting.until.has_passed(now) {
                waiting.again_at = now.saturating_add(NEIGHBOUR);
                self.applied.waiting = Some(waiting);
            }
        }
        let (dhcp, host) = (Some(self.dhcp.changes()), Some(self.host.changes()));
        if (self.applied.dhcp, self.applied.host) != (dhcp, host) {
            (self.applied.dhcp, self.applied.host) = (dhcp, host);
            self.applied.changes += 1;
            self.apply(now);
        }
    }

    /// An address that is only looked for must not be given to the interface, which would answer for it.
    fn apply(&mut self, now: Nanoseconds) {
        let lease = self.dhcp.lease();
        let host = &self.host;
        let ready = host.addresses(now).filter(|address| {
            use ipv6::Standing::{Deprecated, Preferred};
            matches!(address.standing, Preferred | Deprecated)
        });
        let first = lease.map(|lease| IpCidr::new(lease.address.into(), lease.prefix));
        let others = ready.map(|address| IpCidr::new(address.address.into(), address.prefix));
        let all: Vec<IpCidr> = first.into_iter().chain(others).take(MOST).collect();
        // What is the same stays: being told anything, the interface forgets its neighbours.
        if all != self.interface.ip_addrs() {
            self.interface.update_ip_addrs(|addresses| {
                addresses.clear();
                for address in &all {
                    let _ = addresses.push(*address);
                }
            });
        }
        self.interface.routes_mut().update(|routes| {
            routes.clear();
            let stated = lease.into_iter().flat_map(|lease| lease.routes.iter());
            for route in stated.filter(|route| !route.router.is_unspecified()) {
                let cidr = IpCidr::new(route.target.into(), route.prefix);
                let _ = routes.push(route_by(cidr, route.router.into()));
            }
            for router in host.routers() {
                let everything = IpCidr::new(core::net::Ipv6Addr::UNSPECIFIED.into(), 0);
                let _ = routes.push(route_by(everything, router.address.into()));
            }
        });
    }

    fn put_on_link(&mut self, now: Nanoseconds, sent: &Sent, buffer: &Buffer) {
        let kind = match sent.kind {
            Kind::Arp => EthernetProtocol::Arp,
            Kind::Ipv4 => EthernetProtocol::Ipv4,
            Kind::Ipv6 => EthernetProtocol::Ipv6,
        };
        let packet = buffer.get(..sent.length).unwrap_or_default();
        let target = match sent.hop {
            Hop::Broadcast => EthernetAddress::BROADCAST,
            Hop::Group(group) => {
                let [.., a, b, c, d] = group.octets();
                EthernetAddress([0x33, 0x33, a, b, c, d])
            }
            Hop::Host(_) => {
                if !self.send_by_route(now, packet) {
                    self.applied.waiting = Some(Waiting {
                        sent: *sent,
                        buffer: *buffer,
                        again_at: now.saturating_add(NEIGHBOUR),
                        until: now.saturating_add(PATIENCE),
                    });
                }
                return;
            }
        };
        self.out
            .packet((self.hardware, target), kind, packet.len(), |to| {
                to.copy_from_slice(packet);
            });
    }

    /// When a packet whose next hop was not known is tried again.
    pub(crate) fn waiting_until(&self) -> Nanoseconds {
        let waiting = self.applied.waiting.as_ref();
        waiting.map_or(Nanoseconds::NEVER, |waiting| waiting.again_at)
    }

    /// Sends a packet to whoever is on the way to its target. Where that neighbour is not known it is asked for, and `false` is
    /// given: the packet is not kept, and whoever sends it sends it again.
    pub(crate) fn send_by_route(&mut self, now: Nanoseconds, packet: &[u8]) -> bool {
        let mut storage = [0; crate::MAX_FRAME];
        let Some(place) = storage.get_mut(..packet.len()) else {
            return false;
        };
        let mut metadata = [raw::PacketMetadata::EMPTY];
        let mut none = [];
        let mut nothing = [];
        let mut socket = raw::Socket::new(
            None,
            None,
            raw::PacketBuffer::new(&mut none[..], &mut nothing[..]),
            raw::PacketBuffer::new(&mut metadata[..], place),
        );
        if socket.send_slice(packet).is_err() {
            return false;
        }
        let mut storage = [smoltcp::iface::SocketStorage::EMPTY];
        let mut set = SocketSet::new(&mut storage[..]);
        let handle = set.add(socket);
        let mut wire = Wire {
            arrived: None,
            out: &mut self.out,
        };
        self.interface
            .poll_egress(instant(now), &mut wire, &mut set);
        set.get::<raw::Socket<'_>>(handle).send_queue() == 0
    }

    /// The address of ours from which somebody is reached; `None` if there is none that is good for it.
    #[must_use]
    pub fn source(&self, target: IpAddr) -> Option<IpAddr> {
        match target {
            IpAddr::V4(target) => {
                let source = self.interface.get_source_address_ipv4(&target)?;
                Some(source.into())
            }
            IpAddr::V6(target) if target.is_unspecified() => None,
            IpAddr::V6(target) => {
                let source = self.interface.get_source_address_ipv6(&target);
                (!source.is_loopback() && !source.is_unspecified()).then_some(source.into())
            }
        }
    }

    /// Whether a packet to this address is for us alone.
    pub(crate) fn is_own(&self, address: IpAddr) -> bool {
        self.interface.has_ip_addr(address)
    }

    /// Whether this IPv4 address is that of everybody on the link.
    pub(crate) fn is_broadcast(&self, address: Ipv4Addr) -> bool {
        address.is_broadcast()
            || self.dhcp.lease().is_some_and(|lease| {
                let host = u32::MAX.checked_shr(lease.prefix.into()).unwrap_or(0);
                u32::from(lease.address) | host == u32::from(address)
            })
    }
}

const fn route_by(cidr: IpCidr, router: smoltcp::wire::IpAddress) -> Route {
    Route {
        cidr,
        via_router: router,
        preferred_until: None,
        expires_at: None,
    }
}
