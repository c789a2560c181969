//! Access to configuration space, and the registers that every header has (PCI 6.2).

use bitflags::bitflags;
use units::Bdf;

/// Offsets of header registers, in bytes.
pub mod reg {
    /// Vendor id and device id.
    pub const ID: u16 = 0x00;
    /// Command (low half) and status (high half).
    pub const COMMAND: u16 = 0x04;
    /// Revision (low byte) and class code.
    pub const CLASS: u16 = 0x08;
    /// Cache line size, latency timer, header type (third byte), BIST.
    pub const HEADER_TYPE: u16 = 0x0c;
    /// The first BAR.
    pub const BAR0: u16 = 0x10;
    /// Bridges: primary, secondary and subordinate bus.
    pub const BUS_NUMBERS: u16 = 0x18;
    /// Endpoints: subsystem vendor id and subsystem id.
    pub const SUBSYSTEM: u16 = 0x2c;
    /// Endpoints: expansion ROM base address; bit 0 makes it answer.
    pub const EXPANSION_ROM: u16 = 0x30;
    /// Offset of the first capability.
    pub const CAPABILITIES: u16 = 0x34;
    /// Bridges: expansion ROM base address.
    pub const BRIDGE_ROM: u16 = 0x38;
    /// Interrupt line and pin; bridges: bridge control in the high half.
    pub const INTERRUPT: u16 = 0x3c;
}

bitflags! {
    /// The command register (PCI 6.2.2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Command: u16 {
        /// I/O Space Enable: I/O BARs answer.
        const IO_SPACE = 1;
        /// Memory Space Enable: memory BARs answer.
        const MEMORY_SPACE = 1 << 1;
        /// Bus Master Enable: the function may read and write memory and send message-signalled interrupts.
        const BUS_MASTER = 1 << 2;
        /// Special Cycle Enable.
        const SPECIAL_CYCLES = 1 << 3;
        /// Memory Write and Invalidate Enable.
        const MEMORY_WRITE_INVALIDATE = 1 << 4;
        /// VGA Palette Snoop.
        const VGA_PALETTE_SNOOP = 1 << 5;
        /// Parity Error Response.
        const PARITY_ERROR_RESPONSE = 1 << 6;
        /// SERR# Enable.
        const SERR_ENABLE = 1 << 8;
        /// Fast Back-to-Back Enable.
        const FAST_BACK_TO_BACK = 1 << 9;
        /// Interrupt Disable: the function does not assert INTx.
        const INTERRUPT_DISABLE = 1 << 10;
    }

    /// The status register (PCI 6.2.3), as far as it is used.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Status: u16 {
        /// Interrupt Status: the function wants to assert INTx.
        const INTERRUPT_STATUS = 1 << 3;
        /// Capabilities List: the capability pointer is valid.
        const CAPABILITIES_LIST = 1 << 4;
    }
}

/// Configuration space of the functions of one or more segments.
///
/// Implementations need not synchronise callers; whoever holds the value does.
pub trait ConfigAccess {
    /// Reads the dword at `offset`, a multiple of 4. All ones where no function answers or the offset lies outside
    /// [`Self::space_bytes`].
    fn read32(&self, bdf: Bdf, offset: u16) -> u32;

    /// Writes the dword at `offset`, a multiple of 4. Dropped where [`Self::read32`] gives all ones.
    fn write32(&mut self, bdf: Bdf, offset: u16, value: u32);

    /// Returns how much of a function's configuration space can be reached: 256 bytes through legacy ports, 4096
    /// through ECAM.
    fn space_bytes(&self, bdf: Bdf) -> u16 {
        let _ = bdf;
        256
    }

    /// Reads the 16-bit register at `offset`, a multiple of 2.
    fn read16(&self, bdf: Bdf, offset: u16) -> u16 {
        (self.read32(bdf, offset & !3) >> ((offset & 2) * 8)) as u16
    }

    /// Reads the byte at `offset`.
    fn read8(&self, bdf: Bdf, offset: u16) -> u8 {
        (self.read32(bdf, offset & !3) >> ((offset & 3) * 8)) as u8
    }
}

/// Reads the command register.
pub fn read_command<C: ConfigAccess + ?Sized>(cfg: &C, bdf: Bdf) -> Command {
    Command::from_bits_retain(cfg.read16(bdf, reg::COMMAND))
}

/// Sets and then clears bits of the command register, and returns what it reads back.
///
/// The status half is written as zero: its bits are cleared by writing ones.
pub fn update_command<C: ConfigAccess + ?Sized>(
    cfg: &mut C,
    bdf: Bdf,
    set: Command,
    clear: Command,
) -> Command {
    let command = read_command(cfg, bdf).union(set).difference(clear);
    cfg.write32(bdf, reg::COMMAND, u32::from(command.bits()));
    read_command(cfg, bdf)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BDF, Fake};

    #[test]
    fn narrow_reads_take_their_part_of_the_dword() {
        let mut fake = Fake::endpoint();
        fake.set(0x40, 0x4433_2211);
        assert_eq!(fake.read16(BDF, 0x40), 0x2211);
        assert_eq!(fake.read16(BDF, 0x42), 0x4433);
        let bytes = [0x40, 0x41, 0x42, 0x43].map(|at| fake.read8(BDF, at));
        assert_eq!(bytes, [0x11, 0x22, 0x33, 0x44]);
    }

    #[test]
    fn a_command_update_clears_no_status_bit() {
        let mut fake = Fake::endpoint();
        fake.set(reg::COMMAND, 0xf910_0007);
        fake.write_one_clears(reg::COMMAND, 0xf900_0000);
        fake.writable(reg::COMMAND, 0x0000_0547);
        let set = Command::INTERRUPT_DISABLE;
        let back = update_command(&mut fake, BDF, set, Command::BUS_MASTER);
        assert_eq!(back.bits(), 0x0403);
        assert_eq!(fake.get(reg::COMMAND), 0xf910_0403);
    }
}
