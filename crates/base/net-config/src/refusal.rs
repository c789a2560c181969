//! Why something that arrived was not believed: a name for each reason, and how often it happened.

macro_rules! refusals {
    ($($name:ident = $text:literal: $why:literal,)*) => {
        /// Why a packet, or a part of one, was not believed. Whoever can send to this link can cause each of them.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Refusal {
            $(#[doc = $why] $name,)*
        }

        impl Refusal {
            /// All of them, in the order of the counters.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name, as `net` shows it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// What was wrong, in a sentence.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self {
                    $(Self::$name => $why,)*
                }
            }
        }
    };
}

refusals! {
    Ip4Header = "ip4-header": "The IPv4 header is cut off or contradicts itself.",
    Ip4Checksum = "ip4-checksum": "The IPv4 header's sum is wrong.",
    Ip4Fragment = "ip4-fragment": "The packet is a fragment; configuration fits into one packet.",
    UdpHeader = "udp-header": "The UDP header is cut off or its length is wrong.",
    UdpChecksum = "udp-checksum": "The UDP sum is wrong, or missing where IPv6 demands one.",
    ArpMalformed = "arp-malformed": "The ARP packet is cut off, or not of IPv4 on Ethernet.",
    D4Header = "dhcp4-header": "The DHCPv4 message is cut off, no answer, or not of Ethernet.",
    D4Magic = "dhcp4-magic": "The DHCPv4 magic number is wrong.",
    D4Port = "dhcp4-port": "The answer does not come from the port of DHCPv4 servers.",
    D4Transaction = "dhcp4-transaction": "The answer belongs to another transaction, or nothing was asked.",
    D4Hardware = "dhcp4-hardware": "The answer names another client's hardware address.",
    D4Option = "dhcp4-option": "An option that is needed has a length that it cannot have, or the options have no end.",
    D4Type = "dhcp4-type": "The message is of no type that answers what was asked.",
    D4Server = "dhcp4-server": "The answer names no server, or another than was asked.",
    D4Address = "dhcp4-address": "The address is none that a host can have, or another than was asked for.",
    D4Mask = "dhcp4-mask": "The mask is missing or has holes.",
    D4Lease = "dhcp4-lease": "The lease is missing or shorter than can be renewed.",
    D4Times = "dhcp4-times": "T1 and T2 contradict the lease; the usual fractions are taken in their place.",
    D4Routes = "dhcp4-routes": "A list of routers, servers or routes is malformed or longer than is kept; the rest is left out.",
}

/// How often each [`Refusal`] happened.
#[derive(Clone, Debug)]
pub struct Counters([u64; Refusal::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self([0; Refusal::ALL.len()])
    }
}

impl Counters {
    /// How often one happened.
    #[must_use]
    pub fn of(&self, refusal: Refusal) -> u64 {
        self.0.get(refusal as usize).copied().unwrap_or(0)
    }

    /// Those that happened, with how often.
    pub fn seen(&self) -> impl Iterator<Item = (Refusal, u64)> + '_ {
        Refusal::ALL
            .iter()
            .map(|refusal| (*refusal, self.of(*refusal)))
            .filter(|(_, count)| *count > 0)
    }

    /// Counts one.
    pub(crate) fn count(&mut self, refusal: Refusal) {
        if let Some(count) = self.0.get_mut(refusal as usize) {
            *count = count.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Counters, Refusal};

    #[test]
    fn names_differ_and_every_reason_has_a_counter() {
        let mut counters = Counters::default();
        for (place, refusal) in Refusal::ALL.iter().enumerate() {
            assert_eq!(*refusal as usize, place);
            assert!(refusal.sentence().ends_with('.'));
            let same = Refusal::ALL
                .iter()
                .filter(|other| other.name() == refusal.name());
            assert_eq!(same.count(), 1, "{}", refusal.name());
            counters.count(*refusal);
        }
        assert_eq!(counters.seen().count(), Refusal::ALL.len());
    }
}
