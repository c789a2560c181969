//! Programs that ask what virtio devices and their providers do.
//!
//! Owns what they share: a client of a network interface ([`asker`]) with the two frames of its DHCP exchange ([`dhcp`]).
//! Invariant: it never goes around an interface; whatever it tries, it tries through the capabilities it was granted.
#![no_std]

pub mod asker;
pub mod dhcp;
