//! Save capsules: what a user keeps at a provider of their own.
//!
//! Owns: the format, sealing, and the gates that a capsule passes before anything is restored from it. A capsule is
//! encrypted (XChaCha20-Poly1305 under a key of its own, which is wrapped), signed (Ed25519), counted, and names the
//! one before it. `docs/save-format.md` has the table.
//!
//! Invariant: nothing is restored before every gate was passed, and then in one transaction together with the anchor;
//! a refused capsule changes nothing; this crate never draws a random number, never sees a provider's token and never
//! gives a key away.
//!
//! | module | owns |
//! |---|---|
//! | `frame` | where each field lies |
//! | `keys` | deriving, signing, wrapping |
//! | `seal` | making capsules |
//! | `restore` | the gates and the transaction |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod frame;
mod keys;
mod restore;
mod seal;

pub use frame::{
    Content, Digest, KeyId, MAX_CAPSULE, MAX_PAYLOAD, OVERHEAD, Profile, WRAPPED_BYTES, Wrapped,
};
pub use keys::{KeyWrap, Secret, Signer, SoftwareKeys, Verifier};
pub use restore::{Anchor, Failed, Gates, Refused, Restored, Transaction, restore};
pub use seal::{Dice, Plain, TooLarge, rewrap, seal};
