//! What the pool hands out, against a model that remembers every pair.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vector_pool::{Pool, PoolError, Slot};

const FIRST: u8 = 0x30;
const LAST: u8 = 0x37;
const EACH: u16 = (LAST - FIRST + 1) as u16;

fn pool(cpus: u16) -> Pool<4> {
    let mut pool = Pool::new(FIRST, LAST);
    for cpu in 0..cpus {
        pool.add_cpu(cpu).unwrap();
    }
    pool
}

#[test]
fn the_least_loaded_cpu_gives_its_lowest_vector() {
    let mut pool = pool(3);
    let taken: Vec<_> = (0..6).map(|_| pool.allocate().unwrap()).collect();
    let expected = [
        (0, 0x30),
        (1, 0x30),
        (2, 0x30),
        (0, 0x31),
        (1, 0x31),
        (2, 0x31),
    ];
    assert!(taken.iter().map(|s| (s.cpu, s.vector)).eq(expected));
    assert_eq!(
        pool.allocate_on(2),
        Ok(Slot {
            cpu: 2,
            vector: 0x32
        })
    );
    assert_eq!(
        (pool.load(0), pool.load(2), pool.load(3)),
        (Some(2), Some(3), None)
    );
}

#[test]
fn exhaustion_is_refused_and_counted_and_displaces_nobody() {
    let mut pool = pool(2);
    let all: Vec<_> = (0..2 * EACH).map(|_| pool.allocate().unwrap()).collect();
    assert_eq!(pool.allocate(), Err(PoolError::Exhausted));
    assert_eq!(pool.allocate_on(1), Err(PoolError::Exhausted));
    assert_eq!(
        (pool.counters().taken, pool.counters().refused),
        (2 * u64::from(EACH), 2)
    );
    // A dying vector is no free one.
    pool.retire(all[3]).unwrap();
    assert_eq!(pool.allocate(), Err(PoolError::Exhausted));
    pool.settle(all[3]).unwrap();
    assert_eq!(pool.allocate(), Ok(all[3]));
}

#[test]
fn a_cpu_that_is_not_there_is_refused() {
    let mut pool = pool(2);
    for cpu in [2, 3, 4, u16::MAX] {
        assert_eq!(pool.allocate_on(cpu), Err(PoolError::NoSuchCpu));
        assert_eq!(
            pool.retire(Slot { cpu, vector: 0x30 }),
            Err(PoolError::NoSuchCpu)
        );
        assert!(pool.dying(cpu).is_empty());
    }
    assert_eq!(pool.add_cpu(4), Err(PoolError::NoSuchCpu));
    assert_eq!(
        Pool::<4>::new(FIRST, LAST).allocate(),
        Err(PoolError::NoSuchCpu)
    );
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Life {
    Taken,
    Dying,
}

#[derive(Clone, Debug)]
enum Act {
    Any,
    On(u16),
    Retire(u16, u8),
    Settle(u16, u8),
}

fn act() -> impl Strategy<Value = Act> {
    let slot = || (0u16..5, FIRST - 1..=LAST + 1);
    prop_oneof![
        3 => Just(Act::Any),
        2 => (0u16..5).prop_map(Act::On),
        3 => slot().prop_map(|(cpu, vector)| Act::Retire(cpu, vector)),
        3 => slot().prop_map(|(cpu, vector)| Act::Settle(cpu, vector)),
    ]
}

proptest! {
    #[test]
    fn no_pair_is_in_two_hands(acts in prop::collection::vec(act(), 0..300), cpus in 1u16..=4) {
        let mut pool = pool(cpus);
        let mut model: BTreeMap<Slot, Life> = BTreeMap::new();
        for act in acts {
            let load = |model: &BTreeMap<Slot, Life>, cpu| {
                model.keys().filter(|slot| slot.cpu == cpu).count() as u16
            };
            match act {
                Act::Any | Act::On(_) => {
                    let (result, asked) = match act {
                        Act::On(cpu) => (pool.allocate_on(cpu), Some(cpu)),
                        _ => (pool.allocate(), None),
                    };
                    let least = (0..cpus).min_by_key(|cpu| (load(&model, *cpu), *cpu)).unwrap();
                    let cpu = asked.unwrap_or(least);
                    match result {
                        Ok(slot) => {
                            prop_assert_eq!(slot.cpu, cpu);
                            prop_assert!((FIRST..=LAST).contains(&slot.vector));
                            prop_assert_eq!(model.insert(slot, Life::Taken), None);
                        }
                        Err(PoolError::Exhausted) => prop_assert_eq!(load(&model, cpu), EACH),
                        Err(error) => {
                            prop_assert_eq!(error, PoolError::NoSuchCpu);
                            prop_assert!(cpu >= cpus);
                        }
                    }
                }
                Act::Retire(cpu, vector) => {
                    let slot = Slot { cpu, vector };
                    let could = model.get(&slot) == Some(&Life::Taken);
                    prop_assert_eq!(pool.retire(slot).is_ok(), could);
                    if could {
                        model.insert(slot, Life::Dying);
                    }
                }
                Act::Settle(cpu, vector) => {
                    let slot = Slot { cpu, vector };
                    let could = model.get(&slot) == Some(&Life::Dying);
                    prop_assert_eq!(pool.settle(slot).is_ok(), could);
                    if could {
                        model.remove(&slot);
                    }
                }
            }
            for cpu in 0..cpus {
                prop_assert_eq!(pool.load(cpu), Some(load(&model, cpu)));
                let dying = |(slot, life): (&Slot, &Life)| {
                    (slot.cpu == cpu && *life == Life::Dying).then_some(slot.vector)
                };
                prop_assert!(pool.dying(cpu).iter().eq(model.iter().filter_map(dying)));
            }
        }
    }
}
