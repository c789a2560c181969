//! Each method, each refusal, and every fault at every step.

mod common;

use common::{LIMITS, ONE, OTHER, Shared, call, facet, key, ledger, name};
use save_core::{Expect, Hit, Key, Kind, Name, Refusal, SaveStore, Slot, Strike};

#[test]
fn a_put_makes_a_version_and_a_stale_one_is_refused() {
    let store = Shared::default();
    let mut one = facet(&store, ONE, 1, 1);
    assert_eq!(one.get(&key()), Ok(None));
    assert_eq!(
        one.put(&key(), Expect::Version(1), call(0), b"x"),
        Err(Refusal::Conflict { current: 0 })
    );
    assert_eq!(one.put(&key(), Expect::Absent, call(1), b"a"), Ok(1));
    assert_eq!(
        one.put(&key(), Expect::Absent, call(2), b"b"),
        Err(Refusal::Conflict { current: 1 })
    );
    assert_eq!(one.put(&key(), Expect::Version(1), call(3), b"b"), Ok(2));
    assert_eq!(
        one.put(&key(), Expect::Version(1), call(4), b"c"),
        Err(Refusal::Conflict { current: 2 })
    );
    assert_eq!(one.put(&key(), Expect::Any, call(5), b"c"), Ok(3));
    assert_eq!(one.get(&key()).unwrap().unwrap().payload, b"c");
    let payloads: Vec<_> = one
        .history(&key())
        .unwrap()
        .into_iter()
        .map(|record| record.payload)
        .collect();
    assert_eq!(payloads, [b"a", b"b", b"c"]);
}

#[test]
fn the_same_call_made_again_answers_the_same_and_saves_nothing() {
    let store = Shared::default();
    let (mut one, mut two) = (facet(&store, ONE, 1, 1), facet(&store, ONE, 1, 1));
    assert_eq!(one.put(&key(), Expect::Absent, call(1), b"a"), Ok(1));
    assert_eq!(one.put(&key(), Expect::Absent, call(1), b"a"), Ok(1));
    assert_eq!(two.put(&key(), Expect::Version(1), call(2), b"b"), Ok(2));
    // The answer to the first call comes late: another writer has been there since.
    assert_eq!(one.put(&key(), Expect::Absent, call(1), b"a"), Ok(1));
    assert_eq!(one.put(&key(), Expect::Any, call(2), b"b"), Ok(2));
    assert_eq!(one.get(&key()).unwrap().unwrap().version, 2);
    assert_eq!(one.append(&ledger(), 0, call(3), b"l"), Ok(1));
    assert_eq!(two.append(&ledger(), 1, call(4), b"m"), Ok(2));
    assert_eq!(one.append(&ledger(), 0, call(3), b"l"), Ok(1));
    assert_eq!(
        one.append(&ledger(), 0, call(5), b"l"),
        Err(Refusal::Conflict { current: 2 })
    );
    assert_eq!(
        one.append(&ledger(), 3, call(5), b"l"),
        Err(Refusal::Conflict { current: 2 })
    );
    assert_eq!(one.read_ledger(&ledger(), 0).unwrap().items.len(), 2);
}

#[test]
fn only_so_many_versions_are_kept() {
    let store = Shared::default();
    let mut one = facet(&store, ONE, 1, 1);
    for number in 0..9u8 {
        one.put(&key(), Expect::Any, call(number.into()), &[number])
            .unwrap();
    }
    let kept: Vec<u64> = one
        .history(&key())
        .unwrap()
        .iter()
        .map(|record| record.version)
        .collect();
    assert_eq!(kept, [5, 6, 7, 8, 9]);
    assert_eq!(store.0.borrow().slots().count(), 5);
}

