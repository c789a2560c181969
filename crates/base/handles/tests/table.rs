//! Behaviour of the handle table, by example and against a plain model.

use handles::{Handle, HandleError, HandleTable, MAX_SLOTS};
use proptest::prelude::*;
use std::collections::{BTreeMap, HashSet, VecDeque};

#[test]
fn a_removed_handle_is_stale_after_reuse() {
    let mut table = HandleTable::<&str>::new(8);
    let old = table.insert("a").unwrap();
    assert_eq!(table.remove(old), Ok("a"));
    let new = table.insert("b").unwrap();
    assert_eq!(old.index(), new.index());
    assert_eq!(table.get(old), Err(HandleError::Stale));
    assert_eq!(table.get_mut(old), Err(HandleError::Stale));
    assert_eq!(table.remove(old), Err(HandleError::Stale));
    assert_eq!(table.get(new), Ok(&"b"));
}

#[test]
fn made_up_handles_were_never_issued() {
    let mut table = HandleTable::<u8>::new(8);
    let handle = table.insert(1).unwrap();
    for raw in [
        0,
        u64::MAX,
        5,
        u64::from(handle.index()),
        handle.raw() + (1 << 24),
        handle.raw() | 9,
    ] {
        assert_eq!(
            table.get(Handle::from_raw(raw)),
            Err(HandleError::NeverIssued),
            "{raw:#x}"
        );
    }
    table.remove(handle).unwrap();
    // The generation that the free slot will use next is not valid yet.
    assert_eq!(
        table.get(Handle::from_raw(handle.raw() + (1 << 24))),
        Err(HandleError::NeverIssued)
    );
}

#[test]
fn slots_are_reused_first_in_first_out() {
    let mut table = HandleTable::<u32>::new(8);
    let handles: Vec<_> = (0..4).map(|n| table.insert(n).unwrap()).collect();
    for at in [2, 0, 3] {
        table.remove(handles[at]).unwrap();
    }
    let order: Vec<_> = (0..4).map(|n| table.insert(n).unwrap().index()).collect();
    assert_eq!(order, [2, 0, 3, 4]);
}

#[test]
fn quota_counts_live_and_reserved() {
    let mut table = HandleTable::<u8>::new(2);
    let live = table.insert(1).unwrap();
    let reservation = table.reserve().unwrap();
    assert_eq!(table.insert(3), Err((HandleError::OverBudget, 3)));
    assert_eq!(table.reserve(), Err(HandleError::OverBudget));
    table.rollback(reservation);
    table.remove(live).unwrap();
    assert!(table.insert(3).is_ok());
    table.set_quota(0);
    assert_eq!(table.insert(4), Err((HandleError::OverBudget, 4)));
    assert_eq!(table.len(), 1);
}

#[test]
fn a_reservation_is_invisible_until_committed_and_dead_after_rollback() {
    let mut table = HandleTable::<u8>::new(8);
    let reservation = table.reserve().unwrap();
    let handle = reservation.handle();
    assert_eq!(table.get(handle), Err(HandleError::NeverIssued));
    assert_eq!(table.remove(handle), Err(HandleError::NeverIssued));
    assert_eq!(table.commit(reservation, 7), Ok(handle));
    assert_eq!(table.get(handle), Ok(&7));

    let reservation = table.reserve().unwrap();
    let escaped = reservation.handle();
    table.rollback(reservation);
    let next = table.insert(9).unwrap();
    assert_eq!(next.index(), escaped.index());
    assert_eq!(table.get(escaped), Err(HandleError::Stale));
}

#[test]
fn a_reservation_of_another_table_changes_nothing() {
    let mut ours = HandleTable::<u8>::new(8);
    let mut theirs = HandleTable::<u8>::new(8);
    ours.insert(1).unwrap();
    let foreign = theirs.reserve().unwrap();
    assert_eq!(ours.commit(foreign, 5), Err(5));
    let foreign = theirs.reserve().unwrap();
    assert!(theirs.holds(&foreign) && !ours.holds(&foreign));
    ours.rollback(foreign);
    assert_eq!((ours.len(), ours.reserved(), theirs.reserved()), (1, 0, 2));
}

