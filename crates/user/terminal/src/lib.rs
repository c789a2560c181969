//! What the services on the serial line share: output gathered into large writes, a prompt with line editing, the words
//! for what was refused, the processes, and the end of the log.
//!
//! Owns how a program talks with a person on a serial line. Invariant: it never does what its user's grants do not say,
//! and nothing that another process says reaches the terminal unfiltered through it.
#![no_std]
#![forbid(unsafe_code)]

mod announce;
mod failure;
mod held;
mod log;
pub mod processes;
mod progress;
mod prompt;
mod terminal;

pub use announce::Size;
pub use failure::Failure;
pub use held::{held, print};
pub use log::{Tail, tail, tail_from};
pub use progress::Progress;
pub use prompt::{Input, Prompt};
pub use terminal::{Line, Terminal};
