//! The capability and registers of an AMD-Vi unit (AMD IOMMU Specification 3.08, 3.2 and 3.4), as far as they tell what
//! the unit is.

use crate::{Capabilities, UnitFault};

/// Registers that may be read, by their offset in bytes; all have 64 bits. Nothing else of a unit is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Register {
    /// Control (3.4.1).
    Control,
    /// Extended features (3.4.3).
    ExtendedFeatures,
    /// Status (3.4.14).
    Status,
}

impl Register {
    /// Returns the offset in bytes.
    pub const fn offset(self) -> usize {
        match self {
            Self::Control => 0x18,
            Self::ExtendedFeatures => 0x30,
            Self::Status => 0x2020,
        }
    }
}

/// The three dwords at the start of the capability in the unit's configuration space.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// Id, next, type, revision.
    pub header: u32,
    /// Low half of the register address; bit 0 turns it on.
    pub base_low: u32,
    /// High half.
    pub base_high: u32,
}

/// What the registers held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Values {
    /// [`Register::Control`].
    pub control: u64,
    /// [`Register::ExtendedFeatures`].
    pub features: u64,
}

impl Header {
    /// `NpCache`: what was found absent may be remembered, so a new mapping needs an invalidation too (3.2.1).
    pub const fn caches_absent(&self) -> bool {
        self.header & 1 << 26 != 0
    }
}

const CAPABILITY_ID: u32 = 0x0f;
/// `Capability Header.CapType` of an IOMMU, and the largest `CapRev`: emulated units say 0, and mean the first one.
const TYPE_IOMMU: u32 = 3;
const REVISION: u32 = 1;
const BASE_MASK: u64 = !0x3fff;
/// `Extended Features.HATS`: 0 is four levels of host tables, 1 five, 2 six, 3 is reserved.
const DEPTHS: [u8; 3] = [48, 57, 64];
const DOMAINS: u32 = 1 << 16;

/// Judges a unit by its capability.
///
/// # Errors
/// `Capability`: no capability of an IOMMU in its first revision is there; `Address`: it says that the registers are
/// elsewhere than the table does. Whether they are on, emulated units do not say there: that is seen at the registers.
pub fn judge_header(header: &Header, base: u64) -> Result<(), UnitFault> {
    let kind = header.header >> 16 & 7;
    let revision = header.header >> 19 & 0x1f;
    if header.header & 0xff != CAPABILITY_ID || kind != TYPE_IOMMU || revision > REVISION {
        return Err(UnitFault::Capability);
    }
    let address = (u64::from(header.base_high) << 32 | u64::from(header.base_low)) & BASE_MASK;
    if address != base {
        return Err(UnitFault::Address);
    }
    Ok(())
}

/// Judges a unit by its registers.
///
/// # Errors
/// `Silent`: all ones; `AddressWidths`: a reserved depth of host page tables.
pub fn judge(values: &Values) -> Result<Capabilities, UnitFault> {
    if values.control == u64::MAX || values.features == u64::MAX {
        return Err(UnitFault::Silent);
    }
    let depth = (values.features >> 10 & 3) as usize;
    let address_bits = *DEPTHS.get(depth).ok_or(UnitFault::AddressWidths)?;
    Ok(Capabilities {
        version: (1, 0),
        address_bits,
        domains: DOMAINS,
        // Both are part of the first revision.
        interrupt_remapping: true,
        queued_invalidation: true,
        translating: values.control & 1 != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: u64 = 0xfed8_0000;
    const GOOD: Header = Header {
        header: 0x190b_640f,
        base_low: 0xfed8_0001,
        base_high: 0,
    };

    #[test]
    fn capability_and_table_must_agree() {
        assert_eq!(judge_header(&GOOD, BASE), Ok(()));
        assert_eq!(judge_header(&GOOD, BASE + 0x4000), Err(UnitFault::Address));
        // As emulated units have it: revision 0, and not said to be on.
        let emulated = Header {
            header: 0x1f03_000f,
            base_low: 0xfed8_0000,
            base_high: 0,
        };
        assert_eq!(judge_header(&emulated, BASE), Ok(()));
        assert!(emulated.caches_absent() && !GOOD.caches_absent());
        for header in [
            u32::MAX,
            0,
            GOOD.header ^ 1,
            GOOD.header ^ 1 << 16,
            GOOD.header ^ 1 << 20,
        ] {
            let other = Header { header, ..GOOD };
            assert_eq!(judge_header(&other, BASE), Err(UnitFault::Capability));
        }
    }

    #[test]
    fn registers_are_judged() {
        let values = |control, features| judge(&Values { control, features });
        let found = values(0, 0).unwrap();
        assert_eq!((found.address_bits, found.translating), (48, false));
        assert!(values(1, 1 << 10).unwrap().translating);
        assert_eq!(values(u64::MAX, 0), Err(UnitFault::Silent));
        assert_eq!(values(0, u64::MAX), Err(UnitFault::Silent));
        assert_eq!(values(0, 3 << 10), Err(UnitFault::AddressWidths));
    }
}
