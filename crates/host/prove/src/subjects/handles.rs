//! Handle tables: no name comes back, nobody else's entry is found, the quota is kept to the last place.

use std::collections::{BTreeMap, BTreeSet};

use handles::{GENERATION_BITS, Handle, HandleError, HandleTable, MAX_SLOTS, Reservation};

use crate::explore::{Outcome, Subject, say};

/// A table with generations of `BITS` bits and at most `SLOTS` slots.
pub struct Table<const BITS: u32, const SLOTS: u32> {
    table: HandleTable<u8, BITS, SLOTS>,
    live: BTreeMap<u64, u8>,
    /// Every handle that was ever given out, and those of reservations that were taken back.
    used: BTreeSet<u64>,
    reserved: Vec<Reservation>,
    /// What the quota may be set to.
    quotas: &'static [u32],
}

/// What is done with a table.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    /// Puts a value in.
    Insert(u8),
    /// Takes one out.
    Remove(u64),
    /// Takes one out if it has a value.
    RemoveIf(u64, u8),
    /// Changes the value of one.
    Change(u64),
    /// Reserves a place.
    Reserve,
    /// Puts a value in a reserved place.
    Commit(usize, u8),
    /// Gives a reserved place back.
    Rollback(usize),
    /// Takes everything out.
    Clear,
    /// Changes the quota.
    Quota(u32),
}

const fn name(index: u32, generation: u64) -> u64 {
    generation << 24 | index as u64
}

impl<const BITS: u32, const SLOTS: u32> Table<BITS, SLOTS> {
    const IS_NARROW: bool = BITS < GENERATION_BITS;
    const LAST: u64 = (1 << BITS) - 1;

    /// An empty table of the first of some quotas.
    #[must_use]
    pub fn new(quotas: &'static [u32]) -> Self {
        assert!(SLOTS <= MAX_SLOTS);
        Self {
            table: HandleTable::new(quotas[0]),
            live: BTreeMap::new(),
            used: BTreeSet::new(),
            reserved: Vec::new(),
            quotas,
        }
    }

    /// The names that are tried: all where that is few, else those that were used last and some that never were.
    fn names(&self) -> Vec<u64> {
        if Self::IS_NARROW {
            let indices = (0..=SLOTS).chain([(1 << 24) - 1]);
            return indices
                .flat_map(|index| {
                    (0..=Self::LAST + 1).map(move |generation| name(index, generation))
                })
                .collect();
        }
        let made_up = [
            0,
            1,
            u64::MAX,
            name(0, Self::LAST),
            name(3, 7),
            name(MAX_SLOTS - 1, 1),
        ];
        let unknown = made_up.into_iter().filter(|raw| !self.used.contains(raw));
        let old = self.used.iter().rev().step_by(3).take(6).copied();
        self.live
            .keys()
            .copied()
            .chain(old)
            .chain(unknown)
            .collect()
    }

    /// Whether some slot can still take an entry.
    fn has_place(&self) -> bool {
        let open = |index: u32| {
            let generations = self
                .used
                .iter()
                .filter(|raw| (**raw & 0xff_ffff) as u32 == index);
            let ended = (generations.clone().count() as u64) < Self::LAST;
            let taken = self
                .live
                .keys()
                .copied()
                .chain(self.reserved.iter().map(|r| r.handle().raw()));
            ended
                && !taken
                    .into_iter()
                    .any(|raw| (raw & 0xff_ffff) as u32 == index)
        };
        !Self::IS_NARROW || (0..SLOTS).any(open)
    }

    /// Why nothing may be put in now, if so.
    fn refusal(&self) -> Option<HandleError> {
        if self.table.len() + self.table.reserved() >= self.table.quota() {
            return Some(HandleError::OverBudget);
        }
        (!self.has_place()).then_some(HandleError::Retired)
    }

    /// A name that was never one before is one now.
    fn note(&mut self, handle: Handle, value: u8) {
        let raw = handle.raw();
        assert!(self.used.insert(raw), "{raw:#x} names a second thing");
        assert!(
            handle.index() < SLOTS && handle.generation() != 0 && handle.generation() <= Self::LAST
        );
        assert_eq!(
            self.live.insert(raw, value),
            None,
            "two entries of one name"
        );
    }

    fn expected(&self, raw: u64) -> Result<u8, HandleError> {
        match self.live.get(&raw) {
            Some(value) => Ok(*value),
            None if !self.used.contains(&raw) => Err(HandleError::NeverIssued),
            None if Handle::from_raw(raw).generation() == Self::LAST => Err(HandleError::Retired),
            None => Err(HandleError::Stale),
        }
    }

    fn insert(&mut self, value: u8) -> Outcome {
        let refusal = self.refusal();
        match self.table.insert(value) {
            Ok(handle) => {
                assert_eq!(refusal, None, "the quota is kept");
                self.note(handle, value);
                Outcome::Done
            }
            Err((error, back)) => {
                assert_eq!((Some(error), back), (refusal, value));
                Outcome::Refused
            }
        }
    }

