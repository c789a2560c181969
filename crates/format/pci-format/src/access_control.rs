//! What keeps requests of one function from being turned around to another before they reach the root complex: access control
//! services (PCIe 7.7.11).

use units::Bdf;

use crate::{ConfigAccess, ExtendedList, ext_cap_id};

/// Source validation, request redirect, completion redirect, upstream forwarding (7.7.11.2).
pub const SEPARATES: u16 = 0b1_1101;

/// Of them, what a function of several of one device, which is no port, needs: request and completion redirect (6.12.1.2).
pub const SEPARATES_FUNCTIONS: u16 = 0b0_1100;

/// Turns `wanted` on, and whatever of it is not offered counts as off; whether all of it reads back as on. What lets requests pass
/// by their own word, direct translated peer-to-peer, goes off.
pub fn separate<C: ConfigAccess + ?Sized>(
    cfg: &mut C,
    bdf: Bdf,
    extended: &ExtendedList,
    wanted: u16,
) -> bool {
    const TRANSLATED: u16 = 1 << 6;
    let Some(found) = extended.find(ext_cap_id::ACCESS_CONTROL) else {
        return false;
    };
    let offered = cfg.read32(bdf, found.offset + 4) as u16;
    if offered & wanted != wanted {
        return false;
    }
    let at = found.offset + 4;
    let before = cfg.read32(bdf, at);
    let control = (before >> 16) as u16 & !TRANSLATED | wanted;
    cfg.write32(bdf, at, before & 0xffff | u32::from(control) << 16);
    let now = (cfg.read32(bdf, at) >> 16) as u16;
    now & wanted == wanted && now & TRANSLATED == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_extended;
    use crate::testing::{BDF, Fake};

    #[test]
    fn a_port_separates_only_with_all_of_it_offered_and_on() {
        let mut fake = Fake::endpoint();
        let none = read_extended(&fake, BDF).unwrap();
        assert!(!separate(&mut fake, BDF, &none, SEPARATES));
        fake.set(0x100, 0x0001_000d);
        fake.set(0x104, 0x0040_001d);
        let list = read_extended(&fake, BDF).unwrap();
        // Nothing can be written.
        assert!(!separate(&mut fake, BDF, &list, SEPARATES));
        fake.writable(0x104, 0x007f_0000);
        assert!(separate(&mut fake, BDF, &list, SEPARATES));
        assert_eq!(fake.read32(BDF, 0x104), 0x001d_001d);
        // One of the four is not offered.
        fake.set(0x104, 0x0000_000d);
        assert!(!separate(&mut fake, BDF, &list, SEPARATES));
        assert!(separate(&mut fake, BDF, &list, SEPARATES_FUNCTIONS));
    }
}
