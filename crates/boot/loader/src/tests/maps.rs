//! The memory map by itself.

use std::vec::Vec;

use proptest::prelude::*;

use crate::{Error, Kind, MAX_REGIONS, MemoryMap, Region};

fn map(claims: &[(u64, u64, Kind)]) -> Vec<(u64, u64, Kind)> {
    let mut map = MemoryMap::new();
    for &(base, len, kind) in claims {
        map.add(base, len, kind).unwrap();
    }
    map.regions()
        .iter()
        .map(|region| (region.base, region.end, region.kind))
        .collect()
}

#[test]
fn usable_memory_shrinks_to_pages_and_the_rest_grows() {
    assert_eq!(
        map(&[(0x1001, 0x3000, Kind::Usable)]),
        [(0x2000, 0x4000, Kind::Usable)]
    );
    assert_eq!(
        map(&[(0x1fff, 2, Kind::Reserved)]),
        [(0x1000, 0x3000, Kind::Reserved)]
    );
    assert_eq!(map(&[(0x1001, 0xffe, Kind::Usable)]), []);
}

#[test]
fn the_first_page_is_never_usable() {
    assert_eq!(
        map(&[(0, 0x2000, Kind::Usable)]),
        [(0, 0x1000, Kind::Reserved), (0x1000, 0x2000, Kind::Usable)]
    );
    assert_eq!(
        map(&[(0, 0x1000, Kind::AcpiNvs)]),
        [(0, 0x1000, Kind::AcpiNvs)]
    );
}

#[test]
fn the_more_careful_claim_holds_whatever_the_order() {
    let claims = [
        (0x1000, 0x5000, Kind::Usable),
        (0x2800, 0x100, Kind::Reserved),
        (0x2000, 0x2000, Kind::AcpiReclaimable),
    ];
    let expected = [
        (0x1000, 0x2000, Kind::Usable),
        (0x2000, 0x3000, Kind::Reserved),
        (0x3000, 0x4000, Kind::AcpiReclaimable),
        (0x4000, 0x6000, Kind::Usable),
    ];
    assert_eq!(map(&claims), expected);
    let backwards: Vec<_> = claims.into_iter().rev().collect();
    assert_eq!(map(&backwards), expected);
}

#[test]
fn neighbours_of_one_kind_are_joined() {
    let claims = [
        (0x3000, 0x1000, Kind::Usable),
        (0x1000, 0x1000, Kind::Usable),
        (0x2000, 0x1000, Kind::Usable),
    ];
    assert_eq!(map(&claims), [(0x1000, 0x4000, Kind::Usable)]);
}

#[test]
fn the_end_of_the_address_space_is_survived() {
    let last = !0xfff;
    assert_eq!(
        map(&[(u64::MAX, 1, Kind::Usable), (0x1000, 0, Kind::Bad)]),
        []
    );
    assert_eq!(
        map(&[(0x1000, u64::MAX, Kind::Reserved)]),
        [(0x1000, last, Kind::Reserved)]
    );
    assert_eq!(map(&[(u64::MAX - 1, u64::MAX, Kind::Reserved)]), []);
}

#[test]
fn too_many_regions_are_refused() {
    let mut map = MemoryMap::new();
    for index in 0..MAX_REGIONS as u64 {
        map.add(0x1000 + index * 0x2000, 0x1000, Kind::Usable)
            .unwrap();
    }
    assert_eq!(
        map.add(0x2000, 0x1000, Kind::Bad),
        Err(Error::TooManyRegions)
    );
}

#[test]
fn a_claim_takes_only_free_memory() {
    let mut map = MemoryMap::new();
    map.add(0x1000, 0x2000, Kind::Usable).unwrap();
    map.add(0x3000, 0x1000, Kind::AcpiNvs).unwrap();
    map.claim(0x2800, 0x4000, Kind::Reclaimable).unwrap();
    let kinds: Vec<_> = map.regions().iter().map(|region| region.kind).collect();
    assert_eq!(kinds, [Kind::Usable, Kind::Reclaimable, Kind::AcpiNvs]);
    assert!(map.is_memory(0x1000, 0x2000));
    assert!(!map.is_memory(0x1000, 0x2001));
    assert!(!map.is_memory(0x0fff, 1));
    assert!(!map.is_memory(0x2000, u64::MAX));
}

#[test]
fn memory_is_taken_from_the_top_within_reach_and_never_below_one_mib() {
    let mut map = MemoryMap::new();
    map.add(0x1000, 0x20_0000, Kind::Usable).unwrap();
    map.add(0x100_0000, 0x4000, Kind::Usable).unwrap();
    let mut take = |bytes, reach| map.take(bytes, reach, Kind::Reclaimable, "a test");
    assert_eq!(take(1, 0x100_2fff), Ok(0x100_1000));
    assert_eq!(take(0x1001, u64::MAX), Ok(0x100_2000));
    assert_eq!(take(0x1001, u64::MAX), Ok(0x1f_f000));
    assert_eq!(take(0x1000, 0x10_1000), Ok(0x10_0000));
    assert_eq!(
        take(0x1000, 0x10_1000),
        Err(Error::OutOfMemory {
            purpose: "a test",
            bytes: 0x1000
        })
    );
    assert!(take(u64::MAX, u64::MAX).is_err());
}

const KINDS: [Kind; 6] = [
    Kind::Usable,
    Kind::Reclaimable,
    Kind::AcpiReclaimable,
    Kind::AcpiNvs,
    Kind::Reserved,
    Kind::Bad,
];

proptest! {
    /// Against a model that keeps one kind per page.
    #[test]
    fn the_map_is_what_a_page_array_says(claims in proptest::collection::vec((0u64..0x20_000, 0u64..0x8000, 0usize..6), 0..24)) {
        let mut map = MemoryMap::new();
        let mut pages: [Option<usize>; 48] = [None; 48];
        for &(base, len, rank) in &claims {
            map.add(base, len, KINDS[rank]).unwrap();
            for (page, slot) in (0u64..).zip(&mut pages) {
                let (start, end) = (page * 4096, (page + 1) * 4096);
                let inside = base <= start && end <= base + len;
                let touched = base < end && start < base + len && len > 0;
                if if rank == 0 { inside } else { touched } {
                    *slot = Some(slot.map_or(rank, |old| old.max(rank)));
                }
            }
        }
        if pages[0] == Some(0) {
            pages[0] = Some(4);
        }
        let regions = map.regions();
        for (page, expected) in (0u64..).zip(pages) {
            let at = page * 4096;
            let found: Vec<&Region> = regions.iter().filter(|region| region.base <= at && at < region.end).collect();
            prop_assert!(found.len() <= 1);
            prop_assert_eq!(found.first().map(|region| region.kind), expected.map(|rank| KINDS[rank]));
        }
        for pair in regions.windows(2) {
            prop_assert!(pair[0].end < pair[1].base || (pair[0].end == pair[1].base && pair[0].kind != pair[1].kind));
        }
    }
}
