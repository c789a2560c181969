//! Every state a power cut can leave a volume in, built and judged.
//!
//! Owns: a disk that records what is written and flushed ([`Recorder`]), workloads with a model of what they mean
//! ([`work`]), the enumerator of crash states ([`crash`]), faults ([`faults`]), and what is tried ([`suites`]). Invariant: what happens depends on the
//! arguments alone, and a state is never called good by the code that made it: the model is a plain map of names to
//! bytes.
//!
//! The disk model: a write is in a cache until a flush; a power cut keeps any subset of the cached writes, and of the
//! newest one and of roots any set of 512-byte sectors.
#![forbid(unsafe_code)]

pub mod crash;
mod disk;
pub mod faults;
pub mod recorded;
pub mod suites;
pub mod work;

pub use disk::{Event, Fault, Image, Recorder, View};
