//! How a host learns its addresses, routes and name servers, as state machines that take packets and the time, and give
//! packets and what was learnt.
//!
//! Owns: a client of DHCPv4 ([`dhcp4`]), from discovery over the probe for a foreign address to expiry. Packets of others
//! are read and written by `smoltcp::wire` as far as it goes.
//!
//! Invariant: this crate never panics on what arrives, never holds more than its types' sizes, never reads a clock or
//! makes up a random number: both come from the caller. What is not believed changes no state and is counted under the
//! name of a [`Refusal`].
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod dhcp4;
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
}
