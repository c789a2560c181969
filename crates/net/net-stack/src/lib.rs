//! A host on one Ethernet link: frames and the time go in, frames and what sockets have come out.
//!
//! Owns: the order in which a frame is looked at; which of its parts `net-config` (addresses), `net-demux` (whose a packet is) and
//! smoltcp (the protocols) decide; sockets with their buffers; echoes; the counters of what was refused.
//!
//! Each socket lies in a smoltcp `SocketSet` of its own, so that a packet costs the same whatever the count of sockets: the
//! demultiplexer says which one, and nobody gets the empty set, from which smoltcp answers a stranger.
//!
//! ```text
//! receive(frame) -> sums -> net-config -> net-demux -> the socket's set -> smoltcp
//! poll(now)      -> net-config -> sets that are due or changed -> smoltcp -> outgoing frames
//! ```
//!
//! Invariant: never panics on what arrives, never allocates for a packet but one that begins a connection, never holds more than
//! its [`Limits`] say, never takes a place from one client for another, and gives no packet to a socket before its sums are right.
//! It reads no clock.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod applied;
mod arrive;
mod config;
mod count;
mod datagram;
mod due;
mod echo;
mod echoes;
mod slot;
mod stack;
mod stream;
mod trace;
mod wire;

pub use count::{Count, Counts};
pub use datagram::Datagram;
pub use echoes::{Echo, Echoed};
pub use slot::Limits;
pub use stack::{Options, Stack};
pub use stream::{Read, State};
pub use trace::{FILE_HEAD, Taken, Trace};
pub use wire::MAX_FRAME;

/// Why a client was refused. Nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The demultiplexer refused.
    Demux(net_demux::Refusal),
    /// There is no address to reach the remote end from.
    NoAddress,
    /// A position that was given up before, or has not been reached.
    Position,
    /// The connection was refused by its other end, or by a host on the way.
    Refused,
    /// The connection was cut off.
    Reset,
    /// The other end did not answer.
    TimedOut,
    /// This direction was shut down.
    Shut,
    /// As many as there may be are under way.
    Busy,
}

impl From<net_demux::Refusal> for Refusal {
    fn from(refusal: net_demux::Refusal) -> Self {
        Self::Demux(refusal)
    }
}