    fn remove(&mut self, raw: u64, only: Option<u8>) -> Outcome {
        let expected = self.expected(raw);
        let handle = Handle::from_raw(raw);
        let removed = match only {
            None => self.table.remove(handle).map(Some),
            Some(value) => self.table.remove_if(handle, |found| *found == value),
        };
        match (expected, removed) {
            (Ok(value), Ok(Some(found))) => {
                assert!(found == value && only.is_none_or(|only| only == found));
                self.live.remove(&raw);
                Outcome::Done
            }
            (Ok(value), Ok(None)) => {
                assert!(
                    only.is_some_and(|only| only != value),
                    "what is there was kept back"
                );
                Outcome::Refused
            }
            (expected, removed) => {
                assert_eq!(removed.err(), expected.err(), "{raw:#x}");
                Outcome::Refused
            }
        }
    }

    fn change(&mut self, raw: u64) -> Outcome {
        let found = self.table.get_mut(Handle::from_raw(raw));
        let outcome = Outcome::from(&found);
        match (found, self.live.get_mut(&raw)) {
            (Ok(found), Some(value)) => {
                *value = 3 - *value;
                *found = *value;
            }
            (found, value) => assert!(found.is_err() && value.is_none(), "{raw:#x}"),
        }
        outcome
    }

    fn reserve(&mut self) -> Outcome {
        let refusal = self.refusal();
        let reserved = self.table.reserve();
        let outcome = Outcome::from(&reserved);
        match reserved {
            Ok(reservation) => {
                assert_eq!(refusal, None, "the quota is kept");
                let raw = reservation.handle().raw();
                assert!(
                    !self.used.contains(&raw),
                    "{raw:#x} would name a second thing"
                );
                self.reserved.push(reservation);
            }
            Err(error) => assert_eq!(Some(error), refusal),
        }
        outcome
    }
}

impl<const BITS: u32, const SLOTS: u32> Subject for Table<BITS, SLOTS> {
    type Op = Op;

    fn ops(&self) -> Vec<Op> {
        let mut ops = vec![Op::Insert(1), Op::Insert(2), Op::Reserve, Op::Clear];
        ops.extend(self.names().into_iter().map(Op::Remove));
        ops.extend(self.names().into_iter().map(|raw| Op::RemoveIf(raw, 2)));
        ops.extend(self.names().into_iter().map(Op::Change));
        for at in 0..self.reserved.len() {
            ops.extend([Op::Commit(at, 1), Op::Rollback(at)]);
        }
        ops.extend(self.quotas.iter().copied().map(Op::Quota));
        ops
    }

    fn apply(&mut self, op: Op) -> Outcome {
        match op {
            Op::Insert(value) => return self.insert(value),
            Op::Remove(raw) => return self.remove(raw, None),
            Op::RemoveIf(raw, value) => return self.remove(raw, Some(value)),
            Op::Change(raw) => return self.change(raw),
            Op::Reserve => return self.reserve(),
            Op::Commit(at, value) => {
                let reservation = self.reserved.remove(at);
                assert!(self.table.holds(&reservation));
                let named = reservation.handle();
                assert_eq!(
                    self.table.commit(reservation, value),
                    Ok(named),
                    "once reserved, it is given"
                );
                self.note(named, value);
            }
            Op::Rollback(at) => {
                let reservation = self.reserved.remove(at);
                assert!(self.used.insert(reservation.handle().raw()));
                self.table.rollback(reservation);
            }
            Op::Clear => {
                self.table.clear();
                self.live.clear();
            }
            Op::Quota(quota) => self.table.set_quota(quota),
        }
        Outcome::Done
    }

    fn check(&self) {
        for raw in self.names() {
            let found = self.table.get(Handle::from_raw(raw)).copied();
            assert_eq!(found, self.expected(raw), "{raw:#x}");
        }
        assert_eq!(
            self.table.len() as usize,
            self.live.len(),
            "what is charged is what is there"
        );
        assert_eq!(self.table.reserved() as usize, self.reserved.len());
        let listed: BTreeMap<u64, u8> = self
            .table
            .iter()
            .map(|(handle, value)| (handle.raw(), *value))
            .collect();
        assert_eq!(listed, self.live);
        let (mut from, mut walked) = (Some(0), Vec::new());
        while let Some(at) = from {
            let (handle, next) = self.table.next_live(at, 1);
            walked.extend(handle.map(Handle::raw));
            from = next;
        }
        walked.sort_unstable();
        assert!(
            walked.iter().eq(self.live.keys()),
            "the end of a table finds everything"
        );
        if Self::IS_NARROW {
            let last = |raw: &&u64| Handle::from_raw(**raw).generation() == Self::LAST;
            let ended = self
                .used
                .iter()
                .filter(last)
                .filter(|raw| !self.live.contains_key(raw));
            assert_eq!(self.table.retired() as usize, ended.count());
        }
    }

    fn key(&self, to: &mut String) {
        say(to, &self.table);
        say(to, &self.used);
        say(to, &self.reserved);
    }
}
