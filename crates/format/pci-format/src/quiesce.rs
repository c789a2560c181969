//! Turning off what firmware left on.

use crate::{
    Command, ConfigAccess, ConfigError, FunctionInfo, HeaderKind, cap_id, read_command,
    rom::rom_register, update_command, walk_capabilities,
};
use units::Bdf;

/// `MSI Message Control.MSI Enable`, in the first dword of the structure.
const MSI_ENABLE: u32 = 1 << 16;
/// `MSI-X Message Control.MSI-X Enable`, in the first dword of the structure.
const MSIX_ENABLE: u32 = 1 << 31;
/// `Expansion ROM Enable`.
const ROM_ENABLE: u32 = 1;

/// What became of one thing that was to be turned off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quieted {
    /// The function does not have it.
    Absent,
    /// It was off already.
    WasOff,
    /// It was on and is off now.
    Cleared,
    /// It was told to turn off and reads back on.
    Stuck,
    /// It is a bridge's, and what lies behind needs it.
    Left,
}

impl Quieted {
    /// By what `is_on` says of a register before it was written and after.
    fn of<T>(before: T, after: T, is_on: impl Fn(T) -> bool) -> Self {
        match (is_on(before), is_on(after)) {
            (_, true) => Self::Stuck,
            (true, false) => Self::Cleared,
            (false, false) => Self::WasOff,
        }
    }

    /// Joins the fates of two structures of one kind: the worse one counts.
    fn and(self, other: Self) -> Self {
        let rank = |one| match one {
            Self::Absent | Self::Left => 0,
            Self::WasOff => 1,
            Self::Cleared => 2,
            Self::Stuck => 3,
        };
        if rank(other) > rank(self) {
            other
        } else {
            self
        }
    }
}

/// What [`quiesce()`] found and did at one function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuiesceReport {
    /// The function.
    pub bdf: Bdf,
    /// Bus mastering.
    pub bus_master: Quieted,
    /// INTx. Functions without a pin may not have the bit that disables it.
    pub intx: Quieted,
    /// MSI.
    pub msi: Quieted,
    /// MSI-X.
    pub msix: Quieted,
    /// The expansion ROM's decoder.
    pub option_rom: Quieted,
    /// Why the capability list could not be followed to its end: MSI or MSI-X past that point is unknown. With bus
    /// mastering off neither can signal.
    pub capabilities: Result<(), ConfigError>,
}

impl QuiesceReport {
    /// Whether something was on, or is still.
    pub fn found_anything(&self) -> bool {
        [self.bus_master, self.msi, self.msix, self.option_rom]
            .iter()
            .any(|one| matches!(one, Quieted::Cleared | Quieted::Stuck))
    }

    /// Whether the function can still write memory or signal: no driver may claim it then.
    pub fn is_stuck(&self) -> bool {
        [self.bus_master, self.intx, self.msi, self.msix].contains(&Quieted::Stuck)
    }
}

/// Turns off, at one endpoint, in this order: bus mastering and INTx, MSI, MSI-X, the expansion ROM. BARs stay and go on
/// answering. At a bridge between PCI buses bus mastering and INTx are left: they are those of everything behind it.
/// `None`, and nothing is written, at any other function.
pub fn quiesce<C: ConfigAccess + ?Sized>(
    cfg: &mut C,
    info: &FunctionInfo,
) -> Option<QuiesceReport> {
    let (bus_master, intx) = if info.is_endpoint() {
        silence(cfg, info)
    } else if info.header == HeaderKind::Bridge {
        (Quieted::Left, Quieted::Left)
    } else {
        return None;
    };
    let bdf = info.bdf;
    // The walk borrows the access, so the structures are noted first: one bit for each dword where one starts.
    let (mut msi_at, mut msix_at) = (0u64, 0u64);
    let capabilities = walk_capabilities(cfg, bdf, info.header, |found| {
        let bit = 1u64 << (found.offset >> 2);
        match found.id {
            cap_id::MSI => msi_at |= bit,
            cap_id::MSIX => msix_at |= bit,
            _ => {}
        }
    });
    let msi = clear_each(cfg, bdf, msi_at, MSI_ENABLE);
    let msix = clear_each(cfg, bdf, msix_at, MSIX_ENABLE);
    let option_rom = match rom_register(info.header) {
        Some(offset) if cfg.read32(bdf, offset) != 0 => clear_bit(cfg, bdf, offset, ROM_ENABLE),
        _ => Quieted::Absent,
    };
    Some(QuiesceReport {
        bdf,
        bus_master,
        intx,
        msi,
        msix,
        option_rom,
        capabilities,
    })
}

