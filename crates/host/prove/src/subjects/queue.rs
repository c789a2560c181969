//! A queue in shared memory: between honest ends nothing is lost and nobody sleeps for ever; a hostile end moves nothing.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use session_queue::{Broken, Consumer, Full, Kick, Layout, Look, Memory, Producer};

use crate::explore::{Outcome, Subject, say};

/// Memory of some words, which says where somebody reaches beyond it.
#[derive(Clone)]
pub struct Shared(Rc<Vec<Cell<u64>>>);

impl std::fmt::Debug for Shared {
    /// Of a page of zeros nothing is to be said.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = self.0.iter().map(Cell::get).enumerate();
        f.debug_map()
            .entries(words.filter(|(_, word)| *word != 0))
            .finish()
    }
}

impl Shared {
    /// Memory of zeros.
    #[must_use]
    pub fn new(words: usize) -> Self {
        Self(Rc::new(vec![Cell::new(0); words]))
    }

    /// The value of a word.
    #[must_use]
    pub fn word(&self, at: usize) -> u64 {
        self.0[at].get()
    }

    /// Writes a word, as the other end may at any time.
    pub fn poke(&self, at: usize, value: u64) {
        self.0[at].set(value);
    }
}

impl Memory for Shared {
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
const ROOM_AT: usize = 9;
const ENTRIES: usize = 16;

fn layout(capacity: u32) -> Layout<1> {
    match Layout::new(capacity) {
        Ok(layout) => layout,
        Err(unfit) => panic!("{unfit:?}"),
    }
}

fn made<T>(made: Result<T, session_queue::Unfit>) -> T {
    match made {
        Ok(end) => end,
        Err(unfit) => panic!("{unfit:?}"),
    }
}

/// Two honest ends, with counts of `BITS` bits.
pub struct Pair<const BITS: u32> {
    memory: Shared,
    capacity: u32,
    producer: Producer<Shared, 1, BITS>,
    consumer: Consumer<Shared, 1, BITS>,
    /// Entries that were made and not taken, the oldest first, and how many of them the consumer may see.
    inside: VecDeque<u64>,
    shown: usize,
    /// Entries that were taken and not given back.
    held: u32,
    /// How many entries, or places, each end sleeps for.
    consumer_sleeps: Option<u32>,
    producer_sleeps: Option<u32>,
    next: u64,
}

/// What the two ends do.
#[derive(Clone, Copy, Debug)]
pub enum PairOp {
    /// An entry is made.
    Push,
    /// What was made is shown.
    Show,
    /// An entry is taken.
    Pop,
    /// What was taken is given back.
    GiveBack,
    /// The consumer waits for entries.
    AwaitEntries(u32),
    /// The producer waits for places.
    AwaitRoom(u32),
    /// The producer looks how many places there are.
    Look,
    /// An end that sleeps does so no longer than it likes.
    WakeUp,
}

impl<const BITS: u32> Pair<BITS> {
    /// A queue with places for so many.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        let memory = Shared::new(layout(capacity).words());
        Self {
            producer: made(Producer::with_counts(memory.clone(), layout(capacity))),
            consumer: made(Consumer::with_counts(memory.clone(), layout(capacity))),
            memory,
            capacity,
            inside: VecDeque::new(),
            shown: 0,
            held: 0,
            consumer_sleeps: None,
            producer_sleeps: None,
            next: 1,
        }
    }

    /// Places that are free when the consumer has given back what it has.
    fn free(&self) -> u32 {
        self.capacity - self.inside.len() as u32 - self.held
    }

    fn producer(&mut self, op: PairOp) -> Outcome {
        match op {
            PairOp::Push => {
                let pushed = self.producer.push([self.next]);
                let expected = if self.free() == 0 {
                    Err(Full::Full)
                } else {
                    Ok(())
                };
                assert_eq!(pushed, expected);
                if pushed.is_err() {
                    return Outcome::Refused;
                }
                self.inside.push_back(self.next);
                self.next = 3 - self.next;
            }
            PairOp::Show => {
                let kick = self.producer.state();
                self.shown = self.inside.len();
                if kick == Kick::Needed {
                    self.consumer_sleeps = None;
                }
            }
            PairOp::AwaitRoom(places) => {
                let look = self.producer.wait_for_room(places);
                let enough = self.free() >= places;
                assert_eq!(look, Ok(if enough { Look::Go } else { Look::Sleep }));
                self.producer_sleeps = (!enough).then_some(places);
            }
            _ => assert_eq!(self.producer.look_for_room(), Ok(u64::from(self.free()))),
        }
        Outcome::Done
    }

