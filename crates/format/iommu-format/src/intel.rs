//! Registers of a VT-d unit (VT-d Specification 4.1, chapter 11), as far as they tell what the unit is.

use crate::{Capabilities, UnitFault};

/// Registers that may be read, by their offset in bytes. Nothing else of a unit is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Register {
    /// Version (11.4.1), 32 bits.
    Version,
    /// Capability (11.4.2), 64 bits.
    Capability,
    /// Extended capability (11.4.3), 64 bits.
    ExtendedCapability,
    /// Global status (11.4.4.2), 32 bits.
    GlobalStatus,
    /// Fault status (11.4.9), 32 bits.
    FaultStatus,
}

impl Register {
    /// Returns the offset in bytes.
    pub const fn offset(self) -> usize {
        match self {
            Self::Version => 0x00,
            Self::Capability => 0x08,
            Self::ExtendedCapability => 0x10,
            Self::GlobalStatus => 0x1c,
            Self::FaultStatus => 0x34,
        }
    }

    /// Returns the width in bytes, 4 or 8.
    pub const fn width(self) -> usize {
        match self {
            Self::Capability | Self::ExtendedCapability => 8,
            Self::Version | Self::GlobalStatus | Self::FaultStatus => 4,
        }
    }
}

/// What the registers held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Values {
    /// [`Register::Version`].
    pub version: u32,
    /// [`Register::Capability`].
    pub capability: u64,
    /// [`Register::ExtendedCapability`].
    pub extended: u64,
    /// [`Register::GlobalStatus`].
    pub status: u32,
}

/// Newest major version whose registers have this meaning.
const MAX_MAJOR: u8 = 7;
/// `Capability.SAGAW`: bits 8 to 12; 1 is three levels of tables, 2 four, 3 five, 0 and 4 are reserved.
const DEPTHS: [(u64, u8); 3] = [(1 << 9, 39), (1 << 10, 48), (1 << 11, 57)];
const DEPTHS_RESERVED: u64 = 1 << 8 | 1 << 12;
/// `Global Status.TES`.
const TRANSLATING: u32 = 1 << 31;
/// `Extended Capability.QI` and `IR`.
const QUEUED_INVALIDATION: u64 = 1 << 1;
const INTERRUPT_REMAPPING: u64 = 1 << 3;
/// Bytes of one fault recording register, and of the two IOTLB registers.
const RECORD_BYTES: u64 = 16;

/// Judges a unit by its registers, of which there are `register_bytes`.
///
/// # Errors
/// - `Silent`: version or capabilities are all ones or all zeros;
/// - `Version`: no major version from 1 to 7;
/// - `Domains`: a reserved number of domains;
/// - `AddressWidths`: no depth of page tables, a reserved one, or addresses narrower than the shallowest;
/// - `RegisterRange`: fault or IOTLB registers outside of the unit's registers.
pub fn judge(values: &Values, register_bytes: u64) -> Result<Capabilities, UnitFault> {
    let Values {
        version,
        capability,
        extended,
        status,
    } = *values;
    if [0, u32::MAX].contains(&version)
        || [0, u64::MAX].contains(&capability)
        || extended == u64::MAX
    {
        return Err(UnitFault::Silent);
    }
    let (major, minor) = ((version >> 4 & 0xf) as u8, (version & 0xf) as u8);
    if version >> 8 != 0 || !(1..=MAX_MAJOR).contains(&major) {
        return Err(UnitFault::Version);
    }
    // 0 to 6 stand for 16 domains and four times as many with each step.
    let domains = match capability & 7 {
        7 => return Err(UnitFault::Domains),
        step => 1 << (4 + 2 * step as u32),
    };
    let mut depths = DEPTHS.iter().filter(|(bit, _)| capability & bit != 0);
    let (Some(&(_, shallowest)), Some(&(_, deepest))) = (depths.clone().next(), depths.next_back())
    else {
        return Err(UnitFault::AddressWidths);
    };
    let guest_bits = (capability >> 16 & 0x3f) as u8 + 1;
    if capability & DEPTHS_RESERVED != 0 || guest_bits < shallowest {
        return Err(UnitFault::AddressWidths);
    }
    // Both offsets count units of 16 bytes.
    let faults = (capability >> 24 & 0x3ff) * 16;
    let records = (capability >> 40 & 0xff) + 1;
    let iotlb = (extended >> 8 & 0x3ff) * 16;
    if faults + records * RECORD_BYTES > register_bytes || iotlb + RECORD_BYTES > register_bytes {
        return Err(UnitFault::RegisterRange);
    }
    Ok(Capabilities {
        version: (major, minor),
        address_bits: deepest.min(guest_bits),
        domains,
        interrupt_remapping: extended & INTERRUPT_REMAPPING != 0,
        queued_invalidation: extended & QUEUED_INVALIDATION != 0,
        translating: status & TRANSLATING != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a unit of an emulated machine with 39 bits gives them.
    const GOOD: Values = Values {
        version: 0x10,
        capability: 0x00d2_0080_2226_0206,
        extended: 0x0000_0000_00f0_0f5a,
        status: 0,
    };

    fn fault(change: impl Fn(&mut Values)) -> Option<UnitFault> {
        let mut values = GOOD;
        change(&mut values);
        judge(&values, 4096).err()
    }

    #[test]
    fn a_sound_unit_is_described() {
        let found = judge(&GOOD, 4096).unwrap();
        let expected = Capabilities {
            version: (1, 0),
            address_bits: 39,
            domains: 65536,
            interrupt_remapping: true,
            queued_invalidation: true,
            translating: false,
        };
        assert_eq!(found, expected);
        let mut on = GOOD;
        on.status = TRANSLATING;
        assert!(judge(&on, 4096).unwrap().translating);
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        use UnitFault::{AddressWidths, Domains, RegisterRange, Silent, Version};
        assert_eq!(fault(|v| v.version = u32::MAX), Some(Silent));
        assert_eq!(fault(|v| v.version = 0), Some(Silent));
        assert_eq!(fault(|v| v.capability = 0), Some(Silent));
        assert_eq!(fault(|v| v.extended = u64::MAX), Some(Silent));
        assert_eq!(fault(|v| v.version = 0x80), Some(Version));
        assert_eq!(fault(|v| v.version = 0x110), Some(Version));
        assert_eq!(fault(|v| v.version = 0x0f), Some(Version));
        assert_eq!(fault(|v| v.capability |= 7), Some(Domains));
        assert_eq!(fault(|v| v.capability &= !0x200), Some(AddressWidths));
        assert_eq!(fault(|v| v.capability |= 1 << 8), Some(AddressWidths));
        assert_eq!(
            fault(|v| v.capability &= !(0x3f << 16)),
            Some(AddressWidths)
        );
        assert_eq!(fault(|v| v.capability |= 0x3ff << 24), Some(RegisterRange));
        assert_eq!(fault(|v| v.capability |= 0xff << 40), Some(RegisterRange));
        assert_eq!(fault(|v| v.extended |= 0x3ff << 8), Some(RegisterRange));
    }

    #[test]
    fn registers_lie_apart_inside_the_first_page() {
        let all = [
            Register::Version,
            Register::Capability,
            Register::ExtendedCapability,
            Register::GlobalStatus,
            Register::FaultStatus,
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(one.offset().is_multiple_of(one.width()) && one.offset() < 4096);
            for other in &all[..index] {
                assert!(other.offset() + other.width() <= one.offset());
            }
        }
    }
}
