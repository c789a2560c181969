//! One call: it ends once, by whom its state allows to, and its object comes round with another generation or not at all.

use std::collections::{BTreeMap, BTreeSet};

use call_state::{
    CallState, CallWord, Ending, FIRST_GENERATION, Loans, Lost, Mailbox, RESULT_WORDS,
};

use crate::explore::{Outcome, Subject, say};

/// A call's word whose last generation is `LAST`, and what its users have seen.
pub struct Call<const LAST: u64> {
    word: CallWord<LAST>,
    first: u64,
    /// Generations whose call has begun.
    begun: BTreeSet<u64>,
    /// Reply rights that are out: each was given with a delivery.
    rights: BTreeSet<u64>,
    /// How each call ended; `None` where the answer and the end were one step.
    ended: BTreeMap<u64, Option<Ending>>,
    /// Calls whose end was noted by whoever made them.
    consumed: BTreeSet<u64>,
}

/// What is done to a call, by name of its generation.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Waits at an endpoint.
    Begin(u64),
    /// Meets a server at once.
    BeginDelivered(u64),
    /// Is given to a server.
    Deliver(u64),
    /// Is answered, and is over.
    Answer(u64),
    /// Ends.
    End(Ending, u64),
    /// Its end is noted.
    Consume(u64),
}

const ENDINGS: [Ending; 6] = [
    Ending::Replied,
    Ending::Cancelled,
    Ending::ServerDied,
    Ending::TimedOut,
    Ending::NoReply,
    Ending::Revoked,
];

/// Endings that only whoever holds the reply right brings about.
const fn is_of_server(ending: Ending) -> bool {
    matches!(
        ending,
        Ending::Replied | Ending::NoReply | Ending::ServerDied
    )
}

impl<const LAST: u64> Call<LAST> {
    /// A call object that begins with a generation.
    ///
    /// # Panics
    /// For one that there is not.
    #[must_use]
    pub fn new(first: u64) -> Self {
        let Some(word) = CallWord::within(first) else {
            panic!("{first} is no generation");
        };
        Self {
            word,
            first,
            begun: BTreeSet::new(),
            rights: BTreeSet::new(),
            ended: BTreeMap::new(),
            consumed: BTreeSet::new(),
        }
    }

    /// The generation of the present call, and none once the object has retired.
    fn current(&self) -> Option<u64> {
        let over = |generation: &u64| match self.ended.get(generation) {
            Some(None) => true,
            Some(Some(_)) => self.consumed.contains(generation),
            None => false,
        };
        (self.first..=LAST)
            .take(self.ended.len() + 1)
            .find(|generation| !over(generation))
    }

    fn can(&self, op: Op) -> bool {
        let Some(current) = self.current() else {
            return false;
        };
        let begun = self.begun.contains(&current);
        let ended = self.ended.contains_key(&current);
        let right = self.rights.contains(&current);
        match op {
            Op::Begin(of) | Op::BeginDelivered(of) => of == current && !begun,
            Op::Deliver(of) => of == current && begun && !right && !ended,
            Op::Answer(of) => of == current && right && !ended,
            Op::End(ending, of) => {
                of == current && begun && !ended && (right || !is_of_server(ending))
            }
            Op::Consume(of) => of == current && ended,
        }
    }

    fn run(&self, op: Op) -> Result<Option<call_state::Consumed>, Lost> {
        match op {
            Op::Begin(of) => self.word.begin(of)?,
            Op::BeginDelivered(of) => self.word.begin_delivered(of)?,
            Op::Deliver(of) => self.word.deliver(of)?,
            Op::Answer(of) => self.word.answer(of)?,
            Op::End(Ending::Replied, of) => self.word.reply(of)?,
            Op::End(Ending::Cancelled, of) => self.word.cancel(of)?,
            Op::End(Ending::ServerDied, of) => self.word.server_died(of)?,
            Op::End(Ending::TimedOut, of) => self.word.time_out(of)?,
            Op::End(Ending::NoReply, of) => self.word.drop_reply(of)?,
            Op::End(Ending::Revoked, of) => self.word.revoke(of)?,
            Op::Consume(of) => return self.word.consume(of).map(Some),
        }
        Ok(None)
    }

    fn note(&mut self, op: Op, consumed: Option<call_state::Consumed>) {
        match op {
            Op::Begin(of) => assert!(self.begun.insert(of), "a call began twice"),
            Op::BeginDelivered(of) => {
                assert!(self.begun.insert(of), "a call began twice");
                assert!(self.rights.insert(of), "two reply rights");
            }
            Op::Deliver(of) => assert!(self.rights.insert(of), "two reply rights"),
            Op::Answer(of) => assert_eq!(self.ended.insert(of, None), None, "a call ended twice"),
            Op::End(ending, of) => {
                assert_eq!(
                    self.ended.insert(of, Some(ending)),
                    None,
                    "a call ended twice"
                );
            }
            Op::Consume(of) => {
                assert!(self.consumed.insert(of), "an end was noted twice");
                let noted = consumed.map(|c| (Some(c.ending), c.next));
                let next = (of < LAST).then_some(of + 1);
                assert_eq!(
                    noted,
                    Some((self.ended[&of], next)),
                    "another end was noted than there was"
                );
            }
        }
    }
}

impl<const LAST: u64> Subject for Call<LAST> {
    type Op = Op;

