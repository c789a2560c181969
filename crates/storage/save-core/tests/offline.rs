//! Saving here first: whatever fails and whoever goes down, it comes up once, and what a bridge takes back is noticed.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::{ONE, Shared, call, facet, key, ledger, name};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use save_core::wire::Call;
use save_core::{
    Expect, Fault, Hit, Key, Memory, Offline, Refusal, Remote, SaveStore, Slot, Step, Strike, Wire,
    Writer, serve,
};

const WRITER: Writer = Writer {
    schema: 1,
    epoch: 1,
};

/// A bridge that has seen nothing, behind a way that loses what it is told to.
#[derive(Clone, Default)]
struct Bridge {
    store: Shared,
    /// How many calls get through before the way is gone, and whether the one that does not is done.
    through: Rc<Cell<Option<(u32, bool)>>>,
}

impl Wire for Bridge {
    fn call(&mut self, call: &[u8]) -> Result<Vec<u8>, Fault> {
        let left = self.through.get();
        if let Some((left, is_done)) = left {
            self.through.set(Some((left.saturating_sub(1), is_done)));
        }
        if let Some((0, false)) = left {
            return Err(Fault::Lost);
        }
        let (call, writer) = Call::decode(call).ok_or(Fault::Damaged)?;
        let mut facet = facet(&self.store, ONE, writer.schema, writer.epoch);
        let answer = serve(&mut facet, call).encode();
        match left {
            Some((0, true)) => Err(Fault::Lost),
            _ => Ok(answer),
        }
    }
}

/// The service, as it starts.
fn start(here: &Shared, bridge: &Bridge) -> Offline<Shared, Bridge> {
    let far = Remote::new(bridge.clone(), WRITER);
    Offline::new(facet(here, ONE, 1, 1), far)
}

/// Goes on until nothing waits.
fn settle(offline: &mut Offline<Shared, Bridge>) {
    for _ in 0..200 {
        if offline.step() == Step::Idle {
            return;
        }
    }
    panic!("something waits for ever");
}

fn far_lines(bridge: &Bridge) -> Vec<Vec<u8>> {
    let mut far = facet(&bridge.store, ONE, 1, 1);
    let (mut found, mut more) = (Vec::new(), true);
    while more {
        let page = far.read_ledger(&ledger(), found.len() as u64).unwrap();
        more = page.more;
        found.extend(page.items.into_iter().map(|line| line.payload));
    }
    found
}

#[derive(Clone, Debug)]
enum Op {
    Put(u8, u8),
    Append(u8),
    /// So many steps, with the way lost after so many calls.
    Steps(u8, Option<(u32, bool)>),
    Restart,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let through = prop_oneof![
        Just(None),
        (0..6u32, any::<bool>()).prop_map(|(calls, is_done)| Some((calls, is_done))),
    ];
    let op = prop_oneof![
        (0..2u8, any::<u8>()).prop_map(|(key, value)| Op::Put(key, value)),
        any::<u8>().prop_map(Op::Append),
        (1..4u8, through).prop_map(|(steps, through)| Op::Steps(steps, through)),
        Just(Op::Restart),
    ];
    proptest::collection::vec(op, 1..40)
}

fn record(number: u8) -> Key {
    Key::profile(name(&format!("r{number}")))
}

proptest! {
    #[test]
    fn whatever_is_lost_and_whoever_goes_down_it_comes_up_once(ops in ops()) {
        let (here, bridge) = (Shared::default(), Bridge::default());
        let mut offline = start(&here, &bridge);
        let (mut lines, mut puts, mut unbrought) = (Vec::new(), [Vec::new(), Vec::new()], 0);
        for (number, op) in ops.into_iter().enumerate() {
            let retry = call(number as u128);
            match op {
                Op::Put(key, value) => {
                    offline.put(&record(key), Expect::Any, retry, &[value]).unwrap();
                    puts[usize::from(key)].push(vec![value]);
                    unbrought += 1;
                }
                Op::Append(value) => {
                    offline.append(&ledger(), lines.len() as u64, retry, &[value]).unwrap();
                    lines.push(vec![value]);
                }
                Op::Steps(steps, through) => {
                    bridge.through.set(through);
                    for _ in 0..steps {
                        let _ = offline.step();
                    }
                    bridge.through.set(None);
                }
                Op::Restart => offline = start(&here, &bridge),
            }
            // What is brought often enough is brought before so many versions were made that its traces are gone.
            if unbrought == 3 {
                settle(&mut offline);
                unbrought = 0;
            }
        }
        offline = start(&here, &bridge);
        settle(&mut offline);
        assert_eq!(far_lines(&bridge), lines);
        let mut far = facet(&bridge.store, ONE, 1, 1);
        for number in 0..2 {
            let newest = far.get(&record(number)).unwrap().map(|record| record.payload);
            let all = &puts[usize::from(number)];
            assert_eq!(newest.as_ref(), all.last());
            if !all.is_empty() {
                let brought = offline.brought(&Slot::head(&record(number)));
                assert_eq!(brought.unwrap().0, all.len() as u64);
            }
        }
    }
}

