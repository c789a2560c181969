//! The capability list in the first 256 bytes (PCI 6.7).

use crate::{ConfigAccess, ConfigError, HeaderKind, Rule, Status, reg};
use units::Bdf;

/// Capability ids (PCI Code and ID Assignment Specification).
pub mod cap_id {
    /// Power management.
    pub const POWER: u8 = 0x01;
    /// Message-signalled interrupts.
    pub const MSI: u8 = 0x05;
    /// Vendor specific.
    pub const VENDOR: u8 = 0x09;
    /// PCI Express.
    pub const PCIE: u8 = 0x10;
    /// Extended message-signalled interrupts.
    pub const MSIX: u8 = 0x11;
    /// Advanced features.
    pub const ADVANCED_FEATURES: u8 = 0x13;
}

/// Most capabilities that fit between the header and the end of 256 bytes.
pub const MAX_CAPABILITIES: usize = 48;

const FIRST: u16 = 0x40;
/// Where the header of type 2 keeps the pointer.
const CARDBUS_POINTER: u16 = 0x14;

/// One capability: its id and where it starts, a multiple of 4 from 0x40 to 0xfc.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capability {
    /// The id, one of [`cap_id`] or another.
    pub id: u8,
    /// Offset in bytes.
    pub offset: u8,
}

impl Capability {
    /// Checks that the structure, `length_bytes` long, ends inside 256 bytes, and returns its offset.
    pub(crate) fn at_least(self, length_bytes: u16) -> Result<u16, ConfigError> {
        let offset = u16::from(self.offset);
        if offset + length_bytes > 256 {
            return Err(ConfigError::new(Rule::CapabilityOverrun, offset));
        }
        Ok(offset)
    }
}

/// The capabilities of one function in list order.
#[derive(Clone, Copy, Debug)]
pub struct CapabilityList {
    entries: [Capability; MAX_CAPABILITIES],
    count: usize,
}

impl CapabilityList {
    /// Returns the capabilities.
    pub fn as_slice(&self) -> &[Capability] {
        self.entries.get(..self.count).unwrap_or_default()
    }

    /// Returns the first capability of that id.
    pub fn find(&self, id: u8) -> Option<Capability> {
        self.as_slice().iter().copied().find(|one| one.id == id)
    }
}

/// Visits the capabilities in list order, at most [`MAX_CAPABILITIES`] of them. What was visited before an error is
/// part of the list.
///
/// # Errors
/// `CapabilityBelowHeader`, `CapabilityMisaligned`, `CapabilityLoop`, `HeaderKind`; the offset is that of the pointer.
pub fn walk_capabilities<C: ConfigAccess + ?Sized>(
    cfg: &C,
    bdf: Bdf,
    header: HeaderKind,
    mut visit: impl FnMut(Capability),
) -> Result<(), ConfigError> {
    let mut pointer = match header {
        HeaderKind::Endpoint | HeaderKind::Bridge => reg::CAPABILITIES,
        HeaderKind::CardBus => CARDBUS_POINTER,
        HeaderKind::Unknown(_) => {
            return Err(ConfigError::new(Rule::HeaderKind, reg::HEADER_TYPE));
        }
    };
    let status = Status::from_bits_retain(cfg.read16(bdf, reg::COMMAND + 2));
    if !status.contains(Status::CAPABILITIES_LIST) {
        return Ok(());
    }
    // One bit for each dword of the 256 bytes: the walk ends after 48 steps, as there is no 49th place.
    let mut visited = 0u64;
    let mut next = cfg.read8(bdf, pointer);
    while next != 0 {
        let error = |rule| ConfigError::new(rule, pointer);
        if u16::from(next) < FIRST {
            return Err(error(Rule::CapabilityBelowHeader));
        }
        if next & 3 != 0 {
            return Err(error(Rule::CapabilityMisaligned));
        }
        let bit = 1 << (next >> 2);
        if visited & bit != 0 {
            return Err(error(Rule::CapabilityLoop));
        }
        visited |= bit;
        let [id, after, ..] = cfg.read32(bdf, u16::from(next)).to_le_bytes();
        visit(Capability { id, offset: next });
        pointer = u16::from(next) + 1;
        next = after;
    }
    Ok(())
}

