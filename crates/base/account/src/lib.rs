//! A tree of accounts: who pays for what the kernel holds.
//!
//! Owns the [`Account`]: how much of each [`Kind`] it was given, how much of that it uses, and how much of it it gave on
//! to accounts below. Invariant: an account gives only out of its own. What a child may use is charged to its parent when
//! the child is opened, so the sum over the tree never exceeds what its root was given, and nothing is created or lost.
//! Invariant: an account that has ended pays for nothing new; what it gave no use to is its parent's again at once, and
//! what it still pays for is its parent's as it goes. Charging and giving back take constant time but for the length of
//! a line of ended accounts, and never allocate.
//!
//! CPU time is counted: each account has a sum of its own, and one of what accounts below used that have ended, so that no
//! time is lost with whoever used it. Where an account was given a budget of it, a [`Bucket`] says what is left of the period.
//!
//! A [`Share`] is how much of something its owner lets others use, whoever pays for it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod bucket;
mod charge;
mod meter;
mod pot;
mod share;
mod tree;

pub use bucket::{Bucket, WHOLE_CPU};
pub use charge::Charge;
pub use pot::{KINDS, Kind, Limits};
pub use share::{Part, Share};
pub use tree::{Account, MAX_DEPTH, Opened, Use};