/// A machine that has brought three versions and lines.
fn three() -> (Shared, Bridge, Offline<Shared, Bridge>) {
    let (here, bridge) = (Shared::default(), Bridge::default());
    let mut offline = start(&here, &bridge);
    for number in 0..3u8 {
        offline
            .put(&key(), Expect::Any, call(number.into()), &[number])
            .unwrap();
        let line = offline.append(&ledger(), number.into(), call(number.into()), &[number]);
        line.unwrap();
        settle(&mut offline);
    }
    let head = offline.brought(&Slot::head(&key()));
    assert_eq!(head, Ok((3, 3)));
    (here, bridge, offline)
}

fn head(offline: &mut Offline<Shared, Bridge>) -> Result<(u64, u64), Refusal> {
    settle(offline);
    offline.brought(&Slot::head(&key()))
}

#[test]
fn without_a_bridge_saving_goes_on_and_waits() {
    let (here, bridge) = (Shared::default(), Bridge::default());
    bridge.through.set(Some((0, false)));
    let mut offline = start(&here, &bridge);
    assert_eq!(offline.put(&key(), Expect::Absent, call(1), b"a"), Ok(1));
    assert!(matches!(offline.step(), Step::Wait(_)));
    let waits = offline.brought(&Slot::head(&key()));
    assert!(matches!(waits, Err(Refusal::Unavailable { .. })));
    let mut offline = start(&here, &bridge);
    assert_eq!(offline.get(&key()).unwrap().unwrap().payload, b"a");
    bridge.through.set(None);
    assert_eq!(head(&mut offline), Ok((1, 1)));
}

#[test]
fn a_bridge_that_forgets_while_the_machine_is_down_is_noticed() {
    let (here, bridge, _) = three();
    let kept = bridge.store.0.borrow().clone();
    *bridge.store.0.borrow_mut() = Memory::new();
    let mut offline = start(&here, &bridge);
    let gone = Err(Refusal::Rollback { seen: 3, found: 0 });
    assert_eq!(head(&mut offline), gone);
    let lines = offline.brought(&Slot::length(&ledger()));
    // Lines are asked for from the last one on that was seen.
    assert_eq!(lines, Err(Refusal::Rollback { seen: 3, found: 2 }));
    // What is saved now is not taken for the first there was.
    offline.put(&key(), Expect::Any, call(9), b"new").unwrap();
    assert_eq!(head(&mut offline), gone);
    assert_eq!(bridge.store.0.borrow().slots().count(), 0);
    // Unless whoever saves says so.
    let settled = offline.settle(&key(), 1);
    assert_eq!(settled, Err(Refusal::Conflict { current: 0 }));
    offline.settle(&key(), 0).unwrap();
    assert_eq!(head(&mut offline), Ok((4, 1)));
    *bridge.store.0.borrow_mut() = kept;
    assert!(head(&mut start(&here, &bridge)).is_err());
}

#[test]
fn a_bridge_that_goes_back_and_on_another_way_is_noticed() {
    for steps in 1..4u8 {
        let (here, bridge, _) = three();
        bridge.store.0.borrow_mut().fail(&[Strike {
            call: 0,
            hit: Hit::RollBack,
        }]);
        // A writer that has seen nothing, after the bridge went back.
        let mut other = facet(&bridge.store, ONE, 1, 1);
        for number in 0..steps {
            let retry = call(u128::from(number) + 50);
            other.put(&key(), Expect::Any, retry, b"other").unwrap();
        }
        let found = 2 + u64::from(steps);
        let back = Err(Refusal::Rollback { seen: 3, found });
        let mut offline = start(&here, &bridge);
        assert_eq!(head(&mut offline), back, "{steps}");
        offline.put(&key(), Expect::Any, call(9), b"new").unwrap();
        assert!(head(&mut offline).is_err(), "{steps}");
    }
}

