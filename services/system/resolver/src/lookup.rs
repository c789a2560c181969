//! One name that is asked for.

use core::net::IpAddr;

use arrayvec::ArrayVec;
use dns_core::{Answer, Asked, Kind, MOST_ADDRESSES, Refusal as NoAnswer, Spelling};
use sdk::net::dns_resolver::{self, Families, Found};
use sdk::{Late, Refusal, UdpSocket, ip};
use units::Nanoseconds;

/// Addresses of both kinds.
pub type Addresses = ArrayVec<IpAddr, { 2 * MOST_ADDRESSES }>;

/// A name, and how far it is.
pub struct Lookup {
    pub late: Late<dns_resolver::call::Lookup>,
    pub name: Spelling,
    /// What is asked for, and what of it was answered.
    pub parts: [Option<Part>; 2],
    pub until: Nanoseconds,
    /// Servers that were asked so far, over and over.
    pub tries: usize,
    pub try_until: Nanoseconds,
    /// The socket of this try, and how many datagrams came.
    pub socket: Option<UdpSocket>,
    pub heard: u64,
    /// A server said that it does not want to.
    pub was_refused: bool,
    /// It wants another server to be asked.
    pub is_idle: bool,
}

/// One kind of address.
pub struct Part {
    pub kind: Kind,
    pub asked: Option<Asked>,
    pub answer: Option<Answer>,
}

/// The kinds that a client asks for, IPv6 first.
pub const fn kinds(families: Families) -> [Option<Kind>; 2] {
    match families {
        Families::Any => [Some(Kind::Aaaa), Some(Kind::A)],
        Families::Ipv4 => [Some(Kind::A), None],
        Families::Ipv6 => [Some(Kind::Aaaa), None],
    }
}

impl Lookup {
    /// Whether everything is answered.
    pub fn is_done(&self) -> bool {
        let mut parts = self.parts.iter().flatten();
        parts.all(|part| part.answer.is_some())
    }

    /// Takes a datagram; which kind it answered.
    pub fn take(&mut self, message: &[u8]) -> Option<(Kind, Answer)> {
        for part in self.parts.iter_mut().flatten() {
            let Some(asked) = part.asked.as_ref().filter(|_| part.answer.is_none()) else {
                continue;
            };
            match asked.answer(message) {
                Ok(answer) => {
                    part.answer = Some(answer.clone());
                    return Some((part.kind, answer));
                }
                Err(NoAnswer::Server | NoAnswer::Truncated) => {
                    // This server will not answer: another one may.
                    part.asked = None;
                    self.was_refused = true;
                }
                Err(_) => {}
            }
        }
        None
    }

    /// Whether this server may still answer something.
    pub fn hopes(&self) -> bool {
        let mut parts = self.parts.iter().flatten();
        parts.any(|part| part.answer.is_none() && part.asked.is_some())
    }

    /// Tells the client what was found, or why nothing was.
    pub fn end(self, otherwise: Refusal) {
        let mut found = Addresses::new();
        // That there is nothing is known only once everything is answered.
        let is_done = self.is_done();
        for answer in self
            .parts
            .iter()
            .flatten()
            .filter_map(|part| part.answer.as_ref())
        {
            found.extend(answer.addresses.iter().copied());
        }
        let refusal = match (is_done, self.was_refused) {
            (true, _) => Refusal::NotFound,
            (false, true) => Refusal::Failed,
            (false, false) => otherwise,
        };
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
