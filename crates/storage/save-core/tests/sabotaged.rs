//! What each sabotage of saving breaks. One test, because the choice is the whole program's.

#![cfg(sabotage)]

mod common;

use common::{ONE, OTHER, Shared, call, facet, key, ledger};
use sabotage::{choose, points};
use save_core::wire::Call;
use save_core::{
    Allowance, Backend, Condition, Envelope, Expect, Fault, Governor, Hit, Memory, Remote,
    SaveStore, Slot, Strike, Wire, Writer, serve,
};

#[test]
fn each_point_lets_something_through() {
    let store = Shared::default();
    let mut one = facet(&store, ONE, 1, 1);
    one.put(&key(), Expect::Absent, call(1), b"a").unwrap();
    one.append(&ledger(), 0, call(2), b"a").unwrap();
    one.append(&ledger(), 1, call(3), b"b").unwrap();

    choose(points::SAVE_ANY_VERSION);
    assert_eq!(one.put(&key(), Expect::Absent, call(4), b"b"), Ok(2));
    choose(points::SAVE_FORGET_RETRY);
    assert_eq!(one.put(&key(), Expect::Any, call(4), b"b"), Ok(3));
    choose(points::SAVE_ANY_PROFILE);
    let bytes = store
        .0
        .borrow_mut()
        .bytes_mut(&ONE, &Slot::head(&key()))
        .unwrap()
        .clone();
    store
        .0
        .borrow_mut()
        .plant(&OTHER, &Slot::head(&key()), bytes);
    assert!(facet(&store, OTHER, 1, 1).get(&key()).is_ok());
    choose(points::SAVE_ANY_SCHEMA);
    assert!(facet(&store, ONE, 0, 1).get(&key()).is_ok());
    choose(points::SAVE_ANY_EPOCH);
    assert_eq!(
        facet(&store, ONE, 1, 0).put(&key(), Expect::Any, call(5), b"c"),
        Ok(4)
    );
    choose(points::SAVE_BELIEVE_PROVIDER);
    store.0.borrow_mut().fail(&[Strike {
        call: 0,
        hit: Hit::RollBack,
    }]);
    assert!(one.get(&key()).is_ok());
    choose(points::SAVE_REWRITE_LEDGER);
    let slot = Slot::entry(&ledger(), 1);
    let bytes = store.0.borrow_mut().bytes_mut(&ONE, &slot).unwrap().clone();
    let (mut line, _) = Envelope::decode(&bytes).unwrap();
    line.payload = b"forged".to_vec();
    store.0.borrow_mut().plant(&ONE, &slot, line.encode().0);
    assert_eq!(
        one.read_ledger(&ledger(), 0).unwrap().items[1].payload,
        b"forged"
    );

    choose(points::SAVE_FOR_NOTHING);
    let nothing = Allowance {
        bytes: 0,
        slots: 0,
        writes_per_day: 100,
        reads_per_day: 100,
    };
    let mut poor = Governor::new(store.clone(), || 1, nothing);
    assert_eq!(
        poor.store(&OTHER, &Slot::canary(1), &Condition::Absent, b"x"),
        Ok(())
    );

    choose(points::SAVE_BELIEVE_BRIDGE);
    let writer = Writer {
        schema: 1,
        epoch: 1,
    };
    let mut remote = Remote::connect(Direct(store.clone()), writer).unwrap();
    remote.get(&key()).unwrap();
    *store.0.borrow_mut() = Memory::new();
    assert_eq!(remote.get(&key()), Ok(None));
}

struct Direct(Shared);

impl Wire for Direct {
    fn call(&mut self, call: &[u8]) -> Result<Vec<u8>, Fault> {
        let (call, writer) = Call::decode(call).ok_or(Fault::Damaged)?;
        let mut facet = facet(&self.0, ONE, writer.schema, writer.epoch);
        Ok(serve(&mut facet, call).encode())
    }
}
