//! Entries of interrupt tables: none is used again while the unit may remember it.

use domain_ledger::{Cleared, Entries, FlushClock, IotlbReceipt, Pending, Scope, WaitProof};

use crate::explore::{Outcome, Subject, say};

struct Seen;
impl WaitProof for Seen {}

const UNIT: u8 = 2;

/// Entries of an interrupt table, and which the unit may remember.
pub struct Table {
    clock: FlushClock,
    entries: Entries<1>,
    taken: Vec<u16>,
    cleared: Vec<(u16, Cleared)>,
    remembered: Vec<u16>,
    pending: Vec<Pending>,
    receipts: Vec<IotlbReceipt>,
    left: u32,
}

/// What is done with a table.
#[derive(Clone, Copy, Debug)]
pub enum TableOp {
    /// An entry is taken, and used.
    Take,
    /// An entry is taken out of the table.
    Clear(usize),
    /// The unit is told to forget one that was cleared, or everything.
    Flush(Option<usize>),
    /// The unit was seen to have done it.
    Finish,
    /// A cleared entry comes back by a receipt.
    Forget(usize, usize),
    /// One that is not taken, and one that there is not, are cleared.
    Wrong,
}

impl Table {
    /// A table with so many free entries, and so many changes.
    #[must_use]
    pub fn new(free: usize, left: u32) -> Self {
        let mut entries = Entries::new(UNIT, 7, 60);
        for _ in free..64 {
            assert!(entries.take().is_ok(), "an empty table has entries");
        }
        Self {
            clock: FlushClock::new(UNIT),
            entries,
            taken: Vec::new(),
            cleared: Vec::new(),
            remembered: Vec::new(),
            pending: Vec::new(),
            receipts: Vec::new(),
            left,
        }
    }
}

impl Subject for Table {
    type Op = TableOp;

    fn ops(&self) -> Vec<TableOp> {
        let mut ops = vec![TableOp::Finish, TableOp::Wrong];
        if self.left > 0 {
            ops.push(TableOp::Take);
            ops.extend((0..self.taken.len()).map(TableOp::Clear));
            ops.push(TableOp::Flush(None));
            ops.extend((0..self.cleared.len()).map(|at| TableOp::Flush(Some(at))));
        }
        for at in 0..self.cleared.len() {
            ops.extend((0..self.receipts.len()).map(|receipt| TableOp::Forget(at, receipt)));
        }
        ops
    }

    #[expect(clippy::too_many_lines, reason = "one case after the other")]
    fn apply(&mut self, op: TableOp) -> Outcome {
        match op {
            TableOp::Take => {
                self.left -= 1;
                let Ok(index) = self.entries.take() else {
                    return Outcome::Refused;
                };
                assert!(!self.taken.contains(&index), "an entry is taken twice");
                assert!(
                    !self.remembered.contains(&index),
                    "an entry is used again that the unit remembers"
                );
                self.taken.push(index);
                self.remembered.push(index);
            }
            TableOp::Clear(at) => {
                self.left -= 1;
                let index = self.taken.remove(at);
                match self.entries.clear(&self.clock, index) {
                    Ok(cleared) => self.cleared.push((index, cleared)),
                    Err(refusal) => panic!("{refusal:?}"),
                }
            }
            TableOp::Flush(which) => {
                self.left -= 1;
                let index = which.map(|at| self.cleared[at].0);
                let scope = index.map_or(Scope::Unit, |index| Scope::Entry { table: 7, index });
                let Ok(pending) = self.clock.begin(scope) else {
                    return Outcome::Refused;
                };
                self.pending.push(pending);
                let taken = &self.taken;
                // It looks up again what is still there.
                self.remembered.retain(|known| {
                    taken.contains(known) || index.is_some_and(|index| index != *known)
                });
            }
            TableOp::Finish => {
                let Some(pending) = self.pending.pop() else {
                    return Outcome::Refused;
                };
                let Ok(receipt) = self.clock.finish(pending, Seen) else {
                    return Outcome::Refused;
                };
                self.receipts.push(receipt);
            }
            TableOp::Forget(at, receipt) => {
                let (index, cleared) = self.cleared.remove(at);
                if self
                    .entries
                    .forget(cleared, &self.receipts[receipt])
                    .is_err()
                {
                    return Outcome::Refused;
                }
                assert!(
                    !self.remembered.contains(&index),
                    "an entry is free that the unit remembers"
                );
            }
            TableOp::Wrong => {
                let free = (0..64).find(|at| !self.entries.is_taken(*at));
                let wrong = free.into_iter().chain([64, 0xffff]);
                for index in wrong {
                    assert!(
                        self.entries.clear(&self.clock, index as u16).is_err(),
                        "{index} is cleared"
                    );
                }
                let other = FlushClock::new(UNIT + 1);
                assert!(
                    self.taken
                        .iter()
                        .all(|index| self.entries.clear(&other, *index).is_err())
                );
            }
        }
        Outcome::Done
    }

    fn check(&self) {
        for index in &self.taken {
            assert!(self.entries.is_taken(usize::from(*index)));
        }
    }

    fn key(&self, to: &mut String) {
        say(
            to,
            &(&self.clock, &self.entries, &self.taken, &self.cleared),
        );
        say(
            to,
            &(&self.remembered, &self.pending, &self.receipts, self.left),
        );
    }
}
