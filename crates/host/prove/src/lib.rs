//! Properties of the rules of authority, shown over the production code itself.
//!
//! Owns: three drivers, and for each subject what may be done with it and what must hold. The drivers are
//! [`explore`], which visits every state that a subject can reach, and says how many there were; [`at_random`], which takes
//! long walks at full width; and Kani, for the straight-line [`properties`], where it is installed.
//!
//! A [`Subject`] is a piece of production code beside the least that must be remembered to judge it. States are told apart by
//! *all* that the code holds (its `Debug` output) and all that is remembered; they are made again from the path that led
//! there, because most of the code cannot be copied, on purpose.
//!
//! Invariant: never a copy of the code that it judges; widths and capacities are the code's own parameters. A kind of operation
//! that was never done, or never refused where it says that it can be, fails the run: it would show nothing.
#![forbid(unsafe_code)]

mod explore;
#[cfg(kani)]
mod kani_proofs;
pub mod properties;
mod source;
pub mod subjects;
mod walk;

pub use explore::{Found, Most, Outcome, Subject, each_was_done, explore, explore_in, is_deep};
pub use source::{Source, every_choice, random_choices};
pub use walk::{at_random, at_random_in};
