//! The PCI Express structure, as far as reset needs it (PCIe 7.5.3, 6.6.2).

use crate::{Capability, ConfigAccess, ConfigError, Rule};
use units::{Bdf, Nanoseconds};

/// How long a function may take for a function-level reset; it must not be touched meanwhile (PCIe 6.6.2).
pub const FLR_WAIT: Nanoseconds = Nanoseconds::from_millis(100);

/// `Device Capabilities.Function Level Reset Capability`.
const FLR_CAPABLE: u32 = 1 << 28;
/// `Device Control.Initiate Function Level Reset`.
const INITIATE_FLR: u32 = 1 << 15;
/// `Device Status.Transactions Pending`, in the same dword as device control.
const TRANSACTIONS_PENDING: u32 = 1 << (16 + 5);

/// The PCI Express structure of one function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pcie {
    /// Offset of the structure.
    pub offset: u16,
    /// Version of the structure, 1 or 2.
    pub version: u8,
    /// Device/port type: 0 endpoint, 1 legacy endpoint, 4 root port, 9 integrated endpoint, and so on.
    pub port_type: u8,
    /// The function can be reset alone.
    pub function_level_reset: bool,
}

/// Decodes a PCI Express capability.
///
/// # Errors
/// `CapabilityOverrun`, and `CapabilityField` for a version that is not 1 or 2.
pub fn read_pcie<C: ConfigAccess + ?Sized>(
    cfg: &C,
    bdf: Bdf,
    capability: Capability,
) -> Result<Pcie, ConfigError> {
    let offset = capability.at_least(12)?;
    let register = cfg.read32(bdf, offset) >> 16;
    let version = (register & 0xf) as u8;
    if version != 1 && version != 2 {
        return Err(ConfigError::new(Rule::CapabilityField, offset));
    }
    Ok(Pcie {
        offset,
        version,
        port_type: (register >> 4) as u8 & 0xf,
        function_level_reset: cfg.read32(bdf, offset + 4) & FLR_CAPABLE != 0,
    })
}

impl Pcie {
    /// Whether requests of the function still await completion. A function that does not answer counts as
    /// pending: nothing is known of it.
    pub fn transactions_pending<C: ConfigAccess + ?Sized>(&self, cfg: &C, bdf: Bdf) -> bool {
        cfg.read32(bdf, self.offset + 8) & TRANSACTIONS_PENDING != 0
    }

    /// Starts a function-level reset, which takes up to [`FLR_WAIT`]. Returns `false`, and does nothing, where the
    /// function has none.
    #[must_use]
    pub fn initiate_reset<C: ConfigAccess + ?Sized>(&self, cfg: &mut C, bdf: Bdf) -> bool {
        if !self.function_level_reset {
            return false;
        }
        // The status half is written as zero: its bits are cleared by writing ones.
        let control = cfg.read32(bdf, self.offset + 8) & 0xffff;
        cfg.write32(bdf, self.offset + 8, control | INITIATE_FLR);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BDF, Fake};

    fn device(register: u32, capabilities: u32, control: u32) -> (Fake, Result<Pcie, ConfigError>) {
        let mut fake = Fake::endpoint();
        fake.set(0xc0, register << 16 | 0x10);
        fake.set(0xc4, capabilities);
        fake.set(0xc8, control);
        fake.writable(0xc8, 0xffff);
        fake.write_one_clears(0xc8, 0x000f_0000);
        let found = read_pcie(
            &fake,
            BDF,
            Capability {
                id: 0x10,
                offset: 0xc0,
            },
        );
        (fake, found)
    }

    #[test]
    fn an_endpoint_decodes() {
        let found = device(0x0002, 1 << 28, 0).1.unwrap();
        let expected = Pcie {
            offset: 0xc0,
            version: 2,
            port_type: 0,
            function_level_reset: true,
        };
        assert_eq!(found, expected);
        assert_eq!(device(0x0142, 0, 0).1.unwrap().port_type, 4);
        assert_eq!(
            device(0x0003, 0, 0).1.unwrap_err().rule,
            Rule::CapabilityField
        );
        assert_eq!(device(0, 0, 0).1.unwrap_err().rule, Rule::CapabilityField);
    }

    #[test]
    fn reset_needs_the_capability_and_keeps_status() {
        let (mut fake, found) = device(2, 1 << 28, 0x0029_2810);
        assert!(found.unwrap().initiate_reset(&mut fake, BDF));
        assert_eq!(fake.get(0xc8), 0x0029_a810);
        let (mut fake, found) = device(2, 0, 0x2810);
        assert!(!found.unwrap().initiate_reset(&mut fake, BDF));
        assert_eq!(fake.get(0xc8), 0x2810);
    }

    #[test]
    fn a_vanished_function_counts_as_pending() {
        let (mut fake, found) = device(2, 0, 0);
        let found = found.unwrap();
        assert!(!found.transactions_pending(&fake, BDF));
        fake.set(0xc8, 0x0020_0000);
        assert!(found.transactions_pending(&fake, BDF));
        assert!(found.transactions_pending(&fake, Bdf::from_u32(0x1234)));
    }

    #[test]
    fn the_structure_must_fit() {
        let fake = Fake::endpoint();
        let error = read_pcie(
            &fake,
            BDF,
            Capability {
                id: 0x10,
                offset: 0xf8,
            },
        )
        .unwrap_err();
        assert_eq!(error.rule, Rule::CapabilityOverrun);
    }
}
