//! What lets a function translate addresses itself: ATS (PCIe 10.5.1), page requests (10.5.2), PASID (7.8.9).

use units::Bdf;

use crate::{ConfigAccess, ExtendedList, ext_cap_id};

/// How many such structures a function has, and how many of them are on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Translating {
    /// Structures that it has.
    pub offered: u32,
    /// Those that read as on.
    pub on: u32,
}

/// In the dword behind the header: what turns it on, and what stays as it is where the dword is written back. The upper
/// half of a page request's dword is status that a one clears.
const fn control(id: u16) -> Option<(u32, u32)> {
    match id {
        ext_cap_id::ADDRESS_TRANSLATION => Some((1 << 31, u32::MAX)),
        ext_cap_id::PAGE_REQUEST => Some((1, 0xffff)),
        ext_cap_id::PROCESS_ADDRESS => Some((7 << 16, u32::MAX)),
        _ => None,
    }
}

/// Page requests need translations, and PASID must not change while there are any (7.8.9.3).
const ORDER: [u16; 3] = [
    ext_cap_id::PAGE_REQUEST,
    ext_cap_id::ADDRESS_TRANSLATION,
    ext_cap_id::PROCESS_ADDRESS,
];

/// Turns them all off, and reads them back.
pub fn turn_translation_off<C: ConfigAccess + ?Sized>(
    cfg: &mut C,
    bdf: Bdf,
    extended: &ExtendedList,
) -> Translating {
    let mut found = Translating::default();
    let all = extended.as_slice();
    let ordered = ORDER
        .iter()
        .flat_map(|id| all.iter().filter(move |one| one.id == *id));
    for one in ordered {
        let Some((enable, kept)) = control(one.id) else {
            continue;
        };
        let at = one.offset + 4;
        found.offered += 1;
        let before = cfg.read32(bdf, at);
        if before & enable != 0 {
            cfg.write32(bdf, at, before & kept & !enable);
        }
        found.on += u32::from(cfg.read32(bdf, at) & enable != 0);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_extended;
    use crate::testing::{BDF, Fake};

    #[test]
    fn all_three_go_off_and_one_that_stays_on_is_told() {
        let mut fake = Fake::endpoint();
        fake.set(0x100, 0x1101_000f);
        fake.set(0x104, 0x8003_0020);
        fake.set(0x110, 0x1201_0013);
        fake.set(0x114, 0x0100_0001);
        fake.set(0x120, 0x0001_001b);
        fake.set(0x124, 0x0007_1406);
        let list = read_extended(&fake, BDF).unwrap();
        let stuck = turn_translation_off(&mut fake, BDF, &list);
        assert_eq!((stuck.offered, stuck.on), (3, 3));
        for (at, writable) in [(0x104, 0x801f_0000), (0x114, 3), (0x124, 0x0007_0000)] {
            fake.writable(at, writable);
        }
        let off = turn_translation_off(&mut fake, BDF, &list);
        assert_eq!((off.offered, off.on), (3, 0));
        // What is not an enable stays.
        assert_eq!(fake.read32(BDF, 0x104), 0x0003_0020);
        assert_eq!(fake.read32(BDF, 0x124), 0x1406);
    }
}
