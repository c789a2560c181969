//! What routers said of the link, each with its end: routers, prefixes, name servers.

use core::net::Ipv6Addr;

use arrayvec::ArrayVec;
use units::Nanoseconds;

use crate::Refusal;

/// No more routers, prefixes or name servers are kept.
pub const MOST_ROUTERS: usize = 4;
/// See [`MOST_ROUTERS`].
pub const MOST_PREFIXES: usize = 8;
/// See [`MOST_ROUTERS`].
pub const MOST_SERVERS: usize = 4;

/// A default router.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Router {
    /// Its link-local address.
    pub address: Ipv6Addr,
    /// RFC 4191: 1 high, 0 medium, -1 low.
    pub preference: i8,
    /// Until when it is one.
    pub until: Nanoseconds,
}

/// A prefix whose addresses are on the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix {
    /// Its bits; those behind are zero.
    pub prefix: Ipv6Addr,
    /// How many count.
    pub length: u8,
    /// Until when.
    pub until: Nanoseconds,
}

/// A name server that a router named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Server {
    /// Its address.
    pub address: Ipv6Addr,
    /// Until when.
    pub until: Nanoseconds,
}

/// All that is known of the link.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub routers: ArrayVec<Router, MOST_ROUTERS>,
    pub prefixes: ArrayVec<Prefix, MOST_PREFIXES>,
    pub servers: ArrayVec<Server, MOST_SERVERS>,
}

/// Puts an entry in place of the one that `is_same` finds, or takes that out if its time is over. Whether the list is another.
fn put<T, const N: usize>(
    list: &mut ArrayVec<T, N>,
    entry: T,
    is_over: impl Fn(&T) -> bool,
    is_same: impl Fn(&T) -> bool,
) -> Result<bool, Refusal> {
    let place = list.iter().position(is_same);
    match (place, is_over(&entry)) {
        (Some(at), true) => {
            list.remove(at);
            Ok(true)
        }
        (Some(at), false) => {
            if let Some(place) = list.get_mut(at) {
                *place = entry;
            }
            Ok(false)
        }
        (None, true) => Ok(false),
        (None, false) => list
            .try_push(entry)
            .map(|()| true)
            .map_err(|_| Refusal::RaFull),
    }
}

impl Link {
    pub(super) fn router(&mut self, router: Router, now: Nanoseconds) -> Result<bool, Refusal> {
        let before = self
            .routers
            .iter()
            .find(|known| known.address == router.address)
            .map(|known| known.preference);
        let changed = put(
            &mut self.routers,
            router,
            |router| router.until.has_passed(now),
            |known| known.address == router.address,
        )?;
        // The best first; among equals who was there first, so that nobody pushes another out by asking last.
        for end in 1..self.routers.len() {
            for at in (1..=end).rev() {
                if self.routers[at - 1].preference < self.routers[at].preference {
                    self.routers.swap(at - 1, at);
                }
            }
        }
        Ok(changed || before.is_some_and(|before| before != router.preference))
    }

    pub(super) fn prefix(&mut self, prefix: Prefix, now: Nanoseconds) -> Result<bool, Refusal> {
        put(
            &mut self.prefixes,
            prefix,
            |prefix| prefix.until.has_passed(now),
            |known| known.prefix == prefix.prefix && known.length == prefix.length,
        )
    }

    pub(super) fn server(&mut self, server: Server, now: Nanoseconds) -> Result<bool, Refusal> {
        put(
            &mut self.servers,
            server,
            |server| server.until.has_passed(now),
            |known| known.address == server.address,
        )
    }

    /// Takes out what is over; how much that was.
    pub(super) fn advance(&mut self, now: Nanoseconds) -> u64 {
        let count = |link: &Self| link.routers.len() + link.prefixes.len() + link.servers.len();
        let before = count(self);
        self.routers.retain(|router| !router.until.has_passed(now));
        self.prefixes.retain(|prefix| !prefix.until.has_passed(now));
        self.servers.retain(|server| !server.until.has_passed(now));
        (before - count(self)) as u64
    }

    pub(super) fn deadline(&self) -> Nanoseconds {
        let routers = self.routers.iter().map(|router| router.until);
        let prefixes = self.prefixes.iter().map(|prefix| prefix.until);
        let servers = self.servers.iter().map(|server| server.until);
        routers
            .chain(prefixes)
            .chain(servers)
            .min()
            .unwrap_or(Nanoseconds::NEVER)
    }
}
