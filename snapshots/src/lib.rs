//! The folder of serial evidence: one small snapshot per smoke, `NAME.snap`.
//!
//! It is a package only because cargo-insta looks for snapshots inside packages: `cargo insta review` finds the pending ones
//! here. Invariant: it never holds code, and no program ever depends on it.
#![no_std]
#![forbid(unsafe_code)]
