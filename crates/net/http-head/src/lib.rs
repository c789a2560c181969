//! What a request of HTTP/1.1 asks for, and whether it may; and what an answer says of itself.
//!
//! Owns: the head of a request ([`parse`]), more strictly than RFC 9112 demands, since whatever two readers understand
//! differently is a way around one of them; bodies in chunks ([`Chunks`]); whether a request is for this site and comes from
//! it ([`Site`]); the head of an answer ([`answer`]); sessions with their tokens against forged requests ([`Sessions`]).
//!
//! Invariant: this crate never panics on what arrives, never allocates, never looks at more than its limits, and never tells
//! by the time it takes how much of a secret was right. Every refusal has a name and a status.
#![no_std]
#![forbid(unsafe_code)]

mod answer;
mod chunk;
mod head;
mod refusal;
mod session;
mod site;
mod target;

pub use answer::{Answer, answer};
pub use chunk::{Chunks, Piece};
pub use head::{Body, Head, Limits, MOST_HEADERS, Method, Parsed, parse};
pub use refusal::Refusal;
pub use session::{COOKIE, ID_BYTES, Opened, Secret, Sessions};
pub use site::{Purpose, Site};
