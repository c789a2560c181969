//! The advanced features structure: function-level reset for functions without PCI Express (PCI Advanced Capabilities
//! ECN, 6.x.1), and the one way to either.

use crate::{Capability, ConfigAccess, ConfigError, Pcie, Rule};
use units::Bdf;

/// Length that the structure gives itself.
const LENGTH_BYTES: u8 = 6;
/// `AF Capabilities.TP_CAP` and `FLR_CAP`: the structure has both or is of no use.
const TRANSACTIONS_PENDING_CAPABLE: u8 = 1;
const FLR_CAPABLE: u8 = 1 << 1;
/// `AF Control.INITIATE_FLR`, in the second dword.
const INITIATE_FLR: u32 = 1;
/// `AF Status.TP`, in the second dword.
const TRANSACTIONS_PENDING: u32 = 1 << 8;

/// The advanced features structure of one function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AdvancedFeatures {
    /// Offset of the structure.
    pub offset: u16,
    /// The function can be reset alone, and tells when its transactions are over.
    pub function_level_reset: bool,
}

/// Decodes an advanced features capability.
///
/// # Errors
/// `CapabilityOverrun`, and `CapabilityField` for another length than 6.
pub fn read_advanced<C: ConfigAccess + ?Sized>(
    cfg: &C,
    bdf: Bdf,
    capability: Capability,
) -> Result<AdvancedFeatures, ConfigError> {
    let offset = capability.at_least(8)?;
    let [_, _, length, capabilities] = cfg.read32(bdf, offset).to_le_bytes();
    if length != LENGTH_BYTES {
        return Err(ConfigError::new(Rule::CapabilityField, offset));
    }
    let both = TRANSACTIONS_PENDING_CAPABLE | FLR_CAPABLE;
    Ok(AdvancedFeatures {
        offset,
        function_level_reset: capabilities & both == both,
    })
}

/// The way to reset one function alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FunctionReset {
    /// Through the PCI Express structure.
    Express(Pcie),
    /// Through the advanced features structure.
    Advanced(AdvancedFeatures),
}

impl FunctionReset {
    /// Chooses: the PCI Express structure where it can, else the advanced features structure where it can.
    pub fn of(pcie: Option<Pcie>, advanced: Option<AdvancedFeatures>) -> Option<Self> {
        let express = pcie.filter(|pcie| pcie.function_level_reset);
        let advanced = advanced.filter(|advanced| advanced.function_level_reset);
        express.map(Self::Express).or(advanced.map(Self::Advanced))
    }

    /// Whether requests of the function still await completion. A function that does not answer counts as
    /// pending: nothing is known of it.
    pub fn transactions_pending<C: ConfigAccess + ?Sized>(&self, cfg: &C, bdf: Bdf) -> bool {
        match self {
            Self::Express(pcie) => pcie.transactions_pending(cfg, bdf),
            Self::Advanced(advanced) => {
                cfg.read32(bdf, advanced.offset + 4) & TRANSACTIONS_PENDING != 0
            }
        }
    }

    /// Starts the reset, which takes up to [`crate::FLR_WAIT`].
    #[must_use]
    pub fn initiate<C: ConfigAccess + ?Sized>(&self, cfg: &mut C, bdf: Bdf) -> bool {
        match self {
            Self::Express(pcie) => pcie.initiate_reset(cfg, bdf),
            Self::Advanced(advanced) => {
                cfg.write32(bdf, advanced.offset + 4, INITIATE_FLR);
                advanced.function_level_reset
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BDF, Fake};

    fn device(header: u32) -> (Fake, Result<AdvancedFeatures, ConfigError>) {
        let mut fake = Fake::endpoint();
        fake.set(0x80, header);
        fake.writable(0x84, 0xff);
        let capability = Capability {
            id: 0x13,
            offset: 0x80,
        };
        let found = read_advanced(&fake, BDF, capability);
        (fake, found)
    }

    #[test]
    fn both_capabilities_are_needed() {
        for (capabilities, able) in [(0, false), (1, false), (2, false), (3, true)] {
            let (_, found) = device(capabilities << 24 | 0x06_00_13);
            assert_eq!(found.unwrap().function_level_reset, able);
        }
        let rule = |header| device(header).1.unwrap_err().rule;
        assert_eq!(rule(0x03_05_00_13), Rule::CapabilityField);
        let last = Capability {
            id: 0x13,
            offset: 0xfc,
        };
        let error = read_advanced(&Fake::endpoint(), BDF, last).unwrap_err();
        assert_eq!(error.rule, Rule::CapabilityOverrun);
    }

    #[test]
    fn a_reset_writes_one_bit_and_pending_is_read() {
        let (mut fake, found) = device(0x03_06_00_13);
        let means = FunctionReset::of(None, found.ok()).unwrap();
        fake.set(0x84, 0x0100);
        assert!(means.transactions_pending(&fake, BDF));
        assert!(means.initiate(&mut fake, BDF));
        assert_eq!(fake.writes(), [(0x84, 1)]);
        fake.set(0x84, 0);
        assert!(!means.transactions_pending(&fake, BDF));
    }

    #[test]
    fn express_comes_first_and_neither_is_none() {
        let pcie = |function_level_reset| Pcie {
            offset: 0x40,
            version: 2,
            port_type: 0,
            function_level_reset,
        };
        let advanced = |function_level_reset| AdvancedFeatures {
            offset: 0x80,
            function_level_reset,
        };
        let of = FunctionReset::of;
        assert!(matches!(
            of(Some(pcie(true)), Some(advanced(true))),
            Some(FunctionReset::Express(_))
        ));
        assert!(matches!(
            of(Some(pcie(false)), Some(advanced(true))),
            Some(FunctionReset::Advanced(_))
        ));
        assert_eq!(of(Some(pcie(false)), Some(advanced(false))), None);
        assert_eq!(of(None, None), None);
    }
}
