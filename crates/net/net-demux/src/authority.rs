//! Who may listen where and reach whom: values that only ever become narrower.

use core::net::IpAddr;

use sabotage::sabotage;

use crate::key::{Endpoint, Protocol, is_host};

/// A narrower authority was asked for that is not narrower.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wider;

/// A range of addresses: those that share the first bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// The addresses that share the first `length` bits with this one; `None` if an address has fewer.
    #[must_use]
    pub const fn new(address: IpAddr, length: u8) -> Option<Self> {
        let most = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if length > most {
            return None;
        }
        Some(Self { address, length })
    }

    /// One address alone.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        let length = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Self { address, length }
    }

    /// Whether an address is one of them. None is of another family.
    #[must_use]
    pub fn covers(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let mask = u32::MAX
                    .checked_shl(32 - u32::from(self.length))
                    .unwrap_or(0);
                (u32::from(own) ^ u32::from(other)) & mask == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.length))
                    .unwrap_or(0);
                (u128::from(own) ^ u128::from(other)) & mask == 0
            }
            _ => false,
        }
    }

    fn holds(&self, other: &Self) -> bool {
        self.length <= other.length && self.covers(other.address)
    }
}

/// A range of ports, both ends in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ports {
    first: u16,
    last: u16,
}

impl Ports {
    const fn covers(&self, port: u16) -> bool {
        self.first <= port && port <= self.last && port != 0
    }

    /// Whether the other is a range within.
    const fn holds(&self, other: &Self) -> bool {
        self.first <= other.first && other.first <= other.last && other.last <= self.last
    }
}

/// The authority to take what comes to ports.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    protocol: Protocol,
    ports: Ports,
    local: Option<IpAddr>,
}

impl Listen {
    /// For these ports, both ends in, at every local address: what a manifest grants.
    #[must_use]
    pub const fn new(protocol: Protocol, first: u16, last: u16) -> Self {
        Self {
            protocol,
            ports: Ports { first, last },
            local: None,
        }
    }

    /// A narrower one, for ports within.
    ///
    /// # Errors
    /// The ports are not within.
    pub fn ports(self, first: u16, last: u16) -> Result<Self, Wider> {
        let ports = Ports { first, last };
        if !self.ports.holds(&ports) && !sabotage!(NET_WIDEN_PORTS) {
            return Err(Wider);
        }
        Ok(Self { ports, ..self })
    }

    /// A narrower one, for one local address.
    ///
    /// # Errors
    /// It is for another one alone already.
    pub fn at(self, local: IpAddr) -> Result<Self, Wider> {
        if self.local.is_some_and(|own| own != local) || !is_host(local) {
            return Err(Wider);
        }
        Ok(Self {
            local: Some(local),
            ..self
        })
    }

    /// Whether it covers a local end. One for an address alone does not cover any address.
    #[must_use]
    pub fn covers(&self, protocol: Protocol, local: Endpoint) -> bool {
        let is_port = self.ports.covers(local.port) || sabotage!(NET_LISTEN_ANYWHERE);
        self.protocol == protocol && is_port && self.local.is_none_or(|own| own == local.address)
    }
}

/// The authority to reach others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Connect {
    protocol: Protocol,
    to: Prefix,
    ports: Ports,
}

impl Connect {
    /// For these addresses and ports, both ends in: what a manifest grants.
    #[must_use]
    pub const fn new(protocol: Protocol, to: Prefix, first: u16, last: u16) -> Self {
        Self {
            protocol,
            to,
            ports: Ports { first, last },
        }
    }

    /// A narrower one, for addresses within.
    ///
    /// # Errors
    /// The addresses are not within.
    pub fn to(self, to: Prefix) -> Result<Self, Wider> {
        if !self.to.holds(&to) && !sabotage!(NET_WIDEN_PREFIX) {
            return Err(Wider);
        }
        Ok(Self { to, ..self })
    }

    /// A narrower one, for ports within.
    ///
    /// # Errors
    /// The ports are not within.
    pub fn ports(self, first: u16, last: u16) -> Result<Self, Wider> {
        let ports = Ports { first, last };
        if !self.ports.holds(&ports) && !sabotage!(NET_WIDEN_PORTS) {
            return Err(Wider);
        }
        Ok(Self { ports, ..self })
    }

    /// Whether it covers a remote end.
    #[must_use]
    pub fn covers(&self, protocol: Protocol, remote: Endpoint) -> bool {
        let is_there = self.to.covers(remote.address) || sabotage!(NET_CONNECT_ANYWHERE);
        self.protocol == protocol && is_there && self.ports.covers(remote.port)
    }
}
