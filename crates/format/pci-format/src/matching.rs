//! Which functions a driver takes.

use core::fmt;

use crate::FunctionInfo;
use units::{ClassCode, DeviceId};

/// A class that a match asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClassMatch {
    /// Base class.
    pub base: u8,
    /// Sub-class.
    pub sub: u8,
    /// Programming interface; `None` takes every one.
    pub interface: Option<u8>,
}

impl ClassMatch {
    /// Whether a class code fits.
    pub fn matches(&self, class: ClassCode) -> bool {
        self.base == class.base
            && self.sub == class.sub
            && self
                .interface
                .is_none_or(|interface| interface == class.interface)
    }
}

/// One line of a driver's match table: every part that is given must fit.
///
/// Of several matches that fit one function the most specific wins: see [`Self::specificity`]. The order of tables and
/// of drivers never decides; two drivers that could tie do so for every function, and [`Self::overlaps`] says so at boot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PciMatch {
    /// Vendor id.
    pub vendor: Option<u16>,
    /// Device id; means something only together with the vendor's.
    pub device: Option<u16>,
    /// Class code.
    pub class: Option<ClassMatch>,
    /// Subsystem vendor and subsystem id.
    pub subsystem: Option<DeviceId>,
}

impl PciMatch {
    /// Asks for nothing yet; it fits every function, and is not well formed.
    pub const ANY: Self = Self {
        vendor: None,
        device: None,
        class: None,
        subsystem: None,
    };

    /// Asks for one device of one vendor.
    pub const fn id(vendor: u16, device: u16) -> Self {
        Self {
            vendor: Some(vendor),
            device: Some(device),
            ..Self::ANY
        }
    }

    /// Asks for a class with every programming interface.
    pub const fn class(base: u8, sub: u8) -> Self {
        Self {
            class: Some(ClassMatch {
                base,
                sub,
                interface: None,
            }),
            ..Self::ANY
        }
    }

    /// Asks for a class with one programming interface.
    pub const fn class_interface(base: u8, sub: u8, interface: u8) -> Self {
        Self {
            class: Some(ClassMatch {
                base,
                sub,
                interface: Some(interface),
            }),
            ..Self::ANY
        }
    }

    /// Asks for a subsystem as well.
    pub const fn with_subsystem(self, vendor: u16, device: u16) -> Self {
        Self {
            subsystem: Some(DeviceId::new(vendor, device)),
            ..self
        }
    }

    /// Asks for a vendor as well.
    pub const fn with_vendor(self, vendor: u16) -> Self {
        Self {
            vendor: Some(vendor),
            ..self
        }
    }

    /// Whether the match asks for something, and for a device id only together with its vendor.
    pub const fn is_well_formed(&self) -> bool {
        self.specificity() != 0 && (self.device.is_none() || self.vendor.is_some())
    }

    /// Returns how much the match asks for, 0 to 31: subsystem 16, device 8, vendor 4, class 2, interface 1.
    ///
    /// Each part has a bit of its own, so that equal specificity means the same parts, and comparing numbers puts a
    /// named device before any class.
    pub const fn specificity(&self) -> u8 {
        let interface = match self.class {
            Some(class) => class.interface.is_some(),
            None => false,
        };
        (self.subsystem.is_some() as u8) << 4
            | (self.device.is_some() as u8) << 3
            | (self.vendor.is_some() as u8) << 2
            | (self.class.is_some() as u8) << 1
            | interface as u8
    }

    /// Whether every part that is given fits the function.
    pub fn matches(&self, info: &FunctionInfo) -> bool {
        self.vendor.is_none_or(|vendor| vendor == info.id.vendor)
            && self.device.is_none_or(|device| device == info.id.device)
            && self.class.is_none_or(|class| class.matches(info.class))
            && self
                .subsystem
                .is_none_or(|subsystem| subsystem == info.subsystem)
    }

    /// Whether some function could fit both matches with equal specificity, so that nothing decides which wins.
    pub fn overlaps(&self, other: &Self) -> bool {
        // The same parts are given, so a function that fits both exists exactly where all of them agree.
        self.specificity() == other.specificity() && self == other
    }
}

/// As a person writes it: `1af4:1044`, `class 01.08.02`, each part that is given.
impl fmt::Display for PciMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        if let Some(vendor) = self.vendor {
            write!(f, "{vendor:04x}:")?;
            match self.device {
                Some(device) => write!(f, "{device:04x}")?,
                None => f.write_str("any")?,
            }
            between = " ";
        }
        if let Some(class) = self.class {
            write!(f, "{between}class {:02x}.{:02x}", class.base, class.sub)?;
            if let Some(interface) = class.interface {
                write!(f, ".{interface:02x}")?;
            }
            between = " ";
        }
        if let Some(subsystem) = self.subsystem {
            let (vendor, device) = (subsystem.vendor, subsystem.device);
            write!(f, "{between}subsystem {vendor:04x}:{device:04x}")?;
        }
        Ok(())
    }
}

