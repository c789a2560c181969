//! The fixed hardware registers: power management timer, sleep and reset (5.2.9, 4.8.3).

use crate::{Rule, Signature, Table, TableError};
use le::checked;

/// Bytes that every revision has.
const FIXED_BYTES: usize = 116;

const LEGACY_DEVICES: u16 = 1;
const HAS_8042: u16 = 1 << 1;

/// Ticks of the power management timer in a second (4.8.2.1).
pub const PM_TIMER_HZ: u64 = 3_579_545;
/// `PM1_CNT.SCI_EN`: ACPI mode is on.
pub const PM1_CNT_SCI_EN: u16 = 1;
/// Position of `PM1_CNT.SLP_TYP`, in bits.
pub const PM1_CNT_SLP_TYP_SHIFT: u32 = 10;
/// Bits of `PM1_CNT.SLP_TYP`.
pub const PM1_CNT_SLP_TYP_MASK: u16 = 7 << PM1_CNT_SLP_TYP_SHIFT;
/// `PM1_CNT.SLP_EN`: enter the sleep state that `SLP_TYP` names; write-only.
pub const PM1_CNT_SLP_EN: u16 = 1 << 13;

/// What an address is an address in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Space {
    /// Physical memory.
    Memory,
    /// I/O ports.
    Io,
    /// Configuration space of segment 0, bus 0: device in bits 47 to 32, function in 31 to 16, offset in 15 to 0.
    PciConfig,
}

/// A hardware register of up to 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Register {
    /// Where the address counts.
    pub space: Space,
    /// The address, never 0; inside 64 KiB for I/O, inside 52 bits for memory.
    pub address: u64,
    /// Width in bits, as firmware gives it; 0 where it gives none.
    pub width_bits: u8,
}

/// The register that resets the machine, and what to write to it. Both are one byte wide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResetRegister {
    /// The register.
    pub register: Register,
    /// The value.
    pub value: u8,
}

/// `IAPC_BOOT_ARCH` (table 5.11): what legacy hardware there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BootFlags(u16);

impl BootFlags {
    /// Returns all bits.
    pub fn bits(self) -> u16 {
        self.0
    }

    /// There are devices on an ISA or LPC bus that a user can see.
    pub fn legacy_devices(self) -> bool {
        self.0 & LEGACY_DEVICES != 0
    }

    /// There is an 8042 keyboard controller.
    pub fn has_8042(self) -> bool {
        self.0 & HAS_8042 != 0
    }

    /// Message-signalled interrupts must not be used.
    pub fn msi_not_supported(self) -> bool {
        self.0 & 1 << 3 != 0
    }

    /// There is no CMOS real-time clock.
    pub fn no_cmos_rtc(self) -> bool {
        self.0 & 1 << 5 != 0
    }
}

/// The fixed feature flags (table 5.10).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FixedFlags(u32);

impl FixedFlags {
    /// Returns all bits.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// The power management timer has 32 bits, else 24.
    pub fn timer_32_bits(self) -> bool {
        self.0 & 1 << 8 != 0
    }

    /// The reset register works.
    pub fn reset_register(self) -> bool {
        self.0 & 1 << 10 != 0
    }

    /// There is no fixed hardware; sleep goes through the sleep control register.
    pub fn hardware_reduced(self) -> bool {
        self.0 & 1 << 20 != 0
    }
}

/// A checked FADT. A register that the table does not describe is `None`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fadt {
    /// Major revision of the table.
    pub revision: u8,
    /// Physical address of the DSDT.
    pub dsdt: Option<u64>,
    /// Global system interrupt of the SCI (an ISA line where there are 8259s).
    pub sci: u16,
    /// I/O port that takes ACPI enable and disable commands; `None` where ACPI mode is always on.
    pub smi_command: Option<u16>,
    /// What to write there to turn ACPI mode on.
    pub acpi_enable: u8,
    /// `PM1a_CNT`.
    pub pm1a_control: Option<Register>,
    /// `PM1b_CNT`, whose bits count as OR-ed with those of `PM1a_CNT`.
    pub pm1b_control: Option<Register>,
    /// `PM_TMR`, counting at [`PM_TIMER_HZ`].
    pub pm_timer: Option<Register>,
    /// The reset register, where the flags say that it works.
    pub reset: Option<ResetRegister>,
    /// `SLEEP_CONTROL_REG` of hardware-reduced machines.
    pub sleep_control: Option<Register>,
    /// The register of the real-time clock's memory that holds the century (`CENTURY`); `None` where the clock counts none.
    pub century: Option<u8>,
    /// Fixed feature flags.
    pub flags: FixedFlags,
    /// Boot architecture flags. Revision 1 has none: its machines are PCs with legacy devices and an 8042.
    pub boot: BootFlags,
}

