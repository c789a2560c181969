//! What hostile programs try, one attack a process, and what the programs of the multiprocessor smokes share.
//!
//! Invariant: it never uses a way into the kernel that other programs lack; every attack is what any process could
//! do, and none reports its own end: its parent asks the kernel.
#![no_std]
#![allow(unsafe_code)]

pub mod attack;

pub use smoke::{Race, here, pinned};
