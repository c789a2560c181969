//! The tree against a model: whatever is asked in whatever order, the sum is exact.

use std::sync::{Arc, Weak};

use account::{Account, Charge, KINDS, Kind, Limits, MAX_DEPTH, Opened};
use proptest::prelude::*;
use ring_abi::Refusal;

const MACHINE: Limits = Limits {
    memory: 1000,
    handles: 100,
    threads: 50,
    endpoints: 20,
    facets: 30,
    cpu: 0,
    priority: 31,
};

fn limits(memory: u64, priority: u8) -> Limits {
    Limits {
        memory,
        priority,
        ..Limits::default()
    }
}

#[test]
fn a_limit_is_never_exceeded_and_everything_comes_back() {
    let root = Account::root(&limits(10, 31));
    let seven = root.charge(Kind::Memory, 7).unwrap();
    for too_much in [4, u64::MAX, 1 << 63] {
        assert_eq!(
            root.charge(Kind::Memory, too_much).err(),
            Some(Refusal::OverBudget)
        );
    }
    let three = root.charge(Kind::Memory, 3).unwrap();
    assert_eq!(root.usage(Kind::Memory).left(), 0);
    assert!(root.charge(Kind::Memory, 0).is_ok());
    drop(seven);
    assert_eq!(root.usage(Kind::Memory).used, 3);
    drop(three);
    assert_eq!(root.usage(Kind::Memory).used, 0);
}

#[test]
fn what_an_account_does_not_have_it_cannot_give() {
    let root = Account::root(&MACHINE);
    let above = |limits: Limits| root.open(&limits).err();
    for asked in [
        limits(1001, 0),
        limits(0, 32),
        Limits {
            handles: 101,
            ..Limits::default()
        },
        Limits {
            threads: 51,
            ..Limits::default()
        },
        Limits {
            endpoints: 21,
            ..Limits::default()
        },
        Limits {
            facets: 31,
            ..Limits::default()
        },
    ] {
        assert_eq!(above(asked), Some(Refusal::OverBudget), "{asked:?}");
        for kind in KINDS {
            assert_eq!(root.usage(kind).used, 0, "a refusal takes nothing");
        }
    }
    let child = root.open(&limits(600, 10)).unwrap();
    assert_eq!(root.open(&limits(401, 0)).err(), Some(Refusal::OverBudget));
    assert_eq!(child.open(&limits(1, 11)).err(), Some(Refusal::OverBudget));
    let grandchild = child.open(&limits(600, 10)).unwrap();
    assert!(child.charge(Kind::Memory, 1).is_err(), "it gave all away");
    drop(grandchild);
    assert!(child.charge(Kind::Memory, 600).is_ok());
}

#[test]
fn what_an_ended_account_pays_for_stays_its_parents_until_it_goes() {
    let root = Account::root(&MACHINE);
    let parent = root.open(&limits(500, 10)).unwrap();
    let child = parent.open(&limits(300, 10)).unwrap();
    let held = child.charge(Kind::Memory, 100).unwrap();
    drop(child);
    let usage = parent.usage(Kind::Memory);
    assert_eq!((usage.used, usage.given, usage.left()), (100, 100, 400));
    assert!(held.account().charge(Kind::Memory, 1).is_err());
    drop(parent);
    assert_eq!(root.usage(Kind::Memory).used, 100);
    drop(held);
    assert_eq!(root.usage(Kind::Memory).used, 0);
    assert_eq!(root.usage(Kind::Memory).given, 0);
}

#[test]
fn an_account_lives_while_it_pays_for_memory_and_no_longer() {
    let root = Account::root(&MACHINE);
    let parent = root.open(&limits(500, 10)).unwrap();
    let child = parent.open(&limits(300, 10)).unwrap();
    let (weak_parent, weak): (Weak<Account>, Weak<Account>) =
        (Arc::downgrade(&parent), Arc::downgrade(&child));
    child.take(Kind::Memory, 8).unwrap();
    child.take(Kind::Memory, 5).unwrap();
    drop((child, parent));
    // Nobody counts it now but itself.
    let named = weak.upgrade().expect("it pays for memory");
    assert!(named.give_back(Kind::Memory, 8).is_none());
    let gone = named.give_back(Kind::Memory, 5);
    assert!(gone.is_some());
    drop(named);
    assert!(weak.upgrade().is_some(), "held by what was returned");
    drop(gone);
    assert!(weak.upgrade().is_none());
    assert!(weak_parent.upgrade().is_none());
    assert_eq!(root.usage(Kind::Memory).used, 0);
}

#[test]
fn a_line_of_spawners_has_an_end() {
    let root = Account::root(&MACHINE);
    let mut line: Vec<Opened> = vec![root.open(&limits(900, 10)).unwrap()];
    loop {
        match line.last().unwrap().open(&limits(900, 10)) {
            Ok(next) => line.push(next),
            Err(refusal) => break assert_eq!(refusal, Refusal::OverBudget),
        }
    }
    assert_eq!(line.len(), MAX_DEPTH as usize);
    drop(line);
    assert_eq!(root.usage(Kind::Memory).used, 0);
}

