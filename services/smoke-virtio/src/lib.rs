//! Programs that ask what virtio devices and their providers do.
//!
//! Owns what they share: the names of outcomes, a disk brought up by hand ([`Rig`]), and the two frames of a DHCP
//! exchange ([`dhcp`]). Invariant: it never goes around an interface; whatever it tries, it tries through the
//! capabilities it was granted.
#![no_std]

pub mod dhcp;
mod rig;

pub use rig::{Completed, Rig, handle, into, outcome, submit};
