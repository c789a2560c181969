//! What is saved here comes up whole, once, and over nobody else's.

mod common;

use common::{ONE, Shared, call, facet, key, ledger, name};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use save_core::{Expect, Hit, Key, Refusal, SaveStore, Strike, Uplink};

#[derive(Clone, Debug)]
enum Op {
    Put(u8, u8),
    Append(u8),
    Bring(Vec<Strike>),
    /// The machine goes down with the marks of the time before.
    Forget,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let hit = prop_oneof![
        Just(Hit::LoseAnswer),
        Just(Hit::LoseRequest),
        Just(Hit::Delay),
        Just(Hit::Busy),
        Just(Hit::Conflict),
    ];
    let strike = (0..12u64, hit).prop_map(|(call, hit)| Strike { call, hit });
    let op = prop_oneof![
        (0..2u8, any::<u8>()).prop_map(|(key, value)| Op::Put(key, value)),
        any::<u8>().prop_map(Op::Append),
        proptest::collection::vec(strike, 0..6).prop_map(Op::Bring),
        Just(Op::Forget),
    ];
    proptest::collection::vec(op, 1..30)
}

fn record(number: u8) -> Key {
    Key::profile(name(&format!("r{number}")))
}

fn lines(store: &mut dyn SaveStore) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    loop {
        let page = store.read_ledger(&ledger(), found.len() as u64).unwrap();
        found.extend(page.items.into_iter().map(|line| line.payload));
        if !page.more {
            return found;
        }
    }
}

fn bring(
    uplink: &mut Uplink,
    near: &mut dyn SaveStore,
    far: &mut dyn SaveStore,
) -> Result<(), Refusal> {
    for number in 0..2 {
        uplink.bring(near, far, &record(number))?;
    }
    uplink.bring_lines(near, far, &ledger()).map(|_| ())
}

proptest! {
    #[test]
    fn whatever_fails_all_of_it_comes_up_once(ops in ops()) {
        let (here, there) = (Shared::default(), Shared::default());
        let (mut near, mut far) = (facet(&here, ONE, 1, 1), facet(&there, ONE, 1, 1));
        let (mut uplink, mut kept) = (Uplink::default(), Uplink::default());
        let mut appended = 0;
        for (number, op) in ops.into_iter().enumerate() {
            let retry = call(number as u128);
            match op {
                Op::Put(key, value) => drop(near.put(&record(key), Expect::Any, retry, &[value]).unwrap()),
                Op::Append(value) => appended = near.append(&ledger(), appended, retry, &[value]).unwrap(),
                Op::Bring(script) => {
                    kept = uplink.clone();
                    there.0.borrow_mut().fail(&script);
                    let end = bring(&mut uplink, &mut near, &mut far);
                    assert!(matches!(end, Ok(()) | Err(Refusal::Unavailable { .. })), "{end:?}");
                }
                Op::Forget => uplink = Uplink::decode(&kept.encode()).unwrap(),
            }
            there.0.borrow_mut().fail(&[]);
            // What is brought often enough is brought before so many versions were made that its traces are gone.
            bring(&mut uplink, &mut near, &mut far).unwrap();
        }
        for number in 0..2 {
            let newest = |store: &mut dyn SaveStore| store.get(&record(number)).unwrap().map(|record| record.payload);
            assert_eq!(newest(&mut near), newest(&mut far));
        }
        assert_eq!(lines(&mut near), lines(&mut far));
    }
}

#[test]
fn what_another_machine_brought_is_not_written_over() {
    let (here, there) = (Shared::default(), Shared::default());
    let (mut near, mut far) = (facet(&here, ONE, 1, 1), facet(&there, ONE, 1, 1));
    let mut uplink = Uplink::default();
    near.put(&key(), Expect::Absent, call(1), b"mine").unwrap();
    assert_eq!(uplink.bring(&mut near, &mut far, &key()), Ok(true));
    assert_eq!(uplink.bring(&mut near, &mut far, &key()), Ok(false));
    far.put(&key(), Expect::Version(1), call(2), b"theirs")
        .unwrap();
    near.put(&key(), Expect::Version(1), call(3), b"mine again")
        .unwrap();
    let refused = Refusal::Conflict { current: 2 };
    assert_eq!(uplink.bring(&mut near, &mut far, &key()), Err(refused));
    assert_eq!(far.get(&key()).unwrap().unwrap().payload, b"theirs");
    far.append(&ledger(), 0, call(4), b"theirs").unwrap();
    near.append(&ledger(), 0, call(5), b"mine").unwrap();
    let refused = Refusal::Conflict { current: 1 };
    assert_eq!(
        uplink.bring_lines(&mut near, &mut far, &ledger()),
        Err(refused)
    );
}

#[test]
fn an_answer_that_was_lost_with_its_mark_is_found_again() {
    let (here, there) = (Shared::default(), Shared::default());
    let (mut near, mut far) = (facet(&here, ONE, 1, 1), facet(&there, ONE, 1, 1));
    near.put(&key(), Expect::Absent, call(1), b"a").unwrap();
    Uplink::default()
        .bring(&mut near, &mut far, &key())
        .unwrap();
    near.put(&key(), Expect::Version(1), call(2), b"b").unwrap();
    near.put(&key(), Expect::Version(2), call(3), b"c").unwrap();
    let mut uplink = Uplink::default();
    assert_eq!(uplink.bring(&mut near, &mut far, &key()), Ok(true));
    let there: Vec<_> = far
        .history(&key())
        .unwrap()
        .into_iter()
        .map(|record| record.payload)
        .collect();
    assert_eq!(there, [b"a", b"c"]);
}

#[test]
fn marks_come_back_as_they_went() {
    let (here, there) = (Shared::default(), Shared::default());
    let (mut near, mut far) = (facet(&here, ONE, 1, 1), facet(&there, ONE, 1, 1));
    let mut uplink = Uplink::default();
    near.put(&key(), Expect::Absent, call(1), b"a").unwrap();
    near.append(&ledger(), 0, call(2), b"a").unwrap();
    uplink.bring(&mut near, &mut far, &key()).unwrap();
    assert_eq!(uplink.bring_lines(&mut near, &mut far, &ledger()), Ok(1));
    let bytes = uplink.encode();
    assert_eq!(Uplink::decode(&bytes), Some(uplink));
    for end in 1..bytes.len() {
        let cut = Uplink::decode(&bytes[..end]);
        assert!(cut.is_none_or(|cut| cut.encode() == bytes[..end]));
    }
    assert_eq!(Uplink::decode(&[bytes.as_slice(), &bytes].concat()), None);
}
