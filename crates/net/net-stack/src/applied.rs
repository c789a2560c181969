//! What the interface was told.

use net_config::{Buffer, Sent};
use units::Nanoseconds;

/// How often it is looked whether a neighbour has answered; smoltcp asks it once a second.
pub(crate) const NEIGHBOUR: Nanoseconds = Nanoseconds::from_millis(20);

/// What the interface was told last.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) dhcp: Option<u64>,
    pub(crate) host: Option<u64>,
    /// How often it was told something.
    pub changes: u64,
    /// A packet whose next hop is not known.
    pub(crate) waiting: Option<Waiting>,
}

/// A packet whose next hop is asked for: when it is tried again, and until when.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) sent: Sent,
    pub(crate) buffer: Buffer,
    pub(crate) again_at: Nanoseconds,
    pub(crate) until: Nanoseconds,
}