#[test]
fn what_another_machine_brought_is_told_and_merged() {
    let (here, bridge, mut offline) = three();
    let mut other = facet(&bridge.store, ONE, 1, 1);
    other
        .put(&key(), Expect::Version(3), call(60), b"theirs")
        .unwrap();
    offline.put(&key(), Expect::Any, call(9), b"mine").unwrap();
    let conflict = Err(Refusal::Conflict { current: 4 });
    assert_eq!(head(&mut offline), conflict);
    let mut offline = start(&here, &bridge);
    assert_eq!(head(&mut offline), conflict);
    let theirs = offline.theirs(&key()).unwrap().unwrap();
    assert_eq!((theirs.version, &theirs.payload[..]), (4, &b"theirs"[..]));
    offline
        .put(&key(), Expect::Version(4), call(10), b"both")
        .unwrap();
    offline.settle(&key(), 4).unwrap();
    assert_eq!(head(&mut offline), Ok((5, 5)));
    let versions = other.history(&key()).unwrap();
    let payloads: Vec<_> = versions.iter().map(|one| &one.payload[..]).collect();
    assert_eq!(payloads, [&[0][..], &[1], &[2], b"theirs", b"both"]);
}

#[test]
fn lines_of_another_machine_are_told() {
    let (here, bridge, _) = three();
    let mut other = facet(&bridge.store, ONE, 1, 1);
    other.append(&ledger(), 3, call(70), b"theirs").unwrap();
    let mut offline = start(&here, &bridge);
    settle(&mut offline);
    let conflict = Err(Refusal::Conflict { current: 4 });
    assert_eq!(offline.brought(&Slot::length(&ledger())), conflict);
}

/// Says that everything is saved, and saves nothing.
#[derive(Clone)]
struct Liar;

impl Wire for Liar {
    fn call(&mut self, call: &[u8]) -> Result<Vec<u8>, Fault> {
        let (call, _) = Call::decode(call).ok_or(Fault::Damaged)?;
        let answer = match call {
            Call::Put(..) => save_core::wire::Answer::Version(1),
            call => serve(&mut facet(&Shared::default(), ONE, 1, 1), call),
        };
        Ok(answer.encode())
    }
}

#[test]
fn a_bridge_that_only_says_so_is_not_believed() {
    let here = Shared::default();
    let mut offline = Offline::new(facet(&here, ONE, 1, 1), Remote::new(Liar, WRITER));
    offline.put(&key(), Expect::Absent, call(1), b"a").unwrap();
    while offline.step() != Step::Idle {}
    let brought = offline.brought(&Slot::head(&key()));
    assert_eq!(brought, Err(Refusal::Rollback { seen: 1, found: 0 }));
}

#[test]
fn a_mark_that_is_none_is_told() {
    let (here, bridge, _) = three();
    let place = Slot::mark(&Slot::head(&key()));
    for at in 0..112 {
        here.0.borrow_mut().bytes_mut(&ONE, &place).unwrap()[at] ^= 1;
        assert_eq!(head(&mut start(&here, &bridge)), Err(Refusal::Damaged));
        here.0.borrow_mut().bytes_mut(&ONE, &place).unwrap()[at] ^= 1;
    }
    assert_eq!(head(&mut start(&here, &bridge)), Ok((3, 3)));
}

/// Does what it is asked twice, and answers once.
#[derive(Clone, Default)]
struct Twice(Bridge);

impl Wire for Twice {
    fn call(&mut self, call: &[u8]) -> Result<Vec<u8>, Fault> {
        let answer = self.0.call(call)?;
        let (again, writer) = Call::decode(call).ok_or(Fault::Damaged)?;
        let again = match again {
            Call::Put(key, _, _, payload) => Call::Put(key, Expect::Any, common::call(99), payload),
            Call::Append(ledger, length, _, payload) => {
                Call::Append(ledger, length + 1, common::call(99), payload)
            }
            other => other,
        };
        self.0.call(&again.encode(writer))?;
        Ok(answer)
    }
}

#[test]
fn a_bridge_that_does_everything_twice_is_noticed() {
    let here = Shared::default();
    let far = Remote::new(Twice::default(), WRITER);
    let mut offline = Offline::new(facet(&here, ONE, 1, 1), far);
    offline.put(&key(), Expect::Absent, call(1), b"a").unwrap();
    offline.append(&ledger(), 0, call(2), b"a").unwrap();
    while offline.step() != Step::Idle {}
    let twice = Err(Refusal::Conflict { current: 2 });
    assert_eq!(offline.brought(&Slot::head(&key())), twice);
    assert_eq!(offline.brought(&Slot::length(&ledger())), twice);
}

