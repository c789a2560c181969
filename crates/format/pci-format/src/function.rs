//! The identity of a function, from its header (PCI 6.2.1).

use crate::{ConfigAccess, reg};
use units::{Bdf, ClassCode, DeviceId};

const HOST_BRIDGE: (u8, u8) = (6, 0);
const ISA_BRIDGE: (u8, u8) = (6, 1);

/// The layout of a header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeaderKind {
    /// Type 0: a device.
    Endpoint,
    /// Type 1: a bridge between PCI buses.
    Bridge,
    /// Type 2: a bridge to CardBus.
    CardBus,
    /// A type that has no layout here.
    Unknown(u8),
}

/// What a function says about itself. The numbers are the device's word and prove nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FunctionInfo {
    /// Where it is.
    pub bdf: Bdf,
    /// Vendor and device.
    pub id: DeviceId,
    /// Subsystem vendor and subsystem; zeros where the header has none.
    pub subsystem: DeviceId,
    /// Class code.
    pub class: ClassCode,
    /// Revision, as the vendor counts.
    pub revision: u8,
    /// Layout of the header.
    pub header: HeaderKind,
    /// The device has more functions than function 0.
    pub multifunction: bool,
    /// INTx pin: 0 for none, 1 to 4 for A to D.
    pub interrupt_pin: u8,
    /// The number that firmware left for the pin, as the 8259s count.
    pub interrupt_line: u8,
}

impl FunctionInfo {
    /// Whether this is a device in the sense of the boot rules: type 0, and no host or ISA bridge, which also
    /// have type 0 but pass on the transactions of others.
    pub fn is_endpoint(&self) -> bool {
        let kind = (self.class.base, self.class.sub);
        self.header == HeaderKind::Endpoint && kind != HOST_BRIDGE && kind != ISA_BRIDGE
    }
}

/// Reads the identity of a function; `None` where none answers.
pub fn read_function<C: ConfigAccess + ?Sized>(cfg: &C, bdf: Bdf) -> Option<FunctionInfo> {
    let id = split(cfg.read32(bdf, reg::ID));
    // Vendor 0 is assigned to nobody; some host bridges answer zeros where nothing is.
    if id.vendor == 0xffff || id.vendor == 0 {
        return None;
    }
    let [revision, interface, sub, base] = cfg.read32(bdf, reg::CLASS).to_le_bytes();
    let header_type = cfg.read8(bdf, reg::HEADER_TYPE + 2);
    let header = match header_type & 0x7f {
        0 => HeaderKind::Endpoint,
        1 => HeaderKind::Bridge,
        2 => HeaderKind::CardBus,
        other => HeaderKind::Unknown(other),
    };
    let subsystem = match header {
        HeaderKind::Endpoint => split(cfg.read32(bdf, reg::SUBSYSTEM)),
        _ => DeviceId::default(),
    };
    let [interrupt_line, interrupt_pin, ..] = cfg.read32(bdf, reg::INTERRUPT).to_le_bytes();
    Some(FunctionInfo {
        bdf,
        id,
        subsystem,
        class: ClassCode::new(base, sub, interface),
        revision,
        header,
        multifunction: header_type & 0x80 != 0,
        interrupt_pin,
        interrupt_line,
    })
}

fn split(dword: u32) -> DeviceId {
    DeviceId::new(dword as u16, (dword >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{BDF, Fake};

    #[test]
    fn an_nvme_function_reads_as_one() {
        let mut fake = Fake::endpoint();
        fake.set(reg::ID, 0x0010_1b36);
        fake.set(reg::CLASS, 0x0108_0202);
        fake.set(reg::HEADER_TYPE, 0x0080_0000);
        fake.set(reg::SUBSYSTEM, 0x1100_1af4);
        fake.set(reg::INTERRUPT, 0x0000_010b);
        let info = read_function(&fake, BDF).unwrap();
        let expected = FunctionInfo {
            bdf: BDF,
            id: DeviceId::new(0x1b36, 0x0010),
            subsystem: DeviceId::new(0x1af4, 0x1100),
            class: ClassCode::new(1, 8, 2),
            revision: 2,
            header: HeaderKind::Endpoint,
            multifunction: true,
            interrupt_pin: 1,
            interrupt_line: 11,
        };
        assert_eq!(info, expected);
        assert!(info.is_endpoint());
    }

    #[test]
    fn nothing_answers_ones_or_zeros() {
        let mut fake = Fake::endpoint();
        assert_eq!(read_function(&fake, Bdf::from_u32(0x18)), None);
        fake.set(reg::ID, 0);
        assert_eq!(read_function(&fake, BDF), None);
        fake.set(reg::ID, 0x1234_ffff);
        assert_eq!(read_function(&fake, BDF), None);
    }

    #[test]
    fn bridges_are_no_endpoints() {
        let mut fake = Fake::endpoint();
        let endpoint = |fake: &Fake| read_function(fake, BDF).unwrap().is_endpoint();
        for (class, expected) in [
            (0x0600_0000, false),
            (0x0601_0000, false),
            (0x0680_0000, true),
        ] {
            fake.set(reg::CLASS, class);
            assert_eq!(endpoint(&fake), expected, "{class:#x}");
        }
        for (kind, header) in [
            (1, HeaderKind::Bridge),
            (2, HeaderKind::CardBus),
            (3, HeaderKind::Unknown(3)),
        ] {
            fake.set(reg::HEADER_TYPE, kind << 16);
            fake.set(reg::SUBSYSTEM, 0x1234_5678);
            let info = read_function(&fake, BDF).unwrap();
            assert_eq!((info.header, info.is_endpoint()), (header, false));
            assert_eq!(info.subsystem, DeviceId::default());
        }
    }
}
