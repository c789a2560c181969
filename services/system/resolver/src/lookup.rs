//! One name that is asked for.

use arrayvec::ArrayVec;
use dns_core::{MOST_ADDRESSES, Spelling};
use sdk::net::dns_resolver::{self, Found};
use sdk::{Late, Refusal, UdpSocket, ip};
use units::Nanoseconds;

use crate::parts::{Addresses, Parts};

/// A name, and how far it is.
pub struct Lookup {
    pub late: Late<dns_resolver::call::Lookup>,
    pub name: Spelling,
    pub parts: Parts,
    pub until: Nanoseconds,
    /// Servers that were asked so far, over and over.
    pub tries: usize,
    pub try_until: Nanoseconds,
    /// The socket of this try, and how many datagrams came.
    pub socket: Option<UdpSocket>,
    pub heard: u64,
    /// It wants another server to be asked.
    pub is_idle: bool,
}

impl Lookup {
    /// Tells the client what was found, or why nothing was.
    pub fn end(self, otherwise: Refusal) {
        let (found, refusal) = self.parts.found(otherwise);
        answer(self.late, &found, refusal);
    }
}

/// Answers with addresses; with a refusal where there are none.
pub fn answer(late: Late<dns_resolver::call::Lookup>, found: &Addresses, refusal: Refusal) {
    if found.is_empty() {
        return late.refuse(refusal);
    }
    let octets: ArrayVec<ip::Octets, { 2 * MOST_ADDRESSES }> =
        found.iter().map(|address| ip::octets(*address)).collect();
    let list: ArrayVec<Found<'_>, { 2 * MOST_ADDRESSES }> =
        octets.iter().map(|address| Found { address }).collect();
    late.send(dns_resolver::LookupReply { list: &list });
}
