//! What a unit says it can do (VT-d 4.1, 11.4.2 and 11.4.3), as far as programming it depends on it.

use crate::{Geometry, LargestPage, Levels};

/// The capability register (11.4.2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capability(pub u64);

/// The extended capability register (11.4.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExtendedCapability(pub u64);

impl Capability {
    /// `RWBF`: software must flush the unit's write buffer after a change of a table.
    pub const fn needs_write_flush(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// `CM`: what was found absent may be remembered, so a new mapping needs an invalidation too.
    pub const fn caches_absent(self) -> bool {
        self.0 & 1 << 7 != 0
    }

    /// `PSI`: single pages can be invalidated.
    pub const fn page_selective(self) -> bool {
        self.0 & 1 << 39 != 0
    }

    /// `MAMV`: largest address mask of a page-selective invalidation.
    pub const fn largest_mask(self) -> u8 {
        (self.0 >> 48 & 0x3f) as u8
    }

    /// `ND`: count of domain ids, at most 2^16 (seven of eight codes are defined).
    pub const fn domains(self) -> u32 {
        let code = self.0 & 7;
        match code {
            7 => 0,
            code => 1 << (4 + 2 * code),
        }
    }

    /// `FRO` and `NFR`: offset of the first fault record in bytes, and their count, at least one.
    pub const fn fault_records(self) -> (usize, usize) {
        let offset = (self.0 >> 24 & 0x3ff) * 16;
        (offset as usize, (self.0 >> 40 & 0xff) as usize + 1)
    }

    /// The deepest tables of three or four levels that it reads (`SAGAW`), as wide as the guest addresses it takes
    /// (`MGAW`), with the largest page it knows (`SSLPS`); `None` if it reads neither.
    pub const fn geometry(self) -> Option<Geometry> {
        let widest = (self.0 >> 16 & 0x3f) as u32 + 1;
        let four = offers_bit(self.0, 10) && widest >= Levels::Four.bits();
        let three = offers_bit(self.0, 9) && widest >= Levels::Three.bits();
        let levels = match (four, three) {
            (true, _) => Levels::Four,
            (false, true) => Levels::Three,
            (false, false) => return None,
        };
        let largest = match (offers_bit(self.0, 34), offers_bit(self.0, 35)) {
            (true, true) => LargestPage::Huge,
            (true, false) => LargestPage::Large,
            (false, _) => LargestPage::Page,
        };
        Some(Geometry { levels, largest })
    }
}

const fn offers_bit(register: u64, bit: u32) -> bool {
    register & 1 << bit != 0
}

impl ExtendedCapability {
    /// `C`: the unit looks at tables through the processor's caches.
    pub const fn coherent(self) -> bool {
        offers_bit(self.0, 0)
    }

    /// `QI`: invalidations go through a queue.
    pub const fn queue(self) -> bool {
        offers_bit(self.0, 1)
    }

    /// `IR`: interrupts can be remapped.
    pub const fn interrupts(self) -> bool {
        offers_bit(self.0, 3)
    }

    /// `EIM`: interrupt destinations can have 32 bits.
    pub const fn extended_destinations(self) -> bool {
        offers_bit(self.0, 4)
    }
}

/// Why a unit that makes sense is still not programmed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unusable {
    /// It has no invalidation queue: an invalidation could not be waited for together with others.
    NoQueue,
    /// It does not remap interrupts: a device could send any.
    NoInterrupts,
    /// It reads tables of neither three nor four levels.
    NoLevels,
    /// It tells fewer than two domains apart, and number 0 is not used.
    NoDomains,
}

impl Unusable {
    /// Returns the name used in evidence lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoQueue => "no-queue",
            Self::NoInterrupts => "no-interrupt-remapping",
            Self::NoLevels => "no-levels",
            Self::NoDomains => "no-domains",
        }
    }
}

/// What programming a unit needs to know of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemappingFeatures {
    /// Shape of its domains' tables.
    pub geometry: Geometry,
    /// Domain ids there are, number 0 included.
    pub domains: u32,
    /// See [`Capability::caches_absent`].
    pub caches_absent: bool,
    /// See [`Capability::needs_write_flush`].
    pub needs_write_flush: bool,
    /// See [`ExtendedCapability::coherent`].
    pub coherent: bool,
    /// See [`ExtendedCapability::extended_destinations`].
    pub extended_destinations: bool,
    /// Largest address mask of an invalidation of single pages; `None` if there is none such.
    pub page_mask: Option<u8>,
    /// Offset of the first fault record, and their count.
    pub fault_records: (usize, usize),
}

impl RemappingFeatures {
    /// Reads both registers.
    ///
    /// # Errors
    /// Those of [`Unusable`]: the unit is not programmed.
    pub fn read(capability: Capability, extended: ExtendedCapability) -> Result<Self, Unusable> {
        if !extended.queue() {
            return Err(Unusable::NoQueue);
        }
        if !extended.interrupts() {
            return Err(Unusable::NoInterrupts);
        }
        if capability.domains() < 2 {
            return Err(Unusable::NoDomains);
        }
        Ok(Self {
            geometry: capability.geometry().ok_or(Unusable::NoLevels)?,
            domains: capability.domains(),
            caches_absent: capability.caches_absent(),
            needs_write_flush: capability.needs_write_flush(),
            coherent: extended.coherent(),
            extended_destinations: extended.extended_destinations(),
            page_mask: capability
                .page_selective()
                .then(|| capability.largest_mask()),
            fault_records: capability.fault_records(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of an emulated unit with 39 bits.
    const CAPABILITY: u64 = 0x00d2_008c_2226_0206;
    const EXTENDED: u64 = 0x0000_0000_00f0_0f4a;

    #[test]
    fn an_emulated_unit_is_read() {
        let read = |capability, extended| {
            RemappingFeatures::read(Capability(capability), ExtendedCapability(extended))
        };
        let found = read(CAPABILITY, EXTENDED).unwrap();
        assert_eq!(
            found.geometry,
            Geometry {
                levels: Levels::Three,
                largest: LargestPage::Huge
            }
        );
        assert_eq!((found.domains, found.fault_records), (65536, (0x220, 1)));
        assert_eq!(found.page_mask, Some(18));
        assert!(!found.caches_absent && !found.needs_write_flush && !found.coherent);
        let four = CAPABILITY | 1 << 10 | 0x3f << 16;
        assert_eq!(read(four, EXTENDED).unwrap().geometry.levels, Levels::Four);
        // Four levels offered, and too few address bits for them.
        let narrow = CAPABILITY | 1 << 10;
        assert_eq!(
            read(narrow, EXTENDED).unwrap().geometry.levels,
            Levels::Three
        );
        assert_eq!(read(CAPABILITY, EXTENDED & !2), Err(Unusable::NoQueue));
        assert_eq!(read(CAPABILITY, EXTENDED & !8), Err(Unusable::NoInterrupts));
        assert_eq!(read(CAPABILITY & !0x200, EXTENDED), Err(Unusable::NoLevels));
        assert_eq!(read(CAPABILITY | 7, EXTENDED), Err(Unusable::NoDomains));
    }
}
