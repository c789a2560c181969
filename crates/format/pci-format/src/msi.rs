//! Message-signalled interrupts (PCI 6.8.1).

use crate::{Capability, ConfigAccess, ConfigError, Rule};
use units::Bdf;

const ENABLE: u32 = 1 << 16;
const ADDRESS_64: u32 = 1 << 23;
const VECTOR_MASK: u32 = 1 << 24;
/// `Multiple Message Enable`: log2 of the vectors in use.
const MULTIPLE_ENABLE: u32 = 7 << 20;

/// The MSI structure of one function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Msi {
    /// Offset of the structure.
    pub offset: u16,
    /// Vectors that the function could use: 1, 2, 4, 8, 16 or 32.
    pub vectors: u8,
    /// The message address may have 64 bits.
    pub address_64: bool,
    /// Vectors can be masked one by one.
    pub vector_mask: bool,
}

/// Decodes an MSI capability.
///
/// # Errors
/// `CapabilityOverrun`, and `CapabilityField` for a reserved number of vectors.
pub fn read_msi<C: ConfigAccess + ?Sized>(
    cfg: &C,
    bdf: Bdf,
    capability: Capability,
) -> Result<Msi, ConfigError> {
    let offset = capability.at_least(12)?;
    let control = cfg.read32(bdf, offset);
    let log2 = control >> 17 & 7;
    if log2 > 5 {
        return Err(ConfigError::new(Rule::CapabilityField, offset));
    }
    let msi = Msi {
        offset,
        vectors: 1 << log2,
        address_64: control & ADDRESS_64 != 0,
        vector_mask: control & VECTOR_MASK != 0,
    };
    // The data register and, where they exist, mask and pending bits follow the address.
    capability.at_least(match msi.vector_mask {
        true => msi.data() - offset + 12,
        false => msi.data() - offset + 4,
    })?;
    Ok(msi)
}

impl Msi {
    fn data(&self) -> u16 {
        self.offset + if self.address_64 { 12 } else { 8 }
    }

    /// Whether the function signals by message.
    pub fn is_enabled<C: ConfigAccess + ?Sized>(&self, cfg: &C, bdf: Bdf) -> bool {
        cfg.read32(bdf, self.offset) & ENABLE != 0
    }

    /// Turns MSI off, then writes address and data of the one vector that will be used.
    ///
    /// # Errors
    /// `MessageAddress` where the address is no multiple of 4, or does not fit; MSI stays as it was.
    pub fn program<C: ConfigAccess + ?Sized>(
        &self,
        cfg: &mut C,
        bdf: Bdf,
        address: u64,
        data: u16,
    ) -> Result<(), ConfigError> {
        let high = (address >> 32) as u32;
        if address & 3 != 0 || (high != 0 && !self.address_64) {
            return Err(ConfigError::new(Rule::MessageAddress, self.offset));
        }
        self.disable(cfg, bdf);
        cfg.write32(bdf, self.offset + 4, address as u32);
        if self.address_64 {
            cfg.write32(bdf, self.offset + 8, high);
        }
        cfg.write32(bdf, self.data(), u32::from(data));
        Ok(())
    }

    /// Turns MSI on for one vector.
    pub fn enable<C: ConfigAccess + ?Sized>(&self, cfg: &mut C, bdf: Bdf) {
        let control = cfg.read32(bdf, self.offset) & !MULTIPLE_ENABLE;
        cfg.write32(bdf, self.offset, control | ENABLE);
    }

    /// Turns MSI off.
    pub fn disable<C: ConfigAccess + ?Sized>(&self, cfg: &mut C, bdf: Bdf) {
        let control = cfg.read32(bdf, self.offset) & !(ENABLE | MULTIPLE_ENABLE);
        cfg.write32(bdf, self.offset, control);
    }

