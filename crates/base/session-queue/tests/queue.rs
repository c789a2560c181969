//! The queue against a list, and both ends against an other end that writes what it likes.
#![cfg(not(any(loom, sabotage)))]

mod memory;

use std::collections::VecDeque;

use memory::Shared;
use proptest::prelude::*;
use session_queue::{Broken, Consumer, Full, Kick, Layout, Look, Memory, Producer, Unfit};

const TAKEN: usize = 0;
const MADE: usize = 8;

fn ends<const N: usize>(capacity: u32) -> (Shared, Producer<Shared, N>, Consumer<Shared, N>) {
    let layout = Layout::new(capacity).unwrap();
    let memory = Shared::new(layout.words());
    let producer = Producer::new(memory.clone(), layout).unwrap();
    let consumer = Consumer::new(memory.clone(), layout).unwrap();
    (memory, producer, consumer)
}

#[test]
fn a_shape_that_does_not_fit_is_refused() {
    assert_eq!(Layout::<2>::new(0), Err(Unfit::Capacity));
    assert_eq!(Layout::<2>::new(24), Err(Unfit::Capacity));
    assert_eq!(Layout::<2>::new(1 << 16), Err(Unfit::Capacity));
    assert_eq!(Layout::<0>::new(8), Err(Unfit::Entry));
    assert_eq!(Layout::<9>::new(8), Err(Unfit::Entry));
    let layout = Layout::<8>::new(32).unwrap();
    let short = Shared::new(layout.words() - 1);
    assert_eq!(
        Producer::new(short.clone(), layout).err(),
        Some(Unfit::Memory)
    );
    assert_eq!(Consumer::new(short, layout).err(), Some(Unfit::Memory));
}

#[test]
fn what_was_not_stated_is_not_seen_and_holds_its_place() {
    let (_, mut producer, mut consumer) = ends::<1>(2);
    producer.push([1]).unwrap();
    assert_eq!(consumer.pop(), Ok(None));
    let _ = producer.state();
    producer.push([2]).unwrap();
    assert_eq!(producer.push([3]), Err(Full::Full));
    assert_eq!(consumer.pop(), Ok(Some([1])));
    assert_eq!(producer.push([3]), Err(Full::Full));
    let _ = consumer.state();
    producer.push([3]).unwrap();
}

#[test]
fn a_batch_costs_one_kick_and_an_awake_end_none() {
    let (_, mut producer, mut consumer) = ends::<1>(8);
    producer.push([1]).unwrap();
    assert_eq!(producer.state(), Kick::Spared);
    assert_eq!(consumer.pop(), Ok(Some([1])));
    assert_eq!(consumer.wait_for_entries(3), Ok(Look::Sleep));
    producer.push([2]).unwrap();
    producer.push([3]).unwrap();
    assert_eq!(producer.state(), Kick::Spared);
    producer.push([4]).unwrap();
    producer.push([5]).unwrap();
    assert_eq!(producer.state(), Kick::Needed);
    producer.push([6]).unwrap();
    assert_eq!(producer.state(), Kick::Spared);
}

#[test]
fn a_full_queue_kicks_its_producer_when_there_is_the_room_it_wants() {
    let (_, mut producer, mut consumer) = ends::<1>(4);
    for value in 0..4 {
        producer.push([value]).unwrap();
    }
    let _ = producer.state();
    assert_eq!(producer.wait_for_room(2), Ok(Look::Sleep));
    let _ = consumer.pop();
    assert_eq!(consumer.state(), Kick::Spared);
    let _ = consumer.pop();
    assert_eq!(consumer.state(), Kick::Needed);
    assert_eq!(producer.wait_for_room(2), Ok(Look::Go));
}

#[test]
fn the_second_look_finds_what_came_before_the_question_was_seen() {
    let (memory, mut producer, mut consumer) = ends::<1>(4);
    memory.before_store(1, move || {
        producer.push([7]).unwrap();
        assert_eq!(producer.state(), Kick::Spared);
    });
    assert_eq!(consumer.wait_for_entries(1), Ok(Look::Go));
    assert_eq!(consumer.pop(), Ok(Some([7])));
}