/// Returns the specificity of the best match in a table for a function; `None` where none fits.
pub fn best_match(table: &[PciMatch], info: &FunctionInfo) -> Option<u8> {
    table
        .iter()
        .filter(|one| one.matches(info))
        .map(PciMatch::specificity)
        .max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HeaderKind;
    use std::vec::Vec;
    use units::Bdf;

    fn function(id: (u16, u16), class: (u8, u8, u8), subsystem: (u16, u16)) -> FunctionInfo {
        FunctionInfo {
            bdf: Bdf::default(),
            id: DeviceId::new(id.0, id.1),
            subsystem: DeviceId::new(subsystem.0, subsystem.1),
            class: ClassCode::new(class.0, class.1, class.2),
            revision: 0,
            header: HeaderKind::Endpoint,
            multifunction: false,
            interrupt_pin: 0,
            interrupt_line: 0,
        }
    }

    const NVME: PciMatch = PciMatch::class_interface(1, 8, 2);
    const VIRTIO_NET: PciMatch = PciMatch::id(0x1af4, 0x1000);

    #[test]
    fn a_match_reads_as_a_person_writes_it() {
        use std::string::ToString;
        assert_eq!(PciMatch::id(0x1af4, 0x1044).to_string(), "1af4:1044");
        let class = PciMatch::class_interface(0x01, 0x08, 0x02);
        assert_eq!(class.to_string(), "class 01.08.02");
        let both = PciMatch {
            vendor: Some(0x10ec),
            subsystem: Some(DeviceId::new(0x1af4, 0x1100)),
            ..PciMatch::ANY
        };
        assert_eq!(both.to_string(), "10ec:any subsystem 1af4:1100");
    }

    #[test]
    fn nvme_is_matched_by_class_and_interface() {
        assert!(NVME.matches(&function((0x1b36, 0x10), (1, 8, 2), (0, 0))));
        assert!(!NVME.matches(&function((0x1b36, 0x10), (1, 8, 1), (0, 0))));
        assert!(!NVME.matches(&function((0x1b36, 0x10), (1, 6, 2), (0, 0))));
        assert!(!NVME.matches(&function((0x1b36, 0x10), (2, 8, 2), (0, 0))));
        let any = PciMatch::class(1, 8);
        assert!(any.matches(&function((1, 1), (1, 8, 0), (0, 0))));
        assert!(!any.matches(&function((1, 1), (1, 7, 0), (0, 0))));
    }

    #[test]
    fn ids_and_subsystems_must_all_fit() {
        let fits =
            |vendor, device| VIRTIO_NET.matches(&function((vendor, device), (2, 0, 0), (0, 0)));
        assert!(fits(0x1af4, 0x1000) && !fits(0x1af4, 0x1001) && !fits(0x1af5, 0x1000));
        let with = VIRTIO_NET.with_subsystem(0x1af4, 1);
        assert!(with.matches(&function((0x1af4, 0x1000), (2, 0, 0), (0x1af4, 1))));
        assert!(!with.matches(&function((0x1af4, 0x1000), (2, 0, 0), (0x1af4, 2))));
        assert!(!with.matches(&function((0x1af4, 0x1000), (2, 0, 0), (0x1af5, 1))));
    }

    #[test]
    fn a_named_device_beats_any_class() {
        let table = [
            PciMatch::class(2, 0),
            NVME,
            VIRTIO_NET,
            NVME.with_vendor(0x1b36),
        ];
        let best = |info| best_match(&table, &info);
        assert_eq!(
            best(function((0x1af4, 0x1000), (2, 0, 0), (0, 0))),
            Some(12)
        );
        assert_eq!(best(function((0x8086, 0x1000), (2, 0, 0), (0, 0))), Some(2));
        assert_eq!(best(function((0x1b36, 0x10), (1, 8, 2), (0, 0))), Some(7));
        assert_eq!(best(function((0x8086, 0x10), (1, 8, 2), (0, 0))), Some(3));
        assert_eq!(best(function((0x8086, 0x10), (3, 0, 0), (0, 0))), None);
    }

    #[test]
    fn overlap_is_the_same_ids_at_equal_specificity() {
        assert!(NVME.overlaps(&PciMatch::class_interface(1, 8, 2)));
        assert!(!NVME.overlaps(&PciMatch::class(1, 8)));
        assert!(!NVME.overlaps(&PciMatch::class_interface(1, 8, 1)));
        assert!(VIRTIO_NET.overlaps(&PciMatch::id(0x1af4, 0x1000)));
        assert!(!VIRTIO_NET.overlaps(&VIRTIO_NET.with_subsystem(1, 2)));
        assert!(PciMatch::ANY.overlaps(&PciMatch::ANY));
    }

    #[test]
    fn malformed_matches_are_known() {
        assert!(NVME.is_well_formed() && VIRTIO_NET.is_well_formed());
        assert!(!PciMatch::ANY.is_well_formed());
        let device_only = PciMatch {
            device: Some(1),
            ..PciMatch::ANY
        };
        assert!(!device_only.is_well_formed());
    }

    /// Every match and every function over two values for each part, and the definition of overlap spelt out.
    #[test]
    fn overlap_agrees_with_its_definition_on_every_small_case() {
        let ids = [None, Some(1), Some(2)];
        let classes = [
            (1, Some(1)),
            (1, Some(2)),
            (2, Some(1)),
            (1, None),
            (2, None),
        ];
        let mut matches = Vec::new();
        for vendor in ids {
            for device in ids {
                for subsystem in ids {
                    for class in core::iter::once(None).chain(classes.map(Some)) {
                        matches.push(PciMatch {
                            vendor,
                            device,
                            class: class.map(|(base, interface)| ClassMatch {
                                base,
                                sub: 0,
                                interface,
                            }),
                            subsystem: subsystem.map(|id| DeviceId::new(id, id)),
                        });
                    }
                }
            }
        }
        let mut functions = Vec::new();
        for bits in 0..32u16 {
            let pick = |bit: u16| 1 + (bits >> bit & 1);
            functions.push(function(
                (pick(0), pick(1)),
                (pick(2) as u8, 0, pick(3) as u8),
                (pick(4), pick(4)),
            ));
        }
        for one in &matches {
            for other in &matches {
                let both = functions
                    .iter()
                    .any(|info| one.matches(info) && other.matches(info));
                let tie = both && one.specificity() == other.specificity();
                assert_eq!(one.overlaps(other), tie, "{one:?} {other:?}");
                assert_eq!(one.overlaps(other), other.overlaps(one));
            }
        }
    }
}
