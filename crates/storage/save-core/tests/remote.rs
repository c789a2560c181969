//! The client's end of a bridge, the wire between, the allowance and the canary.

mod common;

use common::{LIMITS, ONE, Shared, call, facet, key, ledger, name};
use proptest::prelude::{any, prop_assert_eq, proptest};
use save_core::wire::{Answer, Call};
use save_core::{
    Allowance, Backend, Condition, Expect, Facet, Fault, Governor, Group, Hit, Key, LedgerName,
    Listed, Loaded, Memory, Page, Refusal, Remote, SaveStore, Scope, Slot, Strike, Untrusted, Wire,
    Writer, canary, serve,
};

const WRITER: Writer = Writer {
    schema: 1,
    epoch: 1,
};

/// A bridge in this process, which forgets what it has seen after each call.
struct Direct(Shared);

impl Wire for Direct {
    fn call(&mut self, call: &[u8]) -> Result<Vec<u8>, Fault> {
        let (call, writer) = Call::decode(call).ok_or(Fault::Damaged)?;
        let mut facet = facet(&self.0, ONE, writer.schema, writer.epoch);
        Ok(serve(&mut facet, call).encode())
    }
}

fn remote(store: &Shared) -> Remote<Direct> {
    Remote::connect(Direct(store.clone()), WRITER).unwrap()
}

#[test]
fn a_remote_store_is_like_a_near_one() {
    let store = Shared::default();
    let mut one = remote(&store);
    assert_eq!(one.info().limits, LIMITS);
    assert_eq!(one.put(&key(), Expect::Absent, call(1), b"a"), Ok(1));
    assert_eq!(one.put(&key(), Expect::Version(1), call(2), b"b"), Ok(2));
    let stale = one.put(&key(), Expect::Version(1), call(3), b"c");
    assert_eq!(stale, Err(Refusal::Conflict { current: 2 }));
    assert_eq!(one.put(&key(), Expect::Absent, call(1), b"a"), Ok(1));
    assert_eq!(one.append(&ledger(), 0, call(4), b"l"), Ok(1));
    let mut near = facet(&store, ONE, 1, 1);
    assert_eq!(one.get(&key()), near.get(&key()));
    assert_eq!(one.history(&key()), near.history(&key()));
    assert_eq!(one.list(None), near.list(None));
    assert_eq!(
        one.read_ledger(&ledger(), 0),
        near.read_ledger(&ledger(), 0)
    );
}

#[test]
fn a_bridge_that_takes_back_what_it_showed_is_noticed() {
    let store = Shared::default();
    let mut one = remote(&store);
    for number in 0..3u8 {
        one.put(&key(), Expect::Any, call(number.into()), &[number])
            .unwrap();
        one.append(&ledger(), number.into(), call(number.into()), &[number])
            .unwrap();
    }
    one.get(&key()).unwrap();
    store.0.borrow_mut().fail(&[Strike {
        call: 0,
        hit: Hit::RollBack,
    }]);
    let back = Refusal::Rollback { seen: 3, found: 2 };
    assert_eq!(one.get(&key()), Err(back));
    assert_eq!(one.history(&key()), Err(back));
    store.0.borrow_mut().fail(&[Strike {
        call: 0,
        hit: Hit::RollBack,
    }]);
    assert_eq!(one.read_ledger(&ledger(), 0), Err(back));
    *store.0.borrow_mut() = Memory::new();
    let gone = Refusal::Rollback { seen: 3, found: 0 };
    assert_eq!(one.get(&key()), Err(gone));
    assert_eq!(one.read_ledger(&ledger(), 0), Err(gone));
}

/// Ignores one of the two conditions, or both.
struct Careless(Memory, fn(&Condition) -> bool);

impl Backend for Careless {
    fn load(&mut self, scope: &Scope, slot: &Slot) -> Result<Option<Loaded>, Fault> {
        self.0.load(scope, slot)
    }

    fn store(
        &mut self,
        scope: &Scope,
        slot: &Slot,
        only: &Condition,
        bytes: &[u8],
    ) -> Result<(), Fault> {
        if (self.1)(only) {
            self.0.plant(scope, slot, bytes.to_vec());
            return Ok(());
        }
        self.0.store(scope, slot, only, bytes)
    }

    fn remove(&mut self, scope: &Scope, slot: &Slot) -> Result<(), Fault> {
        self.0.remove(scope, slot)
    }

    fn list(
        &mut self,
        scope: &Scope,
        group: Group,
        after: Option<&Slot>,
        most: usize,
    ) -> Result<Vec<Listed>, Fault> {
        self.0.list(scope, group, after, most)
    }
}

