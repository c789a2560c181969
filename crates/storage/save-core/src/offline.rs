//! Saving on this machine first, and what of it waits to be brought to a bridge.
//!
//! How far each record was brought, and what was seen of it at the bridge, lies beside it in the same store ([`Slot::mark`]), and is
//! written after it was brought. So the queue is what the marks do not say: it needs no place of its own, and outlives the machine.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use sabotage::sabotage;
use sha2::{Digest as _, Sha256};

use crate::backend::RETRY_AFTER_MS;
use crate::{
    Backend, Condition, Digest, Expect, Facet, Fault, Group, Info, Key, LedgerName, Page, Record,
    Refusal, Remote, RetryKey, SaveStore, Seen, Slot, Uplink, Wire,
};

/// So many names are held at once of what waits, and of what was refused. More are found again in the store.
const MOST: usize = 1024;
/// Names of one look into the store.
const PAGE: usize = 64;
const MAGIC: [u8; 8] = *b"capmark1";
const BODY_BYTES: usize = 80;
const WAITS: Refusal = Refusal::Unavailable {
    retry_after_ms: RETRY_AFTER_MS,
};

/// What a step came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing waits.
    Idle,
    /// Something was brought or refused; there may be more.
    Went,
    /// The bridge, or the way to it, is not there: again in so many milliseconds.
    Wait(u32),
}

/// How far a slot was brought, and what was seen there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Mark {
    near: u64,
    far: u64,
    seen: Option<Seen>,
}

impl Mark {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BODY_BYTES + 32);
        let digest = self.seen.and_then(|seen| seen.digest);
        out.extend(MAGIC);
        out.extend(self.near.to_le_bytes());
        out.extend(self.far.to_le_bytes());
        out.extend(self.seen.map_or(0, |seen| seen.version).to_le_bytes());
        out.extend(u64::from(self.seen.is_some()).to_le_bytes());
        out.extend(u64::from(digest.is_some()).to_le_bytes());
        out.extend(digest.unwrap_or_default());
        let sum: Digest = Sha256::digest(&out).into();
        out.extend(sum);
        out
    }

    /// `None` for whatever [`Mark::encode`] has not made.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(BODY_BYTES)?;
        let good = sum == Digest::from(Sha256::digest(body)) && body.starts_with(&MAGIC);
        let digest = (le::u64(body, 40) == 1).then(|| le::array(body, 48));
        let version = le::u64(body, 24);
        let seen = (le::u64(body, 32) == 1).then_some(Seen { version, digest });
        let mark = Self {
            near: le::u64(body, 8),
            far: le::u64(body, 16),
            seen,
        };
        (good && mark.encode() == bytes).then_some(mark)
    }
}

/// Where in the store one has looked for what waits.
#[derive(Clone, Debug)]
enum Scan {
    In(Group, Option<Slot>),
    Done,
}

/// [`SaveStore`] on this machine, whose newest versions and lines are brought to a bridge, each once, whenever there is a way.
///
/// Nothing waits for the bridge: it is asked in [`Offline::step`] alone, and by whoever asks what lies there.
#[derive(Debug)]
pub struct Offline<N, W> {
    near: Facet<N>,
    far: Remote<W>,
    uplink: Uplink,
    /// Marks as the store has them.
    kept: BTreeMap<Slot, Mark>,
    waiting: BTreeSet<Slot>,
    /// Why something is not there, and does not wait.
    ends: BTreeMap<Slot, Refusal>,
    scan: Scan,
    /// Something was not held in `waiting`: the store is looked through once more.
    again: bool,
}

impl<N: Backend, W: Wire> Offline<N, W> {
    /// With a facet on this machine and the way to a bridge.
    pub fn new(near: Facet<N>, far: Remote<W>) -> Self {
        Self {
            near,
            far,
            uplink: Uplink::default(),
            kept: BTreeMap::new(),
            waiting: BTreeSet::new(),
            ends: BTreeMap::new(),
            scan: match sabotage!(SAVE_SKIP_QUEUE) {
                true => Scan::Done,
                false => Scan::In(Group::Heads, None),
            },
            again: false,
        }
    }

    /// Something new lies in a slot here.
    pub fn changed(&mut self, slot: Slot) {
        if self.waiting.len() < MOST {
            self.waiting.insert(slot);
        } else {
            self.again = true;
        }
    }