/// Reads the whole capability list.
///
/// # Errors
/// As [`walk_capabilities`], and `CapabilityDuplicate` where power management, MSI, MSI-X or PCI Express is listed twice.
pub fn read_capabilities<C: ConfigAccess + ?Sized>(
    cfg: &C,
    bdf: Bdf,
    header: HeaderKind,
) -> Result<CapabilityList, ConfigError> {
    let mut list = CapabilityList {
        entries: [Capability::default(); MAX_CAPABILITIES],
        count: 0,
    };
    let mut duplicate = None;
    walk_capabilities(cfg, bdf, header, |found| {
        let once = matches!(
            found.id,
            cap_id::POWER | cap_id::MSI | cap_id::PCIE | cap_id::MSIX
        );
        if once && list.find(found.id).is_some() {
            duplicate.get_or_insert(found.offset);
        }
        if let Some(slot) = list.entries.get_mut(list.count) {
            *slot = found;
            list.count += 1;
        }
    })?;
    match duplicate {
        Some(offset) => Err(ConfigError::new(Rule::CapabilityDuplicate, offset.into())),
        None => Ok(list),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BDF, Fake};
    use std::vec::Vec;

    fn read(fake: &Fake) -> Result<Vec<(u8, u8)>, ConfigError> {
        let list = read_capabilities(fake, BDF, HeaderKind::Endpoint)?;
        Ok(list
            .as_slice()
            .iter()
            .map(|one| (one.id, one.offset))
            .collect())
    }

    #[test]
    fn a_list_reads_in_order() {
        let mut fake = Fake::endpoint();
        fake.capabilities(&[(0x11, 0x80), (0x09, 0x40), (0x09, 0x50), (0x10, 0xc0)]);
        assert_eq!(
            read(&fake).unwrap(),
            [(0x11, 0x80), (9, 0x40), (9, 0x50), (0x10, 0xc0)]
        );
        let list = read_capabilities(&fake, BDF, HeaderKind::Endpoint).unwrap();
        assert_eq!(list.find(9).map(|one| one.offset), Some(0x40));
        assert_eq!(list.find(5), None);
    }

    #[test]
    fn without_the_status_bit_there_is_no_list() {
        let mut fake = Fake::endpoint();
        fake.capabilities(&[(0x11, 0x80)]);
        fake.set(reg::COMMAND, 0);
        assert_eq!(read(&fake), Ok(Vec::new()));
    }

    #[test]
    fn broken_pointers_are_named() {
        let mut fake = Fake::endpoint();
        fake.capabilities(&[(0x11, 0x80), (0x09, 0x40)]);
        for (next, rule) in [
            (0x80, Rule::CapabilityLoop),
            (0x40, Rule::CapabilityLoop),
            (0x3c, Rule::CapabilityBelowHeader),
            (0x04, Rule::CapabilityBelowHeader),
            (0x42, Rule::CapabilityMisaligned),
            (0xff, Rule::CapabilityMisaligned),
        ] {
            fake.set(0x40, 9 | next << 8);
            assert_eq!(read(&fake), Err(ConfigError::new(rule, 0x41)), "{next:#x}");
        }
        fake.set(reg::CAPABILITIES, 0x20);
        assert_eq!(
            read(&fake),
            Err(ConfigError::new(
                Rule::CapabilityBelowHeader,
                reg::CAPABILITIES
            ))
        );
    }

    #[test]
    fn the_longest_list_is_48_long() {
        let mut fake = Fake::endpoint();
        let all: Vec<(u8, u8)> = (0x10..=0x3f).map(|dword| (9, dword * 4)).collect();
        fake.capabilities(&all);
        assert_eq!(read(&fake).unwrap().len(), MAX_CAPABILITIES);
    }

    #[test]
    fn structures_that_exist_once_are_refused_twice() {
        for id in [1, 5, 0x10, 0x11] {
            let mut fake = Fake::endpoint();
            fake.capabilities(&[(id, 0x40), (9, 0x50), (id, 0x60)]);
            let expected = ConfigError::new(Rule::CapabilityDuplicate, 0x60);
            assert_eq!(read(&fake), Err(expected));
        }
    }

    #[test]
    fn the_layout_of_the_header_decides_where_the_list_starts() {
        let mut fake = Fake::endpoint();
        fake.capabilities(&[(9, 0x40)]);
        fake.set(0x14, 0x40);
        fake.set(reg::CAPABILITIES, 0);
        let count = |kind| read_capabilities(&fake, BDF, kind).map(|list| list.as_slice().len());
        assert_eq!(count(HeaderKind::CardBus), Ok(1));
        assert_eq!(count(HeaderKind::Bridge), Ok(0));
        assert_eq!(
            count(HeaderKind::Unknown(9)).unwrap_err().rule,
            Rule::HeaderKind
        );
    }

    #[test]
    fn a_function_that_vanishes_ends_the_walk() {
        let fake = Fake::endpoint();
        let gone = Bdf::from_u32(0x1234);
        let error = read_capabilities(&fake, gone, HeaderKind::Endpoint).unwrap_err();
        assert_eq!(error.rule, Rule::CapabilityMisaligned);
    }
}
