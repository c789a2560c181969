//! The walk over every function of a segment.

use crate::{ConfigAccess, FunctionInfo, read_function};
use core::ops::RangeInclusive;
use units::Bdf;

/// What a walk covered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scan {
    /// Buses looked at, whether or not anything is on them.
    pub buses: u16,
    /// Devices whose function 0 answered.
    pub devices: u32,
    /// Functions that answered.
    pub functions: u32,
}

/// Visits every function on the given buses of a segment, in ascending order.
///
/// Each device number is tried on each bus, whatever the bridges say, so a function behind a misconfigured bridge is
/// still found if it answers. Functions 1 to 7 are tried only where function 0 says that the device has several.
pub fn enumerate<C: ConfigAccess + ?Sized>(
    cfg: &mut C,
    segment: u16,
    buses: RangeInclusive<u8>,
    mut visit: impl FnMut(&mut C, &FunctionInfo),
) -> Scan {
    let mut scan = Scan::default();
    for bus in buses {
        scan.buses += 1;
        for device in 0..32u32 {
            let first = Bdf::from_u32(u32::from(segment) << 16 | u32::from(bus) << 8 | device << 3);
            let Some(info) = read_function(cfg, first) else {
                continue;
            };
            scan.devices += 1;
            scan.functions += 1;
            visit(cfg, &info);
            if !info.multifunction {
                continue;
            }
            for function in 1..8 {
                if let Some(info) = read_function(cfg, first.with_function(function)) {
                    scan.functions += 1;
                    visit(cfg, &info);
                }
            }
        }
    }
    scan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reg;
    use crate::testing::Fake;
    use std::string::ToString;
    use std::vec::Vec;

    #[test]
    fn every_bus_is_tried_and_the_multifunction_bit_is_followed() {
        let mut fake = Fake::empty();
        let mut add = |segment, bus, device, function, header: u32| {
            let bdf = Bdf::new(segment, bus, device, function).unwrap();
            fake.add(bdf);
            fake.set_of(bdf, reg::HEADER_TYPE, header << 16);
        };
        add(0, 0, 0, 0, 0);
        // Hidden: function 0 is not multifunction.
        add(0, 0, 0, 1, 0);
        add(0, 0, 31, 0, 0x80);
        add(0, 0, 31, 2, 0x80);
        add(0, 0, 31, 7, 0);
        // Hidden: no function 0.
        add(0, 5, 3, 1, 0x80);
        add(0, 255, 31, 0, 0);
        add(1, 0, 0, 0, 0);
        let mut seen = Vec::new();
        let scan = enumerate(&mut fake, 0, 0..=255, |_, info| {
            seen.push(info.bdf.to_string())
        });
        assert_eq!(
            seen,
            [
                "0000:00:00.0",
                "0000:00:1f.0",
                "0000:00:1f.2",
                "0000:00:1f.7",
                "0000:ff:1f.0"
            ]
        );
        let expected = Scan {
            buses: 256,
            devices: 3,
            functions: 5,
        };
        assert_eq!(scan, expected);
        let scan = enumerate(&mut fake, 1, 0..=3, |_, _| {});
        assert_eq!((scan.buses, scan.functions), (4, 1));
    }

    #[test]
    fn the_visitor_may_write() {
        let mut fake = Fake::endpoint();
        fake.writable(reg::COMMAND, 0xffff);
        enumerate(&mut fake, 0, 0..=255, |cfg, info| {
            cfg.write32(info.bdf, reg::COMMAND, 0x406)
        });
        assert_eq!(fake.get(reg::COMMAND) & 0xffff, 0x406);
    }
}