    fn ops(&self) -> Vec<Op> {
        let near = self.current().unwrap_or(LAST);
        let narrow: Vec<u64> = (0..=LAST.min(9) + 1).collect();
        let wide = vec![
            near,
            near,
            near,
            near.wrapping_sub(1),
            near + 1,
            0,
            1,
            LAST,
            LAST + 1,
            u64::MAX,
        ];
        let named = if LAST < 9 { narrow } else { wide };
        let mut ops = Vec::new();
        for of in named {
            ops.extend([
                Op::Begin(of),
                Op::BeginDelivered(of),
                Op::Deliver(of),
                Op::Answer(of),
                Op::Consume(of),
            ]);
            ops.extend(ENDINGS.map(|ending| Op::End(ending, of)));
        }
        ops
    }

    fn apply(&mut self, op: Op) -> Outcome {
        let can = self.can(op);
        let before = self.word.load();
        let done = self.run(op);
        let outcome = Outcome::from(&done);
        assert_eq!(done.is_ok(), can, "{op:?} in {before:?}");
        match done {
            Ok(consumed) => self.note(op, consumed),
            Err(lost) => {
                assert_eq!(self.word.load(), before, "a refusal changes nothing");
                let (Op::Begin(of)
                | Op::BeginDelivered(of)
                | Op::Deliver(of)
                | Op::Answer(of)
                | Op::End(_, of)
                | Op::Consume(of)) = op;
                let told = if of == before.0 {
                    Lost::State(before.1)
                } else {
                    Lost::Stale
                };
                assert_eq!(lost, told, "whoever loses learns to what");
            }
        }
        outcome
    }

    fn check(&self) {
        let (generation, state) = self.word.load();
        match self.current() {
            None => assert_eq!((generation, state), (LAST, CallState::Retired)),
            Some(current) => {
                assert_eq!(generation, current);
                let ended = self.ended.get(&current).copied().flatten();
                let expected = match (
                    self.begun.contains(&current),
                    self.rights.contains(&current),
                ) {
                    (false, _) => CallState::Idle,
                    (true, false) => CallState::Queued,
                    (true, true) => CallState::Delivered,
                };
                assert_eq!(state, ended.map_or(expected, Ending::state));
            }
        }
    }

    fn key(&self, to: &mut String) {
        say(to, &self.word);
        say(
            to,
            &(&self.begun, &self.rights, &self.ended, &self.consumed),
        );
    }
}

/// A call object at its first generation, with room for a few calls.
#[must_use]
pub fn narrow<const LAST: u64>() -> Call<LAST> {
    Call::new(FIRST_GENERATION)
}

/// What calls lend one thread.
pub struct Lent {
    loans: Loans,
    own: u8,
    list: Vec<u8>,
    levels: &'static [u8],
    most: usize,
}

/// What is done with loans.
#[derive(Clone, Copy, Debug)]
pub enum LoanOp {
    /// A call begins.
    Lend(u8),
    /// A call ends.
    GiveBack(usize),
}

impl Lent {
    /// A thread of a priority, calls of some others, and at most so many.
    #[must_use]
    pub fn new(own: u8, levels: &'static [u8], most: usize) -> Self {
        Self {
            loans: Loans::new(own),
            own,
            list: Vec::new(),
            levels,
            most,
        }
    }
}

impl Subject for Lent {
    type Op = LoanOp;

    fn ops(&self) -> Vec<LoanOp> {
        let lend = self.levels.iter().copied().map(LoanOp::Lend);
        let lend = lend.filter(|_| self.list.len() < self.most);
        lend.chain((0..self.list.len()).map(LoanOp::GiveBack))
            .collect()
    }

    fn apply(&mut self, op: LoanOp) -> Outcome {
        match op {
            LoanOp::Lend(priority) => {
                self.loans.lend(priority);
                self.list.push(priority.min(31));
                self.list.sort_unstable();
            }
            LoanOp::GiveBack(at) => self.loans.give_back(self.list.remove(at)),
        }
        Outcome::Done
    }

    fn check(&self) {
        let highest = self.list.iter().copied().max().unwrap_or(0);
        assert_eq!(
            self.loans.effective(),
            highest.max(self.own),
            "of {:?}",
            self.list
        );
        assert_eq!(self.loans.any(), !self.list.is_empty());
    }

    fn key(&self, to: &mut String) {
        say(to, &self.loans);
        say(to, &self.list);
    }
}

/// Where one result after the other is left and taken.
#[derive(Default)]
pub struct Letter {
    mailbox: Mailbox,
    inside: Option<u64>,
}

/// What is done with a mailbox.
#[derive(Clone, Copy, Debug)]
pub enum LetterOp {
    /// The operation ended.
    Put(u64),
    /// The thread looks.
    Take,
}

impl Subject for Letter {
    type Op = LetterOp;

    fn ops(&self) -> Vec<LetterOp> {
        // An operation ends once, so nothing is put where something is.
        let puts = [1, 2]
            .map(LetterOp::Put)
            .into_iter()
            .filter(|_| self.inside.is_none());
        puts.chain([LetterOp::Take]).collect()
    }

    fn apply(&mut self, op: LetterOp) -> Outcome {
        match op {
            LetterOp::Put(value) => {
                self.mailbox.put([value; RESULT_WORDS]);
                self.inside = Some(value);
            }
            LetterOp::Take => {
                let taken = self.mailbox.take();
                assert_eq!(taken, self.inside.take().map(|value| [value; RESULT_WORDS]));
                if taken.is_none() {
                    return Outcome::Refused;
                }
            }
        }
        Outcome::Done
    }

    fn check(&self) {}

    fn key(&self, to: &mut String) {
        say(to, &self.mailbox);
        say(to, &self.inside);
    }
}
