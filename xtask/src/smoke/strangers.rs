//! Real models of devices that nobody claimed, aimed by hand: a network card, a USB controller and a SATA controller are programmed
//! from outside as a driver would that may write their registers, with addresses of memory that is not theirs.
//!
//! Invariant: each attack is shown to work where nothing translates, so that one which only fails by itself is no evidence.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::smoke::qtest::Qtest;

/// Where each of them is.
pub const NETWORK: u8 = 8;
pub const USB: u8 = 9;
pub const SATA: u8 = 10;

/// What a machine needs for [`attack`] besides a unit and its test port.
pub const DEVICES: [&str; 10] = [
    "-device",
    "e1000e,addr=8",
    "-device",
    "qemu-xhci,addr=9",
    "-drive",
    "if=none,id=sata,file=null-co://,file.size=1M,file.read-zeroes=on,format=raw",
    "-device",
    "ahci,id=sata,addr=0xa",
    "-device",
    "ide-hd,drive=sata,bus=sata.0",
];

/// A page of memory that none of them was given.
const VICTIM: u64 = 0x6_0000;
const WORDS: u64 = 512;
/// How long a device may take: it works within the write that starts it, or soon after.
const SETTLE: Duration = Duration::from_millis(50);

/// One of them: what is in its victim before, and how it is aimed there.
struct Stranger {
    name: &'static str,
    device: u8,
    /// Offset and word.
    bait: &'static [(u64, u64)],
    aim: fn(&mut Qtest, u64) -> Result<()>,
}

const STRANGERS: [Stranger; 3] = [
    Stranger {
        name: "e1000e",
        device: NETWORK,
        // A descriptor of 64 bytes at 0x800 to send, whose end is to be reported.
        bait: &[(0, VICTIM + 0x800), (8, 0x0b00_0040)],
        aim: send,
    },
    Stranger {
        name: "xhci",
        device: USB,
        // The one segment of the ring of events, of 16 places, at 0x100; a command that does nothing.
        bait: &[(0, VICTIM + 0x100), (8, 16), (0x208, 23 << 42 | 1 << 32)],
        aim: command,
    },
    Stranger {
        name: "ahci",
        device: SATA,
        bait: &[],
        aim: receive,
    },
];

/// Has the network card read a descriptor, the frame that it leads to, and write the descriptor back.
fn send(port: &mut Qtest, at: u64) -> Result<()> {
    // The ring: base, length, head; sending is on; tail.
    for (register, value) in [
        (0x3800, VICTIM as u32),
        (0x3804, 0),
        (0x3808, 128),
        (0x3810, 0),
        (0x3818, 0),
        (0x400, 2),
        (0x3818, 1),
    ] {
        port.write32(at + register, value)?;
    }
    Ok(())
}

/// Has the USB controller read a command, and write that it is done.
fn command(port: &mut Qtest, at: u64) -> Result<()> {
    let ring = VICTIM as u32 + 0x200;
    // Reset; one segment for events, its place and where it is listed; the ring of commands; run; the doorbell.
    for (register, value) in [
        (0x40, 2),
        (0x1028, 1),
        (0x1038, VICTIM as u32 + 0x100),
        (0x103c, 0),
        (0x1030, VICTIM as u32),
        (0x1034, 0),
        (0x58, ring | 1),
        (0x5c, 0),
        (0x40, 1),
        (0x2000, 0),
    ] {
        port.write32(at + register, value)?;
    }
    Ok(())
}

/// Has the SATA controller write what it receives of its disk.
fn receive(port: &mut Qtest, at: u64) -> Result<()> {
    // Reset, which has the disk say once more what it is; the port: where that goes, and that it is received.
    for (register, value) in [
        (0x04, 1),
        (0x04, 1 << 31),
        (0x100, VICTIM as u32 + 0x400),
        (0x104, 0),
        (0x108, VICTIM as u32),
        (0x10c, 0),
        (0x118, 0x10),
    ] {
        port.write32(at + register, value)?;
    }
    Ok(())
}

impl Stranger {
    /// Whether anything of its victim is other than before once it was aimed there.
    fn reaches(&self, port: &mut Qtest) -> Result<bool> {
        let registers = port.open(self.device)?;
        let page = |port: &mut Qtest| -> Result<Vec<u64>> {
            (0..WORDS)
                .map(|word| port.read64(VICTIM + word * 8))
                .collect()
        };
        let kept = page(port)?;
        for word in 0..WORDS {
            port.write64(VICTIM + word * 8, 0)?;
        }
        for (offset, word) in self.bait {
            port.write64(VICTIM + offset, *word)?;
        }
        let before = page(port)?;
        (self.aim)(port, registers)?;
        std::thread::sleep(SETTLE);
        let after = page(port)?;
        // Silent again, and nothing of it is left.
        port.close(self.device)?;
        for (word, value) in (0..WORDS).zip(kept) {
            port.write64(VICTIM + word * 8, value)?;
        }
        Ok(before != after)
    }
}

/// Aims all of them at memory, with the unit on and then with `off`, which turns it off and on again.
///
/// # Errors
/// One reached its victim, or does not where nothing translates.
pub fn attack(port: &mut Qtest, [off, on]: [fn(&mut Qtest) -> Result<()>; 2]) -> Result<()> {
    for stranger in STRANGERS {
        ensure!(
            !stranger.reaches(port)?,
            "{} wrote memory that it was not given",
            stranger.name
        );
    }
    off(port)?;
    for stranger in STRANGERS {
        ensure!(
            stranger.reaches(port)?,
            "{} reaches nothing where nothing translates: it does not attack",
            stranger.name
        );
    }
    on(port)
}
