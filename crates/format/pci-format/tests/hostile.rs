//! Random configuration spaces: nothing panics, every walk ends, what is accepted keeps its promises, and a function is
//! left as it was found.

use pci_format::{
    BarKind, ConfigAccess, ConfigFilter, FunctionInfo, HeaderKind, cap_id, enumerate, quiesce,
    read_bridge, read_capabilities, read_extended, read_function, read_msi, read_msix, read_pcie,
    read_power, reg, size_bars,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use units::Bdf;

const BDF: Bdf = Bdf::from_u32(0x0310);

/// One function; every dword says which of its bits can be written and which are cleared by writing ones.
#[derive(Clone, Debug)]
struct Space {
    dwords: Vec<u32>,
    writable: Vec<u32>,
    clears: Vec<u32>,
    space_bytes: u16,
}

impl ConfigAccess for Space {
    fn read32(&self, bdf: Bdf, offset: u16) -> u32 {
        assert!(
            offset.is_multiple_of(4) && offset < 4096,
            "read at {offset:#x}"
        );
        if bdf != BDF || offset >= self.space_bytes {
            return u32::MAX;
        }
        self.dwords[usize::from(offset / 4)]
    }

    fn write32(&mut self, bdf: Bdf, offset: u16, value: u32) {
        assert!(
            offset.is_multiple_of(4) && offset < 4096,
            "write at {offset:#x}"
        );
        if bdf == BDF && offset < self.space_bytes {
            let at = usize::from(offset / 4);
            let kept = self.dwords[at] & !self.writable[at] & !(value & self.clears[at]);
            self.dwords[at] = kept | value & self.writable[at];
        }
    }

    fn space_bytes(&self, _: Bdf) -> u16 {
        self.space_bytes
    }
}

/// Turns noise into a dword that makes lists go somewhere: plausible ids with plausible pointers, and some noise.
fn list_dword(dword: usize, noise: u32) -> u32 {
    const IDS: [u32; 8] = [1, 5, 9, 9, 0x10, 0x11, 0x11, 0x33];
    let [choice, a, b, c] = noise.to_le_bytes().map(u32::from);
    match (dword < 64, choice) {
        // An MSI-X register: a BAR and an offset into it.
        (true, 0..64) => (a % 6) | ((b & 0xf) << 8),
        (true, 64..200) => {
            let next = if a < 32 { 0 } else { 0x40 + a % 48 * 4 };
            IDS[(b % 8) as usize] | next << 8 | (c & 0x3f) << 16
        }
        (false, 0..200) => {
            let next = if a < 64 {
                0
            } else {
                0x100 + (a << 8 | b) % 960 * 4
            };
            c & 0x1f | 1 << 16 | next << 20
        }
        _ => noise,
    }
}

fn bar() -> impl Strategy<Value = (u32, u32)> {
    let kind = select(&[0u32, 0, 1, 4, 4, 8, 0xc, 2, 3, 6][..]);
    prop_oneof![
        6 => (kind, 4u32..32, any::<u32>()).prop_map(|(kind, log2, address)| {
            let mask = u32::MAX << log2;
            (address & mask | kind, mask)
        }),
        2 => Just((0, 0)),
        1 => (any::<u32>(), any::<u32>()),
        2 => (0u32..16).prop_map(|address| (address, u32::MAX)),
    ]
}

fn space() -> impl Strategy<Value = Space> {
    (
        vec(any::<u32>(), 1024),
        vec(bar(), 6),
        (
            select(&[0u32, 0, 0, 0, 1, 2, 3, 0x80, 0x81][..]),
            any::<u32>(),
            any::<u32>(),
        ),
        (
            any::<u16>(),
            select(&[256u16, 4096][..]),
            any::<u32>(),
            any::<u32>(),
        ),
        vec(any::<u32>(), 4),
    )
        .prop_map(
            |(
                mut dwords,
                bars,
                (header, id, class),
                (command, space_bytes, mask, clears),
                rest,
            )| {
                for (at, dword) in dwords.iter_mut().enumerate() {
                    *dword = list_dword(at, *dword);
                }
                let mut writable = vec![mask; 1024];
                let clears = vec![clears; 1024];
                dwords[0] = id;
                dwords[1] = u32::from(command) | 1 << 20 | rest[0] << 24;
                writable[1] = 0x0547;
                dwords[2] = class;
                dwords[3] = header << 16;
                for (slot, (value, mask)) in bars.into_iter().enumerate() {
                    dwords[4 + slot] = value;
                    writable[4 + slot] = mask;
                }
                dwords[0x2c / 4] = rest[1];
                dwords[0x34 / 4] = 0x40 + (rest[2] & 0x3f) * 4 % 0xc0;
                Space {
                    dwords,
                    writable,
                    clears,
                    space_bytes,
                }
            },
        )
}

/// A device that keeps most rules, with a few dwords of it changed.
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn nearly_right() -> impl Strategy<Value = Space> {
    let structure = (select(&[1u32, 5, 9, 0x10, 0x11, 0x11][..]), any::<u16>());
    let region = (select(&[0u32, 0, 2, 2, 3, 4, 5][..]), 0u32..0x900);
    let change = (
        select(&[1usize, 3, 4, 5, 6, 7, 8, 9, 13, 16, 24, 32, 64, 80][..]),
        any::<u32>(),
    );
    (
        (any::<u16>(), 12u32..20, 12u32..20, 4u32..8, any::<u16>()),
        (vec(structure, 0..6), region.clone(), region),
        (vec(change, 0..3), prop::bool::weighted(0.5)),
    )
        .prop_map(
            |(
                (command, log2, wide_log2, io_log2, place),
                (structures, table, pending),
                (changes, apply),
            )| {
                let mut space = Space {
                    dwords: vec![0; 1024],
                    writable: vec![0; 1024],
                    clears: vec![0; 1024],
                    space_bytes: 4096,
                };
                let set = &mut space.dwords;
                set[0] = if place & 1 == 0 {
                    0x1041_1af4
                } else {
                    0x0010_1b36
                };
                set[1] = u32::from(command) | 1 << 20;
                set[2] = 0x0108_0200;
                set[0x3c / 4] = 0x0100;
                let place = u32::from(place);
                let bars = [
                    (0xc000_0000 | place << log2, u32::MAX << log2, 0),
                    (place << io_log2 & 0xffff, 0xffff << io_log2 & 0xffff, 1),
                    (place << wide_log2, u32::MAX << wide_log2, 0xc),
                    (place, u32::MAX, 0),
                ];
                for (slot, (address, mask, kind)) in bars.into_iter().enumerate() {
                    set[4 + slot] = address & mask | kind;
                    space.writable[4 + slot] = mask;
                }
                space.writable[1] = 0x0547;
                space.clears[1] = 0xf900_0000;
                set[0x34 / 4] = if structures.is_empty() { 0 } else { 0x40 };
                for (index, (id, rest)) in structures.iter().enumerate() {
                    let at = 16 + index * 8;
                    let last = index + 1 == structures.len();
                    let next = if last { 0 } else { 0x60 + index as u32 * 0x20 };
                    set[at] = id | next << 8 | u32::from(*rest & 0xc17f) << 16;
                    set[at + 1] = table.0 | table.1 << 3;
                    set[at + 2] = pending.0 | pending.1 << 3;
                    space.writable[at] = 0xc071_0000;
                }
                set[64] = 0x1501_0001;
                set[0x150 / 4] = 0x0001_0003;
                for (at, value) in changes.into_iter().filter(|_| apply) {
                    set[at] = value;
                }
                space
            },
        )
}

/// Sizes the BARs of a copy and checks what comes out; clears-on-one bits are left out, as no BAR may have them.
fn check_bars(space: &Space, info: &FunctionInfo) -> Result<(), TestCaseError> {
    let mut space = space.clone();
    for slot in 0..6 {
        space.clears[4 + slot] = 0;
    }
    space.clears[1] &= 0xffff_0000;
    let before = space.dwords.clone();
    let result = size_bars(&mut space, BDF, info.header);
    prop_assert_eq!(&before, &space.dwords, "sizing changed something");
    let Ok(bars) = result else { return Ok(()) };
    let all: Vec<_> = bars.iter().copied().collect();
    for (index, bar) in all.iter().enumerate() {
        prop_assert!(bar.size_bytes.is_power_of_two());
        prop_assert_eq!(bar.address % bar.size_bytes, 0);
        let end = bar.address + bar.size_bytes;
        let limit = match bar.kind {
            BarKind::Io => 1 << 16,
            BarKind::Memory32 => 1 << 32,
            BarKind::Memory64 => 1 << 52,
        };
        prop_assert!(end <= limit);
        if bar.kind == BarKind::Memory64 {
            prop_assert!(bars.get(bar.index + 1).is_none() && bar.index < 5);
        }
        for other in &all[..index] {
            let apart = end <= other.address || other.address + other.size_bytes <= bar.address;
            let alike = bar.is_memory() == other.is_memory();
            prop_assert!(apart || !alike || bar.address == 0 || other.address == 0);
        }
    }
    if let Ok(list) = read_capabilities(&space, BDF, info.header)
        && let Some(found) = list.find(cap_id::MSIX)
        && let Ok(msix) = read_msix(&space, BDF, found, &bars)
    {
        for region in [msix.table, msix.pending] {
            let bar = bars.get(region.bar).unwrap();
            prop_assert!(bar.is_memory() && region.offset + region.length_bytes <= bar.size_bytes);
        }
        let last = msix.entry_offset(msix.vectors - 1).unwrap();
        prop_assert!(msix.touches(msix.table.bar, last + 15, 1));
        prop_assert!(msix.entry_offset(msix.vectors).is_err());
    }
    Ok(())
}

fn check_filter(space: &Space, info: &FunctionInfo) -> Result<(), TestCaseError> {
    let (Ok(list), Ok(extended)) = (
        read_capabilities(space, BDF, info.header),
        read_extended(space, BDF),
    ) else {
        return Ok(());
    };
    prop_assert!(list.as_slice().len() <= 48 && extended.as_slice().len() <= 64);
    let filter = ConfigFilter::new(space, info, &list, &extended);
    for offset in (0..4096).step_by(4) {
        let read = filter.read(space, offset);
        prop_assert_eq!(read.is_ok(), filter.allows(offset));
        if (reg::BAR0..reg::BAR0 + 24).contains(&offset) {
            prop_assert!(read.is_ok_and(|value| value < 16) || info.header != HeaderKind::Endpoint);
        }
    }
    if let Some(msi) = list.find(cap_id::MSI) {
        prop_assert!(!filter.allows(u16::from(msi.offset) + 4));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_functions_are_survived(mut space in prop_oneof![space(), nearly_right(), nearly_right()]) {
        let Some(info) = read_function(&space, BDF) else {
            return Ok(());
        };
        check_bars(&space, &info)?;
        check_filter(&space, &info)?;
        let _ = read_bridge(&space, &info);
        if let Ok(list) = read_capabilities(&space, BDF, info.header) {
            for found in list.as_slice() {
                prop_assert!(found.offset >= 0x40 && found.offset % 4 == 0);
                let mut scratch = space.clone();
                if let Ok(msi) = read_msi(&space, BDF, *found) {
                    msi.mask(&mut scratch, BDF);
                    let _ = msi.program(&mut scratch, BDF, 0xfee0_0000, 1);
                    msi.enable(&mut scratch, BDF);
                }
                if let Ok(pcie) = read_pcie(&space, BDF, *found) {
                    let _ = pcie.initiate_reset(&mut scratch, BDF);
                }
                if let Ok(power) = read_power(&space, BDF, *found) {
                    power.wake(&mut scratch, BDF);
                }
            }
        }
        let mut visited = 0;
        let scan = enumerate(&mut space, 0, 3..=3, |_, _| visited += 1);
        prop_assert_eq!(scan.functions, visited);
        prop_assert_eq!(visited, 1);
    }

    #[test]
    fn quiesce_always_clears_bus_mastering(mut space in prop_oneof![space(), nearly_right(), nearly_right()]) {
        let Some(info) = read_function(&space, BDF) else {
            return Ok(());
        };
        space.clears[1] &= 0xffff_0000;
        let before = space.dwords.clone();
        match quiesce(&mut space, &info) {
            Some(report) => {
                prop_assert_eq!(&space.dwords[4..10], &before[4..10], "BARs and bus numbers stay");
                if info.is_endpoint() {
                    prop_assert_eq!(space.dwords[1] & 0x0404, 0x0400, "bus mastering off, INTx disabled");
                    prop_assert_eq!(report.bus_master == pci_format::Quieted::Cleared, before[1] & 4 != 0);
                } else {
                    prop_assert_eq!(info.header, pci_format::HeaderKind::Bridge);
                    prop_assert_eq!(space.dwords[1], before[1], "a bridge's command register stays");
                }
            }
            None => prop_assert_eq!(before, space.dwords),
        }
    }
}