impl Fadt {
    /// Checks the table. 64-bit fields win over their 32-bit twins where they are present and not zero.
    ///
    /// # Errors
    /// As [`Table::parse`], and
    /// - `Field`: an address space in which the register cannot lie, a power management timer that is not 4 bytes
    ///   long, a `PM1_CNT` below 2 bytes, a reset register that is not 8 bits wide;
    /// - `Address`: an I/O address past 64 KiB, a memory address past 52 bits, a reset register that should work and
    ///   has address 0.
    pub fn parse(bytes: &[u8]) -> Result<Self, TableError> {
        let table = Table::parse(bytes, Signature::FADT)?.at_least(FIXED_BYTES)?;
        decode(table.bytes(), table.revision()).map_err(|rule| table.error(rule))
    }

    /// Returns the mask of the bits in which the power management timer counts.
    pub fn pm_timer_mask(&self) -> u32 {
        if self.flags.timer_32_bits() {
            u32::MAX
        } else {
            0xff_ffff
        }
    }
}

fn decode(bytes: &[u8], revision: u8) -> Result<Fadt, Rule> {
    let byte = |at| checked::u8(bytes, at).ok_or(Rule::Truncated);
    let word = |at| checked::u32(bytes, at).ok_or(Rule::Truncated);
    let flags = FixedFlags(word(112)?);
    let dsdt = match checked::u64(bytes, 140) {
        Some(wide) if wide != 0 => wide,
        _ => u64::from(word(40)?),
    };
    if dsdt >> units::PHYS_ADDR_BITS != 0 {
        return Err(Rule::Address);
    }
    let control_bytes = byte(89)?;
    let pm1a_control = block(bytes, 64, 172, control_bytes)?;
    let pm1b_control = block(bytes, 68, 184, control_bytes)?;
    if (pm1a_control.is_some() || pm1b_control.is_some())
        && control_bytes < 2
        && !flags.hardware_reduced()
    {
        return Err(Rule::Field);
    }
    let timer_bytes = byte(91)?;
    // A length of 0 is how firmware says that there is no timer, whatever address it left.
    let pm_timer = match timer_bytes {
        0 => None,
        4 => block(bytes, 76, 208, timer_bytes)?,
        _ => return Err(Rule::Field),
    };
    let smi_command = match word(48)? {
        0 => None,
        port => Some(u16::try_from(port).map_err(|_| Rule::Address)?),
    };
    Ok(Fadt {
        revision,
        dsdt: (dsdt != 0).then_some(dsdt),
        sci: checked::u16(bytes, 46).ok_or(Rule::Truncated)?,
        smi_command,
        acpi_enable: byte(52)?,
        pm1a_control,
        pm1b_control,
        pm_timer,
        reset: reset(bytes, flags)?,
        sleep_control: outside_config(bytes, 244)?,
        century: Some(byte(108)?).filter(|register| *register != 0),
        flags,
        boot: match revision {
            0 | 1 => BootFlags(LEGACY_DEVICES | HAS_8042),
            _ => BootFlags(checked::u16(bytes, 109).ok_or(Rule::Truncated)?),
        },
    })
}

/// Decodes the reset register, which only longer tables with the right flag have (4.8.3.6).
fn reset(bytes: &[u8], flags: FixedFlags) -> Result<Option<ResetRegister>, Rule> {
    let Some(value) = checked::u8(bytes, 128) else {
        return Ok(None);
    };
    if !flags.reset_register() {
        return Ok(None);
    }
    let register = generic(bytes, 116)?.ok_or(Rule::Address)?;
    if register.width_bits != 8 {
        return Err(Rule::Field);
    }
    Ok(Some(ResetRegister { register, value }))
}

/// Decodes a register block: the generic address at `wide` if present and not zero, else the I/O port at `narrow`.
fn block(bytes: &[u8], narrow: usize, wide: usize, length: u8) -> Result<Option<Register>, Rule> {
    if let Some(register) = outside_config(bytes, wide)? {
        return Ok(Some(register));
    }
    let port = checked::u32(bytes, narrow).ok_or(Rule::Truncated)?;
    if port == 0 {
        return Ok(None);
    }
    let register = Register {
        space: Space::Io,
        address: u64::from(port),
        width_bits: length.saturating_mul(8),
    };
    in_range(register).map(Some)
}

/// Decodes a generic address of a register that must not lie in configuration space.
fn outside_config(bytes: &[u8], at: usize) -> Result<Option<Register>, Rule> {
    match generic(bytes, at)? {
        Some(register) if register.space == Space::PciConfig => Err(Rule::Field),
        found => Ok(found),
    }
}

