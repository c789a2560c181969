//! The expansion ROM register (PCI 6.2.5.2).

use crate::{ConfigAccess, ConfigError, FunctionInfo, HeaderKind, Rule, reg};

const ENABLE: u32 = 1;
const ADDRESS_MASK: u32 = 0xffff_f800;
/// Largest ROM that the register can ask for.
const MAX_BYTES: u32 = 16 << 20;

/// An expansion ROM, whose decoder is off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExpansionRom {
    /// First address; 0 where firmware assigned none.
    pub address: u32,
    /// Bytes decoded, a power of two from 2 KiB to 16 MiB.
    pub size_bytes: u32,
}

/// Returns the register's offset in a header of that kind.
pub(crate) const fn rom_register(header: HeaderKind) -> Option<u16> {
    match header {
        HeaderKind::Endpoint => Some(reg::EXPANSION_ROM),
        HeaderKind::Bridge => Some(reg::BRIDGE_ROM),
        HeaderKind::CardBus | HeaderKind::Unknown(_) => None,
    }
}

/// Finds out how large the expansion ROM is, by writing ones and reading back how many stick. Its decoder is and stays
/// off. `Ok(None)` where the function has none.
///
/// # Errors
/// `BarSize`: the bits that stick are no size; `BarRestore`: the register did not take its old address back, or its
/// decoder did not turn off.
pub fn size_rom<C: ConfigAccess + ?Sized>(
    cfg: &mut C,
    info: &FunctionInfo,
) -> Result<Option<ExpansionRom>, ConfigError> {
    let Some(offset) = rom_register(info.header) else {
        return Ok(None);
    };
    let error = |rule| ConfigError::new(rule, offset);
    let before = cfg.read32(info.bdf, offset) & !ENABLE;
    cfg.write32(info.bdf, offset, ADDRESS_MASK);
    let ones = cfg.read32(info.bdf, offset) & ADDRESS_MASK;
    cfg.write32(info.bdf, offset, before);
    let after = cfg.read32(info.bdf, offset);
    if (after ^ before) & (ADDRESS_MASK | ENABLE) != 0 {
        return Err(error(Rule::BarRestore));
    }
    if ones == 0 {
        return Ok(None);
    }
    let size_bytes = ones & ones.wrapping_neg();
    // All bits above the lowest one that sticks must stick too.
    if ones != size_bytes.wrapping_neg() || size_bytes > MAX_BYTES {
        return Err(error(Rule::BarSize));
    }
    Ok(Some(ExpansionRom {
        address: before & ADDRESS_MASK,
        size_bytes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_function;
    use crate::testing::{BDF, Fake};

    fn size(value: u32, mask: u32, header: u32) -> (Fake, Result<Option<ExpansionRom>, Rule>) {
        let mut fake = Fake::endpoint();
        fake.set(reg::HEADER_TYPE, header << 16);
        let offset = if header == 1 {
            reg::BRIDGE_ROM
        } else {
            reg::EXPANSION_ROM
        };
        fake.set(offset, value);
        fake.writable(offset, mask);
        let info = read_function(&fake, BDF).unwrap();
        let found = size_rom(&mut fake, &info).map_err(|error| error.rule);
        (fake, found)
    }

    #[test]
    fn sizes_are_read_and_the_address_comes_back() {
        for header in [0, 1] {
            let (fake, found) = size(0xfeb4_0000, 0xfffc_0001, header);
            let rom = found.unwrap().unwrap();
            assert_eq!((rom.address, rom.size_bytes), (0xfeb4_0000, 0x4_0000));
            let last = fake.writes().last().unwrap().1;
            assert_eq!(last, 0xfeb4_0000);
        }
        assert_eq!(size(0, 0, 0).1, Ok(None));
        assert_eq!(size(0, 0xfffc_0001, 2).1, Ok(None));
    }

    #[test]
    fn a_decoder_that_was_on_is_off() {
        let (mut fake, found) = size(0xfeb4_0001, 0xfffc_0001, 0);
        assert!(found.unwrap().is_some());
        assert_eq!(fake.get(reg::EXPANSION_ROM), 0xfeb4_0000);
        fake.set(reg::EXPANSION_ROM, 0xfeb4_0001);
        fake.writable(reg::EXPANSION_ROM, 0xfffc_0000);
        let info = read_function(&fake, BDF).unwrap();
        let stuck = size_rom(&mut fake, &info).unwrap_err();
        assert_eq!(stuck.rule, Rule::BarRestore);
    }

    #[test]
    fn absurd_sizes_are_refused() {
        assert_eq!(size(0, 0xf0fc_0001, 0).1, Err(Rule::BarSize));
        assert_eq!(size(0, 0xfe00_0001, 0).1, Err(Rule::BarSize));
        // An address bit below the size that is stuck at one.
        assert_eq!(size(0x0001_0000, 0xfffc_0001, 0).1, Err(Rule::BarSize));
    }
}
