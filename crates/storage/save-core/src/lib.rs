//! What an application saves, over any store that can write under a condition.
//!
//! Owns: the meaning of [`SaveStore`] (put, get, append, read, list, history), the envelope of a record, the chain over
//! versions, what a provider may not do unnoticed, and [`Memory`], a store that fails as it is told to.
//!
//! Invariant: a store is never written without a condition; a method never takes a tenant or a profile, which are the
//! facet's ([`Facet`]); what is answered as saved is never lost by a fault that the caller may meet, nor saved twice;
//! what was loaded is never given out before its envelope, its place and its chain were compared.
//!
//! The sums of records are no signatures: who can write to the store can make them anew. What has been seen once
//! cannot be changed, taken back or removed unnoticed all the same, since [`Anchors`] remember it on this side.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod anchors;
mod backend;
mod canary;
mod envelope;
mod facet;
mod governor;
mod ledger;
mod limits;
mod memory;
mod name;
mod offline;
mod quota;
mod refusal;
mod remote;
mod uplink;
pub mod wire;

pub use anchors::{Anchor, Anchors};
pub use backend::{Backend, Condition, Fault, Listed, Loaded, Pair, Token};
pub use canary::{Untrusted, canary};
pub use envelope::{Digest, ENVELOPE_BYTES, Envelope, RECENT};
pub use facet::{Expect, Facet, Page, Record, RetryKey, SaveStore, Writer};
pub use governor::{Allowance, Clock, Governor};
pub use limits::{Info, Limits};
pub use memory::{Hit, Memory, Strike};
pub use name::{Group, Key, Kind, LedgerName, Name, Profile, Scope, Slot, Tenant};
pub use offline::{Offline, Step};
pub use quota::{Bounds, Quota};
pub use refusal::Refusal;
pub use remote::{Remote, Seen, Wire, serve};
pub use uplink::Uplink;
