//! Which socket a packet is for, who may have which port, and who is answered where nobody listens.
//!
//! Owns: the table of sockets by protocol, local and remote end, with one keyed hash and no scan; the authority to listen and
//! to connect, which only ever becomes narrower; the shares of each client in sockets and half-open connections; the bound on
//! answers to strangers.
//!
//! Invariant: never takes more memory than it was made with, never lets a client have a port or reach an address that its
//! authority does not cover, never lets one client's connections push out another's, and never panics, whatever arrives. It
//! reads no clock and holds no packet.
//!
//! ```text
//! packet: 1. both ends      -> that socket                       (established, half open, connected UDP)
//!         2. local end      -> listener or UDP socket there
//!         3. port, any local -> the same
//!         4. nobody         -> RST or port unreachable, as many in a second as were granted; nothing to groups and nobodies
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod answers;
mod arrive;
mod authority;
mod bind;
mod key;
mod table;

pub use answers::Bucket;
pub use arrive::{Arrival, Flags, Ignored, Verdict};
pub use authority::{Connect, Listen, Prefix, Wider};
pub use key::{Endpoint, Protocol};
pub use table::{Client, Demux, Limits, Share, Socket, Standing};

/// Why a client was refused. Whoever asked can cause each of them; nothing was changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The client is gone, or the socket is.
    Stale,
    /// The authority does not cover the port, the address or the protocol.
    NotGranted,
    /// Somebody has that port, or this connection is there already.
    InUse,
    /// The address is none that can be bound or reached.
    Address,
    /// The client has as many sockets as it may.
    Share,
    /// What was promised to clients would be more than there is.
    Promised,
    /// No port is free towards this remote end.
    NoPort,
    /// The socket is of another kind.
    Kind,
}
