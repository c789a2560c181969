//! Devices outside of QEMU: a vfio-user server, and a device that does what it is told.
//!
//! Owns: the protocol by which QEMU (`-device vfio-user-pci`) reaches a device in another process ([`wire`]), its server
//! ([`Server`]), what a device is to it ([`Model`]), the hostile device ([`hostile`]), and the same in the
//! disguise of a card that has a driver ([`card`]). A model is a state machine
//! without files or sockets; it reaches memory through a [`Bus`]: by message, which QEMU sends through its remapping unit
//! and answers, or by the memory that QEMU handed over. Source: the vfio-user protocol specification 0.9.
//!
//! Invariant: it never uses a length or index of a peer before it was compared. What a peer may not do is answered with
//! an error number and written down ([`Refusal`]); only a message whose end cannot be known ends the connection.
#![forbid(unsafe_code)]

pub mod card;
mod channel;
mod config;
pub mod hostile;
mod memory;
mod server;
pub mod wire;

pub use channel::{Channel, Message};
pub use config::{Config, Description};
pub use memory::{Memory, MemoryError};
pub use server::{Bus, BusError, Model, Refusal, Server, Way};
