//! How a host learns its addresses, routes and name servers, as state machines that take packets and the time, and give
//! packets and what was learnt.
//!
//! Owns: a client of DHCPv4 ([`dhcp4`]); and of IPv6 ([`ipv6`]) the addresses, the look for duplicates, what routers
//! advertise, a client of DHCPv6 ([`dhcp6`]) and the MTU of paths. Headers are read and written by `smoltcp::wire`.
//!
//! Invariant: this crate never panics on what arrives, never holds more than its types' sizes, never reads a clock or
//! makes up a random number: both come from the caller. What is not believed changes no state and is counted under the
//! name of a [`Refusal`].
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod dhcp4;
pub mod dhcp6;
pub mod ipv6;
mod packet;
mod random;
mod refusal;

pub use packet::{Buffer, Hop, Kind, MAX_SENT, Sent};
pub use random::Keys;
pub use refusal::{Counters, Refusal};

/// An Ethernet address.
pub type LinkAddress = [u8; 6];

/// What became of a packet that was shown to a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It is about something else: go on with it.
    NotMine,
    /// It was understood; ask for packets and for what was learnt.
    Yes,
    /// A packet that claims to be ours is said to be too big: look whether it was, and then [`ipv6::Host::believe`] it.
    TooBig(ipv6::TooBig),
}
