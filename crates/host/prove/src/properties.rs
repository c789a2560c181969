//! Properties without a history: each is one function of its numbers, which every driver can choose, Kani among them.
//!
//! None of them allocates, so that a prover need not know the heap.

use std::cell::Cell;
use std::sync::atomic::Ordering;

use bell_word::{BellWord, Rung};
use call_state::{CallState, CallWord, Ending, FIRST_GENERATION, LAST_GENERATION};
use device_ring::{Command, Completion};
use handles::{GENERATION_BITS, Handle, INDEX_BITS};
use nvme_format::prp::{self, ListMemory, Piece};
use session_queue::{Consumer, Kick, Layout, Memory, Producer};

use crate::source::Source;

/// A property and its name.
pub type Property = (&'static str, fn(&mut dyn Source));

/// All of them.
pub const ALL: [Property; 8] = [
    ("handle-parts", handle_parts),
    ("call-step", call_step),
    ("bell-step", bell_step),
    ("command-words", command_words),
    ("queue-kick", queue_kick),
    ("queue-hostile-producer", queue_hostile_producer),
    ("queue-hostile-consumer", queue_hostile_consumer),
    ("prp-three-pages", prp_three_pages),
];

/// Any 64 bits are an index and a generation, which do not overlap.
pub fn handle_parts(source: &mut dyn Source) {
    let raw = source.any();
    let handle = Handle::from_raw(raw);
    assert!(u64::from(handle.index()) < 1 << INDEX_BITS);
    assert!(handle.generation() < 1 << GENERATION_BITS);
    assert_eq!(
        handle.generation() << INDEX_BITS | u64::from(handle.index()),
        raw
    );
}

const ENDINGS: [Ending; 6] = [
    Ending::Replied,
    Ending::Cancelled,
    Ending::ServerDied,
    Ending::TimedOut,
    Ending::NoReply,
    Ending::Revoked,
];

/// From every state of a call, whatever is done in the name of whatever generation: only the present one moves, only forward,
/// and only where its state allows.
pub fn call_step(source: &mut dyn Source) {
    let generation = source.any();
    let is_one = (FIRST_GENERATION..=LAST_GENERATION).contains(&generation);
    let Some(word) = CallWord::starting_at(generation) else {
        assert!(!is_one);
        return;
    };
    assert!(is_one);
    let reached = match source.below(4) {
        0 => Ok(()),
        1 => word.begin(generation),
        2 => word.begin_delivered(generation),
        _ => word
            .begin(generation)
            .and_then(|()| word.deliver(generation)),
    };
    assert!(reached.is_ok());
    let ending = ENDINGS[source.below(6) as usize];
    if source.below(2) == 0 {
        let allowed = ending.may_follow(word.load().1);
        assert_eq!(word.end(generation, ending).is_ok(), allowed);
    }
    let (_, before) = word.load();
    let named = match source.below(2) {
        0 => generation,
        _ => source.any(),
    };
    let other = ENDINGS[source.below(6) as usize];
    let (done, to, rises) = match source.below(6) {
        0 => (word.begin(named), CallState::Queued, false),
        1 => (word.begin_delivered(named), CallState::Delivered, false),
        2 => (word.deliver(named), CallState::Delivered, false),
        3 => (word.end(named, other), other.state(), false),
        4 => (word.answer(named), CallState::Idle, true),
        _ => (word.consume(named).map(|_| ()), CallState::Idle, true),
    };
    let (now, state) = word.load();
    if done.is_err() {
        assert!(
            now == generation && state == before,
            "a refusal changes nothing"
        );
        return;
    }
    assert_eq!(named, generation, "another generation moves it");
    if rises && generation == LAST_GENERATION {
        assert!(
            now == generation && state == CallState::Retired,
            "the last one retires"
        );
    } else {
        assert!(now == generation + u64::from(rises) && state == to);
    }
    let was_over = before.ending().is_some();
    assert_eq!(
        was_over,
        rises && before != CallState::Delivered,
        "what is over is only noted"
    );
}

/// Ringing tells of who waits exactly where a bit is waited for; what is taken is what was rung.
pub fn bell_step(source: &mut dyn Source) {
    let bell = BellWord::new();
    let (wanted, mask, bits) = (source.any(), source.any(), source.any());
    assert_eq!(bell.ask(wanted, mask), 0, "nothing was rung");
    let awaited = bell.ring(bits) == Rung::Awaited;
    assert_eq!(awaited, bits & (wanted | mask) != 0);
    assert_eq!(bell.ask(wanted, mask), bits & mask);
    assert_eq!(bell.take(u64::MAX), bits & !mask, "a bit is taken once");
    assert_eq!(bell.take(u64::MAX), 0);
}

/// Any words are a command, and a completion says what it said before.
pub fn command_words(source: &mut dyn Source) {
    let words = [source.any(), source.any(), source.any(), source.any()];
    assert_eq!(
        Command::from_words(words).words(),
        words,
        "a bit of a command is lost"
    );
    let completion = Completion::from_words([words[0], words[1]]);
    assert_eq!(Completion::from_words(completion.words()), completion);
}

/// Memory of a queue with two places of one word.
struct Words([Cell<u64>; 18]);

impl Words {
    fn zero() -> Self {
        Self([const { Cell::new(0) }; 18])
    }
}

impl Memory for &Words {
    fn words(&self) -> usize {
        self.0.len()
    }
    fn load(&self, word: usize, _: Ordering) -> u64 {
        self.0[word].get()
    }
    fn store(&self, word: usize, value: u64, _: Ordering) {
        self.0[word].set(value);
    }
    fn fence(&self) {}
}

const TAKEN: usize = 0;
const WAKE_AT: usize = 1;
const MADE: usize = 8;

fn producer(words: &Words) -> Option<Producer<&Words, 1>> {
    Producer::new(words, Layout::new(2).ok()?).ok()
}

/// A kick is needed exactly where a count reaches what the other end asked for.
pub fn queue_kick(source: &mut dyn Source) {
    let words = Words::zero();
    let Some(mut producer) = producer(&words) else {
        panic!("18 words hold two places");
    };
    let asked = source.any();
    words.0[WAKE_AT].set(asked);
    let pushed = 1 + source.below(2);
    for value in 0..pushed {
        assert!(producer.push([value]).is_ok());
    }
    let is_needed = producer.state() == Kick::Needed;
    assert_eq!(is_needed, (1..=pushed).contains(&asked));
}

/// Whatever a consumer states, a producer has at most the places that there are, and gives none away twice.
pub fn queue_hostile_producer(source: &mut dyn Source) {
    let words = Words::zero();
    let Some(mut producer) = producer(&words) else {
        panic!("18 words hold two places");
    };
    let (mut made, mut stated, mut taken) = (0u64, 0, 0);
    for value in 0..3 {
        let told = source.any();
        words.0[TAKEN].set(told);
        match producer.look_for_room() {
            Ok(room) => {
                assert!(
                    told.wrapping_sub(taken) <= stated - taken,
                    "a count is believed that cannot be"
                );
                taken = told;
                assert_eq!(room, 2 - (made - taken));
            }
            Err(_) => assert!(
                told.wrapping_sub(taken) > stated - taken,
                "a true count is not believed"
            ),
        }
        let has_room = made - taken < 2;
        words.0[TAKEN].set(taken);
        assert_eq!(producer.push([value]).is_ok(), has_room);
        made += u64::from(has_room);
        if source.below(2) == 0 {
            let _ = producer.state();
            stated = made;
        }
    }
}

/// Whatever a producer states, a consumer takes no more entries than there are places.
pub fn queue_hostile_consumer(source: &mut dyn Source) {
    let words = Words::zero();
    let consumer = Layout::<1>::new(2)
        .ok()
        .and_then(|layout| Consumer::<_, 1>::new(&words, layout).ok());
    let Some(mut consumer) = consumer else {
        panic!("18 words hold two places");
    };
    let (mut known, mut taken, mut stated) = (0u64, 0u64, 0u64);
    for _ in 0..3 {
        let told = source.any();
        words.0[MADE].set(told);
        let looks = known == taken;
        let is_true = told.wrapping_sub(known) <= 2 - (known - stated);
        match consumer.pop() {
            Err(_) => assert!(looks && !is_true, "a true count is not believed"),
            Ok(entry) => {
                assert!(!looks || is_true, "a count is believed that cannot be");
                known = if looks { told } else { known };
                assert_eq!(entry.is_some(), known > taken);
                taken += u64::from(entry.is_some());
            }
        }
        assert!(taken - stated <= 2);
        if source.below(2) == 0 {
            let _ = consumer.state();
            stated = taken;
        }
    }
}

/// Two entries of a list.
struct List([u64; 2]);

impl ListMemory for List {
    fn page_address(&self, offset: usize) -> Option<u64> {
        (offset < 16).then_some(0x7000)
    }
    fn store(&mut self, offset: usize, entry: u64) -> bool {
        let place = self.0.get_mut(offset / 8);
        place.map(|place| *place = entry).is_some()
    }
}

/// A segment over up to three pages of 4 KiB, wherever these are: the command names these pages, in order, and the whole of it.
pub fn prp_three_pages(source: &mut dyn Source) {
    const PAGE: u64 = 4096;
    let offset = source.below(PAGE) as u32;
    let length = 1 + source.below(3 * PAGE - u64::from(offset)) as u32;
    let pages: [u64; 3] = [1, 2, 3].map(|_| source.below(1 << 40) * PAGE);
    let mut pieces = [None; 4];
    let mut done = 0;
    for place in &mut pieces {
        if done < length {
            let cut = prp::cut(offset, length, done);
            let address = pages[cut.page as usize] + u64::from(cut.within);
            *place = Some(Piece {
                address,
                bytes: cut.bytes,
            });
            done += cut.bytes;
        }
    }
    assert_eq!(done, length, "a segment is cut into whole");
    let mut list = List([0; 2]);
    let built = prp::build(pieces.into_iter().flatten(), &mut list, 0);
    if !offset.is_multiple_of(4) {
        assert_eq!(built, Err(prp::PrpError::Misaligned));
        return;
    }
    let Ok(prp) = built else {
        panic!("{built:?}");
    };
    assert_eq!(
        (prp.prp1, prp.bytes),
        (pages[0] + u64::from(offset), length)
    );
    let count = (u64::from(offset) + u64::from(length)).div_ceil(PAGE);
    match count {
        1 => assert_eq!(prp.prp2, 0),
        2 => assert_eq!(prp.prp2, pages[1]),
        _ => assert_eq!((prp.prp2, list.0), (0x7000, [pages[1], pages[2]])),
    }
}
