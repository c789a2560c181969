//! Saving against what is not ours.
//!
//! Owns: one suite of cases for every store, a proxy that fails as it is told to, how real servers are started, a bridge
//! that dies, and fakes of the providers that users bring.
//!
//! Invariant: a server that is not there is `untested` and never passes; a case never counts as passed by the word of
//! the code under test alone: what is there is read again by a facet that has seen nothing.
#![forbid(unsafe_code)]

mod cases;
pub mod companion;
pub mod fakes;
mod faults;
pub mod mortal;
mod proxy;
mod queue;
mod races;
mod rig;
pub mod servers;

pub use proxy::{Proxy, Wound};
pub use rig::{Case, Conditions, Length, Maker, Outcome, Rig, Tally, run};

/// Every case, in order.
#[must_use]
pub fn cases(length: Length) -> Vec<Case> {
    let mut all = cases::all();
    all.extend(match length {
        Length::Short => faults::short(),
        Length::Whole => faults::all(),
    });
    all.extend(races::all());
    all.extend(queue::all(length));
    all
}
