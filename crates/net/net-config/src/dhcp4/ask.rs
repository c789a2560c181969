//! What the client does on its own: time that passes, and the messages it sends.

use core::net::Ipv4Addr;

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress,
};
use units::Nanoseconds;

use super::answer::option;
use super::{
    CLIENT_PORT, Client, FIRST_WAIT_SECS, Farewell, LONGEST_WAIT_SECS, Lease, Probing, RENEW_LEAST,
    RENEW_WAIT, REQUESTS, SERVER_PORT, State,
};
use crate::packet::{MAX_MESSAGE, Route, send_udp4};
use crate::{Buffer, Hop, Kind, Sent};

/// What is asked for.
const PARAMETERS: &[u8] = &[
    option::MASK,
    option::ROUTERS,
    option::SERVERS,
    option::MTU,
    option::T1,
    option::T2,
    option::CLASSLESS_ROUTES,
];
/// RFC 2131 section 2: what a client is prepared to take, and every link carries.
const MAX_ANSWER: u16 = 576;

impl Client {
    /// Goes on to the state that the time demands.
    pub(super) fn advance(&mut self, now: Nanoseconds) {
        loop {
            let state = core::mem::replace(&mut self.state, State::Released);
            let (state, again) = self.step(now, state);
            self.state = state;
            if !again {
                return;
            }
        }
    }

    /// One step, and whether another may follow. Each leads on, and only expiry leads back: to a wait.
    fn step(&mut self, now: Nanoseconds, state: State) -> (State, bool) {
        match state {
            State::Waiting { until } if until.has_passed(now) => {
                self.transaction = self.random.draw32();
                self.began = now;
                (State::Selecting { due: now, tries: 0 }, false)
            }
            State::Requesting { due, tries, .. } if tries >= REQUESTS && due.has_passed(now) => {
                (State::Waiting { until: now }, true)
            }
            State::Probing { lease, .. } if lease.expires_at.has_passed(now) => {
                (State::Waiting { until: now }, true)
            }
            State::Probing { lease, sent, due }
                if sent >= self.probing.probes && due.has_passed(now) =>
            {
                self.changes += 1;
                (State::Bound { lease, announce: 1 }, true)
            }
            State::Bound { lease, .. } if lease.renew_at.has_passed(now) => {
                self.transaction = self.random.draw32();
                self.began = now;
                (State::Renewing { lease, due: now }, true)
            }
            State::Renewing { lease, .. } if lease.rebind_at.has_passed(now) => {
                (State::Rebinding { lease, due: now }, true)
            }
            State::Rebinding { lease, .. } if lease.expires_at.has_passed(now) => {
                self.changes += 1;
                (State::Waiting { until: now }, true)
            }
            state => (state, false),
        }
    }

    /// Sends what the state has due.
    pub(super) fn ask(&mut self, now: Nanoseconds, out: &mut Buffer) -> Option<Sent> {
        let probing = self.probing;
        let mut wait = |tries: u8| {
            let seconds = (FIRST_WAIT_SECS << tries.min(4)).min(LONGEST_WAIT_SECS);
            let spread = self.random.up_to(Nanoseconds::from_secs(2));
            now.saturating_add(Nanoseconds::from_secs(seconds - 1))
                .saturating_add(spread)
        };
        let message = match &mut self.state {
            State::Selecting { due, tries } if due.has_passed(now) => {
                *due = wait(*tries);
                *tries = tries.saturating_add(1);
                Ask::Discover
            }
            State::Requesting { offer, due, tries } if due.has_passed(now) => {
                *due = wait(*tries);
                *tries = tries.saturating_add(1);
                self.asked = now;
                Ask::Request(offer.clone())
            }
            State::Probing { lease, sent, due }
                if *sent < probing.probes && due.has_passed(now) =>
            {
                *sent += 1;
                *due = now.saturating_add(after_probe(probing, *sent));
                Ask::Arp(Ipv4Addr::UNSPECIFIED, lease.address)
            }
            State::Bound { lease, announce } if *announce > 0 => {
                *announce -= 1;
                Ask::Arp(lease.address, lease.address)
            }
            State::Renewing { lease, due } if due.has_passed(now) => {
                *due = now.saturating_add(renew_wait(lease.rebind_at.since(now)));
                self.asked = now;
                Ask::Extend(lease.address, Some(lease.server))
            }
            State::Rebinding { lease, due } if due.has_passed(now) => {
                *due = now.saturating_add(renew_wait(lease.expires_at.since(now)));
                self.asked = now;
                Ask::Extend(lease.address, None)
            }
            _ => return None,
        };
        self.send(now, &message, out)
    }

