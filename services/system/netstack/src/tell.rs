//! What is said on the serial line: leases and addresses as they come and go.

use arrayvec::ArrayVec;
use core::net::Ipv6Addr;
use net_config::ipv6::{self, MOST_ADDRESSES};
use net_stack::{Count, Stack};
use sdk::alloc::string::ToString;
use sdk::fact;
use units::Nanoseconds;

/// What was said last.
#[derive(Default)]
pub struct Told {
    changes: u64,
    lease: Option<(core::net::Ipv4Addr, Nanoseconds)>,
    addresses: ArrayVec<Ipv6Addr, MOST_ADDRESSES>,
    router: Option<Ipv6Addr>,
    /// Whether it was said that an echo of another host was answered, over IPv4 and over IPv6.
    echoed: (bool, bool),
}

impl Told {
    /// Says what is new.
    pub fn tell(&mut self, stack: &Stack, now: Nanoseconds) {
        self.tell_echoes(stack);
        if self.changes == stack.changes() {
            return;
        }
        self.changes = stack.changes();
        self.tell_lease(stack);
        let host = stack.host();
        let is_used = |address: &ipv6::Address| {
            matches!(
                address.standing,
                ipv6::Standing::Preferred | ipv6::Standing::Deprecated
            )
        };
        let used = host.addresses(now).filter(is_used);
        let mut addresses = ArrayVec::new();
        for address in used {
            if !self.addresses.contains(&address.address) {
                let origin = match address.origin {
                    ipv6::Origin::LinkLocal => "link-local",
                    ipv6::Origin::Advertised => "advertised",
                    ipv6::Origin::Dhcp => "dhcp",
                };
                let prefix = address.prefix;
                let address = address.address.to_string();
                fact!("net.ipv6", origin = origin, prefix = prefix, address ~ address.as_str());
            }
            let _ = addresses.try_push(address.address);
        }
        self.addresses = addresses;
        let router = host.routers().first().map(|router| router.address);
        if self.router != router {
            self.router = router;
            let router = router.map_or_else(|| "none".to_string(), |router| router.to_string());
            fact!("net.route6", router ~ router.as_str());
        }
    }

    /// The first echo that a host out there sent and got back: evidence of the whole way, from the interface and back.
    fn tell_echoes(&mut self, stack: &Stack) {
        let malformed = || {
            let counts = stack.counts();
            counts.of(Count::IcmpHeader) + counts.of(Count::IcmpChecksum)
        };
        let answered = stack.answered_echoes();
        if answered.0 > 0 && !self.echoed.0 {
            self.echoed.0 = true;
            fact!("icmp-echo-reply-real-nic-datapath", malformed_dropped ~ malformed());
        }
        if answered.1 > 0 && !self.echoed.1 {
            self.echoed.1 = true;
            fact!("ipv6-real-nic-datapath", malformed_dropped ~ malformed());
        }
    }

    fn tell_lease(&mut self, stack: &Stack) {
        let lease = stack.dhcp().lease();
        let known = lease.map(|lease| (lease.address, lease.expires_at));
        if self.lease == known {
            return;
        }
        let is_renewed =
            matches!((self.lease, known), (Some(before), Some(now)) if before.0 == now.0);
        self.lease = known;
        match lease {
            None => fact!("net.dhcp", lease = "lost"),
            Some(lease) if is_renewed => {
                fact!("net.dhcp", lease = "renewed", expires ~ lease.expires_at.as_u64());
            }
            Some(lease) => {
                let router = lease.routers.first();
                let router = router.map_or_else(|| "none".to_string(), ToString::to_string);
                let server = lease.servers.first();
                let server = server.map_or_else(|| "none".to_string(), ToString::to_string);
                fact!(
                    "net.dhcp",
                    lease = "bound",
                    address = lease.address.to_string().as_str(),
                    prefix = lease.prefix,
                    router = router.as_str(),
                    dns = server.as_str(),
                    expires ~ lease.expires_at.as_u64(),
                );
            }
        }
    }
}
