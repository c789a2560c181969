//! Both ends at once, in every interleaving and memory order that loom can find.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p session-queue --test races --release`
#![cfg(loom)]

use core::sync::atomic::Ordering;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, fence};
use loom::thread;
use session_queue::{Consumer, Full, Kick, Layout, Look, Memory, Producer};

/// The shared words, and a bell for each end.
struct Words {
    words: Vec<AtomicU64>,
    entries: AtomicU64,
    room: AtomicU64,
}

/// The words with their fence, or without.
#[derive(Clone)]
struct Shared<const FENCED: bool>(Arc<Words>);

impl<const FENCED: bool> Memory for Shared<FENCED> {
    fn words(&self) -> usize {
        self.0.words.len()
    }

    fn load(&self, word: usize, order: Ordering) -> u64 {
        self.0.words[word].load(order)
    }

    fn store(&self, word: usize, value: u64, order: Ordering) {
        self.0.words[word].store(value, order);
    }

    fn fence(&self) {
        if FENCED {
            fence(Ordering::SeqCst);
        }
    }
}

type Ends<const FENCED: bool> = (
    Arc<Words>,
    Producer<Shared<FENCED>, 1>,
    Consumer<Shared<FENCED>, 1>,
);

fn ends<const FENCED: bool>(capacity: u32) -> Ends<FENCED> {
    let layout = Layout::new(capacity).unwrap();
    let words = Arc::new(Words {
        words: (0..layout.words()).map(|_| AtomicU64::new(0)).collect(),
        entries: AtomicU64::new(0),
        room: AtomicU64::new(0),
    });
    let producer = Producer::new(Shared(words.clone()), layout).unwrap();
    let consumer = Consumer::new(Shared(words.clone()), layout).unwrap();
    (words, producer, consumer)
}

/// Whoever sleeps is kicked: no more than one look, and then either the entry or the bell.
fn one_entry_and_one_sleeper<const FENCED: bool>() {
    let (words, mut producer, mut consumer) = ends::<FENCED>(1);
    let other = {
        let words = words.clone();
        thread::spawn(move || {
            producer.push([7]).unwrap();
            if producer.state() == Kick::Needed {
                words.entries.store(1, Ordering::Release);
            }
        })
    };
    let look = consumer.wait_for_entries(1).unwrap();
    other.join().unwrap();
    if look == Look::Sleep {
        assert_eq!(words.entries.load(Ordering::Acquire), 1, "asleep for ever");
    }
    assert_eq!(consumer.pop(), Ok(Some([7])));
}

#[test]
fn no_wake_up_is_lost() {
    loom::model(one_entry_and_one_sleeper::<true>);
}

/// The model can fail: without the fence between the statement and the look a wake-up is lost.
#[test]
#[should_panic(expected = "asleep for ever")]
fn without_the_fence_a_wake_up_is_lost() {
    loom::model(one_entry_and_one_sleeper::<false>);
}

#[test]
fn no_wake_up_for_room_is_lost() {
    loom::model(|| {
        let (words, mut producer, mut consumer) = ends::<true>(1);
        producer.push([1]).unwrap();
        let _ = producer.state();
        let other = {
            let words = words.clone();
            thread::spawn(move || {
                assert_eq!(consumer.pop(), Ok(Some([1])));
                if consumer.state() == Kick::Needed {
                    words.room.store(1, Ordering::Release);
                }
            })
        };
        let look = producer.wait_for_room(1).unwrap();
        other.join().unwrap();
        if look == Look::Sleep {
            assert_eq!(words.room.load(Ordering::Acquire), 1, "asleep for ever");
        }
        producer.push([2]).unwrap();
    });
}

/// A place is written again only after it was read: what comes out is what went in, in order.
#[test]
fn a_place_that_is_used_again_tears_nothing() {
    loom::model(|| {
        let (_, mut producer, mut consumer) = ends::<true>(1);
        let other = thread::spawn(move || {
            let mut made = 0;
            for value in 1..=2 {
                match producer.push([value]) {
                    Ok(()) => made = value,
                    Err(full) => {
                        assert_eq!(full, Full::Full);
                        break;
                    }
                }
                let _ = producer.state();
            }
            made
        });
        let mut next = 1;
        for _ in 0..3 {
            if let Some([value]) = consumer.pop().unwrap() {
                assert_eq!(value, next);
                next += 1;
                let _ = consumer.state();
            }
        }
        let made = other.join().unwrap();
        while let Some([value]) = consumer.pop().unwrap() {
            assert_eq!(value, next);
            next += 1;
            let _ = consumer.state();
        }
        assert_eq!(next, made + 1);
    });
}