#[test]
fn what_is_too_long_is_refused_and_the_longest_is_not() {
    let store = Shared::default();
    let mut one = facet(&store, ONE, 1, 1);
    for (key, kind) in [
        (Key::profile(name("p")), Kind::Profile),
        (key(), Kind::Checkpoint),
    ] {
        let limit = LIMITS.of(kind);
        let long = vec![7; limit as usize + 1];
        assert_eq!(
            one.put(&key, Expect::Any, call(1), &long),
            Err(Refusal::TooLarge { limit })
        );
        assert_eq!(one.put(&key, Expect::Any, call(1), &long[1..]), Ok(1));
        let empty = Key::profile(name("empty"));
        assert!(one.put(&empty, Expect::Any, call(9), b"").is_ok());
    }
    let limit = LIMITS.entry_bytes;
    let long = vec![7; limit as usize + 1];
    assert_eq!(
        one.append(&ledger(), 0, call(1), &long),
        Err(Refusal::TooLarge { limit })
    );
    assert_eq!(one.append(&ledger(), 0, call(1), &long[1..]), Ok(1));
    assert_eq!(Name::new("../x"), Err(Refusal::BadName));
}

#[test]
fn profiles_and_ledgers_do_not_see_one_another() {
    let store = Shared::default();
    let (mut one, mut other) = (facet(&store, ONE, 1, 1), facet(&store, OTHER, 1, 1));
    one.put(&key(), Expect::Absent, call(1), b"mine").unwrap();
    one.append(&ledger(), 0, call(2), b"mine").unwrap();
    assert_eq!(other.get(&key()), Ok(None));
    assert!(other.list(None).unwrap().items.is_empty());
    assert!(other.read_ledger(&ledger(), 0).unwrap().items.is_empty());
    assert!(other.history(&key()).unwrap().is_empty());
}

#[test]
fn a_record_that_was_put_elsewhere_is_refused() {
    let store = Shared::default();
    let (mut one, mut other) = (facet(&store, ONE, 1, 1), facet(&store, OTHER, 1, 1));
    one.put(&key(), Expect::Absent, call(1), b"mine").unwrap();
    let bytes = store
        .0
        .borrow_mut()
        .bytes_mut(&ONE, &Slot::head(&key()))
        .unwrap()
        .clone();
    let twin = Key::checkpoint(name("slot-2"));
    let sister = Key::profile(name("slot-1"));
    store
        .0
        .borrow_mut()
        .plant(&OTHER, &Slot::head(&key()), bytes.clone());
    store
        .0
        .borrow_mut()
        .plant(&ONE, &Slot::head(&twin), bytes.clone());
    store
        .0
        .borrow_mut()
        .plant(&ONE, &Slot::head(&sister), bytes);
    assert_eq!(other.get(&key()), Err(Refusal::WrongProfile));
    assert_eq!(
        other.put(&key(), Expect::Any, call(2), b"x"),
        Err(Refusal::WrongProfile)
    );
    assert_eq!(one.get(&twin), Err(Refusal::WrongProfile));
    assert_eq!(one.get(&sister), Err(Refusal::WrongProfile));
}

#[test]
fn an_older_application_neither_reads_nor_replaces_a_newer_record() {
    let store = Shared::default();
    let (mut old, mut new) = (facet(&store, ONE, 1, 1), facet(&store, ONE, 2, 1));
    old.put(&key(), Expect::Absent, call(1), b"old").unwrap();
    assert_eq!(new.get(&key()).unwrap().unwrap().schema, 1);
    new.put(&key(), Expect::Version(1), call(2), b"new")
        .unwrap();
    let refused = Refusal::WrongSchema { found: 2 };
    assert_eq!(old.get(&key()), Err(refused));
    assert_eq!(old.put(&key(), Expect::Any, call(3), b"old"), Err(refused));
    new.append(&ledger(), 0, call(4), b"new").unwrap();
    assert_eq!(old.append(&ledger(), 1, call(5), b"old"), Err(refused));
}

