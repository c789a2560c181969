//! Capability lists as devices have them, and as a hostile one would.

use super::*;
use crate::testing::{BDF, Fake};
use crate::{HeaderKind, MsixRegion, read_capabilities, size_bars};
use proptest::prelude::*;

/// An I/O BAR in slot 0, 4 KiB of memory in slot 1, 16 KiB of 64-bit memory in slot 4.
fn endpoint() -> Fake {
    let mut fake = Fake::endpoint();
    fake.bar(0, 0xc041, 0xffff_ffe0);
    fake.bar(1, 0xfebf_1000, 0xffff_f000);
    fake.bar(4, 0xfe00_000c, 0xffff_c000);
    fake.bar(5, 0, 0xffff_ffff);
    fake
}

/// `(cfg_type, cap_len, bar, offset, length)`, from 0x40 on, 24 bytes apart.
type Structure = (u8, u8, u8, u32, u32);

fn put(fake: &mut Fake, structures: &[Structure], multiplier: u32) {
    let at = |index: usize| 0x40 + 24 * index as u8;
    let list: std::vec::Vec<_> = (0..structures.len()).map(|i| (9, at(i))).collect();
    fake.capabilities(&list);
    for (index, (kind, length, bar, offset, bytes)) in structures.iter().enumerate() {
        let at = u16::from(at(index));
        let head = fake.get(at) | u32::from(*length) << 16 | u32::from(*kind) << 24;
        fake.set(at, head);
        fake.set(at + 4, u32::from(*bar));
        fake.set(at + 8, *offset);
        fake.set(at + 12, *bytes);
        fake.set(at + 16, multiplier);
    }
}

fn read_with(structures: &[Structure], msix: Option<&Msix>) -> Option<VirtioRegions> {
    let mut fake = endpoint();
    put(&mut fake, structures, 4);
    let bars = size_bars(&mut fake, BDF, HeaderKind::Endpoint).unwrap();
    let list = read_capabilities(&fake, BDF, HeaderKind::Endpoint).unwrap();
    read_virtio(&fake, BDF, &list, &bars, msix)
}

fn read(structures: &[Structure]) -> Option<VirtioRegions> {
    read_with(structures, None)
}

/// As QEMU lays them out.
const GOOD: [Structure; 4] = [
    (COMMON, 16, 4, 0, 0x1000),
    (ISR, 16, 4, 0x1000, 0x1000),
    (DEVICE, 16, 4, 0x2000, 0x1000),
    (NOTIFY, 20, 4, 0x3000, 0x1000),
];

fn region(bar: u8, offset: u64, length_bytes: u64) -> VirtioRegion {
    VirtioRegion {
        bar,
        offset,
        length_bytes,
    }
}

#[test]
fn a_good_list_gives_every_region() {
    let expected = VirtioRegions {
        common: region(4, 0, 0x1000),
        notify: region(4, 0x3000, 0x1000),
        notify_multiplier: 4,
        isr: region(4, 0x1000, 0x1000),
        device: Some(region(4, 0x2000, 0x1000)),
    };
    assert_eq!(read(&GOOD), Some(expected));
    // The device-specific part may be missing, no other.
    for gone in 0..4 {
        let mut list = std::vec::Vec::from(GOOD);
        list.remove(gone);
        assert_eq!(read(&list).is_some(), gone == 2, "{gone}");
    }
}

#[test]
fn the_first_that_can_be_used_counts() {
    let mut list = std::vec::Vec::from(GOOD);
    list.insert(0, (COMMON, 16, 1, 0x100, 0x38));
    list.push((NOTIFY, 20, 1, 0x800, 2));
    let found = read(&list).unwrap();
    assert_eq!(found.common, region(1, 0x100, 0x38));
    assert_eq!(found.notify, region(4, 0x3000, 0x1000));
    // Each of these breaks a rule, so the second one is taken.
    for broken in [
        (COMMON, 16, 0, 0, 0x38),           // ports
        (COMMON, 16, 2, 0, 0x38),           // an empty slot
        (COMMON, 16, 5, 0, 0x38),           // an upper half
        (COMMON, 16, 6, 0, 0x38),           // reserved
        (COMMON, 16, 255, 0, 0x38),         // reserved
        (COMMON, 16, 1, 0x100, 0x37),       // too short
        (COMMON, 16, 1, 0x102, 0x38),       // misaligned
        (COMMON, 16, 1, 0xfcc, 0x38),       // past the end
        (COMMON, 16, 1, 0xffff_fffc, 0x38), // far past it
        (COMMON, 16, 1, 0, 0xffff_ffff),    // much too long
        (COMMON, 15, 1, 0x100, 0x38),       // the structure is cut
        (0, 16, 1, 0x100, 0x38),            // reserved kinds
        (9, 16, 1, 0x100, 0x38),
        (255, 16, 1, 0x100, 0x38),
    ] {
        let mut list = std::vec::Vec::from(GOOD);
        list.insert(0, broken);
        assert_eq!(
            read(&list).unwrap().common,
            region(4, 0, 0x1000),
            "{broken:?}"
        );
    }
    // Without its multiplier a notification structure is none.
    let mut list = GOOD;
    list[3].1 = 16;
    assert_eq!(read(&list), None);
}

#[test]
fn structures_on_one_another_or_on_the_table_are_not_taken() {
    // The device-specific part, which a provider may read, over the ISR byte.
    let mut list = GOOD;
    list[2] = (DEVICE, 16, 4, 0x0ffc, 8);
    assert_eq!(read(&list).unwrap().device, None);
    let msix = Msix {
        offset: 0xf0,
        vectors: 1,
        table: MsixRegion {
            bar: 4,
            offset: 0x2010,
            length_bytes: 16,
        },
        pending: MsixRegion {
            bar: 4,
            offset: 0x3ff8,
            length_bytes: 8,
        },
    };
    assert_eq!(read_with(&GOOD, Some(&msix)), None);
    let mut list = GOOD;
    list[3].4 = 0xff8;
    assert_eq!(read_with(&list, Some(&msix)).unwrap().device, None);
}

#[test]
fn a_structure_at_the_end_of_the_space_is_cut() {
    let mut fake = endpoint();
    fake.capabilities(&[(9, 0xfc)]);
    let head = fake.get(0xfc);
    fake.set(0xfc, head | 16 << 16 | 1 << 24);
    let bars = size_bars(&mut fake, BDF, HeaderKind::Endpoint).unwrap();
    let list = read_capabilities(&fake, BDF, HeaderKind::Endpoint).unwrap();
    assert_eq!(read_virtio(&fake, BDF, &list, &bars, None), None);
}

proptest! {
    /// Whatever the structures say, what is taken lies inside its BAR, is long enough, and overlaps nothing.
    #[test]
    fn what_is_taken_keeps_every_rule(
        list in proptest::collection::vec(
            (0u8..10, 12u8..24, 0u8..8, prop_oneof![0u32..0x5000, any::<u32>()], prop_oneof![0u32..0x5000, any::<u32>()]),
            0..8,
        )
    ) {
        if let Some(found) = read(&list) {
            let mut all = std::vec![found.common, found.notify, found.isr];
            all.extend(found.device);
            for (index, one) in all.iter().enumerate() {
                let size = match one.bar { 1 => 0x1000, 4 => 0x4000, bar => panic!("BAR {bar}") };
                prop_assert!(one.length_bytes > 0 && one.offset + one.length_bytes <= size);
                prop_assert!(all.iter().skip(index + 1).all(|other| !other.overlaps(one)));
            }
            prop_assert!(found.common.length_bytes >= VIRTIO_COMMON_BYTES);
        }
    }
}