#[test]
fn a_slot_retires_at_its_last_generation_and_nothing_wraps() {
    let mut table = HandleTable::<u8, 2>::new(1);
    let mut seen = HashSet::new();
    for round in 1..=3 {
        let handle = table.insert(round).unwrap();
        assert_eq!((handle.index(), handle.generation()), (0, u64::from(round)));
        assert!(seen.insert(handle));
        table.remove(handle).unwrap();
    }
    assert_eq!(table.retired(), 1);
    for &handle in &seen {
        let expected = if handle.generation() == 3 {
            HandleError::Retired
        } else {
            HandleError::Stale
        };
        assert_eq!(table.get(handle), Err(expected));
    }
    // The next entry gets a fresh slot; the quota still counts only what is held.
    assert_eq!(table.insert(4).unwrap().index(), 1);
}

#[test]
fn rollback_at_the_last_generation_retires_too() {
    let mut table = HandleTable::<u8, 1>::new(4);
    let reservation = table.reserve().unwrap();
    let handle = reservation.handle();
    table.rollback(reservation);
    assert_eq!(table.get(handle), Err(HandleError::Retired));
    assert_eq!((table.retired(), table.reserved()), (1, 0));
}

#[test]
fn live_entries_can_be_walked_in_bounded_steps() {
    let mut table = HandleTable::<u32>::new(64);
    let handles: Vec<_> = (0..40).map(|n| table.insert(n).unwrap()).collect();
    for handle in handles.iter().filter(|handle| handle.index() % 10 != 7) {
        table.remove(*handle).unwrap();
    }
    let mut found = Vec::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let (handle, next) = table.next_live(at, 4);
        found.extend(handle);
        from = next;
    }
    let iterated: Vec<_> = table.iter().map(|(handle, _)| handle).collect();
    assert_eq!(found, iterated);
    assert_eq!(
        found.iter().map(|h| h.index()).collect::<Vec<_>>(),
        [7, 17, 27, 37]
    );
    assert_eq!(table.next_live(u32::MAX, u32::MAX), (None, None));
    for (_, value) in table.iter_mut() {
        *value += 1;
    }
    assert_eq!(table.get(found[0]), Ok(&8));
    table.clear();
    assert!(table.is_empty());
    assert!(
        handles
            .iter()
            .all(|handle| table.get(*handle) == Err(HandleError::Stale))
    );
}

