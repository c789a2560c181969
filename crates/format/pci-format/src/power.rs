//! Power management (PCI Bus Power Management Interface 1.2, 3.2).

use crate::{Capability, ConfigAccess, ConfigError};
use units::Bdf;

const STATE: u32 = 3;
const NO_SOFT_RESET: u32 = 1 << 3;
/// `PMCSR.PME_Status`, cleared by writing one.
const PME_STATUS: u32 = 1 << 15;
/// `PMCSR.PME_En`.
const PME_ENABLE: u32 = 1 << 8;

/// A power state of a function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PowerState {
    /// Working.
    D0,
    /// Light sleep.
    D1,
    /// Deeper sleep.
    D2,
    /// Off, but configuration space answers.
    D3Hot,
}

/// The power management structure of one function.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Power {
    /// Offset of the structure.
    pub offset: u16,
    /// Going from D3hot to D0 keeps the function's state; else it resets the function.
    pub no_soft_reset: bool,
}

/// Decodes a power management capability.
///
/// # Errors
/// `CapabilityOverrun`.
pub fn read_power<C: ConfigAccess + ?Sized>(
    cfg: &C,
    bdf: Bdf,
    capability: Capability,
) -> Result<Power, ConfigError> {
    let offset = capability.at_least(8)?;
    Ok(Power {
        offset,
        no_soft_reset: cfg.read32(bdf, offset + 4) & NO_SOFT_RESET != 0,
    })
}

impl Power {
    /// Reads the power state.
    pub fn state<C: ConfigAccess + ?Sized>(&self, cfg: &C, bdf: Bdf) -> PowerState {
        match cfg.read32(bdf, self.offset + 4) & STATE {
            0 => PowerState::D0,
            1 => PowerState::D1,
            2 => PowerState::D2,
            _ => PowerState::D3Hot,
        }
    }

    /// Wakes the function and turns its wake-up events off. From D3hot it takes 10 ms before it may be touched.
    pub fn wake<C: ConfigAccess + ?Sized>(&self, cfg: &mut C, bdf: Bdf) {
        let control = cfg.read32(bdf, self.offset + 4) & 0xffff;
        let control = control & !(STATE | PME_STATUS | PME_ENABLE);
        cfg.write32(bdf, self.offset + 4, control);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rule;
    use crate::testing::{BDF, Fake};

    #[test]
    fn a_sleeping_function_wakes_and_keeps_its_event() {
        let mut fake = Fake::endpoint();
        fake.set(0x44, 0x0000_810b);
        fake.writable(0x44, 0x0103);
        fake.write_one_clears(0x44, PME_STATUS);
        let power = read_power(
            &fake,
            BDF,
            Capability {
                id: 1,
                offset: 0x40,
            },
        )
        .unwrap();
        assert!(power.no_soft_reset);
        assert_eq!(power.state(&fake, BDF), PowerState::D3Hot);
        power.wake(&mut fake, BDF);
        assert_eq!(power.state(&fake, BDF), PowerState::D0);
        assert_eq!(fake.get(0x44), 0x8008);
    }

    #[test]
    fn each_state_reads_as_itself() {
        let mut fake = Fake::endpoint();
        let power = read_power(
            &fake,
            BDF,
            Capability {
                id: 1,
                offset: 0x40,
            },
        )
        .unwrap();
        for (bits, state) in [
            (0, PowerState::D0),
            (1, PowerState::D1),
            (2, PowerState::D2),
        ] {
            fake.set(0x44, bits);
            assert_eq!(power.state(&fake, BDF), state);
        }
        let error = read_power(
            &fake,
            BDF,
            Capability {
                id: 1,
                offset: 0xfc,
            },
        )
        .unwrap_err();
        assert_eq!(error.rule, Rule::CapabilityOverrun);
    }
}