/// Each fault of a provider behind a good bridge, at each of its requests: nothing is lost, nothing is there twice, and what is not
/// there is told.
#[test]
fn whatever_the_provider_does_it_is_there_once_or_told() {
    for hit in [
        Hit::LoseAnswer,
        Hit::LoseRequest,
        Hit::Delay,
        Hit::Busy,
        Hit::Conflict,
        Hit::Full,
        Hit::Stale,
        Hit::Cut(40),
        Hit::Flip(300),
        Hit::Mistake,
        Hit::Forget,
        Hit::RollBack,
    ] {
        for at in 0..40 {
            let (here, bridge, mut offline) = three();
            offline
                .put(&key(), Expect::Any, call(9), b"fourth")
                .unwrap();
            offline.append(&ledger(), 3, call(9), b"fourth").unwrap();
            bridge
                .store
                .0
                .borrow_mut()
                .fail(&[Strike { call: at, hit }]);
            settle(&mut offline);
            bridge.store.0.borrow_mut().fail(&[]);
            let mut offline = start(&here, &bridge);
            let told = head(&mut offline);
            let lines = offline.brought(&Slot::length(&ledger()));
            let mut far = facet(&bridge.store, ONE, 1, 1);
            if told.is_ok() {
                let there = far.history(&key()).map(|all| all.len());
                let newest = far.get(&key()).unwrap().unwrap();
                assert_eq!((told, &newest.payload[..]), (Ok((4, 4)), &b"fourth"[..]));
                // An earlier version that the provider lost is found by whoever asks for it.
                assert!(matches!(there, Ok(4) | Err(Refusal::Rollback { .. })));
            }
            if lines.is_ok() {
                assert_eq!(far.read_ledger(&ledger(), 3).unwrap().items.len(), 1);
            }
            let harmless = !matches!(hit, Hit::Forget | Hit::RollBack);
            assert!(
                !harmless || (told.is_ok() && lines.is_ok()),
                "{hit:?} {at}: {told:?} {lines:?}"
            );
        }
    }
}

/// What two sets of bytes have together.
fn union(one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut all: Vec<u8> = one.iter().chain(other).copied().collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn newest(offline: &mut Offline<Shared, Bridge>) -> Vec<u8> {
    let record = offline.get(&key()).unwrap();
    record.map(|record| record.payload).unwrap_or_default()
}

/// As an application does: what another machine brought is merged into what lies here.
fn merge(offline: &mut Offline<Shared, Bridge>, retry: u128) {
    let conflict = offline.brought(&Slot::head(&key()));
    if !matches!(conflict, Err(Refusal::Conflict { .. })) {
        return;
    }
    let Ok(theirs) = offline.theirs(&key()) else {
        return;
    };
    let version = theirs.as_ref().map_or(0, |record| record.version);
    let theirs = theirs.map(|record| record.payload).unwrap_or_default();
    let both = union(&newest(offline), &theirs);
    offline
        .put(&key(), Expect::Any, call(retry), &both)
        .unwrap();
    // Somebody else may be there before; then it is a conflict again.
    let _ = offline.settle(&key(), version);
}

proptest! {
    #[test]
    fn machines_that_merge_lose_nothing_of_one_another(
        turns in proptest::collection::vec((0..3usize, 0..5u8, proptest::option::of((0..5u32, any::<bool>()))), 1..40),
    ) {
        let bridge = Bridge::default();
        let here = [(); 3].map(|()| Shared::default());
        let mut machines = here.each_ref().map(|here| start(here, &bridge));
        let (mut retry, mut wanted) = (0, Vec::new());
        for (who, what, through) in turns {
            let machine = &mut machines[who];
            retry += 1;
            bridge.through.set(through);
            match what {
                0 => {
                    let id = retry as u8;
                    wanted.push(id);
                    let all = union(&newest(machine), &[id]);
                    machine.put(&key(), Expect::Any, call(retry), &all).unwrap();
                }
                1 | 2 => drop(machine.step()),
                3 => merge(machine, retry),
                _ => *machine = start(&here[who], &bridge),
            }
            bridge.through.set(None);
        }
        for _ in 0..6 {
            for machine in &mut machines {
                retry += 1;
                settle(machine);
                merge(machine, retry);
                settle(machine);
            }
        }
        let mut far = facet(&bridge.store, ONE, 1, 1);
        let there = far.get(&key()).unwrap().map(|record| record.payload).unwrap_or_default();
        assert_eq!(union(&there, &[]), union(&wanted, &[]));
    }
}
