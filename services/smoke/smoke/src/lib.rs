//! What the smoke programs share: starting roles of themselves, serving `Probe`, naming outcomes, and raw access to the
//! calling thread's area.
//!
//! A smoke program is started by init without arguments, asks its question, and ends with code 0; it starts itself
//! again under a role, its first argument, for every further process it needs. Invariant: it never has a way into the
//! kernel that other programs lack, and never states a fact that the real interfaces did not show.
#![no_std]
#![allow(unsafe_code)]

pub mod accounts;
pub mod image;
mod kit;
mod probe;
pub mod raw;
pub mod receives;
mod threads;

pub use kit::{
    Ended, Given, Kit, give, interface_of, memory_word, outcome, process_named, role, wait_for,
    wait_until,
};
pub use probe::{Acting, Probe, Prober, lend_probe, mint, probe_at, serve_probe};
pub use threads::{Race, here, pinned};
