//! How often something was not done, by name.

macro_rules! counts {
    ($($name:ident = $text:literal: $what:literal,)*) => {
        /// Something that happened to a frame.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(u8)]
        pub enum Count {
            $(#[doc = $what] $name,)*
        }

        impl Count {
            /// All of them, in the order of the counters.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name, as `net` shows it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

counts! {
    Short = "frame-short": "The frame is shorter than its header.",
    Type = "frame-type": "The frame is of a type that is not looked at.",
    NotOurs = "not-ours": "The frame or packet is for another host.",
    Ip4Header = "stack-ip4-header": "The IPv4 header is cut off, contradicts itself, or its sum is wrong.",
    Ip4Fragment = "stack-ip4-fragment": "The packet is a fragment, which are not put together.",
    Ip6Header = "stack-ip6-header": "The IPv6 header is cut off or contradicts itself.",
    Ip6Extension = "stack-ip6-extension": "An extension header stands before anything but ICMPv6.",
    Protocol = "protocol": "The protocol is none of TCP, UDP and ICMP.",
    TcpHeader = "tcp-header": "The TCP header is cut off or contradicts itself.",
    TcpChecksum = "tcp-checksum": "The TCP sum is wrong.",
    UdpHeader = "udp-header-cut": "The UDP header is cut off or its length is wrong.",
    UdpChecksum = "udp-sum": "The UDP sum is wrong, or missing where IPv6 demands one.",
    IcmpHeader = "icmp-header": "The ICMP message is cut off.",
    IcmpChecksum = "icmp-checksum": "The ICMP sum is wrong.",
    NoHost = "source-no-host": "The packet comes from nobody who can be answered.",
    Flags = "tcp-flags": "The flags of TCP contradict each other.",
    Reset = "tcp-stray-reset": "A RST for no connection.",
    Group = "group": "A packet to a group that nobody listens to.",
    Backlog = "backlog": "A connection that its listener has no room for.",
    Share = "share": "A connection for which the client has no socket left.",
    Enough = "answers-enough": "A stranger who was not answered, because enough were.",
    GaveWay = "half-open-gave-way": "A half-open connection that gave way to another.",
    Expired = "half-open-expired": "A half-open connection whose handshake never ended.",
    EchoStray = "echo-stray": "An answer to no echo of ours.",
    TooBig = "too-big": "A packet that is said to be too big, which is not acted upon.",
    NoRoom = "no-room-out": "A frame that was not sent because too many wait.",
}

/// How often each [`Count`] happened.
#[derive(Clone, Debug)]
pub struct Counts([u64; Count::ALL.len()]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; Count::ALL.len()])
    }
}

impl Counts {
    /// How often one happened.
    #[must_use]
    pub fn of(&self, count: Count) -> u64 {
        self.0.get(count as usize).copied().unwrap_or(0)
    }

    /// Those that happened, with how often.
    pub fn seen(&self) -> impl Iterator<Item = (Count, u64)> + '_ {
        let all = Count::ALL.iter().map(|count| (*count, self.of(*count)));
        all.filter(|(_, times)| *times > 0)
    }

    pub(crate) fn add(&mut self, count: Count) {
        if let Some(times) = self.0.get_mut(count as usize) {
            *times = times.saturating_add(1);
        }
    }
}