#[test]
fn threads_that_race_with_an_end_lose_nothing() {
    for _ in 0..200 {
        let root = Account::root(&MACHINE);
        let child = root.open(&limits(900, 10)).unwrap();
        let named = (*child).clone();
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    for _ in 0..50 {
                        drop(named.charge(Kind::Memory, 7));
                    }
                });
            }
            s.spawn(move || drop(child));
        });
        assert_eq!(root.usage(Kind::Memory).used, 0);
        assert_eq!(root.usage(Kind::Memory).given, 0);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Open(usize, u64, u8),
    Charge(usize, usize, u64),
    Release(usize),
    End(usize),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (any::<usize>(), 0u64..400, 0u8..33).prop_map(|(a, m, p)| Op::Open(a, m, p)),
        5 => (any::<usize>(), 0usize..5, 0u64..120).prop_map(|(a, k, n)| Op::Charge(a, k, n)),
        3 => any::<usize>().prop_map(Op::Release),
        2 => any::<usize>().prop_map(Op::End),
    ]
}

fn scaled(memory: u64, priority: u8) -> Limits {
    Limits {
        memory,
        handles: memory / 10,
        threads: memory / 20,
        endpoints: memory / 50,
        facets: memory / 30,
        cpu: 0,
        priority,
    }
}

proptest! {
    #[test]
    fn the_sum_over_the_tree_is_exact(ops in proptest::collection::vec(op(), 1..120)) {
        let root = Account::root(&MACHINE);
        let mut open: Vec<Opened> = Vec::new();
        let mut charges: Vec<(Kind, Charge)> = Vec::new();
        let pick = |open: &Vec<Opened>, at: usize| match at % (open.len() + 1) {
            0 => root.clone(),
            n => (*open[n - 1]).clone(),
        };
        for op in ops {
            match op {
                Op::Open(at, memory, priority) => {
                    let parent = pick(&open, at);
                    let asked = scaled(memory, priority);
                    let fits = priority <= parent.priority()
                        && KINDS.iter().all(|k| asked.of(*k) <= parent.usage(*k).left());
                    match parent.open(&asked) {
                        Ok(child) => { prop_assert!(fits); open.push(child) }
                        Err(_) => prop_assert!(!fits),
                    }
                }
                Op::Charge(at, kind, amount) => {
                    let (payer, kind) = (pick(&open, at), KINDS[kind]);
                    let fits = amount <= payer.usage(kind).left();
                    match payer.charge(kind, amount) {
                        Ok(charge) => { prop_assert!(fits); charges.push((kind, charge)) }
                        Err(_) => prop_assert!(!fits),
                    }
                }
                Op::Release(at) if !charges.is_empty() => {
                    charges.swap_remove(at % charges.len());
                }
                Op::End(at) if !open.is_empty() => drop(open.swap_remove(at % open.len())),
                _ => {}
            }
            for kind in KINDS {
                let held: u64 = charges.iter().filter(|(k, _)| *k == kind).map(|(_, c)| c.amount()).sum();
                // What no live account may still use is in use, by somebody.
                let left: u64 = open.iter().map(|a| a.usage(kind).left()).sum::<u64>() + root.usage(kind).left();
                prop_assert_eq!(MACHINE.of(kind) - left, held);
                for account in &open {
                    let usage = account.usage(kind);
                    prop_assert!(usage.used <= usage.limit && usage.given <= usage.used);
                }
            }
        }
        open.clear();
        charges.clear();
        for kind in KINDS {
            prop_assert_eq!(root.usage(kind).used, 0);
            prop_assert_eq!(root.usage(kind).given, 0);
        }
    }
}

#[test]
fn time_is_counted_once_whenever_who_used_it_ends() {
    let root = Account::root(&limits(1000, 31));
    let middle = root.open(&limits(500, 31)).unwrap();
    let leaf = middle.open(&limits(100, 31)).unwrap();
    let (held, last) = ((*middle).clone(), (*leaf).clone());
    root.spend(1);
    middle.spend(10);
    leaf.spend(100);
    assert_eq!((root.spent(), root.spent_below()), (1, 0));
    leaf.end();
    leaf.end();
    assert_eq!((middle.spent(), middle.spent_below()), (10, 100));
    // A thread that ends runs on for a moment after its account has ended.
    last.spend(1000);
    assert_eq!((last.spent(), middle.spent_below()), (1100, 1100));
    drop(middle);
    assert_eq!(root.spent_below(), 1110);
    last.spend(5);
    held.spend(7);
    assert_eq!((root.spent(), root.spent_below()), (1, 1122));
    drop(leaf);
    assert_eq!(root.spent() + root.spent_below(), 1123);
}
