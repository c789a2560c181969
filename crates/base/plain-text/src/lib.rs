//! What text may reach a terminal.
//!
//! Owns the one answer to which characters do something else than take their place ([`is_unsafe`]), or stand on another one
//! and are too many there ([`Shown`]), and the two ways to show text that may hold them: as an escape that says which
//! ([`Safe`]), and as dots in a stream ([`TextFilter`]).
//!
//! Invariant: what comes out of here never commands a terminal, never reorders what stands beside it, and never takes no
//! place at all, but as one of a few marks on a character; only [`TextFilter`] in raw mode, which a person asks for by name,
//! lets bytes through as they are.
#![no_std]
#![forbid(unsafe_code)]
#[cfg(test)]
extern crate alloc;

mod filter;
mod marks;
mod table;

pub use filter::{FilterMode, Safe, TextFilter};
pub use marks::{MOST_MARKS, Shown, is_mark};
pub use table::is_unsafe;
