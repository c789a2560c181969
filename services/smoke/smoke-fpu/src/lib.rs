//! What the smokes about the floating-point and vector unit share: registers full of a pattern, and sums that anybody can check.
//!
//! Invariant: it never has a way into the kernel that other programs lack. The compiler knows that a function may change every
//! register of the unit; so the patterns are loaded, held and stored within one.
#![no_std]
#![allow(unsafe_code)]

/// How long programs run side by side.
pub const BESIDE_NS: u64 = 300_000_000;

mod hold;
pub mod maths;

pub use hold::{Begun, Hold, begin, has_avx, peek};
