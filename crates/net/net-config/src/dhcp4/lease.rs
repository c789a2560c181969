//! What a DHCPv4 server gave, and for how long.

use core::net::Ipv4Addr;

use arrayvec::ArrayVec;
use units::Nanoseconds;

use crate::{Counters, Refusal};

/// No more routers, name servers or routes are kept.
pub const MOST: usize = 4;
/// A lease shorter than this cannot be renewed in time.
const SHORTEST_SECS: u32 = 4;

/// One route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Route {
    /// The network it leads to.
    pub target: Ipv4Addr,
    /// How many bits of it count.
    pub prefix: u8,
    /// By way of whom; 0.0.0.0 says that the network is on the link.
    pub router: Ipv4Addr,
}

/// A lease. Times are points on the caller's clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lease {
    /// The address.
    pub address: Ipv4Addr,
    /// How many of its bits are those of the network.
    pub prefix: u8,
    /// Who gave it.
    pub server: Ipv4Addr,
    /// Routers, the best first.
    pub routers: ArrayVec<Ipv4Addr, MOST>,
    /// Routes: those that were stated (RFC 3442), else the one by way of the first router.
    pub routes: ArrayVec<Route, MOST>,
    /// Name servers, the best first.
    pub servers: ArrayVec<Ipv4Addr, MOST>,
    /// The link's MTU, if it was stated.
    pub mtu: Option<u16>,
    /// T1: from here on its server is asked for more.
    pub renew_at: Nanoseconds,
    /// T2: from here on anybody is.
    pub rebind_at: Nanoseconds,
    /// From here on the address is not ours.
    pub expires_at: Nanoseconds,
}

impl Lease {
    pub(super) const fn empty(address: Ipv4Addr, server: Ipv4Addr) -> Self {
        Self {
            address,
            prefix: 0,
            server,
            routers: ArrayVec::new_const(),
            routes: ArrayVec::new_const(),
            servers: ArrayVec::new_const(),
            mtu: None,
            renew_at: Nanoseconds::NEVER,
            rebind_at: Nanoseconds::NEVER,
            expires_at: Nanoseconds::NEVER,
        }
    }

    /// RFC 2131 section 4.4.5: T1 and T2 are a half and seven eighths of the lease unless the server says otherwise.
    pub(super) fn set_times(
        &mut self,
        asked: Nanoseconds,
        seconds: u32,
        stated: (Option<u32>, Option<u32>),
        counters: &mut Counters,
    ) -> Result<(), Refusal> {
        if seconds == u32::MAX {
            return Ok(());
        }
        if seconds < SHORTEST_SECS {
            return Err(Refusal::D4Lease);
        }
        let usual = (seconds / 2, seconds - seconds / 8);
        let mut times = (stated.0.unwrap_or(usual.0), stated.1.unwrap_or(usual.1));
        if times.0 == 0 || times.0 > times.1 || times.1 > seconds {
            counters.count(Refusal::D4Times);
            times = usual;
        }
        let at = |seconds: u32| asked.saturating_add(Nanoseconds::from_secs(seconds.into()));
        (self.renew_at, self.rebind_at, self.expires_at) = (at(times.0), at(times.1), at(seconds));
        Ok(())
    }
}
