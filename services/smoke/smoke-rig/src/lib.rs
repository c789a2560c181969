//! Devices brought up by hand, for smokes and benchmarks that drive one without a provider.
//!
//! Owns the way from a claim to a queue that works ([`nvme`], [`direct`], [`virtio`], [`virtqueue`]), pieces of buffers, and how a command is
//! submitted and waited for. Invariant: it never goes around an interface; whatever it does, it does through the
//! capabilities that the program was granted, and it never states a fact.
#![no_std]

pub mod direct;
mod line;
pub mod nvme;
mod piece;
mod queue;
pub mod virtio;
pub mod virtqueue;

pub use line::wait_for_line;
pub use piece::{handle, into, piece, window};
pub use queue::{POLLED, completed, completion, completions, submit, tried};
pub use smoke::outcome;
