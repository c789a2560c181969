//! What the stack knows of its network, and echoes.

use core::net::{IpAddr, Ipv6Addr};

use net_config::{dhcp4, ipv6};
use net_stack::Echo;
use sdk::alloc::vec::Vec;
use sdk::ip::{self, Octets};
use sdk::net::icmp_echo;
use sdk::net::network_manager::{
    self, Address, Counter, NameServer, Origin, Phase, Route, Standing, StatusReply,
};
use sdk::{Answered, Call, Refusal, Reply};
use units::Nanoseconds;

use crate::server::Server;
use crate::words::refusal;

/// Calls that wait for a change.
const MOST_WATCHERS: usize = 8;
/// An echo may take so long.
const PATIENCE: Nanoseconds = Nanoseconds::from_secs(60);

const fn phase(phase: dhcp4::Phase) -> Phase {
    match phase {
        dhcp4::Phase::Waiting => Phase::Waiting,
        dhcp4::Phase::Selecting => Phase::Selecting,
        dhcp4::Phase::Requesting => Phase::Requesting,
        dhcp4::Phase::Probing => Phase::Probing,
        dhcp4::Phase::Bound => Phase::Bound,
        dhcp4::Phase::Renewing => Phase::Renewing,
        dhcp4::Phase::Rebinding => Phase::Rebinding,
        dhcp4::Phase::Released => Phase::Released,
    }
}

const fn origin(origin: ipv6::Origin) -> Origin {
    match origin {
        ipv6::Origin::LinkLocal => Origin::LinkLocal,
        ipv6::Origin::Advertised => Origin::Advertised,
        ipv6::Origin::Dhcp => Origin::Dhcp,
    }
}

const fn standing(standing: ipv6::Standing) -> Standing {
    match standing {
        ipv6::Standing::Tentative => Standing::Tentative,
        ipv6::Standing::Duplicate => Standing::Duplicate,
        ipv6::Standing::Deprecated => Standing::Deprecated,
        ipv6::Standing::Preferred => Standing::Preferred,
    }
}

/// One line of the table of routes: whereto, by way of whom.
type Line = (Octets, u8, Octets);

impl Server<'_> {
    fn all_routes(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        if let Some(lease) = self.stack.dhcp().lease() {
            let own = ip::octets(IpAddr::from(lease.address));
            lines.push((own, lease.prefix, Octets::default()));
            for route in &lease.routes {
                let router = if route.router.is_unspecified() {
                    Octets::default()
                } else {
                    ip::octets(IpAddr::from(route.router))
                };
                lines.push((ip::octets(IpAddr::from(route.target)), route.prefix, router));
            }
        }
        let host = self.stack.host();
        for prefix in host.prefixes() {
            let target = ip::octets(IpAddr::from(prefix.prefix));
            lines.push((target, prefix.length, Octets::default()));
        }
        for router in host.routers() {
            let everything = ip::octets(IpAddr::from(Ipv6Addr::UNSPECIFIED));
            lines.push((everything, 0, ip::octets(IpAddr::from(router.address))));
        }
        lines
    }

    fn all_counters(&self) -> Vec<(&'static str, u64)> {
        let configured = [
            self.stack.dhcp().counters().seen().collect::<Vec<_>>(),
            self.stack.host().counters().seen().collect(),
        ];
        let mut all: Vec<(&'static str, u64)> = Vec::new();
        for (refusal, times) in configured.into_iter().flatten() {
            match all.iter_mut().find(|(name, _)| *name == refusal.name()) {
                Some((_, sum)) => *sum += times,
                None => all.push((refusal.name(), times)),
            }
        }
        let own = self.stack.counts().seen();
        all.extend(own.map(|(count, times)| (count.name(), times)));
        all
    }

    /// Tells those who wait for a change.
    pub(crate) fn answer_watchers(&mut self) {
        let changes = self.stack.changes();
        while let Some((_, known)) = self.watching.front()
            && *known != changes
            && let Some((late, _)) = self.watching.pop_front()
        {
            late.send(network_manager::WatchReply { changes });
        }
    }

    /// Tells those whose echo has ended.
    pub(crate) fn answer_echoes(&mut self) {
        while let Some(echoed) = self.stack.echoed() {
            let Some(late) = self.echoing.remove(&echoed.owner) else {
                continue;
            };
            match echoed.outcome {
                Ok((took, hop_limit)) => late.send(icmp_echo::EchoReply {
                    took_ns: took.as_u64(),
                    hop_limit,
                }),
                Err(why) => late.refuse(refusal(why)),
            }
        }
    }
}