    /// Masks every vector, where the function can.
    pub fn mask<C: ConfigAccess + ?Sized>(&self, cfg: &mut C, bdf: Bdf) {
        if self.vector_mask {
            cfg.write32(bdf, self.data() + 4, u32::MAX);
        }
    }

    /// Unmasks every vector, where the function can mask.
    pub fn unmask<C: ConfigAccess + ?Sized>(&self, cfg: &mut C, bdf: Bdf) {
        if self.vector_mask {
            cfg.write32(bdf, self.data() + 4, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BDF, Fake};

    fn msi(offset: u8, control: u32) -> (Fake, Result<Msi, ConfigError>) {
        let mut fake = Fake::endpoint();
        fake.set(u16::from(offset), control << 16 | 5);
        for at in [0, 4, 8, 12, 16] {
            let at = u16::from(offset) + at;
            if at < 256 {
                fake.writable(
                    at,
                    if at == u16::from(offset) {
                        0x0071_0000
                    } else {
                        u32::MAX
                    },
                );
            }
        }
        let found = read_msi(&fake, BDF, Capability { id: 5, offset });
        (fake, found)
    }

    #[test]
    fn the_control_word_decodes() {
        let found = msi(0x50, 0x018a).1.unwrap();
        let expected = Msi {
            offset: 0x50,
            vectors: 32,
            address_64: true,
            vector_mask: true,
        };
        assert_eq!(found, expected);
        assert_eq!(msi(0x50, 0).1.unwrap().vectors, 1);
        assert_eq!(msi(0x50, 0x0c).1.unwrap_err().rule, Rule::CapabilityField);
    }

    #[test]
    fn each_form_must_fit() {
        let fits = |offset, control| msi(offset, control).1.is_ok();
        assert!(fits(0xf4, 0) && !fits(0xf8, 0));
        assert!(fits(0xf0, 0x80) && !fits(0xf4, 0x80));
        assert!(fits(0xec, 0x100) && !fits(0xf0, 0x100));
        assert!(fits(0xe8, 0x180) && !fits(0xec, 0x180));
        assert_eq!(
            msi(0xfc, 0).1.unwrap_err(),
            ConfigError::new(Rule::CapabilityOverrun, 0xfc)
        );
    }

    #[test]
    fn programming_uses_the_registers_of_the_form() {
        let (mut fake, found) = msi(0x50, 0x01fb);
        let found = found.unwrap();
        found.program(&mut fake, BDF, 0x1_fee0_1000, 0x41).unwrap();
        assert!(!found.is_enabled(&fake, BDF));
        assert_eq!(
            [0x54, 0x58, 0x5c].map(|at| fake.get(at)),
            [0xfee0_1000, 1, 0x41]
        );
        found.mask(&mut fake, BDF);
        assert_eq!(fake.get(0x60), u32::MAX);
        found.unmask(&mut fake, BDF);
        found.enable(&mut fake, BDF);
        assert_eq!((fake.get(0x60), fake.get(0x50)), (0, 0x018b_0005));
        found.disable(&mut fake, BDF);
        assert_eq!(fake.get(0x50), 0x018a_0005);

        let (mut fake, found) = msi(0x50, 0);
        let found = found.unwrap();
        found.program(&mut fake, BDF, 0xfee0_0000, 0x42).unwrap();
        found.mask(&mut fake, BDF);
        assert_eq!(
            [0x54, 0x58, 0x5c].map(|at| fake.get(at)),
            [0xfee0_0000, 0x42, 0]
        );
    }

    #[test]
    fn an_address_that_does_not_fit_changes_nothing() {
        let (mut fake, found) = msi(0x50, 1);
        let found = found.unwrap();
        for bad in [0x1_0000_0000, 0xfee0_0002] {
            let error = found.program(&mut fake, BDF, bad, 1).unwrap_err();
            assert_eq!(error.rule, Rule::MessageAddress);
        }
        assert!(found.is_enabled(&fake, BDF));
        assert_eq!(fake.get(0x54), 0);
    }
}
