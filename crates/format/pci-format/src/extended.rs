//! The extended capability list from 0x100 on (PCIe 7.6.3).

use crate::{ConfigAccess, ConfigError, Rule};
use units::Bdf;

/// Extended capability ids (PCI Code and ID Assignment Specification).
pub mod ext_cap_id {
    /// Advanced error reporting.
    pub const ERROR_REPORTING: u16 = 0x0001;
    /// Device serial number.
    pub const SERIAL_NUMBER: u16 = 0x0003;
    /// Access control services.
    pub const ACCESS_CONTROL: u16 = 0x000d;
    /// Address translation services.
    pub const ADDRESS_TRANSLATION: u16 = 0x000f;
    /// Single-root I/O virtualisation.
    pub const SR_IOV: u16 = 0x0010;
    /// Page requests.
    pub const PAGE_REQUEST: u16 = 0x0013;
    /// Process address space ids.
    pub const PROCESS_ADDRESS: u16 = 0x001b;
    /// Resizable BAR.
    pub const RESIZABLE_BAR: u16 = 0x0015;
}

/// Most extended capabilities that are walked.
pub const MAX_EXTENDED: usize = 64;

const FIRST: u16 = 0x100;

/// One extended capability: what it is and where, a multiple of 4 from 0x100 to 0xffc.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExtendedCapability {
    /// The id, one of [`ext_cap_id`] or another.
    pub id: u16,
    /// Version of the structure.
    pub version: u8,
    /// Offset in bytes.
    pub offset: u16,
}

/// The extended capabilities of one function in list order.
#[derive(Clone, Copy, Debug)]
pub struct ExtendedList {
    entries: [ExtendedCapability; MAX_EXTENDED],
    count: usize,
}

impl ExtendedList {
    /// Returns the capabilities.
    pub fn as_slice(&self) -> &[ExtendedCapability] {
        self.entries.get(..self.count).unwrap_or_default()
    }

    /// Returns the first capability of that id.
    pub fn find(&self, id: u16) -> Option<ExtendedCapability> {
        self.as_slice().iter().copied().find(|one| one.id == id)
    }
}

/// Reads the extended capability list; empty where only 256 bytes can be reached, or the function has no more.
///
/// # Errors
/// `CapabilityBelowHeader` (a pointer below 0x100), `CapabilityMisaligned`, `CapabilityLoop`, `CapabilityTooMany`; the
/// offset is that of the structure with the pointer.
pub fn read_extended<C: ConfigAccess + ?Sized>(
    cfg: &C,
    bdf: Bdf,
) -> Result<ExtendedList, ConfigError> {
    let mut list = ExtendedList {
        entries: [ExtendedCapability::default(); MAX_EXTENDED],
        count: 0,
    };
    if cfg.space_bytes(bdf) <= FIRST {
        return Ok(list);
    }
    // A conventional function behind ECAM answers ones from here on, an Express one without a list zeros.
    let mut header = cfg.read32(bdf, FIRST);
    if header == 0 || header == u32::MAX {
        return Ok(list);
    }
    let mut offset = FIRST;
    loop {
        let error = |rule| ConfigError::new(rule, offset);
        let slot = list.entries.get_mut(list.count);
        *slot.ok_or(error(Rule::CapabilityTooMany))? = ExtendedCapability {
            id: header as u16,
            version: (header >> 16) as u8 & 0xf,
            offset,
        };
        list.count += 1;
        let next = (header >> 20) as u16;
        if next == 0 {
            return Ok(list);
        }
        if next < FIRST {
            return Err(error(Rule::CapabilityBelowHeader));
        }
        if next & 3 != 0 {
            return Err(error(Rule::CapabilityMisaligned));
        }
        if list.as_slice().iter().any(|one| one.offset == next) {
            return Err(error(Rule::CapabilityLoop));
        }
        offset = next;
        header = cfg.read32(bdf, offset);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BDF, Fake};

    fn read(fake: &Fake) -> Result<ExtendedList, ConfigError> {
        read_extended(fake, BDF)
    }

    #[test]
    fn a_list_reads_in_order() {
        let mut fake = Fake::endpoint();
        fake.set(0x100, 0x2002_0001);
        fake.set(0x200, 0xffc1_0003);
        fake.set(0xffc, 0x0001_000d);
        let list = read(&fake).unwrap();
        let seen: std::vec::Vec<_> = list
            .as_slice()
            .iter()
            .map(|one| (one.id, one.version, one.offset))
            .collect();
        assert_eq!(seen, [(1, 2, 0x100), (3, 1, 0x200), (0xd, 1, 0xffc)]);
        assert_eq!(
            list.find(ext_cap_id::SERIAL_NUMBER).map(|one| one.offset),
            Some(0x200)
        );
        assert_eq!(list.find(ext_cap_id::SR_IOV), None);
    }

    #[test]
    fn zeros_ones_and_short_spaces_are_empty_lists() {
        let mut fake = Fake::endpoint();
        assert!(read(&fake).unwrap().as_slice().is_empty());
        fake.set(0x100, u32::MAX);
        assert!(read(&fake).unwrap().as_slice().is_empty());
        fake.set(0x100, 0x0001_000d);
        assert_eq!(read(&fake).unwrap().as_slice().len(), 1);
        fake.legacy_only();
        assert!(read(&fake).unwrap().as_slice().is_empty());
    }

    #[test]
    fn broken_pointers_are_named() {
        let mut fake = Fake::endpoint();
        fake.set(0x100, 0x2001_0001);
        for (next, rule) in [
            (0x100, Rule::CapabilityLoop),
            (0x200, Rule::CapabilityLoop),
            (0x0fc, Rule::CapabilityBelowHeader),
            (0x202, Rule::CapabilityMisaligned),
            (0xfff, Rule::CapabilityMisaligned),
        ] {
            fake.set(0x200, next << 20 | 3);
            assert_eq!(read(&fake).unwrap_err(), ConfigError::new(rule, 0x200));
        }
    }

    #[test]
    fn a_flood_is_refused() {
        let mut fake = Fake::endpoint();
        for step in 0..=64u32 {
            let at = 0x100 + step * 8;
            fake.set(at as u16, (at + 8) << 20 | 3);
        }
        assert_eq!(read(&fake).unwrap_err().rule, Rule::CapabilityTooMany);
    }
}
