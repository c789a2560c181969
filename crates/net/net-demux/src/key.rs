//! Ends, and what a socket is found by.

use core::hash::Hasher;
use core::net::IpAddr;

use siphasher::sip::SipHasher13;

/// The protocols with ports.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

impl Endpoint {
    /// Whether a host can be reached there: neither nobody, nor a group, nor an address that stands for another's.
    pub(crate) fn is_host(&self) -> bool {
        self.port != 0 && is_host(self.address)
    }
}

pub(crate) fn is_host(address: IpAddr) -> bool {
    let is_wrong = match address {
        IpAddr::V4(address) => address.is_broadcast() || address.octets()[0] == 0,
        IpAddr::V6(address) => address.to_ipv4_mapped().is_some(),
    };
    !(is_wrong || address.is_unspecified() || address.is_multicast())
}

/// What a socket is found by. Without a remote end it takes what comes from anywhere; with an unspecified local address what
/// goes to any of that family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    pub protocol: Protocol,
    pub local: Endpoint,
    pub remote: Option<Endpoint>,
}

impl Key {
    /// The same for strangers, who know the sizes but not the hash's key.
    pub(crate) fn hash(&self, secret: &[u8; 16]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(secret);
        hasher.write_u8(match self.protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        });
        write(&mut hasher, &self.local);
        if let Some(remote) = &self.remote {
            write(&mut hasher, remote);
        }
        hasher.finish()
    }
}

fn write(hasher: &mut SipHasher13, end: &Endpoint) {
    match end.address {
        IpAddr::V4(address) => hasher.write(&address.octets()),
        IpAddr::V6(address) => hasher.write(&address.octets()),
    }
    hasher.write_u16(end.port);
}