#[test]
fn a_count_that_cannot_be_is_refused_and_nothing_is_taken_over() {
    let (memory, mut producer, mut consumer) = ends::<1>(4);
    producer.push([1]).unwrap();
    let _ = producer.state();
    for made in [5, u64::MAX, 1 << 63] {
        memory.set(MADE, made);
        assert_eq!(consumer.pop(), Err(Broken));
        assert_eq!(consumer.wait_for_entries(1), Err(Broken));
        assert_eq!(consumer.known(), 0);
    }
    memory.set(MADE, 1);
    assert_eq!(consumer.pop(), Ok(Some([1])));
    // Backwards.
    memory.set(MADE, 0);
    assert_eq!(consumer.pop(), Err(Broken));
    for _ in 0..3 {
        producer.push([2]).unwrap();
    }
    // One entry was shown: two cannot have been taken.
    for taken in [2, 4, u64::MAX] {
        memory.set(TAKEN, taken);
        assert_eq!(producer.push([3]), Err(Full::Broken));
        assert_eq!(producer.wait_for_room(1), Err(Broken));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push(u64),
    Pop,
    StateMade,
    StateTaken,
    WaitEntries(u32),
    WaitRoom(u32),
    /// The other end writes a word of the memory.
    Write(usize, u64),
}

fn honest() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<u64>().prop_map(Step::Push),
        4 => Just(Step::Pop),
        2 => Just(Step::StateMade),
        2 => Just(Step::StateTaken),
        1 => (0u32..10).prop_map(Step::WaitEntries),
        1 => (0u32..10).prop_map(Step::WaitRoom),
    ]
}

fn hostile() -> impl Strategy<Value = Step> {
    let value = prop_oneof![any::<u64>(), 0u64..12, (u64::MAX - 4)..=u64::MAX];
    prop_oneof![
        3 => honest(),
        1 => (0usize..16, value).prop_map(|(word, value)| Step::Write(word, value)),
    ]
}

proptest! {
    #[test]
    fn it_is_a_list(capacity in (0u32..5).prop_map(|shift| 1 << shift), steps in prop::collection::vec(honest(), 1..80)) {
        let (_, mut producer, mut consumer) = ends::<3>(capacity);
        let (mut made, mut seen, mut held) = (VecDeque::new(), VecDeque::new(), 0);
        let mut asleep = None;
        for step in steps {
            match step {
                Step::Push(value) => {
                    let entry = [value, !value, value ^ 0x55];
                    let fits = made.len() + seen.len() + held < capacity as usize;
                    prop_assert_eq!(producer.push(entry), if fits { Ok(()) } else { Err(Full::Full) });
                    if fits {
                        made.push_back(entry);
                    }
                }
                Step::Pop => {
                    prop_assert_eq!(consumer.pop(), Ok(seen.front().copied()));
                    if seen.pop_front().is_some() {
                        held += 1;
                    }
                    asleep = None;
                }
                Step::StateMade => {
                    let kick = producer.state();
                    seen.append(&mut made);
                    // Who sleeps is kicked by the statement that makes its number full.
                    if asleep.is_some_and(|wanted| seen.len() >= wanted) {
                        prop_assert_eq!(kick, Kick::Needed);
                        asleep = None;
                    }
                }
                Step::StateTaken => {
                    let _ = consumer.state();
                    held = 0;
                }
                Step::WaitEntries(entries) => {
                    let wanted = entries.clamp(1, capacity) as usize;
                    let look = consumer.wait_for_entries(entries).unwrap();
                    prop_assert_eq!(look == Look::Go, seen.len() >= wanted);
                    asleep = (look == Look::Sleep).then_some(wanted);
                }
                Step::WaitRoom(entries) => {
                    let wanted = entries.clamp(1, capacity) as usize;
                    let room = capacity as usize - made.len() - seen.len() - held;
                    prop_assert_eq!(producer.wait_for_room(entries).unwrap() == Look::Go, room >= wanted);
                }
                Step::Write(..) => unreachable!("honest ends write through the queue"),
            }
        }
    }

    #[test]
    fn nothing_that_is_written_makes_an_end_panic_or_pass_its_bounds(steps in prop::collection::vec(hostile(), 1..80)) {
        let (memory, mut producer, mut consumer) = ends::<2>(8);
        for step in steps {
            match step {
                Step::Push(value) => drop(producer.push([value, value])),
                Step::Pop => drop(consumer.pop()),
                Step::StateMade => drop(producer.state()),
                Step::StateTaken => drop(consumer.state()),
                Step::WaitEntries(entries) => drop(consumer.wait_for_entries(entries)),
                Step::WaitRoom(entries) => drop(producer.wait_for_room(entries)),
                Step::Write(word, value) => memory.set(word, value),
            }
            prop_assert!(consumer.known() <= 8);
            prop_assert!(producer.room() <= 8);
        }
        prop_assert_eq!(memory.words(), 16 + 8 * 2);
    }
}