    fn consumer(&mut self, op: PairOp) -> Outcome {
        match op {
            PairOp::Pop => {
                let expected = self.inside.front().copied().filter(|_| self.shown > 0);
                assert_eq!(
                    self.consumer.pop(),
                    Ok(expected.map(|value| [value])),
                    "in order, each once"
                );
                if expected.is_none() {
                    return Outcome::Refused;
                }
                self.inside.pop_front();
                self.shown -= 1;
                self.held += 1;
            }
            PairOp::GiveBack => {
                let kick = self.consumer.state();
                self.held = 0;
                if kick == Kick::Needed {
                    self.producer_sleeps = None;
                }
            }
            _ => {
                let PairOp::AwaitEntries(entries) = op else {
                    return Outcome::Refused;
                };
                let look = self.consumer.wait_for_entries(entries);
                let enough = self.shown as u32 >= entries;
                assert_eq!(look, Ok(if enough { Look::Go } else { Look::Sleep }));
                self.consumer_sleeps = (!enough).then_some(entries);
            }
        }
        Outcome::Done
    }
}

impl<const BITS: u32> Subject for Pair<BITS> {
    type Op = PairOp;

    fn ops(&self) -> Vec<PairOp> {
        let mut ops = Vec::new();
        if self.producer_sleeps.is_none() {
            ops.extend([PairOp::Push, PairOp::Show, PairOp::Look]);
            // Who waits for the consumer shows what it has made first.
            let may_wait = self.shown == self.inside.len();
            ops.extend(
                (1..=self.capacity)
                    .filter(|_| may_wait)
                    .map(PairOp::AwaitRoom),
            );
        }
        if self.producer_sleeps.is_some() || self.consumer_sleeps.is_some() {
            ops.push(PairOp::WakeUp);
        }
        if self.consumer_sleeps.is_none() {
            ops.extend([PairOp::Pop, PairOp::GiveBack]);
            // Entries taken and not given back hold their places.
            let most = self.capacity - self.held;
            ops.extend((1..=most).map(PairOp::AwaitEntries));
        }
        ops
    }

    fn apply(&mut self, op: PairOp) -> Outcome {
        match op {
            PairOp::Push | PairOp::Show | PairOp::AwaitRoom(_) | PairOp::Look => self.producer(op),
            PairOp::Pop | PairOp::GiveBack | PairOp::AwaitEntries(_) => self.consumer(op),
            PairOp::WakeUp => {
                (self.producer_sleeps, self.consumer_sleeps) = (None, None);
                Outcome::Done
            }
        }
    }

    fn check(&self) {
        if let Some(entries) = self.consumer_sleeps {
            assert!(
                (self.shown as u32) < entries,
                "the consumer sleeps while its entries are there"
            );
        }
        if let Some(places) = self.producer_sleeps {
            let seen = self.capacity - self.inside.len() as u32 - self.held;
            assert!(
                seen < places,
                "the producer sleeps while its places are there"
            );
        }
        assert!(self.producer.room() <= u64::from(self.capacity));
        assert!(self.consumer.known() <= u64::from(self.capacity));
    }

    fn key(&self, to: &mut String) {
        say(to, &self.memory);
        say(to, &(&self.producer, &self.consumer));
        say(to, &(&self.inside, self.shown, self.held));
        say(to, &(self.consumer_sleeps, self.producer_sleeps, self.next));
    }
}

/// One end, where everything that the other end can write is hostile.
pub struct Alone<const BITS: u32, E> {
    memory: Shared,
    capacity: u32,
    end: E,
    /// What this end made or took, and how much of it it has stated: each a count of its own.
    moved: u64,
    stated: u64,
    /// What it has believed of the other end.
    believed: u64,
}

/// What one end does, and what is done to its memory.
#[derive(Clone, Copy, Debug)]
pub enum AloneOp {
    /// An entry is made, or taken.
    Move,
    /// That is stated.
    State,
    /// The end waits.
    Await(u32),
    /// The other end's count is written.
    Count(u64),
    /// The other end's question is written.
    Ask(u64),
    /// An entry is written while it is read.
    Entry(u64),
}

