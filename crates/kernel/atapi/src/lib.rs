//! Reads a CD behind legacy IDE ports: the packet commands, and the protocol that carries them by programmed input.
//!
//! Owns: the eight command-block ports and the control port of the two legacy channels ([`Position`]), the packets a
//! reader needs ([`packet`]), what a drive answers when it fails ([`Sense`]), and one drive while it is read ([`Drive`]).
//! Sources: ATA/ATAPI-6 (T13/1410D revision 3b), sections 5.9, 7 and 9.8; MMC-3 (T10/1363-D revision 10g), chapter 6.
//!
//! Ports and time come through [`Ports`], so that everything here runs on the host against a drive made of software.
//! Invariant: it never writes to a medium, never uses DMA and never lets a drive interrupt (nIEN is set before the first
//! command); every wait has a deadline, [`Drive::begin`] and [`Drive::advance`] wait not at all, and no answer
//! of a drive makes it read or write a byte beyond what was asked for.
#![cfg_attr(
    test,
    allow(
        clippy::disallowed_macros,
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "tests may fail"
    )
)]
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod drive;
pub mod packet;
mod sense;

pub use drive::{Drive, Failure, MAX_SECTORS, Progress};
pub use sense::Sense;

/// Bytes of a sector.
pub const SECTOR_BYTES: usize = 2048;

/// Access to the legacy channels' ports, and the time.
///
/// Only ports of [`Position::ALL`] are touched: from each `command` 8 ports, and each `control`.
pub trait Ports {
    /// Reads a register.
    fn read8(&mut self, port: u16) -> u8;
    /// Writes a register.
    fn write8(&mut self, port: u16, value: u8);
    /// Reads words of the data register; `into` has an even length.
    fn read_data(&mut self, port: u16, into: &mut [u8]);
    /// Writes a word of the data register.
    fn write_data(&mut self, port: u16, word: u16);
    /// Monotonic time in nanoseconds.
    fn now_ns(&mut self) -> u64;
    /// Called while a drive is waited for.
    fn pause(&mut self) {}
}

/// One of the four places of a legacy drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// `primary` or `secondary`.
    pub channel: &'static str,
    /// `master` or `slave`.
    pub device: &'static str,
    /// First of the eight ports of the command block.
    pub command: u16,
    /// The device-control and alternate-status port.
    pub control: u16,
    /// What selects the device (the DEV bit, with the two bits that are always set).
    select: u8,
}

impl Position {
    /// Every place, in the order in which they are tried.
    pub const ALL: [Self; 4] = [
        Self::new("primary", "master"),
        Self::new("primary", "slave"),
        Self::new("secondary", "master"),
        Self::new("secondary", "slave"),
    ];

    const fn new(channel: &'static str, device: &'static str) -> Self {
        // A constant context has no comparison of texts; their lengths differ.
        let primary = channel.len() == "primary".len();
        let master = device.len() == "master".len();
        Self {
            channel,
            device,
            command: if primary { 0x1f0 } else { 0x170 },
            control: if primary { 0x3f6 } else { 0x376 },
            select: if master { 0xa0 } else { 0xb0 },
        }
    }
}

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
