//! The machine side that both loaders share: the serial port for one error line, the clock, what the processor can do, the state the
//! protocol asks for at entry, and the jump.
//!
//! Owns the port I/O and register writes of the loaders. Invariant: it never decides anything; what to load and where to
//! jump comes from [`loader::Start`], and memory is reached only through [`Identity`], inside the reach its maker vouched for.
#![no_std]
#![allow(unsafe_code)]

mod clock;
mod jump;
mod memory;
pub mod port;
mod power;
mod serial;

pub use clock::boot_time;
pub use jump::{features, jump, mask_interrupts};
pub use memory::Identity;
pub use serial::{Serial, fail, report, stop};