impl<'c> network_manager::Server<Call<'c>> for Server<'_> {
    fn status(&mut self, reply: Reply<Call<'c>, network_manager::call::Status>) -> Answered {
        let lease = self.stack.dhcp().lease();
        let own = lease.map(|lease| ip::octets(IpAddr::from(lease.address)));
        let server = lease.map(|lease| ip::octets(IpAddr::from(lease.server)));
        let time = |at: Option<Nanoseconds>| at.unwrap_or(Nanoseconds::NEVER).as_u64();
        let (received, transmitted) = self.stack.traffic();
        let (hardware, mtu) = self.stack.interface();
        let [a, b, c, d, e, f] = hardware;
        reply.send(StatusReply {
            mac: u64::from_be_bytes([0, 0, a, b, c, d, e, f]),
            mtu,
            phase: phase(self.stack.dhcp().phase()),
            address: &own.unwrap_or_default(),
            prefix_bits: lease.map_or(0, |lease| lease.prefix),
            server: &server.unwrap_or_default(),
            renew_ns: time(lease.map(|lease| lease.renew_at)),
            rebind_ns: time(lease.map(|lease| lease.rebind_at)),
            expires_ns: time(lease.map(|lease| lease.expires_at)),
            changes: self.stack.changes(),
            received,
            transmitted,
            sockets: self.stack.sockets(),
            sessions: self.sessions,
            ipv6_supported: true,
        })
    }

    fn addresses(&mut self, reply: Reply<Call<'c>, network_manager::call::Addresses>) -> Answered {
        let all: Vec<_> = self.stack.host().addresses(self.now).collect();
        let own = self.stack.dhcp().lease();
        reply.send_with(network_manager::fill_addresses(|results| {
            results.list(all.len() + usize::from(own.is_some()), |list| {
                if let Some(lease) = own {
                    list.push(&Address {
                        address: &lease.address.octets(),
                        prefix_bits: lease.prefix,
                        origin: Origin::Dhcp,
                        standing: Standing::Preferred,
                        preferred_ns: lease.expires_at.as_u64(),
                        valid_ns: lease.expires_at.as_u64(),
                    })?;
                }
                all.iter().try_for_each(|one| {
                    list.push(&Address {
                        address: &one.address.octets(),
                        prefix_bits: one.prefix,
                        origin: origin(one.origin),
                        standing: standing(one.standing),
                        preferred_ns: one.preferred_until.as_u64(),
                        valid_ns: one.valid_until.as_u64(),
                    })
                })
            })
        }))
    }

    fn routes(&mut self, reply: Reply<Call<'c>, network_manager::call::Routes>) -> Answered {
        let all = self.all_routes();
        reply.send_with(network_manager::fill_routes(|results| {
            results.list(all.len(), |list| {
                all.iter().try_for_each(|(target, prefix_bits, router)| {
                    list.push(&Route {
                        target,
                        prefix_bits: *prefix_bits,
                        router,
                    })
                })
            })
        }))
    }

    fn servers(&mut self, reply: Reply<Call<'c>, network_manager::call::Servers>) -> Answered {
        let lease = self.stack.dhcp().lease();
        let by_lease = lease.into_iter().flat_map(|lease| lease.servers.iter());
        let by_lease = by_lease.map(|server| ip::octets(IpAddr::from(*server)));
        let others = self.stack.host().servers();
        let all: Vec<Octets> = by_lease
            .chain(others.map(|server| ip::octets(IpAddr::from(server))))
            .collect();
        reply.send_with(network_manager::fill_servers(|results| {
            results.list(all.len(), |list| {
                all.iter()
                    .try_for_each(|address| list.push(&NameServer { address }))
            })
        }))
    }

    fn counters(&mut self, reply: Reply<Call<'c>, network_manager::call::Counters>) -> Answered {
        let all = self.all_counters();
        reply.send_with(network_manager::fill_counters(|results| {
            results.list(all.len(), |list| {
                all.iter().try_for_each(|(name, times)| {
                    list.push(&Counter {
                        name,
                        times: *times,
                    })
                })
            })
        }))
    }

    fn watch(
        &mut self,
        reply: Reply<Call<'c>, network_manager::call::Watch>,
        changes: u64,
    ) -> Answered {
        let now = self.stack.changes();
        if changes != now {
            return reply.send(network_manager::WatchReply { changes: now });
        }
        if self.watching.len() >= MOST_WATCHERS {
            return reply.refuse(Refusal::Busy);
        }
        let (answered, late) = reply.defer();
        self.watching.push_back((late, changes));
        answered
    }
}

impl<'c> icmp_echo::Server<Call<'c>> for Server<'_> {
    fn echo(
        &mut self,
        reply: Reply<Call<'c>, icmp_echo::call::Echo>,
        target: &[u8],
        bytes: u16,
        timeout_ns: u64,
    ) -> Answered {
        let owner = reply.cookie();
        if self.echoing.contains_key(&owner) {
            return reply.refuse(Refusal::Busy);
        }
        let until = self
            .now
            .saturating_add(Nanoseconds::new(timeout_ns).min(PATIENCE));
        let asked = ip::read_one(target).and_then(|target| {
            let echo = Echo {
                target,
                bytes,
                until,
                owner,
            };
            self.stack.ask_echo(self.now, echo).map_err(refusal)
        });
        match asked {
            Ok(()) => {
                let (answered, late) = reply.defer();
                self.echoing.insert(owner, late);
                answered
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }
}