/// Turns off bus mastering and INTx.
fn silence<C: ConfigAccess + ?Sized>(cfg: &mut C, info: &FunctionInfo) -> (Quieted, Quieted) {
    let bdf = info.bdf;
    let before = read_command(cfg, bdf);
    let after = update_command(cfg, bdf, Command::INTERRUPT_DISABLE, Command::BUS_MASTER);
    let on = |command: Command| command.contains(Command::BUS_MASTER);
    let bus_master = Quieted::of(before, after, on);
    let on = |command: Command| !command.contains(Command::INTERRUPT_DISABLE);
    let intx = match info.interrupt_pin {
        0 => Quieted::Absent,
        _ => Quieted::of(before, after, on),
    };
    (bus_master, intx)
}

/// Clears `bit` in each dword that `places` marks.
fn clear_each<C: ConfigAccess + ?Sized>(
    cfg: &mut C,
    bdf: Bdf,
    mut places: u64,
    bit: u32,
) -> Quieted {
    let mut fate = Quieted::Absent;
    while places != 0 {
        let offset = places.trailing_zeros() as u16 * 4;
        places &= places - 1;
        fate = fate.and(clear_bit(cfg, bdf, offset, bit));
    }
    fate
}

fn clear_bit<C: ConfigAccess + ?Sized>(cfg: &mut C, bdf: Bdf, offset: u16, bit: u32) -> Quieted {
    let before = cfg.read32(bdf, offset);
    if before & bit != 0 {
        cfg.write32(bdf, offset, before & !bit);
    }
    Quieted::of(before, cfg.read32(bdf, offset), |dword| dword & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BDF, Fake};
    use crate::{Rule, read_function, reg};

    /// An endpoint as firmware leaves a boot disk: everything on.
    fn busy() -> Fake {
        let mut fake = Fake::endpoint();
        fake.set(reg::INTERRUPT, 0x0000_010b);
        fake.capabilities(&[(5, 0x40), (0x11, 0x60)]);
        fake.set(0x40, fake.get(0x40) | MSI_ENABLE);
        fake.set(0x60, fake.get(0x60) | MSIX_ENABLE);
        fake.set(reg::COMMAND, fake.get(reg::COMMAND) | 0x0007);
        fake.set(reg::EXPANSION_ROM, 0xfeb0_0001);
        fake.writable(reg::COMMAND, 0x0407);
        fake.writable(0x40, MSI_ENABLE);
        fake.writable(0x60, MSIX_ENABLE);
        fake.writable(reg::EXPANSION_ROM, 0xffff_0001);
        fake
    }

    fn run(fake: &mut Fake) -> Option<QuiesceReport> {
        let info = read_function(fake, BDF).unwrap();
        quiesce(fake, &info)
    }

    #[test]
    fn everything_that_was_on_is_off_and_decoding_stays() {
        let mut fake = busy();
        let report = run(&mut fake).unwrap();
        let expected = QuiesceReport {
            bdf: BDF,
            bus_master: Quieted::Cleared,
            intx: Quieted::Cleared,
            msi: Quieted::Cleared,
            msix: Quieted::Cleared,
            option_rom: Quieted::Cleared,
            capabilities: Ok(()),
        };
        assert_eq!(report, expected);
        assert!(report.found_anything() && !report.is_stuck());
        assert_eq!(fake.get(reg::COMMAND) & 0xffff, 0x0403);
        assert_eq!(fake.get(reg::EXPANSION_ROM), 0xfeb0_0000);
        assert_eq!(
            (fake.get(0x40) & MSI_ENABLE, fake.get(0x60) & MSIX_ENABLE),
            (0, 0)
        );
        let again = run(&mut fake).unwrap();
        assert!(!again.found_anything());
        assert_eq!(
            (again.bus_master, again.msix),
            (Quieted::WasOff, Quieted::WasOff)
        );
    }

    #[test]
    fn bus_mastering_goes_first() {
        let mut fake = busy();
        run(&mut fake);
        let order: std::vec::Vec<u16> = fake.writes().iter().map(|write| write.0).collect();
        assert_eq!(order, [reg::COMMAND, 0x40, 0x60, reg::EXPANSION_ROM]);
    }

    #[test]
    fn a_bridge_keeps_its_command_register_and_loses_the_rest() {
        let mut fake = busy();
        fake.set(reg::HEADER_TYPE, 1 << 16);
        fake.set(reg::CLASS, 0x0604_0000);
        fake.set(reg::BRIDGE_ROM, 0xfeb0_0001);
        fake.writable(reg::BRIDGE_ROM, 0xffff_0001);
        let report = run(&mut fake).unwrap();
        assert_eq!(
            (report.bus_master, report.intx),
            (Quieted::Left, Quieted::Left)
        );
        let parts = [report.msi, report.msix, report.option_rom];
        assert_eq!(parts, [Quieted::Cleared; 3]);
        assert!(report.found_anything() && !report.is_stuck());
        let order: std::vec::Vec<u16> = fake.writes().iter().map(|write| write.0).collect();
        assert_eq!(order, [0x40, 0x60, reg::BRIDGE_ROM]);
    }

    #[test]
    fn other_bridges_are_not_written() {
        for (header, class) in [(2, 0x0607_0000), (0, 0x0600_0000), (0, 0x0601_0000)] {
            let mut fake = busy();
            fake.set(reg::HEADER_TYPE, header << 16);
            fake.set(reg::CLASS, class);
            assert_eq!(run(&mut fake), None);
            assert!(fake.writes().is_empty());
        }
    }

    #[test]
    fn a_bit_that_stays_is_reported() {
        let mut fake = busy();
        fake.writable(reg::COMMAND, 0x0003);
        let report = run(&mut fake).unwrap();
        assert_eq!(
            (report.bus_master, report.intx),
            (Quieted::Stuck, Quieted::Stuck)
        );
        assert!(report.is_stuck());
    }

    #[test]
    fn a_looping_list_stops_neither_bus_mastering_nor_what_was_found() {
        let mut fake = busy();
        fake.set(0x60, 0x11 | 0x40 << 8 | MSIX_ENABLE);
        let report = run(&mut fake).unwrap();
        assert_eq!(report.capabilities.unwrap_err().rule, Rule::CapabilityLoop);
        assert_eq!(
            (report.bus_master, report.msix),
            (Quieted::Cleared, Quieted::Cleared)
        );
    }

    #[test]
    fn two_msi_structures_are_both_turned_off() {
        let mut fake = busy();
        fake.capabilities(&[(5, 0x40), (5, 0x60)]);
        fake.set(0x60, fake.get(0x60) | MSI_ENABLE);
        fake.writable(0x60, 0);
        assert_eq!(run(&mut fake).unwrap().msi, Quieted::Stuck);
    }

    #[test]
    fn what_is_not_there_is_absent() {
        let mut fake = Fake::endpoint();
        let report = run(&mut fake).unwrap();
        let parts = [report.intx, report.msi, report.msix, report.option_rom];
        assert_eq!(parts, [Quieted::Absent; 4]);
    }
}
