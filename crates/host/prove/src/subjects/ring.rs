//! The page of a device queue: commands and completions arrive in order, each once, and as they were written.

use std::collections::VecDeque;

use device_ring::{Command, Completion, ENTRIES, Full, KernelEnd, ProviderEnd, WORDS};

use super::queue::Shared;
use crate::explore::{Outcome, Subject, say};

/// Both ends of a page.
pub struct Ring {
    memory: Shared,
    provider: ProviderEnd<Shared>,
    kernel: KernelEnd<Shared>,
    commands: Lane<Command>,
    completions: Lane<Completion>,
    next: u64,
}

/// One direction: what is inside, how much of it is shown, and what was taken and not given back.
#[derive(Debug)]
struct Lane<T> {
    inside: VecDeque<T>,
    shown: usize,
    held: usize,
}

impl<T> Lane<T> {
    const fn new() -> Self {
        Self {
            inside: VecDeque::new(),
            shown: 0,
            held: 0,
        }
    }

    fn room(&self) -> usize {
        ENTRIES as usize - self.inside.len() - self.held
    }

    fn show(&mut self) {
        self.shown = self.inside.len();
    }

    fn take(&mut self) -> Option<T> {
        if self.shown == 0 {
            return None;
        }
        self.shown -= 1;
        self.held += 1;
        self.inside.pop_front()
    }
}

/// What the two ends do.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// The provider writes a command.
    Submit,
    /// The provider shows its commands.
    Show,
    /// The kernel reads a command.
    Read,
    /// The kernel writes a completion.
    Complete,
    /// The kernel shows completions, and gives places back.
    Answer,
    /// The provider takes a completion.
    Take,
    /// The provider gives places back.
    GiveBack,
    /// Each looks how much room there is.
    Look,
}

impl Ring {
    /// A page through which so many commands and completions went, and in which so many are.
    ///
    /// # Panics
    /// If a page that is long enough is refused.
    #[must_use]
    pub fn new(before: usize, filled: usize) -> Self {
        let memory = Shared::new(WORDS);
        let (Ok(provider), Ok(kernel)) = (
            ProviderEnd::new(memory.clone()),
            KernelEnd::new(memory.clone()),
        ) else {
            panic!("a page is a page");
        };
        let mut ring = Self {
            memory,
            provider,
            kernel,
            commands: Lane::new(),
            completions: Lane::new(),
            next: 0,
        };
        for _ in 0..before {
            for op in [
                Op::Submit,
                Op::Show,
                Op::Read,
                Op::Complete,
                Op::Answer,
                Op::Take,
                Op::GiveBack,
            ] {
                ring.apply(op);
            }
        }
        for _ in 0..filled {
            ring.apply(Op::Submit);
            ring.apply(Op::Complete);
        }
        ring
    }

    /// A command with something in every field, so that a mixed one is noticed.
    fn command(&self) -> Command {
        let number = self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Command {
            cookie: number,
            opcode: (number >> 3) as u8,
            slot: (number >> 11) as u8,
            unit: (number >> 19) as u16,
            generation: (number >> 7) as u32,
            block: number.rotate_left(17),
            offset: (number >> 31) as u32,
            length: (number >> 13) as u32,
        }
    }

    fn completion(&self) -> Completion {
        let number = self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let outcome = match number & 1 {
            0 => Ok(((number >> 5) as u16, (number >> 21) as u32)),
            _ => Err(ring_abi::Refusal::Revoked),
        };
        Completion {
            cookie: number,
            outcome,
        }
    }

    fn pushed(pushed: Result<(), Full>, room: usize) -> Outcome {
        assert_eq!(pushed, if room > 0 { Ok(()) } else { Err(Full::Full) });
        Outcome::from(&pushed)
    }
}

impl Subject for Ring {
    type Op = Op;

    fn ops(&self) -> Vec<Op> {
        vec![
            Op::Submit,
            Op::Show,
            Op::Read,
            Op::Complete,
            Op::Answer,
            Op::Take,
            Op::GiveBack,
            Op::Look,
        ]
    }

    #[expect(clippy::too_many_lines, reason = "one case after the other")]
    fn apply(&mut self, op: Op) -> Outcome {
        match op {
            Op::Submit => {
                let command = self.command();
                let room = self.commands.room();
                let pushed = Self::pushed(self.provider.push(&command), room);
                if pushed == Outcome::Done {
                    self.commands.inside.push_back(command);
                    self.next = (self.next + 1) % 5;
                }
                return pushed;
            }
            Op::Complete => {
                let completion = self.completion();
                let room = self.completions.room();
                let pushed = Self::pushed(self.kernel.push(&completion), room);
                if pushed == Outcome::Done {
                    self.completions.inside.push_back(completion);
                    self.next = (self.next + 1) % 5;
                }
                return pushed;
            }
            Op::Show => {
                self.provider.show();
                self.commands.show();
            }
            Op::Answer => {
                self.kernel.show();
                self.completions.show();
                self.commands.held = 0;
            }
            Op::Read => {
                let expected = self.commands.take();
                assert_eq!(self.kernel.take(), Ok(expected), "in order, each once");
                return if expected.is_some() {
                    Outcome::Done
                } else {
                    Outcome::Refused
                };
            }
            Op::Take => {
                let expected = self.completions.take();
                assert_eq!(self.provider.take(), Ok(expected), "in order, each once");
                return if expected.is_some() {
                    Outcome::Done
                } else {
                    Outcome::Refused
                };
            }
            Op::GiveBack => {
                self.provider.give_back();
                self.completions.held = 0;
            }
            Op::Look => {
                assert_eq!(
                    self.provider.look_for_room(),
                    Ok(self.commands.room() as u32)
                );
                assert_eq!(
                    self.kernel.look_for_room(),
                    Ok(self.completions.room() as u32)
                );
            }
        }
        Outcome::Done
    }

    fn check(&self) {}

    fn key(&self, to: &mut String) {
        say(to, &self.memory);
        say(to, &(&self.provider, &self.kernel));
        say(to, &(&self.commands, &self.completions, self.next));
    }
}