#[derive(Clone, Debug)]
enum Op {
    Insert(u16),
    Reserve,
    Commit(usize, u16),
    Rollback(usize),
    Remove(usize),
    Lookup(usize),
    Wild(u64),
    Quota(u32),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => any::<u16>().prop_map(Op::Insert),
        2 => Just(Op::Reserve),
        2 => (any::<usize>(), any::<u16>()).prop_map(|(at, v)| Op::Commit(at, v)),
        1 => any::<usize>().prop_map(Op::Rollback),
        6 => any::<usize>().prop_map(Op::Remove),
        4 => any::<usize>().prop_map(Op::Lookup),
        2 => any::<u64>().prop_map(Op::Wild),
        1 => (0u32..12).prop_map(Op::Quota),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Long random sequences on a table with 3-bit generations agree with a map from every issued handle.
    #[test]
    fn agrees_with_a_plain_model(ops in proptest::collection::vec(op(), 1..1500)) {
        let mut table = HandleTable::<u16, 3>::new(8);
        let mut live: BTreeMap<Handle, u16> = BTreeMap::new();
        let mut issued: Vec<Handle> = Vec::new();
        let mut ever: HashSet<Handle> = HashSet::new();
        let mut reservations = VecDeque::new();
        for op in ops {
            match op {
                Op::Insert(value) => {
                    let full = live.len() + reservations.len() >= table.quota() as usize;
                    match table.insert(value) {
                        Ok(handle) => {
                            prop_assert!(!full);
                            prop_assert!(ever.insert(handle), "a name was issued twice");
                            prop_assert!((1..=7).contains(&handle.generation()));
                            issued.push(handle);
                            live.insert(handle, value);
                        }
                        Err((error, back)) => {
                            prop_assert!(full);
                            prop_assert_eq!((error, back), (HandleError::OverBudget, value));
                        }
                    }
                }
                Op::Reserve => {
                    if let Ok(reservation) = table.reserve() {
                        prop_assert!(ever.insert(reservation.handle()));
                        issued.push(reservation.handle());
                        reservations.push_back(reservation);
                    }
                }
                Op::Commit(at, value) => if !reservations.is_empty() {
                    let reservation = reservations.remove(at % reservations.len()).unwrap();
                    let handle = reservation.handle();
                    prop_assert_eq!(table.commit(reservation, value), Ok(handle));
                    live.insert(handle, value);
                },
                Op::Rollback(at) => if !reservations.is_empty() {
                    table.rollback(reservations.remove(at % reservations.len()).unwrap());
                },
                Op::Remove(at) => if !issued.is_empty() {
                    let kept = issued[at % issued.len()];
                    prop_assert_eq!(table.remove_if(kept, |_| false).is_ok(), live.contains_key(&kept));
                    let handle = issued[at % issued.len()];
                    prop_assert_eq!(table.remove(handle).ok(), live.remove(&handle));
                },
                Op::Lookup(at) => if !issued.is_empty() {
                    let handle = issued[at % issued.len()];
                    prop_assert_eq!(table.get(handle).ok(), live.get(&handle));
                    prop_assert_eq!(table.get_mut(handle).ok().copied(), live.get(&handle).copied());
                },
                Op::Wild(raw) => {
                    let handle = Handle::from_raw(raw);
                    prop_assert_eq!(table.get(handle).ok(), live.get(&handle));
                }
                Op::Quota(quota) => table.set_quota(quota),
            }
            prop_assert_eq!(table.len() as usize, live.len());
            prop_assert_eq!(table.reserved() as usize, reservations.len());
        }
        let walked: BTreeMap<Handle, u16> = table.iter().map(|(handle, value)| (handle, *value)).collect();
        prop_assert_eq!(walked, live);
    }
}

#[test]
fn room_that_was_made_is_enough_for_the_quota_and_no_more() {
    let mut table: HandleTable<u32> = HandleTable::new(0);
    assert_eq!(table.insert(0).unwrap_err().0, HandleError::OverBudget);
    table.make_room(3).unwrap();
    let first = table.insert(1).unwrap();
    let place = table.reserve().unwrap();
    table.insert(2).unwrap();
    assert_eq!(table.insert(3).unwrap_err().0, HandleError::OverBudget);
    table.rollback(place);
    assert_eq!(table.remove(first), Ok(1));
    table.make_room(1).unwrap();
    assert_eq!(table.quota(), 4);
    assert_eq!(table.make_room(u32::MAX), Err(HandleError::Retired));
    assert_eq!(table.make_room(MAX_SLOTS), Err(HandleError::Retired));
    assert_eq!(table.quota(), 4, "a refusal changes nothing");
    for value in 3..6 {
        table.insert(value).unwrap();
    }
    assert_eq!(table.insert(6).unwrap_err().0, HandleError::OverBudget);
}

#[test]
fn a_table_that_goes_takes_nothing_and_keeps_what_is_in_it_or_on_its_way() {
    let mut table = HandleTable::<u32>::new(2000);
    let mut handles: Vec<_> = (0..2000).map(|n| table.insert(n).unwrap()).collect();
    // The last slot comes first in the free list: it lies in what goes first.
    let last = handles.pop().unwrap();
    assert!(!table.shed());
    assert_eq!(table.get(last), Ok(&1999));
    table.remove(last).unwrap();
    handles.into_iter().for_each(|handle| {
        table.remove(handle).unwrap();
    });
    assert_eq!(table.insert(1), Err((HandleError::OverBudget, 1)));

    table.set_quota(1);
    let place = table.reserve().unwrap();
    assert_eq!(place.handle().index(), last.index());
    assert!(!table.shed() && table.holds(&place));
    let handle = table.commit(place, 7).unwrap();
    assert_eq!(table.remove(handle), Ok(7));
    while table.shed() {}
    assert_eq!(table.insert(1), Err((HandleError::OverBudget, 1)));
}