#[test]
fn the_canary_sings_where_a_condition_is_ignored() {
    let sings =
        |careless: fn(&Condition) -> bool| canary(&mut Careless(Memory::new(), careless), 5);
    assert_eq!(sings(|_| false), Ok(()));
    assert_eq!(
        sings(|only| *only == Condition::Absent),
        Err(Untrusted::IgnoresAbsent)
    );
    assert_eq!(
        sings(|only| *only != Condition::Absent),
        Err(Untrusted::IgnoresState)
    );
    assert_eq!(sings(|_| true), Err(Untrusted::IgnoresAbsent));
    let mut store = Memory::new();
    store.fail(&[Strike {
        call: 1,
        hit: Hit::Stale,
    }]);
    assert_eq!(canary(&mut store, 5), Err(Untrusted::Forgets));
    assert_eq!(store.slots().count(), 0);
}

#[test]
fn an_allowance_ends_before_the_store_is_asked() {
    let allowance = Allowance {
        bytes: 2400,
        slots: 100,
        writes_per_day: 1000,
        reads_per_day: 1000,
    };
    let store = Shared::default();
    let governor = Governor::new(store.clone(), || 1, allowance);
    let mut one = Facet::mint(governor, ONE, LIMITS, WRITER, Default::default());
    assert_eq!(one.put(&key(), Expect::Any, call(1), &[0; 1000]), Ok(1));
    // The first version is kept beside the second.
    assert_eq!(
        one.put(&key(), Expect::Any, call(2), &[0; 1000]),
        Err(Refusal::OverQuota)
    );
    assert_eq!(one.get(&key()).unwrap().unwrap().version, 1);
    let small = Key::profile(name("small"));
    let long = [0; 1500];
    assert_eq!(
        one.put(&small, Expect::Any, call(3), &long),
        Err(Refusal::OverQuota)
    );
    assert_eq!(one.put(&small, Expect::Any, call(3), b"x"), Ok(1));
    let governor = Governor::new(
        store,
        || 1,
        Allowance {
            reads_per_day: 0,
            ..allowance
        },
    );
    let mut one = Facet::mint(governor, ONE, LIMITS, WRITER, Default::default());
    assert_eq!(one.get(&key()), Err(Refusal::OverQuota));
}

#[test]
fn every_call_and_answer_comes_back_as_it_went() {
    let calls = [
        Call::Info,
        Call::Get(key()),
        Call::Put(key(), Expect::Absent, call(1), b"a".to_vec()),
        Call::Put(key(), Expect::Version(7), call(1), Vec::new()),
        Call::Put(key(), Expect::Any, call(1), vec![0; 8192]),
        Call::Append(LedgerName(name("x")), 9, call(2), b"l".to_vec()),
        Call::ReadLedger(ledger(), u64::MAX),
        Call::List(None),
        Call::List(Some(Key::profile(name("p")))),
        Call::History(key()),
    ];
    for call in calls {
        let bytes = call.encode(WRITER);
        assert_eq!(Call::decode(&bytes), Some((call, WRITER)));
        for end in 0..bytes.len() {
            assert_eq!(Call::decode(&bytes[..end]), None);
        }
        assert_eq!(Call::decode(&[&bytes[..], &[0]].concat()), None);
    }
    let refusals = [
        Refusal::Conflict { current: 1 },
        Refusal::TooLarge { limit: 2 },
        Refusal::WrongProfile,
        Refusal::WrongSchema { found: 3 },
        Refusal::LedgerRewrite { index: 4 },
        Refusal::Rollback { seen: 5, found: 6 },
        Refusal::OverQuota,
        Refusal::Unavailable { retry_after_ms: 7 },
        Refusal::Fenced { epoch: 8 },
        Refusal::Damaged,
        Refusal::BadName,
    ];
    let items = vec![key(), Key::profile(name("p"))];
    let mut answers: Vec<Answer> = refusals.map(Answer::Refused).into();
    answers.extend([
        Answer::Got(None),
        Answer::Version(3),
        Answer::Keys(Page { items, more: true }),
    ]);
    for answer in answers {
        assert_eq!(Answer::decode(&answer.encode()), Some(answer));
    }
}

proptest! {
    #[test]
    fn what_is_read_is_written_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Some((call, writer)) = Call::decode(&bytes) {
            prop_assert_eq!(call.encode(writer), bytes.clone());
        }
        if let Some(answer) = Answer::decode(&bytes) {
            prop_assert_eq!(answer.encode(), bytes);
        }
    }
}
