//! Bridges between PCI buses (PCI-to-PCI Bridge 1.2, 3.2.5).

use crate::{ConfigAccess, ConfigError, FunctionInfo, HeaderKind, Rule, reg};
use units::Bdf;

/// `Bridge Control.Secondary Bus Reset`, in the dword at [`reg::INTERRUPT`].
const SECONDARY_BUS_RESET: u32 = 1 << (16 + 6);
/// `Bridge Control.Discard Timer Status`, cleared by writing one.
const DISCARD_TIMER_STATUS: u32 = 1 << (16 + 10);

/// The bus numbers of a bridge that firmware configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bridge {
    /// Where the bridge is.
    pub bdf: Bdf,
    /// The bus right below it.
    pub secondary: u8,
    /// The highest bus anywhere below it, never under `secondary`.
    pub subordinate: u8,
}

impl Bridge {
    /// Whether a function lies below this bridge.
    pub fn leads_to(&self, bdf: Bdf) -> bool {
        bdf.segment() == self.bdf.segment()
            && (self.secondary..=self.subordinate).contains(&bdf.bus())
    }
}

/// Reads a bridge's bus numbers; `Ok(None)` where firmware left it without.
///
/// # Errors
/// `HeaderKind` where `info` is no bridge, `BusRange` where the numbers contradict one another: a primary bus that is
/// not the one the bridge is on, a secondary bus that is not above it, a subordinate bus below the secondary.
pub fn read_bridge<C: ConfigAccess + ?Sized>(
    cfg: &C,
    info: &FunctionInfo,
) -> Result<Option<Bridge>, ConfigError> {
    if !matches!(info.header, HeaderKind::Bridge | HeaderKind::CardBus) {
        return Err(ConfigError::new(Rule::HeaderKind, reg::HEADER_TYPE));
    }
    let numbers = cfg.read32(info.bdf, reg::BUS_NUMBERS);
    let [primary, secondary, subordinate, _] = numbers.to_le_bytes();
    if secondary == 0 && subordinate == 0 {
        return Ok(None);
    }
    let bus = info.bdf.bus();
    if primary != bus || secondary <= bus || subordinate < secondary {
        return Err(ConfigError::new(Rule::BusRange, reg::BUS_NUMBERS));
    }
    Ok(Some(Bridge {
        bdf: info.bdf,
        secondary,
        subordinate,
    }))
}

/// Starts a reset of everything below a bridge; it lasts until [`release_secondary_reset`], 1 ms at least.
pub fn assert_secondary_reset<C: ConfigAccess + ?Sized>(cfg: &mut C, bridge: &Bridge) {
    let value = cfg.read32(bridge.bdf, reg::INTERRUPT) & !DISCARD_TIMER_STATUS;
    cfg.write32(bridge.bdf, reg::INTERRUPT, value | SECONDARY_BUS_RESET);
}

/// Ends the reset; the functions below may be configured 100 ms later (PCIe 6.6.1).
pub fn release_secondary_reset<C: ConfigAccess + ?Sized>(cfg: &mut C, bridge: &Bridge) {
    let value = cfg.read32(bridge.bdf, reg::INTERRUPT) & !DISCARD_TIMER_STATUS;
    cfg.write32(bridge.bdf, reg::INTERRUPT, value & !SECONDARY_BUS_RESET);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_function;
    use crate::testing::{BDF, Fake};

    fn bridge(numbers: u32) -> (Fake, FunctionInfo) {
        let mut fake = Fake::endpoint();
        fake.set(reg::HEADER_TYPE, 0x0001_0000);
        fake.set(reg::BUS_NUMBERS, numbers);
        let info = read_function(&fake, BDF).unwrap();
        (fake, info)
    }

    fn read(numbers: u32) -> Result<Option<(u8, u8)>, Rule> {
        let (fake, info) = bridge(numbers);
        read_bridge(&fake, &info)
            .map(|found| found.map(|bridge| (bridge.secondary, bridge.subordinate)))
            .map_err(|error| error.rule)
    }

    #[test]
    fn bus_numbers_are_checked_against_one_another() {
        // The fake function is on bus 3.
        assert_eq!(read(0x00_09_04_03), Ok(Some((4, 9))));
        assert_eq!(read(0xff_04_04_03), Ok(Some((4, 4))));
        assert_eq!(read(0), Ok(None));
        assert_eq!(read(0x00_09_04_02), Err(Rule::BusRange));
        assert_eq!(read(0x00_09_03_03), Err(Rule::BusRange));
        assert_eq!(read(0x00_03_04_03), Err(Rule::BusRange));
        assert_eq!(read(0x00_09_00_03), Err(Rule::BusRange));
    }

    #[test]
    fn an_endpoint_is_no_bridge() {
        let fake = Fake::endpoint();
        let info = read_function(&fake, BDF).unwrap();
        assert_eq!(
            read_bridge(&fake, &info).unwrap_err().rule,
            Rule::HeaderKind
        );
    }

    #[test]
    fn a_bridge_leads_to_its_range_only() {
        let (fake, info) = bridge(0x00_09_04_03);
        let found = read_bridge(&fake, &info).unwrap().unwrap();
        let leads = |segment, bus| found.leads_to(Bdf::new(segment, bus, 1, 0).unwrap());
        assert!(leads(0, 4) && leads(0, 9));
        assert!(!leads(0, 3) && !leads(0, 10) && !leads(1, 5));
    }

    #[test]
    fn reset_changes_one_bit_only() {
        let (mut fake, info) = bridge(0x00_09_04_03);
        fake.set(reg::INTERRUPT, 0x0403_01ff);
        fake.writable(reg::INTERRUPT, 0x0043_00ff);
        fake.write_one_clears(reg::INTERRUPT, DISCARD_TIMER_STATUS);
        let found = read_bridge(&fake, &info).unwrap().unwrap();
        assert_secondary_reset(&mut fake, &found);
        assert_eq!(fake.get(reg::INTERRUPT), 0x0443_01ff);
        release_secondary_reset(&mut fake, &found);
        assert_eq!(fake.get(reg::INTERRUPT), 0x0403_01ff);
    }
}
