//! How refusals are named.
//!
//! The ledger speaks the system's one refusal numbering, so that what it decides reaches a program unchanged. In it:
//! `Stale` is an old generation of anything, `Revoked` a claim under teardown, `WrongOwner` a claim or object of another
//! owner or function, `ForeignBuffer` a buffer that this queue may not use, `Busy` something that must end first,
//! `Exhausted` a last generation, `Quarantined` a device that never proved that it stopped.

pub use ring_abi::Refusal;