/// The end that makes entries.
pub type AloneProducer<const BITS: u32> = Alone<BITS, Producer<Shared, 1, BITS>>;
/// The end that takes them.
pub type AloneConsumer<const BITS: u32> = Alone<BITS, Consumer<Shared, 1, BITS>>;

impl<const BITS: u32, E> Alone<BITS, E> {
    const MASK: u64 = u64::MAX >> (64 - BITS);

    fn of(memory: Shared, capacity: u32, end: E) -> Self {
        Self {
            memory,
            capacity,
            end,
            moved: 0,
            stated: 0,
            believed: 0,
        }
    }

    fn less(a: u64, b: u64) -> u64 {
        a.wrapping_sub(b) & Self::MASK
    }

    fn hostile(&self) -> Vec<AloneOp> {
        let numbers: Vec<u64> = if BITS < 8 {
            (0..=Self::MASK).collect()
        } else {
            let near = (0..4)
                .flat_map(|off| [self.moved.wrapping_add(off), self.stated.wrapping_sub(off)]);
            near.chain([0, 1, u64::MAX, 1 << 63]).collect()
        };
        let counts = numbers.iter().copied().map(AloneOp::Count);
        // A question moves nothing but a kick.
        let questions = [0, 3, u64::MAX].map(AloneOp::Ask);
        counts
            .chain(questions)
            .chain([AloneOp::Entry(1), AloneOp::Entry(2)])
            .collect()
    }

    /// Everything but the other end's words is as the end left it.
    fn untouched(&self, before: &Shared, may: impl Fn(usize) -> bool) {
        for at in 0..before.words() {
            assert!(
                before.word(at) == self.memory.word(at) || may(at),
                "word {at} was written"
            );
        }
    }

    fn copy(&self) -> Shared {
        let copy = Shared::new(self.memory.words());
        (0..copy.words()).for_each(|at| copy.poke(at, self.memory.word(at)));
        copy
    }

    fn place(&self, count: u64) -> usize {
        ENTRIES + (count % u64::from(self.capacity)) as usize
    }
}

impl<const BITS: u32> AloneProducer<BITS> {
    /// A producer of a queue with places for so many.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        let memory = Shared::new(layout(capacity).words());
        let end = made(Producer::with_counts(memory.clone(), layout(capacity)));
        Self::of(memory, capacity, end)
    }

    /// Looks at what the other end states, as the rules say: it can have taken what it was shown, and no more.
    fn look(&mut self) -> Result<(), Broken> {
        let count = self.memory.word(TAKEN) & Self::MASK;
        if Self::less(count, self.believed) > Self::less(self.stated, self.believed) {
            return Err(Broken);
        }
        self.believed = count;
        Ok(())
    }

    fn room(&self) -> u64 {
        u64::from(self.capacity) - Self::less(self.moved, self.believed)
    }
}

impl<const BITS: u32> Subject for AloneProducer<BITS> {
    type Op = AloneOp;

    fn ops(&self) -> Vec<AloneOp> {
        let mut ops = vec![AloneOp::Move, AloneOp::State];
        ops.extend((0..=self.capacity + 1).map(AloneOp::Await));
        ops.extend(self.hostile());
        ops
    }

    fn apply(&mut self, op: AloneOp) -> Outcome {
        let before = self.copy();
        match op {
            AloneOp::Move => {
                let seen = if self.room() == 0 {
                    self.look()
                } else {
                    Ok(())
                };
                let expected = match seen {
                    Err(Broken) => Err(Full::Broken),
                    Ok(()) if self.room() == 0 => Err(Full::Full),
                    Ok(()) => Ok(()),
                };
                assert_eq!(self.end.push([7]), expected);
                let place = self.place(self.moved);
                self.untouched(&before, |at| at == place && expected.is_ok());
                if expected.is_err() {
                    return Outcome::Refused;
                }
                assert_eq!(self.memory.word(place), 7);
                self.memory.poke(place, 0);
                self.moved = self.moved.wrapping_add(1) & Self::MASK;
            }
            AloneOp::State => {
                let _ = self.end.state();
                self.stated = self.moved;
                assert_eq!(self.memory.word(MADE), self.stated);
                self.untouched(&before, |at| at == MADE);
            }
            AloneOp::Await(places) => {
                let seen = self.look();
                let looked = self.end.wait_for_room(places);
                self.untouched(&before, |at| at == ROOM_AT);
                let wanted = u64::from(places.clamp(1, self.capacity));
                let look = if self.room() >= wanted {
                    Look::Go
                } else {
                    Look::Sleep
                };
                assert_eq!(looked, seen.map(|()| look));
                return Outcome::from(&looked);
            }
            AloneOp::Count(value) => self.memory.poke(TAKEN, value),
            AloneOp::Ask(value) => self.memory.poke(WAKE_AT, value),
            AloneOp::Entry(value) => self.memory.poke(ENTRIES, value),
        }
        Outcome::Done
    }

