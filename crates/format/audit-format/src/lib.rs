//! The hardware audit log as data: records, the chain over them, the ring they are kept in, and sealed segments on disk.
//!
//! | module | owns |
//! |---|---|
//! | `record`, `refused` | one event in 64 bytes, the hash chain over records, and which refusals are worth one |
//! | `ring` | the bounded ring that the kernel records into, with its drop counts and clamped reads |
//! | `key` | the segment key: derivation, identifier, seals (HMAC-SHA256, RFC 2104, FIPS 180-4) |
//! | `segment` | a sealed header over up to [`SEGMENT_RECORDS`] records: encoding and verification |
//! | `region` | the place of segments and superblocks on a block device |
//! | `recover` | what of a region is valid, and which rule the rest breaks |
//! | `journal` | appending, in an order that survives a crash at any point |
//!
//! Everything on disk and in a record is little-endian. `docs/audit.md` has the field tables.
//!
//! Invariant: this crate never grants or decides anything, never waits for a reader, and never takes a field of a
//! segment as true before the seal that covers it has matched. Recording never allocates and never formats.
//!
//! What a seal cannot show: a whole region that was put back to an earlier state is as valid as it was then.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
mod journal;
mod key;
mod record;
mod recover;
mod refused;
mod region;
mod ring;
mod rule;
mod segment;
#[cfg(test)]
mod tests;

pub use error::{Error, Refused};
pub use journal::{Batch, Journal};
pub use key::{INSTALLATION_BYTES, Key, KeyId, Secret};
pub use record::{Chain, Event, KINDS, Kind, NO_FUNCTION, RECORD_BYTES, Record, TEARDOWN_STEPS};
pub use recover::{Recovery, recover};
pub use refused::concerns_authority;
pub use region::{
    CELL_BYTES, FIRST_SLOT_CELL, Geometry, PARTITION_TYPE, Region, SLOT_CELLS, Superblock,
};
pub use ring::{Ahead, Counters, Folded, Link, Ring, Window};
pub use rule::Rule;
pub use segment::{Digest, HEADER_BYTES, Header, Marker, SEGMENT_RECORDS};
