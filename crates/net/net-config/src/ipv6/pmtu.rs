//! How long a packet to somebody may be: RFC 8201.

use core::net::Ipv6Addr;

use arrayvec::ArrayVec;
use units::Nanoseconds;

/// RFC 8200 section 5: what every link carries.
pub const LEAST_MTU: u32 = 1280;
/// RFC 8201 section 5.3: after ten minutes a path is tried anew.
const KEPT: Nanoseconds = Nanoseconds::from_secs(600);
/// No more paths are kept; the one that was learnt first goes.
pub const MOST_PATHS: usize = 32;

/// Somebody on the way says that a packet of ours was too big. It is only believed
/// ([`Host::believe`](super::Host::believe)) once the caller has found the flow that it belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooBig {
    /// What is carried on the way.
    pub mtu: u32,
    /// Our address.
    pub source: Ipv6Addr,
    /// To whom it went.
    pub target: Ipv6Addr,
    /// The protocol that it carried, of the first header.
    pub protocol: u8,
    /// What followed: the ports of TCP or UDP, TCP's sequence number.
    pub first: [u8; 8],
}

#[derive(Clone, Copy, Debug)]
struct Path {
    target: Ipv6Addr,
    mtu: u32,
    until: Nanoseconds,
}

/// The paths that are narrower than the link.
#[derive(Debug, Default)]
pub(super) struct Paths(ArrayVec<Path, MOST_PATHS>);

impl Paths {
    pub(super) fn mtu(&self, target: Ipv6Addr, link: u32, now: Nanoseconds) -> u32 {
        let known = self
            .0
            .iter()
            .find(|path| path.target == target && !path.until.has_passed(now));
        known.map_or(link, |path| path.mtu.min(link))
    }

    pub(super) fn learn(&mut self, target: Ipv6Addr, mtu: u32, now: Nanoseconds) {
        self.0
            .retain(|path| path.target != target && !path.until.has_passed(now));
        if self.0.is_full() {
            self.0.remove(0);
        }
        let until = now.saturating_add(KEPT);
        let _ = self.0.try_push(Path { target, mtu, until });
    }
}