/// Decodes a generic address structure (5.2.3.2); `None` where the table ends before it or its address is 0.
fn generic(bytes: &[u8], at: usize) -> Result<Option<Register>, Rule> {
    let Some(address) = at.checked_add(4).and_then(|at| checked::u64(bytes, at)) else {
        return Ok(None);
    };
    if address == 0 {
        return Ok(None);
    }
    let space = match checked::u8(bytes, at) {
        Some(0) => Space::Memory,
        Some(1) => Space::Io,
        Some(2) => Space::PciConfig,
        _ => return Err(Rule::Field),
    };
    let width_bits = checked::u8(bytes, at + 1).ok_or(Rule::Truncated)?;
    in_range(Register {
        space,
        address,
        width_bits,
    })
    .map(Some)
}

fn in_range(register: Register) -> Result<Register, Rule> {
    let end = match register.space {
        Space::Memory => 1 << units::PHYS_ADDR_BITS,
        Space::Io => 1 << 16,
        // Device 0 to 31, function 0 to 7, offset inside 256 bytes.
        Space::PciConfig => {
            let [device, function, offset] = [32, 16, 0].map(|at| register.address >> at & 0xffff);
            let fits = register.address >> 48 == 0 && device < 32 && function < 8 && offset < 256;
            return if fits {
                Ok(register)
            } else {
                Err(Rule::Address)
            };
        }
    };
    let bytes = u64::from(register.width_bits).div_ceil(8).max(1);
    match register.address.checked_add(bytes) {
        Some(after) if after <= end => Ok(register),
        _ => Err(Rule::Address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{seal, table};
    use std::vec::Vec;

    fn set<const N: usize>(bytes: &mut [u8], at: usize, value: [u8; N]) {
        bytes[at..at + N].copy_from_slice(&value);
    }

    fn gas(bytes: &mut [u8], at: usize, space: u8, width: u8, address: u64) {
        set(bytes, at, [space, width, 0, 0]);
        set(bytes, at + 4, address.to_le_bytes());
    }

    /// The fields of QEMU's Q35 in a table of `length` bytes.
    fn q35(length: usize) -> Vec<u8> {
        let mut bytes = table(b"FACP", 3, &std::vec![0; length - 36]);
        set(&mut bytes, 40, 0x7fe_0040u32.to_le_bytes());
        set(&mut bytes, 46, 9u16.to_le_bytes());
        set(&mut bytes, 48, 0xb2u32.to_le_bytes());
        set(&mut bytes, 52, [2, 3]);
        set(&mut bytes, 64, 0x604u32.to_le_bytes());
        set(&mut bytes, 76, 0x608u32.to_le_bytes());
        set(&mut bytes, 88, [4, 2, 0, 4]);
        set(&mut bytes, 108, [0x32]);
        set(&mut bytes, 112, 0x84a5u32.to_le_bytes());
        if length >= 244 {
            gas(&mut bytes, 116, 1, 8, 0xcf9);
            bytes[128] = 0x0f;
            gas(&mut bytes, 172, 1, 16, 0x604);
            gas(&mut bytes, 208, 1, 32, 0x608);
        }
        bytes
    }

    fn parse(mut bytes: Vec<u8>) -> Result<Fadt, Rule> {
        seal(&mut bytes);
        Fadt::parse(&bytes).map_err(|error| {
            assert_eq!(error.table, Signature::FADT);
            error.rule
        })
    }

    fn with(change: impl FnOnce(&mut Vec<u8>)) -> Result<Fadt, Rule> {
        let mut bytes = q35(268);
        change(&mut bytes);
        parse(bytes)
    }

    const RESET_WORKS: u32 = 1 << 10;

    #[test]
    fn a_q35_table_decodes() {
        let fadt = with(|bytes| set(bytes, 112, 0x84a5u32.to_le_bytes())).unwrap();
        assert_eq!(fadt.dsdt, Some(0x7fe_0040));
        assert_eq!(
            (fadt.sci, fadt.smi_command, fadt.acpi_enable),
            (9, Some(0xb2), 2)
        );
        let io = |address, width_bits| Register {
            space: Space::Io,
            address,
            width_bits,
        };
        assert_eq!(fadt.pm1a_control, Some(io(0x604, 16)));
        assert_eq!(fadt.pm1b_control, None);
        assert_eq!(fadt.pm_timer, Some(io(0x608, 32)));
        assert_eq!(fadt.pm_timer_mask(), 0xff_ffff);
        assert_eq!(fadt.century, Some(0x32));
        assert_eq!(with(|bytes| bytes[108] = 0).unwrap().century, None);
        // 0x84a5 has bit 10 set.
        let reset = ResetRegister {
            register: io(0xcf9, 8),
            value: 0x0f,
        };
        assert_eq!(fadt.reset, Some(reset));
        assert_eq!(fadt.sleep_control, None);
    }

    #[test]
    fn revision_1_uses_the_narrow_fields_and_has_no_reset_register() {
        let fadt = parse(q35(116)).unwrap();
        assert_eq!(fadt.reset, None);
        assert_eq!(
            fadt.pm1a_control.map(|r| (r.address, r.width_bits)),
            Some((0x604, 16))
        );
        assert_eq!(
            fadt.pm_timer.map(|r| (r.address, r.width_bits)),
            Some((0x608, 32))
        );
        let mut old = q35(116);
        old[8] = 1;
        let boot = parse(old).unwrap().boot;
        assert!(boot.has_8042() && boot.legacy_devices() && !boot.msi_not_supported());
        assert_eq!(parse(table(b"FACP", 1, &[0; 79])), Err(Rule::Truncated));
    }

    #[test]
    fn wide_fields_win_when_not_zero() {
        let fadt = with(|bytes| {
            set(bytes, 140, 0x1_0000_0000u64.to_le_bytes());
            gas(bytes, 172, 0, 16, 0xfed8_0804);
            gas(bytes, 208, 0, 32, 0);
            gas(bytes, 244, 1, 8, 0x1000);
        })
        .unwrap();
        assert_eq!(fadt.dsdt, Some(0x1_0000_0000));
        assert_eq!(fadt.pm1a_control.map(|r| r.space), Some(Space::Memory));
        assert_eq!(fadt.pm_timer.map(|r| r.address), Some(0x608));
        assert_eq!(fadt.sleep_control.map(|r| r.address), Some(0x1000));
    }

    #[test]
    fn registers_that_cannot_be_are_refused() {
        assert_eq!(with(|b| gas(b, 172, 1, 16, 0xffff)), Err(Rule::Address));
        assert_eq!(
            with(|b| gas(b, 172, 0, 16, (1 << 52) - 1)),
            Err(Rule::Address)
        );
        assert_eq!(with(|b| gas(b, 172, 0, 16, u64::MAX)), Err(Rule::Address));
        assert_eq!(with(|b| gas(b, 172, 2, 16, 4)), Err(Rule::Field));
        assert_eq!(with(|b| gas(b, 208, 0x7f, 32, 4)), Err(Rule::Field));
        assert_eq!(with(|b| b[91] = 3), Err(Rule::Field));
        assert_eq!(with(|b| b[91] = 0).map(|fadt| fadt.pm_timer), Ok(None));
        assert_eq!(with(|b| b[89] = 1), Err(Rule::Field));
        assert_eq!(with(|b| set(b, 48, [0, 0, 1, 0])), Err(Rule::Address));
        assert_eq!(
            with(|b| set(b, 140, u64::MAX.to_le_bytes())),
            Err(Rule::Address)
        );
        let narrow = |b: &mut Vec<u8>| {
            gas(b, 172, 0, 0, 0);
            set(b, 64, [0, 0, 1, 0]);
        };
        assert_eq!(with(narrow), Err(Rule::Address));
    }

    #[test]
    fn the_reset_register_must_be_one_usable_byte() {
        let reset = |space, width, address| {
            with(|bytes| {
                set(bytes, 112, RESET_WORKS.to_le_bytes());
                gas(bytes, 116, space, width, address);
            })
            .map(|fadt| fadt.reset.map(|reset| reset.register.space))
        };
        assert_eq!(reset(1, 8, 0xcf9), Ok(Some(Space::Io)));
        assert_eq!(
            reset(2, 8, 31 << 32 | 7 << 16 | 0xff),
            Ok(Some(Space::PciConfig))
        );
        assert_eq!(reset(2, 8, 32 << 32), Err(Rule::Address));
        assert_eq!(reset(2, 8, 8 << 16), Err(Rule::Address));
        assert_eq!(reset(2, 8, 256), Err(Rule::Address));
        assert_eq!(reset(1, 16, 0xcf9), Err(Rule::Field));
        assert_eq!(reset(3, 8, 0xcf9), Err(Rule::Field));
        assert_eq!(reset(1, 8, 0), Err(Rule::Address));
        let unsupported = with(|bytes| set(bytes, 112, [0; 4])).unwrap();
        assert_eq!(unsupported.reset, None);
    }

    #[test]
    fn flags_keep_their_bits() {
        let fadt = with(|bytes| {
            set(bytes, 109, 0x2bu16.to_le_bytes());
            set(bytes, 112, (1u32 << 8 | 1 << 20).to_le_bytes());
        })
        .unwrap();
        assert!(fadt.boot.legacy_devices() && fadt.boot.has_8042());
        assert!(fadt.boot.msi_not_supported() && fadt.boot.no_cmos_rtc());
        assert!(fadt.flags.hardware_reduced() && !fadt.flags.reset_register());
        assert_eq!(fadt.pm_timer_mask(), u32::MAX);
    }
}
