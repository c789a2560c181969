//! Random calls of two writers over a store that fails at random, beside a model of what must be there.

mod common;

use std::collections::BTreeMap;
use std::ops::Range;

use common::{ONE, Shared, call, facet, name};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use save_core::{Envelope, Expect, Facet, Hit, Key, LedgerName, Refusal, SaveStore, Strike};

#[derive(Clone, Debug)]
enum Op {
    Put(u8, u8, Vec<u8>),
    Append(u8, Vec<u8>),
    Get(u8),
    Read(u8),
}

#[derive(Default)]
struct Model {
    records: BTreeMap<u8, Vec<Vec<u8>>>,
    ledgers: BTreeMap<u8, Vec<Vec<u8>>>,
}

fn ops() -> impl Strategy<Value = Vec<(bool, Op)>> {
    let payload = proptest::collection::vec(any::<u8>(), 0..20);
    let op = prop_oneof![
        (0..3u8, 0..3u8, payload.clone())
            .prop_map(|(key, expect, payload)| Op::Put(key, expect, payload)),
        (0..2u8, payload).prop_map(|(ledger, payload)| Op::Append(ledger, payload)),
        (0..3u8).prop_map(Op::Get),
        (0..2u8).prop_map(Op::Read),
    ];
    proptest::collection::vec((any::<bool>(), op), 1..40)
}

fn honest() -> impl Strategy<Value = Hit> {
    prop_oneof![
        Just(Hit::LoseAnswer),
        Just(Hit::LoseRequest),
        Just(Hit::Delay),
        Just(Hit::Busy),
        Just(Hit::Conflict),
        Just(Hit::Full),
    ]
}

fn hostile() -> impl Strategy<Value = Hit> {
    prop_oneof![
        Just(Hit::Stale),
        any::<u16>().prop_map(Hit::Cut),
        any::<u16>().prop_map(Hit::Flip),
        Just(Hit::Mistake),
    ]
}

fn script(
    calls: Range<u64>,
    hit: impl Strategy<Value = Hit>,
) -> impl Strategy<Value = Vec<Strike>> {
    let strike = (calls, hit).prop_map(|(call, hit)| Strike { call, hit });
    proptest::collection::vec(strike, 0..60)
}

fn record(number: u8) -> Key {
    Key::profile(name(&format!("r{number}")))
}

fn ledger(number: u8) -> LedgerName {
    LedgerName(name(&format!("l{number}")))
}

/// Makes a call until it is answered. The last tries meet no fault.
fn until<T>(store: &Shared, mut work: impl FnMut() -> Result<T, Refusal>) -> Result<T, Refusal> {
    for turn in 0.. {
        let end = work();
        let again = matches!(end, Err(Refusal::Unavailable { .. } | Refusal::OverQuota));
        if !again {
            return end;
        }
        if turn > 20 {
            store.0.borrow_mut().fail(&[]);
        }
    }
    unreachable!()
}

fn step(store: &Shared, facet: &mut Facet<Shared>, number: u128, op: Op, model: &mut Model) {
    match op {
        Op::Put(key, expect, payload) => {
            let versions = model.records.entry(key).or_default();
            let current = versions.len() as u64;
            let expect = match expect {
                0 => Expect::Absent,
                1 => Expect::Version(current.max(1)),
                _ => Expect::Any,
            };
            let end = until(store, || {
                facet.put(&record(key), expect, call(number), &payload)
            });
            let fits = match expect {
                Expect::Absent => current == 0,
                Expect::Version(version) => version == current,
                Expect::Any => true,
            };
            match fits {
                true => {
                    versions.push(payload);
                    assert_eq!(end, Ok(current + 1));
                }
                false => assert_eq!(end, Err(Refusal::Conflict { current })),
            }
        }
        Op::Append(number_of, payload) => {
            let lines = model.ledgers.entry(number_of).or_default();
            let length = lines.len() as u64;
            let end = until(store, || {
                facet.append(&ledger(number_of), length, call(number), &payload)
            });
            lines.push(payload);
            assert_eq!(end, Ok(length + 1));
        }
        Op::Get(key) => {
            let end = until(store, || facet.get(&record(key))).unwrap();
            let newest = model.records.get(&key).and_then(|versions| versions.last());
            assert_eq!(end.map(|record| record.payload).as_ref(), newest);
        }
        Op::Read(number) => {
            let end = until(store, || facet.read_ledger(&ledger(number), 0)).unwrap();
            let lines = model.ledgers.get(&number).map_or(&[][..], |lines| lines);
            let found: Vec<_> = end.items.into_iter().map(|line| line.payload).collect();
            assert_eq!(found, lines[..lines.len().min(3)]);
        }
    }
}

proptest! {
    #[test]
    fn two_writers_over_a_failing_store_do_what_the_model_does(ops in ops(), script in script(0..300, honest())) {
        let store = Shared::default();
        let mut facets = [facet(&store, ONE, 1, 1), facet(&store, ONE, 1, 1)];
        let mut model = Model::default();
        store.0.borrow_mut().fail(&script);
        for (number, (who, op)) in ops.into_iter().enumerate() {
            step(&store, &mut facets[usize::from(who)], number as u128, op, &mut model);
        }
        store.0.borrow_mut().fail(&[]);
        for (key, versions) in &model.records {
            let found = facets[0].history(&record(*key)).unwrap();
            let kept = &versions[versions.len().saturating_sub(5)..];
            let found: Vec<_> = found.into_iter().map(|record| record.payload).collect();
            assert_eq!(found, kept);
        }
    }

    #[test]
    fn a_store_that_lies_is_refused_or_told_the_truth(ops in ops(), script in script(0..3, hostile())) {
        let store = Shared::default();
        let mut one = facet(&store, ONE, 1, 1);
        let mut model = Model::default();
        for (number, (_, op)) in ops.into_iter().enumerate() {
            let number = number as u128;
            store.0.borrow_mut().fail(&[]);
            if let Op::Get(key) = op {
                store.0.borrow_mut().fail(&script);
                let newest = model.records.get(&key).and_then(|versions| versions.last());
                if let Ok(found) = one.get(&record(key)) {
                    assert_eq!(found.map(|record| record.payload).as_ref(), newest);
                }
            } else {
                step(&store, &mut one, number, op, &mut model);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        assert_eq!(Envelope::decode(&bytes).map(|_| ()), Err(Refusal::Damaged));
    }
}