    /// Brings one thing up, or finds that nothing waits.
    pub fn step(&mut self) -> Step {
        let slot = match self.next() {
            Ok(Some(slot)) => slot,
            Ok(None) => return Step::Idle,
            Err(_) => return Step::Wait(RETRY_AFTER_MS),
        };
        match self.bring(&slot) {
            Err(Refusal::Unavailable { retry_after_ms }) => return Step::Wait(retry_after_ms),
            Err(refusal) => {
                if self.ends.len() >= MOST {
                    self.ends.pop_first();
                }
                self.ends.insert(slot.clone(), refusal);
            }
            Ok(()) => drop(self.ends.remove(&slot)),
        }
        self.waiting.remove(&slot);
        Step::Went
    }

    /// What waits next. Whatever lies here is looked at once after each start, brought already or not.
    fn next(&mut self) -> Result<Option<Slot>, Fault> {
        loop {
            if let Some(slot) = self.waiting.first() {
                return Ok(Some(slot.clone()));
            }
            let Scan::In(group, after) = self.scan.clone() else {
                if !core::mem::take(&mut self.again) {
                    return Ok(None);
                }
                self.scan = Scan::In(Group::Heads, None);
                continue;
            };
            let (backend, scope) = (&mut self.near.backend, &self.near.scope);
            let listed = backend.list(scope, group, after.as_ref(), PAGE)?;
            self.scan = match (listed.last(), group) {
                (Some(last), group) => Scan::In(group, Some(last.slot.clone())),
                (None, Group::Heads) => Scan::In(Group::Ledgers, None),
                (None, _) => Scan::Done,
            };
            self.waiting
                .extend(listed.into_iter().map(|line| line.slot));
        }
    }

    /// Takes what was kept of a slot, once.
    fn recall(&mut self, slot: &Slot) -> Result<(), Refusal> {
        if self.kept.contains_key(slot) {
            return Ok(());
        }
        let place = Slot::mark(slot);
        let loaded = self.near.backend.load(&self.near.scope, &place)?;
        let mark = match loaded {
            Some(loaded) => Mark::decode(&loaded.bytes).ok_or(Refusal::Damaged)?,
            None => Mark::default(),
        };
        let seen = mark.seen.filter(|_| !sabotage!(SAVE_FORGET_SEEN));
        self.uplink.set(slot.clone(), mark.near, mark.far);
        self.far.remember(slot.clone(), seen);
        self.kept.insert(slot.clone(), mark);
        Ok(())
    }

    /// Keeps what is known of a slot now.
    fn keep(&mut self, slot: &Slot) -> Result<(), Refusal> {
        let (near, far) = self.uplink.mark(slot);
        let seen = self.far.seen(slot);
        let mark = Mark { near, far, seen };
        if self.kept.get(slot) == Some(&mark) {
            return Ok(());
        }
        let (backend, scope) = (&mut self.near.backend, &self.near.scope);
        let place = Slot::mark(slot);
        let there = backend.load(scope, &place)?;
        let only = there.map_or(Condition::Absent, |there| Condition::Is(there.token));
        backend.store(scope, &place, &only, &mark.encode())?;
        self.kept.insert(slot.clone(), mark);
        Ok(())
    }

    fn bring(&mut self, slot: &Slot) -> Result<(), Refusal> {
        self.recall(slot)?;
        let end = match (slot.key(), slot.ledger()) {
            (Some(key), _) => self.bring_record(slot, &key),
            (_, Some(ledger)) => self.bring_lines(slot, &ledger),
            _ => Ok(()),
        };
        let kept = self.keep(slot);
        end.and(kept)
    }

    /// What a write was answered does not count as seen: what is there afterwards must have been made from what was seen before.
    fn bring_record(&mut self, slot: &Slot, key: &Key) -> Result<(), Refusal> {
        let before = self.far.seen(slot);
        let end = self.uplink.bring(&mut self.near, &mut self.far, key);
        self.far.remember(slot.clone(), before);
        end?;
        let found = self.far.get(key)?;
        let there = found.as_ref().map_or(0, |record| record.version);
        let (near, far) = self.uplink.mark(slot);
        judge(there, far)?;
        let (mine, theirs) = (self.near.get(key)?, found);
        let differs = mine
            .filter(|mine| mine.version == near)
            .zip(theirs)
            .is_some_and(|(mine, theirs)| mine.payload != theirs.payload);
        if differs && !sabotage!(SAVE_BELIEVE_BRIDGE) {
            return Err(Refusal::Damaged);
        }
        Ok(())
    }

