//! The rights behind facets, and narrower ones made of them.

use net_demux::{Client, Protocol, Wider};
use sdk::net::{
    tcp_connect_authority, tcp_listen_authority, udp_bind_authority, udp_connect_authority,
};
use sdk::{CapArg, Refusal, ip};

use crate::exports::{Ports, Reach, Right};
use crate::opened::Opened;
use crate::server::Server;

/// Facets of narrower rights that an export may have made of it: whoever holds it cannot use up those of others.
const MOST_NARROWED: usize = 64;

const fn not_granted(_: Wider) -> Refusal {
    Refusal::NotGranted
}

impl Server<'_> {
    /// The right behind a facet, and the export that it was made of.
    pub(crate) fn right(&self, cookie: u64) -> Result<(Right, usize), Refusal> {
        if let Some(Opened::Right(right, export)) = self.opened.get(&cookie) {
            return Ok((*right, *export));
        }
        let number = usize::try_from(cookie).map_err(|_| Refusal::Stale)?;
        let export = self.exports.get(number).ok_or(Refusal::Stale)?;
        Ok((export.right, number))
    }

    fn client(&self, export: usize) -> Result<Client, Refusal> {
        let export = self.exports.get(export).ok_or(Refusal::Stale)?;
        export.client.ok_or(Refusal::WrongKind)
    }

    /// The right to take what comes to ports, and whose sockets it opens.
    pub(crate) fn ports(&self, cookie: u64) -> Result<(Ports, Client), Refusal> {
        match self.right(cookie)? {
            (Right::Ports(ports), export) => Ok((ports, self.client(export)?)),
            _ => Err(Refusal::WrongKind),
        }
    }

    /// The right to reach others, and whose sockets it opens.
    pub(crate) fn reach(&self, cookie: u64) -> Result<(Reach, Client), Refusal> {
        match self.right(cookie)? {
            (Right::Reach(reach), export) => Ok((reach, self.client(export)?)),
            _ => Err(Refusal::WrongKind),
        }
    }

    /// A facet of the right to take less.
    pub(crate) fn narrow_ports(
        &mut self,
        cookie: u64,
        at: &[u8],
        ports: (u16, u16),
    ) -> Result<CapArg, Refusal> {
        let narrow = self.ports(cookie)?.0.narrow(ip::read(at)?, ports);
        let narrow = narrow.map_err(not_granted)?;
        let interface = match narrow.protocol {
            Protocol::Tcp => tcp_listen_authority::INTERFACE_ID,
            Protocol::Udp => udp_bind_authority::INTERFACE_ID,
        };
        self.narrow(cookie, Right::Ports(narrow), interface)
    }

    /// A facet of the right to reach less.
    pub(crate) fn narrow_reach(
        &mut self,
        cookie: u64,
        to: (&[u8], u8),
        ports: (u16, u16),
    ) -> Result<CapArg, Refusal> {
        let prefix = ip::read(to.0)?.map(|address| (address, to.1));
        let narrow = self.reach(cookie)?.0.narrow(prefix, ports);
        let narrow = narrow.map_err(not_granted)?;
        let interface = match narrow.protocol {
            Protocol::Tcp => tcp_connect_authority::INTERFACE_ID,
            Protocol::Udp => udp_connect_authority::INTERFACE_ID,
        };
        self.narrow(cookie, Right::Reach(narrow), interface)
    }

    fn narrow(&mut self, of: u64, right: Right, interface: u64) -> Result<CapArg, Refusal> {
        let (_, number) = self.right(of)?;
        let export = self.exports.get_mut(number).ok_or(Refusal::Stale)?;
        if export.narrowed >= MOST_NARROWED {
            return Err(Refusal::OverBudget);
        }
        export.narrowed += 1;
        let cookie = self.next_cookie();
        self.facet(cookie, interface, Opened::Right(right, number))
    }

    /// A facet of a narrower right has gone.
    pub(crate) fn give_narrowed_back(&mut self, export: usize) {
        if let Some(export) = self.exports.get_mut(export) {
            export.narrowed -= 1;
        }
    }
}