#[test]
fn who_was_taken_over_from_reads_but_writes_no_more() {
    let store = Shared::default();
    let (mut before, mut after) = (facet(&store, ONE, 1, 1), facet(&store, ONE, 1, 2));
    before.put(&key(), Expect::Absent, call(1), b"a").unwrap();
    after
        .put(&key(), Expect::Version(1), call(2), b"b")
        .unwrap();
    after.append(&ledger(), 0, call(3), b"l").unwrap();
    let fenced = Refusal::Fenced { epoch: 2 };
    assert_eq!(before.put(&key(), Expect::Any, call(4), b"c"), Err(fenced));
    assert_eq!(before.append(&ledger(), 1, call(5), b"m"), Err(fenced));
    assert_eq!(before.get(&key()).unwrap().unwrap().payload, b"b");
    assert_eq!(before.put(&key(), Expect::Absent, call(1), b"a"), Ok(1));
}

#[test]
fn lists_come_in_pages() {
    let store = Shared::default();
    let mut one = facet(&store, ONE, 1, 1);
    let keys: Vec<Key> = (0..7)
        .map(|number| Key::profile(name(&format!("r{number}"))))
        .collect();
    for (key, number) in keys.iter().zip(0..) {
        one.put(key, Expect::Absent, call(number), b"").unwrap();
    }
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = one.list(after.as_ref()).unwrap();
        assert!(page.items.len() <= 3);
        found.extend(page.items);
        after = found.last().cloned();
        if !page.more {
            break;
        }
    }
    assert_eq!(found, keys);
    for line in 0..7 {
        one.append(&ledger(), line, call(100 + u128::from(line)), &[line as u8])
            .unwrap();
    }
    let page = one.read_ledger(&ledger(), 5).unwrap();
    assert_eq!(
        (page.items.len(), page.items[1].version, page.more),
        (2, 6, false)
    );
    assert!(one.read_ledger(&ledger(), 2).unwrap().more);
    assert!(
        one.read_ledger(&ledger(), u64::MAX)
            .unwrap()
            .items
            .is_empty()
    );
}

#[test]
fn what_was_seen_is_not_taken_back_unnoticed() {
    let store = Shared::default();
    let mut one = facet(&store, ONE, 1, 1);
    for number in 0..3u8 {
        one.put(&key(), Expect::Any, call(number.into()), &[number])
            .unwrap();
        one.append(&ledger(), number.into(), call(number.into()), &[number])
            .unwrap();
    }
    let roll_back = [Strike {
        call: 0,
        hit: Hit::RollBack,
    }];
    store.0.borrow_mut().fail(&roll_back);
    assert_eq!(
        one.get(&key()),
        Err(Refusal::Rollback { seen: 3, found: 2 })
    );
    store.0.borrow_mut().fail(&roll_back);
    assert_eq!(
        one.read_ledger(&ledger(), 0),
        Err(Refusal::Rollback { seen: 3, found: 2 })
    );
    let forget = [Strike {
        call: 0,
        hit: Hit::Forget,
    }];
    store.0.borrow_mut().fail(&forget);
    let gone = Refusal::Rollback { seen: 3, found: 0 };
    assert_eq!(one.put(&key(), Expect::Any, call(9), b"x"), Err(gone));
    // Whoever begins with nothing seen has nothing to compare with.
    assert_eq!(facet(&store, ONE, 1, 1).get(&key()), Ok(None));
}

#[test]
fn another_way_to_the_same_version_is_noticed() {
    let (store, fork) = (Shared::default(), Shared::default());
    let (mut one, mut two) = (facet(&store, ONE, 1, 1), facet(&fork, ONE, 1, 1));
    for number in 0..3u8 {
        one.put(&key(), Expect::Any, call(number.into()), &[number])
            .unwrap();
    }
    for number in 0..4u8 {
        two.put(&key(), Expect::Any, call(number.into()), &[number, 1])
            .unwrap();
    }
    *store.0.borrow_mut() = fork.0.borrow().clone();
    assert_eq!(
        one.get(&key()),
        Err(Refusal::Rollback { seen: 3, found: 4 })
    );
}

