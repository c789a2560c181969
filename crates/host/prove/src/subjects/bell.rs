//! A bell: no bit is lost, and nobody sleeps while what it waits for is there.

use bell_word::{BellWord, Rung};

use crate::explore::{Outcome, Subject, say};

/// A bell and those who wait at it.
pub struct Bell {
    word: BellWord,
    rung: u64,
    /// What each of those who sleep waits for.
    asleep: Vec<u64>,
    masks: &'static [u64],
    most: usize,
}

/// What is done with a bell.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Bits are rung.
    Ring(u64),
    /// Bits are taken.
    Take(u64),
    /// Somebody waits: asks, and sleeps where nothing is there.
    Wait(u64),
    /// Somebody gives up waiting.
    Leave(usize),
    /// Somebody looks whether anybody waits.
    Look(u64),
}

impl Bell {
    /// A bell that is rung with some masks, and at which so many wait at most.
    #[must_use]
    pub const fn new(masks: &'static [u64], most: usize) -> Self {
        Self {
            word: BellWord::new(),
            rung: 0,
            asleep: Vec::new(),
            masks,
            most,
        }
    }

    fn wanted(&self) -> u64 {
        self.asleep.iter().fold(0, |all, mask| all | mask)
    }
}

impl Subject for Bell {
    type Op = Op;

    fn ops(&self) -> Vec<Op> {
        let each = |op: fn(u64) -> Op| self.masks.iter().copied().map(op);
        let wait = each(Op::Wait).filter(|_| self.asleep.len() < self.most);
        let leave = (0..self.asleep.len()).map(Op::Leave);
        each(Op::Ring)
            .chain(each(Op::Take))
            .chain(each(Op::Look))
            .chain(wait)
            .chain(leave)
            .collect()
    }

    fn apply(&mut self, op: Op) -> Outcome {
        match op {
            Op::Ring(bits) => {
                self.rung |= bits;
                let told = self.word.ring(bits) == Rung::Awaited;
                assert_eq!(told, self.wanted() & bits != 0, "who waits is told of");
                // Whoever rings wakes those who asked for a bit, one after the other; each takes what is there of its own.
                let theirs = |asleep: &[u64], rung: u64| {
                    asleep.iter().position(|mask| told && mask & rung != 0)
                };
                while let Some(at) = theirs(&self.asleep, self.rung) {
                    let mask = self.asleep.remove(at);
                    self.word.leave(self.wanted());
                    assert_eq!(self.word.take(mask), self.rung & mask, "a bit was lost");
                    self.rung &= !mask;
                }
            }
            Op::Take(mask) => {
                assert_eq!(self.word.take(mask), self.rung & mask, "a bit was lost");
                self.rung &= !mask;
            }
            Op::Wait(mask) => {
                let taken = self.word.ask(self.wanted(), mask);
                assert_eq!(
                    taken,
                    self.rung & mask,
                    "the second look sees what is there"
                );
                self.rung &= !mask;
                match taken {
                    0 => self.asleep.push(mask),
                    _ => self.word.leave(self.wanted()),
                }
                self.asleep.sort_unstable();
            }
            Op::Leave(at) => {
                self.asleep.remove(at);
                self.word.leave(self.wanted());
            }
            Op::Look(bits) => {
                let awaited = self.word.is_awaited(bits);
                assert_eq!(awaited, self.wanted() & bits != 0);
                return if awaited {
                    Outcome::Done
                } else {
                    Outcome::Refused
                };
            }
        }
        Outcome::Done
    }

    fn check(&self) {
        // Two may wait for one bit, of whom one is woken; it takes the bit.
        for mask in &self.asleep {
            assert_eq!(
                mask & self.rung,
                0,
                "somebody sleeps while what it waits for is there"
            );
        }
    }

    fn key(&self, to: &mut String) {
        say(to, &self.word);
        say(to, &(self.rung, &self.asleep));
    }
}
