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
    Ip6Header = "ip6-header": "The IPv6 header is cut off or contradicts itself.",
    Icmp6Checksum = "icmp6-checksum": "The ICMPv6 sum is wrong.",
    Icmp6Short = "icmp6-short": "The ICMPv6 message is shorter than its type demands.",
    NdHopLimit = "nd-hop-limit": "The message of neighbour discovery went through a router.",
    NdCode = "nd-code": "The message of neighbour discovery has a code other than 0.",
    NdFragment = "nd-fragment": "The message of neighbour discovery came in a fragment.",
    NdOption = "nd-option": "An option of neighbour discovery has no length, or leaves the message.",
    NdOptionMany = "nd-option-many": "The message of neighbour discovery has more options than are looked at.",
    NsTarget = "ns-target": "A solicitation or advertisement is about an address that is none of one host.",
    NsSource = "ns-source": "A solicitation from nobody is not sent to the target's group, or names a link address.",
    NaFlags = "na-flags": "An advertisement to a group says that it was solicited.",
    RaSource = "ra-source": "The router advertisement does not come from a link-local address.",
    RaOption = "ra-option": "An option of the router advertisement has a length that it cannot have.",
    RaPrefix = "ra-prefix": "The prefix is link-local, of a group, or longer than an address.",
    RaPrefixLength = "ra-prefix-length": "The prefix is for addresses of one's own, and not 64 bits long.",
    RaLifetimes = "ra-lifetimes": "The prefix is to be preferred for longer than it is valid.",
    RaShortened = "ra-shortened": "The rest of a valid lifetime was to be cut below two hours.",
    RaMtu = "ra-mtu": "The MTU is below 1280 or above what the link can do.",
    RaFull = "ra-full": "There are more routers, prefixes, addresses or name servers than are kept.",
    RaDns = "ra-dns": "The name server is none that a host can have.",
    D6Port = "dhcp6-port": "The answer does not come from the port of DHCPv6 servers.",
    D6Source = "dhcp6-source": "The answer does not come from a link-local address.",
    D6Header = "dhcp6-header": "The DHCPv6 message is cut off.",
    D6Type = "dhcp6-type": "The message is of no type that answers what was asked.",
    D6Transaction = "dhcp6-transaction": "The answer belongs to another transaction, or nothing was asked.",
    D6Option = "dhcp6-option": "An option leaves the message, stands twice, or has a length that it cannot have.",
    D6Oversized = "dhcp6-oversized": "An option, or the list of them, is longer than is looked at.",
    D6Client = "dhcp6-client": "The answer names another client, or none.",
    D6Server = "dhcp6-server": "The answer names another server than was asked, or none.",
    D6Association = "dhcp6-association": "The answer is about another identity association.",
    D6Times = "dhcp6-times": "T1 is later than T2.",
    D6Lifetimes = "dhcp6-lifetimes": "The address is to be preferred for longer than it is valid.",
    D6Address = "dhcp6-address": "The address is none that a host can have.",
    D6NoAddress = "dhcp6-no-address": "The server has no address for us.",
    D6Status = "dhcp6-status": "The server refused.",
    PtbSmall = "ptb-small": "A packet is said to be too big for an MTU below 1280.",
    PtbGrows = "ptb-grows": "The MTU that is said to be too small is not smaller than what is in use.",
    PtbQuote = "ptb-quote": "What is said to be too big is no packet of ours.",
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