#[test]
fn a_line_that_was_changed_or_lost_is_noticed() {
    let store = Shared::default();
    let mut one = facet(&store, ONE, 1, 1);
    for line in 0..3u8 {
        one.append(&ledger(), line.into(), call(line.into()), &[line])
            .unwrap();
    }
    let slot = Slot::entry(&ledger(), 1);
    let good = store.0.borrow_mut().bytes_mut(&ONE, &slot).unwrap().clone();
    let (mut line, _) = save_core::Envelope::decode(&good).unwrap();
    line.payload = b"forged".to_vec();
    store.0.borrow_mut().plant(&ONE, &slot, line.encode().0);
    assert_eq!(
        one.read_ledger(&ledger(), 0),
        Err(Refusal::LedgerRewrite { index: 1 })
    );
    line.version = 2;
    store.0.borrow_mut().plant(&ONE, &slot, line.encode().0);
    assert_eq!(
        one.read_ledger(&ledger(), 0),
        Err(Refusal::LedgerRewrite { index: 1 })
    );
    store.0.borrow_mut().fail(&[Strike {
        call: 2,
        hit: Hit::Forget,
    }]);
    assert_eq!(
        one.read_ledger(&ledger(), 0),
        Err(Refusal::LedgerRewrite { index: 1 })
    );
    store.0.borrow_mut().plant(&ONE, &slot, good);
    assert_eq!(one.read_ledger(&ledger(), 0).unwrap().items.len(), 3);
}

#[test]
fn every_byte_of_a_record_is_covered() {
    let store = Shared::default();
    facet(&store, ONE, 1, 1)
        .put(&key(), Expect::Absent, call(1), b"payload")
        .unwrap();
    let bytes = store
        .0
        .borrow_mut()
        .bytes_mut(&ONE, &Slot::head(&key()))
        .unwrap()
        .clone();
    for at in 0..bytes.len() {
        for bit in [1, 0x80] {
            store
                .0
                .borrow_mut()
                .bytes_mut(&ONE, &Slot::head(&key()))
                .unwrap()[at] ^= bit;
            assert_eq!(
                facet(&store, ONE, 1, 1).get(&key()),
                Err(Refusal::Damaged),
                "byte {at}"
            );
            store
                .0
                .borrow_mut()
                .bytes_mut(&ONE, &Slot::head(&key()))
                .unwrap()[at] ^= bit;
        }
    }
    for at in 0..bytes.len() {
        assert_eq!(
            save_core::Envelope::decode(&bytes[..at]).map(|_| ()),
            Err(Refusal::Damaged)
        );
    }
}

/// Every fault that an honest provider and network have, at every call of a put and an append: made again with the same
/// retry key until it is answered, each happens once.
#[test]
fn whatever_fails_wherever_nothing_is_lost_and_nothing_happens_twice() {
    let hits = [
        Hit::LoseAnswer,
        Hit::LoseRequest,
        Hit::Delay,
        Hit::Busy,
        Hit::Conflict,
        Hit::Full,
    ];
    for hit in hits {
        for at in 0..10 {
            for hits in 1..4 {
                survive(hit, at, hits);
            }
        }
    }
}

fn survive(hit: Hit, at: u64, hits: u64) {
    let store = Shared::default();
    let mut one = facet(&store, ONE, 1, 1);
    one.put(&key(), Expect::Absent, call(0), b"before").unwrap();
    one.append(&ledger(), 0, call(1), b"before").unwrap();
    let script: Vec<Strike> = (at..at + hits).map(|call| Strike { call, hit }).collect();
    store.0.borrow_mut().fail(&script);
    let put = (0..20).find_map(|_| one.put(&key(), Expect::Version(1), call(2), b"after").ok());
    assert_eq!(put, Some(2), "{hit:?} at {at}");
    store.0.borrow_mut().fail(&script);
    let line = (0..20).find_map(|_| one.append(&ledger(), 1, call(3), b"after").ok());
    assert_eq!(line, Some(2), "{hit:?} at {at}");
    store.0.borrow_mut().fail(&[]);
    for mut reader in [one, facet(&store, ONE, 1, 1)] {
        let versions = reader.history(&key()).unwrap();
        assert_eq!(versions.len(), 2, "{hit:?} at {at}");
        assert_eq!(versions[1].payload, b"after");
        assert_eq!(
            reader.read_ledger(&ledger(), 0).unwrap().items.len(),
            2,
            "{hit:?} at {at}"
        );
    }
}