    fn bring_lines(&mut self, slot: &Slot, ledger: &LedgerName) -> Result<(), Refusal> {
        let before = self.far.seen(slot);
        let end = self
            .uplink
            .bring_lines(&mut self.near, &mut self.far, ledger);
        self.far.remember(slot.clone(), before);
        end?;
        let mut from = before.map_or(0, |seen| seen.version.saturating_sub(1));
        loop {
            let page = self.far.read_ledger(ledger, from)?;
            from = from.saturating_add(page.items.len() as u64);
            if !page.more || page.items.is_empty() {
                break;
            }
        }
        judge(from, self.uplink.mark(slot).1)
    }

    /// What has become of a slot at the bridge, as far as is known without asking: the version here that was brought last, and what it
    /// became there.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`] while it waits; else why it is not there and does not wait.
    pub fn brought(&mut self, slot: &Slot) -> Result<(u64, u64), Refusal> {
        self.recall(slot)?;
        if let Some(refusal) = self.ends.get(slot) {
            return Err(*refusal);
        }
        let (near, far) = self.uplink.mark(slot);
        let here = match (slot.key(), slot.ledger()) {
            (Some(key), _) => self.near.get(&key)?.map_or(0, |record| record.version),
            (_, Some(_)) => near,
            _ => return Err(Refusal::BadName),
        };
        let waits = self.waiting.contains(slot) || self.again || !matches!(self.scan, Scan::Done);
        match waits || here != near {
            true => Err(WAITS),
            false => Ok((near, far)),
        }
    }

    /// The newest version at the bridge, whatever was seen before.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn theirs(&mut self, key: &Key) -> Result<Option<Record>, Refusal> {
        self.far.peek(key)
    }

    /// Takes it that the bridge has that version of a record, 0 for none: the newest here goes on top of it, and what was seen before
    /// counts no more. Whoever calls it has merged what lies there into what lies here.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] where another one is there; else see [`Refusal`].
    pub fn settle(&mut self, key: &Key, version: u64) -> Result<(), Refusal> {
        let slot = Slot::head(key);
        self.recall(&slot)?;
        let there = self.far.peek(key)?;
        let current = there.as_ref().map_or(0, |record| record.version);
        if current != version {
            return Err(Refusal::Conflict { current });
        }
        let seen = there.map(|record| Seen {
            version,
            digest: Some(record.digest),
        });
        self.uplink.set(slot.clone(), 0, version);
        self.far.remember(slot.clone(), seen);
        self.keep(&slot)?;
        self.ends.remove(&slot);
        self.changed(slot);
        Ok(())
    }
}

/// What is there is what was brought; more is another's, and less is a bridge that takes back.
fn judge(there: u64, brought: u64) -> Result<(), Refusal> {
    if there > brought {
        return Err(Refusal::Conflict { current: there });
    }
    if there < brought && !sabotage!(SAVE_BELIEVE_BRIDGE) {
        return Err(Refusal::Rollback {
            seen: brought,
            found: there,
        });
    }
    Ok(())
}

impl<N: Backend, W: Wire> SaveStore for Offline<N, W> {
    fn info(&self) -> Info {
        self.near.info()
    }

    fn get(&mut self, key: &Key) -> Result<Option<Record>, Refusal> {
        self.near.get(key)
    }

    fn put(
        &mut self,
        key: &Key,
        expect: Expect,
        retry: RetryKey,
        payload: &[u8],
    ) -> Result<u64, Refusal> {
        let version = self.near.put(key, expect, retry, payload)?;
        self.changed(Slot::head(key));
        Ok(version)
    }

    fn append(
        &mut self,
        ledger: &LedgerName,
        length: u64,
        retry: RetryKey,
        payload: &[u8],
    ) -> Result<u64, Refusal> {
        let length = self.near.append(ledger, length, retry, payload)?;
        self.changed(Slot::length(ledger));
        Ok(length)
    }

    fn read_ledger(&mut self, ledger: &LedgerName, from: u64) -> Result<Page<Record>, Refusal> {
        self.near.read_ledger(ledger, from)
    }

    fn list(&mut self, after: Option<&Key>) -> Result<Page<Key>, Refusal> {
        self.near.list(after)
    }

    fn history(&mut self, key: &Key) -> Result<Vec<Record>, Refusal> {
        self.near.history(key)
    }
}