    fn check(&self) {
        assert_eq!(
            self.end.room(),
            self.room(),
            "no place is given that was not given back"
        );
        assert!(self.room() <= u64::from(self.capacity));
        assert!(Self::less(self.stated, self.believed) <= u64::from(self.capacity));
    }

    fn key(&self, to: &mut String) {
        say(to, &self.memory);
        say(to, &self.end);
        say(to, &(self.moved, self.stated, self.believed));
    }
}

impl<const BITS: u32> AloneConsumer<BITS> {
    /// A consumer of a queue with places for so many.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        let memory = Shared::new(layout(capacity).words());
        let end = made(Consumer::with_counts(memory.clone(), layout(capacity)));
        Self::of(memory, capacity, end)
    }

    /// Looks at what the other end states, as the rules say: it has places for as many as it was given back.
    fn look(&mut self) -> Result<(), Broken> {
        let count = self.memory.word(MADE) & Self::MASK;
        if Self::less(count, self.stated) > u64::from(self.capacity)
            || Self::less(count, self.stated) < Self::less(self.believed, self.stated)
        {
            return Err(Broken);
        }
        self.believed = count;
        Ok(())
    }

    fn known(&self) -> u64 {
        Self::less(self.believed, self.moved)
    }
}

impl<const BITS: u32> Subject for AloneConsumer<BITS> {
    type Op = AloneOp;

    fn ops(&self) -> Vec<AloneOp> {
        let mut ops = vec![AloneOp::Move, AloneOp::State];
        ops.extend((0..=self.capacity + 1).map(AloneOp::Await));
        ops.extend(self.hostile());
        ops
    }

    fn apply(&mut self, op: AloneOp) -> Outcome {
        let before = self.copy();
        match op {
            AloneOp::Move => {
                let seen = if self.known() == 0 {
                    self.look()
                } else {
                    Ok(())
                };
                let entry = self.memory.word(self.place(self.moved));
                let expected = seen.map(|()| (self.known() > 0).then_some([entry]));
                let popped = self.end.pop();
                assert_eq!(popped, expected);
                self.untouched(&before, |_| false);
                if !matches!(popped, Ok(Some(_))) {
                    return Outcome::Refused;
                }
                self.moved = self.moved.wrapping_add(1) & Self::MASK;
            }
            AloneOp::State => {
                let _ = self.end.state();
                self.stated = self.moved;
                assert_eq!(self.memory.word(TAKEN), self.stated);
                self.untouched(&before, |at| at == TAKEN);
            }
            AloneOp::Await(entries) => {
                let seen = self.look();
                let looked = self.end.wait_for_entries(entries);
                self.untouched(&before, |at| at == WAKE_AT);
                let wanted = u64::from(entries.clamp(1, self.capacity));
                let look = if self.known() >= wanted {
                    Look::Go
                } else {
                    Look::Sleep
                };
                assert_eq!(looked, seen.map(|()| look));
                return Outcome::from(&looked);
            }
            AloneOp::Count(value) => self.memory.poke(MADE, value),
            AloneOp::Ask(value) => self.memory.poke(ROOM_AT, value),
            AloneOp::Entry(value) => self.memory.poke(ENTRIES, value),
        }
        Outcome::Done
    }

    fn check(&self) {
        assert_eq!(
            self.end.known(),
            self.known(),
            "nothing is taken for made that was not"
        );
        assert!(Self::less(self.believed, self.stated) <= u64::from(self.capacity));
    }

    fn key(&self, to: &mut String) {
        say(to, &self.memory);
        say(to, &self.end);
        say(to, &(self.moved, self.stated, self.believed));
    }
}