    fn send(&self, now: Nanoseconds, ask: &Ask, out: &mut Buffer) -> Option<Sent> {
        let mut message = self.message(now);
        let mut route = Route {
            source: Ipv4Addr::UNSPECIFIED,
            target: Ipv4Addr::BROADCAST,
            ports: (CLIENT_PORT, SERVER_PORT),
            hop: Hop::Broadcast,
        };
        match ask {
            Ask::Arp(sender, target) => return self.arp(*sender, *target, out),
            Ask::Discover => message.message_type = DhcpMessageType::Discover,
            Ask::Request(offer) => {
                message.requested_ip = Some(offer.address);
                message.server_identifier = Some(offer.server);
            }
            // RFC 2131 section 4.3.2: neither option, and the address as one's own.
            Ask::Extend(address, server) => {
                message.client_ip = *address;
                route.source = *address;
                if let Some(server) = server {
                    (route.target, route.hop) = (*server, Hop::Host((*server).into()));
                }
            }
        }
        encode(&message, &route, out)
    }

    /// Says that an address is not taken, or is taken no more.
    pub(super) fn send_farewell(
        &mut self,
        now: Nanoseconds,
        farewell: Farewell,
        out: &mut Buffer,
    ) -> Option<Sent> {
        self.transaction = self.random.draw32();
        let mut message = self.message(now);
        message.secs = 0;
        message.parameter_request_list = None;
        message.max_size = None;
        let mut route = Route {
            source: Ipv4Addr::UNSPECIFIED,
            target: Ipv4Addr::BROADCAST,
            ports: (CLIENT_PORT, SERVER_PORT),
            hop: Hop::Broadcast,
        };
        match farewell {
            // RFC 2131 section 4.4.4: a refusal is said to all, a return to the server.
            Farewell::Decline { address, server } => {
                message.message_type = DhcpMessageType::Decline;
                message.requested_ip = Some(address);
                message.server_identifier = Some(server);
            }
            Farewell::Release { address, server } => {
                message.message_type = DhcpMessageType::Release;
                message.client_ip = address;
                message.server_identifier = Some(server);
                (route.source, route.target) = (address, server);
                route.hop = Hop::Host(server.into());
            }
        }
        encode(&message, &route, out)
    }

    fn message(&self, now: Nanoseconds) -> DhcpRepr<'static> {
        let seconds = now.since(self.began).as_u64() / Nanoseconds::from_secs(1).as_u64();
        DhcpRepr {
            message_type: DhcpMessageType::Request,
            transaction_id: self.transaction,
            secs: seconds.min(u16::MAX.into()) as u16,
            client_hardware_address: EthernetAddress(self.hardware),
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: Ipv4Addr::UNSPECIFIED,
            server_ip: Ipv4Addr::UNSPECIFIED,
            router: None,
            subnet_mask: None,
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: None,
            client_identifier: Some(EthernetAddress(self.hardware)),
            server_identifier: None,
            parameter_request_list: Some(PARAMETERS),
            dns_servers: None,
            max_size: Some(MAX_ANSWER),
            lease_duration: None,
            renew_duration: None,
            rebind_duration: None,
            additional_options: &[],
        }
    }

    /// A probe, or an announcement where sender and target are the same: RFC 5227 sections 2.1.1 and 2.3.
    fn arp(&self, sender: Ipv4Addr, target: Ipv4Addr, out: &mut Buffer) -> Option<Sent> {
        let packet = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: EthernetAddress(self.hardware),
            source_protocol_addr: sender,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: target,
        };
        let length = packet.buffer_len();
        packet.emit(&mut ArpPacket::new_unchecked(out.get_mut(..length)?));
        Some(Sent {
            kind: Kind::Arp,
            hop: Hop::Broadcast,
            length,
        })
    }
}

/// What goes out.
enum Ask {
    Discover,
    Request(Lease),
    Extend(Ipv4Addr, Option<Ipv4Addr>),
    Arp(Ipv4Addr, Ipv4Addr),
}

fn after_probe(probing: Probing, sent: u8) -> Nanoseconds {
    if sent < probing.probes {
        probing.between
    } else {
        probing.after
    }
}

/// RFC 2131 section 4.4.5, and quarters where the lease is short.
fn renew_wait(left: Nanoseconds) -> Nanoseconds {
    let half = Nanoseconds::new(left.as_u64() / 2);
    let quarter = Nanoseconds::new(left.as_u64() / 4);
    half.max(RENEW_WAIT.min(quarter)).max(RENEW_LEAST)
}

fn encode(message: &DhcpRepr<'_>, route: &Route<Ipv4Addr>, out: &mut Buffer) -> Option<Sent> {
    let mut bytes = [0; MAX_MESSAGE];
    // RFC 1542 section 2.1: no message is shorter than 300 bytes.
    let length = message.buffer_len().max(300);
    let body = bytes.get_mut(..length)?;
    message
        .emit(&mut DhcpPacket::new_unchecked(&mut *body))
        .ok()?;
    send_udp4(out, route, body)
}
