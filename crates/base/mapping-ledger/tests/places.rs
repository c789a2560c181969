//! Where things may be mapped, and what names them.
#![cfg(not(loom))]

mod world;

use mapping_ledger::{
    Area, MapRequest, PAGE_BYTES, Tables as _, map, protect, retire, revoke, unmap,
};
use ring_abi::Refusal;
use world::{Access, END, Object, SPARE, Space, World};

fn at(address: u64, pages: u64) -> MapRequest<Access> {
    MapRequest {
        wanted: Some(address),
        ..Space::request(0, pages)
    }
}

#[test]
fn wanted_places_are_checked() {
    let (space, object) = (Space::new(1), Object::new(100, 200));
    map::<World>(&space, &object, at(0x2_0000, 4)).unwrap();
    for (address, pages, refusal) in [
        (0x2_3000, 1, Refusal::AlreadyExists),
        (0x1_f000, 2, Refusal::AlreadyExists),
        (0x1_f000, 100, Refusal::AlreadyExists),
        (0, 1, Refusal::Misaligned),
        (0x3_0001, 1, Refusal::Misaligned),
        (END, 1, Refusal::OutOfRange),
        (END - PAGE_BYTES, 2, Refusal::OutOfRange),
        (u64::MAX - PAGE_BYTES + 1, 1, Refusal::OutOfRange),
        (0x4_0000, 0, Refusal::ZeroLength),
        (0x4_0000, 201, Refusal::OutOfRange),
        (0x4_0000, u64::MAX, Refusal::OutOfRange),
    ] {
        let refused = map::<World>(&space, &object, at(address, pages));
        assert_eq!(refused, Err(refusal), "{address:#x}");
    }
    assert_eq!(map::<World>(&space, &object, at(0x2_4000, 1)), Ok(0x2_4000));
    let last = END - PAGE_BYTES;
    assert_eq!(map::<World>(&space, &object, at(last, 1)), Ok(last));
    assert_eq!(space.ledger().regions(), 3);
}

#[test]
fn a_range_is_covered_by_one_region_or_by_none() {
    let (space, object) = (Space::new(1), Object::new(100, 2));
    map::<World>(&space, &object, at(0x2_0000, 2)).unwrap();
    map::<World>(&space, &object, at(0x2_2000, 2)).unwrap();
    let covered =
        |address, pages| protect::<World>(&space, address, pages, Access::Read, |_| Ok(()));
    assert_eq!(covered(0x2_1000, 1), Ok(()));
    assert_eq!(covered(0x2_2000, 2), Ok(()));
    assert_eq!(covered(0x2_1000, 2), Err(Refusal::NotFound));
    assert_eq!(covered(0x2_4000, 1), Err(Refusal::NotFound));
    assert_eq!(covered(0x1_f000, 1), Err(Refusal::NotFound));
    assert_eq!(covered(0x2_0000, 1 << 52), Err(Refusal::OutOfRange));
    assert_eq!(
        covered(u64::MAX - PAGE_BYTES + 1, 2),
        Err(Refusal::OutOfRange)
    );
    assert_eq!(covered(0x2_0000, 0), Err(Refusal::ZeroLength));
}

#[test]
fn parts_that_remain_are_revoked_as_the_whole_was() {
    let (space, object) = (Space::new(1), Object::new(100, 130));
    let address = map::<World>(&space, &object, Space::request(0, 130)).unwrap();
    let pages = 1;
    for page in [64, 0, 129] {
        let address = address + page * PAGE_BYTES;
        unmap::<World>(&space, Area::Range { address, pages }).unwrap();
        assert_eq!(space.touch(address), None);
    }
    assert_eq!(object.ledger.mappings(), 2);
    let _proof = revoke::<World>(&*object);
    assert_eq!(object.ledger.mappings(), 0);
    let spare = Some((SPARE + 1, Access::Write));
    for page in (1..64).chain(65..129) {
        assert_eq!(space.touch(address + page * PAGE_BYTES), spare);
    }
    // What is left of them is unmapped as anything else.
    let rest = address + PAGE_BYTES;
    unmap::<World>(&space, Area::Region(rest)).unwrap();
    assert_eq!(space.touch(rest), None);
    assert_eq!(space.ledger().regions(), 1);
}

#[test]
fn a_part_that_nobody_pays_for_is_refused_and_nothing_changes() {
    let (space, object) = (Space::new(1), Object::new(100, 64));
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(map::<World>(&space, &object, Space::request(0, 4)).unwrap());
    }
    space.budget.store(0, std::sync::atomic::Ordering::Relaxed);
    let (address, pages) = (held[3] + PAGE_BYTES, 2);
    let middle = Area::Range { address, pages };
    let refused = unmap::<World>(&space, middle);
    assert_eq!(refused, Err(Refusal::OverBudget));
    assert!(space.touch(address).is_some());
    assert_eq!(
        (space.ledger().regions(), object.ledger.mappings()),
        (16, 16)
    );
    unmap::<World>(&space, Area::Region(held[0])).unwrap();
    unmap::<World>(&space, Area::Region(held[1])).unwrap();
    unmap::<World>(&space, middle).unwrap();
}

#[test]
fn what_the_caller_does_not_allow_is_not_protected_for() {
    let (space, object) = (Space::new(1), Object::new(100, 2));
    let request = MapRequest {
        access: Access::Read,
        most: Some(Access::Read),
        ..Space::request(0, 2)
    };
    let address = map::<World>(&space, &object, request).unwrap();
    let mut asked = Vec::new();
    let refused = protect::<World>(&space, address, 2, Access::Write, |most| {
        asked.push(most);
        Err(Refusal::ReadOnly)
    });
    assert_eq!(refused, Err(Refusal::ReadOnly));
    assert_eq!(asked, [Some(Access::Read)]);
    assert_eq!(space.touch(address), Some((100, Access::Read)));
    // It is as it was, and not busy.
    unmap::<World>(&space, Area::Region(address)).unwrap();
}

#[test]
fn a_space_that_has_retired_takes_nothing_and_pays_for_nothing() {
    let (space, object) = (Space::new(1), Object::new(100, 2));
    map::<World>(&space, &object, Space::request(0, 2)).unwrap();
    retire::<World>(&space);
    let mapped = map::<World>(&space, &object, Space::request(0, 2));
    assert_eq!(mapped, Err(Refusal::WrongState));
    assert_eq!((space.ledger().regions(), object.ledger.mappings()), (0, 0));
    assert_eq!(space.paid.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn an_object_that_ends_while_it_is_mapped_gives_no_proof() {
    let (space, mut object) = (Space::new(1), Object::new(100, 2));
    map::<World>(&space, &object, Space::request(0, 2)).unwrap();
    // A defect: the space goes and has not retired, so nobody made its processors forget.
    drop(space);
    let ended = std::sync::Arc::get_mut(&mut object).unwrap();
    assert_eq!(ended.ledger.close(), None);
    let mut unmapped = Object::new(200, 2);
    let ended = std::sync::Arc::get_mut(&mut unmapped).unwrap();
    assert!(ended.ledger.close().is_some());
}
