//! One tenant's profile, as whoever saves sees it: no method names a tenant or a profile.

use alloc::vec::Vec;

use sabotage::sabotage;

use crate::backend::RETRY_AFTER_MS;
use crate::{
    Anchor, Anchors, Backend, Condition, Digest, Envelope, Fault, Group, Info, Key, Kind,
    LedgerName, Limits, Name, RECENT, Refusal, Scope, Slot, Token,
};

/// How often a call looks again after it met another writer or heard nothing.
pub(crate) const TRIES: u32 = 4;

/// Names one call, however often it is made: a random number. Zeroes name none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryKey(pub [u8; 16]);

impl RetryKey {
    /// Names no call.
    pub const NONE: Self = Self([0; 16]);

    pub(crate) fn is(self, other: Self) -> bool {
        self == other && self != Self::NONE
    }
}

/// What must be there for a record to be put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expect {
    /// Nothing.
    Absent,
    /// That version.
    Version(u64),
    /// Whatever there is.
    Any,
}

impl Expect {
    fn allows(self, current: u64) -> bool {
        match self {
            Self::Absent => current == 0,
            Self::Version(version) => version == current && version != 0,
            Self::Any => true,
        }
    }
}

/// What was saved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// From 1 on; a line's place in its ledger, from 0 on.
    pub version: u64,
    /// The application's format.
    pub schema: u32,
    /// Who wrote it.
    pub epoch: u64,
    /// The sum over all of it.
    pub digest: Digest,
    /// The sum of the version or line before; zeroes in the first.
    pub previous: Digest,
    /// The application's bytes.
    pub payload: Vec<u8>,
}

/// A part of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// The lines.
    pub items: Vec<T>,
    /// Whether there are more behind the last.
    pub more: bool,
}

/// Saving, for whoever holds it. The same whatever lies behind.
pub trait SaveStore {
    /// Bounds and schema.
    fn info(&self) -> Info;

    /// The newest version of a record.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn get(&mut self, key: &Key) -> Result<Option<Record>, Refusal>;

    /// Makes a new version, and answers which. With [`Expect::Version`] this is compare-and-set. The same call with the
    /// same retry key, made again, answers the same and saves nothing.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn put(
        &mut self,
        key: &Key,
        expect: Expect,
        retry: RetryKey,
        payload: &[u8],
    ) -> Result<u64, Refusal>;

    /// Adds a line to a ledger that has `length` lines, and answers how many it has then. As for [`SaveStore::put`], the
    /// same call made again adds nothing.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn append(
        &mut self,
        ledger: &LedgerName,
        length: u64,
        retry: RetryKey,
        payload: &[u8],
    ) -> Result<u64, Refusal>;

    /// Lines of a ledger from a place on.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn read_ledger(&mut self, ledger: &LedgerName, from: u64) -> Result<Page<Record>, Refusal>;

    /// The names of records behind one, in their order: profiles after checkpoints.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn list(&mut self, after: Option<&Key>) -> Result<Page<Key>, Refusal>;

    /// The versions of a record that are kept, the oldest first, the newest included.
    ///
    /// # Errors
    /// See [`Refusal`].
    fn history(&mut self, key: &Key) -> Result<Vec<Record>, Refusal>;
}

/// Who writes through a facet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Writer {
    /// The schema version that it writes, and the newest that it reads.
    pub schema: u32,
    /// Higher for each that takes over from another, which can write no more from the first write of the new one on.
    pub epoch: u64,
}

/// [`SaveStore`] over a store. Whoever mints it chooses the scope, once; whoever holds it cannot name another.
#[derive(Debug)]
pub struct Facet<B> {
    pub(crate) backend: B,
    pub(crate) scope: Scope,
    pub(crate) limits: Limits,
    pub(crate) writer: Writer,
    pub(crate) anchors: Anchors,
    /// The schema of what is written.
    schema: u32,
}

/// A record that was compared.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub token: Token,
    pub envelope: Envelope,
    pub digest: Digest,
}

impl Held {
    fn anchor(&self) -> Anchor {
        let version = self.envelope.version;
        let digest = self.digest;
        Anchor { version, digest }
    }
}

impl From<Held> for Record {
    fn from(held: Held) -> Self {
        let envelope = held.envelope;
        Self {
            version: envelope.version,
            schema: envelope.schema,
            epoch: envelope.epoch,
            digest: held.digest,
            previous: envelope.previous,
            payload: envelope.payload,
        }
    }
}

impl<B: Backend> Facet<B> {
    /// Mints a facet. `anchors` are those that the last one left, or none.
    pub fn mint(
        backend: B,
        scope: Scope,
        limits: Limits,
        writer: Writer,
        anchors: Anchors,
    ) -> Self {
        Self {
            backend,
            scope,
            limits,
            writer,
            anchors,
            schema: writer.schema,
        }
    }

    /// The same facet, which writes what is of an older schema than the writer's own.
    #[must_use]
    pub fn writing(mut self, schema: u32) -> Self {
        self.schema = schema.min(self.writer.schema);
        self
    }

    /// What was seen so far, to be kept for the next facet of this scope.
    #[must_use]
    pub const fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// The same, when the facet is used no more.
    #[must_use]
    pub fn into_anchors(self) -> Anchors {
        self.anchors
    }

    /// Loads what must be a record of that kind, name and version.
    pub(crate) fn open(
        &mut self,
        slot: &Slot,
        kind: Kind,
        name: &Name,
    ) -> Result<Option<Held>, Refusal> {
        let Some(loaded) = self.backend.load(&self.scope, slot)? else {
            return Ok(None);
        };
        let (envelope, digest) = Envelope::decode(&loaded.bytes)?;
        let ours = envelope.scope == self.scope && envelope.kind == kind && envelope.name == *name;
        if !ours && !sabotage!(SAVE_ANY_PROFILE) {
            return Err(Refusal::WrongProfile);
        }
        let found = envelope.schema;
        if found > self.writer.schema && !sabotage!(SAVE_ANY_SCHEMA) {
            return Err(Refusal::WrongSchema { found });
        }
        let token = loaded.token;
        Ok(Some(Held {
            token,
            envelope,
            digest,
        }))
    }

    /// An earlier version, which must be there.
    fn past(&mut self, key: &Key, version: u64) -> Result<Held, Refusal> {
        let missing = Refusal::Rollback {
            seen: version,
            found: 0,
        };
        let held = self.open(&Slot::past(key, version), key.kind(), key.name())?;
        let held = held.ok_or(missing)?;
        (held.envelope.version == version)
            .then_some(held)
            .ok_or(Refusal::Damaged)
    }

    /// The oldest version that is kept when `newest` is the newest.
    fn oldest(&self, newest: u64) -> u64 {
        newest
            .saturating_sub(u64::from(self.limits.kept_versions))
            .max(1)
    }

    /// The newest version, compared with what was seen. Other writers may let go of versions while this one compares
    /// them; then the newest is another by now, and everything is compared anew.
    fn head(&mut self, key: &Key) -> Result<Option<Held>, Refusal> {
        let slot = Slot::head(key);
        let mut before = None;
        for _ in 0..TRIES {
            let held = self.open(&slot, key.kind(), key.name())?;
            let found = held.as_ref().map_or(0, |held| held.envelope.version);
            if held.is_some() && found == 0 {
                return Err(Refusal::Damaged);
            }
            let judged = match self.anchors.of(&slot) {
                Some(anchor) => self.descends(key, anchor, held.as_ref(), found),
                None => Ok(()),
            };
            match judged {
                Ok(()) => {
                    if let Some(held) = &held {
                        self.anchors.see(slot, held.anchor());
                    }
                    return Ok(held);
                }
                Err(refusal) if before == Some(found) => return Err(refusal),
                Err(Refusal::Rollback { .. }) => before = Some(found),
                Err(refusal) => return Err(refusal),
            }
        }
        let retry_after_ms = RETRY_AFTER_MS;
        Err(Refusal::Unavailable { retry_after_ms })
    }

    /// Whether a head is what was seen or was made from it. Each version names the sum of the one before it, so one way
    /// back to the anchor is enough; where versions between them are not kept any more, the way ends there.
    fn descends(
        &mut self,
        key: &Key,
        anchor: Anchor,
        held: Option<&Held>,
        found: u64,
    ) -> Result<(), Refusal> {
        let seen = anchor.version;
        let back = Refusal::Rollback { seen, found };
        if sabotage!(SAVE_BELIEVE_PROVIDER) {
            return Ok(());
        }
        let Some(held) = held.filter(|_| found >= seen) else {
            return Err(back);
        };
        if found == seen {
            return (held.digest == anchor.digest).then_some(()).ok_or(back);
        }
        let mut previous = held.envelope.previous;
        for version in (seen + 1..found).rev() {
            if version < self.oldest(found) {
                return Ok(());
            }
            let past = self.past(key, version)?;
            if past.digest != previous {
                return Err(back);
            }
            previous = past.envelope.previous;
        }
        (previous == anchor.digest).then_some(()).ok_or(back)
    }

    /// Whether the call that `retry` names made a version already, and which.
    fn done(
        &mut self,
        key: &Key,
        expect: Expect,
        retry: RetryKey,
        head: &Held,
    ) -> Result<Option<u64>, Refusal> {
        let current = head.envelope.version;
        if sabotage!(SAVE_FORGET_RETRY) {
            return Ok(None);
        }
        let recent = head.envelope.retry.iter().zip(0..);
        let back = recent
            .filter(|(key, _)| key.is(retry))
            .map(|(_, back)| back)
            .next();
        if let Some(version) = back.and_then(|back| current.checked_sub(back)) {
            return Ok(Some(version));
        }
        // Further back only the version that the call would have made can be its own.
        let made = match expect {
            Expect::Absent => 1,
            Expect::Version(version) => version.saturating_add(1),
            Expect::Any => return Ok(None),
        };
        let carried = current.saturating_sub(RECENT as u64);
        if made < self.oldest(current) || made >= carried {
            return Ok(None);
        }
        let past = self.past(key, made)?;
        Ok(past.envelope.retry[0].is(retry).then_some(made))
    }

    /// Keeps a copy of the newest version. It happens before the next one takes its place: a crash between the two
    /// leaves a copy too many, the other order would leave a hole in the history.
    fn keep(&mut self, key: &Key, head: &Held) -> Result<(), Refusal> {
        let slot = Slot::past(key, head.envelope.version);
        let (bytes, _) = head.envelope.encode();
        match self
            .backend
            .store(&self.scope, &slot, &Condition::Absent, &bytes)
        {
            Ok(()) => Ok(()),
            Err(Fault::Precondition | Fault::Lost) => {
                let there = self.open(&slot, key.kind(), key.name())?;
                let same = there.as_ref().map(|there| there.digest == head.digest);
                match same {
                    Some(true) => Ok(()),
                    Some(false) => Err(Refusal::Rollback {
                        seen: head.envelope.version,
                        found: head.envelope.version,
                    }),
                    None => Err(Fault::Lost.into()),
                }
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// The versions that are kept, the oldest first.
    fn versions(&mut self, key: &Key, head: Held) -> Result<Vec<Record>, Refusal> {
        let newest = head.envelope.version;
        let mut previous = head.envelope.previous;
        let mut records: Vec<Record> = [head.into()].into();
        for version in (self.oldest(newest)..newest).rev() {
            let past = self.past(key, version)?;
            if past.digest != previous && !sabotage!(SAVE_BELIEVE_PROVIDER) {
                let (seen, found) = (version, version);
                return Err(Refusal::Rollback { seen, found });
            }
            previous = past.envelope.previous;
            records.push(past.into());
        }
        records.reverse();
        Ok(records)
    }

    fn next(&self, key: &Key, head: Option<&Held>, retry: RetryKey, payload: &[u8]) -> Envelope {
        let mut keys = [RetryKey::NONE; RECENT + 1];
        keys[0] = retry;
        if let Some(head) = head {
            keys[1..].copy_from_slice(&head.envelope.retry[..RECENT]);
        }
        Envelope {
            scope: self.scope,
            kind: key.kind(),
            name: key.name().clone(),
            schema: self.schema,
            version: head.map_or(1, |head| head.envelope.version + 1),
            epoch: self.writer.epoch,
            retry: keys,
            previous: head.map_or([0; 32], |head| head.digest),
            payload: payload.to_vec(),
        }
    }

    /// Refuses who was taken over from.
    pub(crate) fn fence(&self, epoch: u64) -> Result<(), Refusal> {
        let over = epoch > self.writer.epoch && !sabotage!(SAVE_ANY_EPOCH);
        if over {
            Err(Refusal::Fenced { epoch })
        } else {
            Ok(())
        }
    }

    /// Lets go of the version that is kept no more. One that a failure leaves there stays.
    fn prune(&mut self, key: &Key, newest: u64) {
        let gone = self.oldest(newest).saturating_sub(1);
        if gone > 0 {
            let _ = self.backend.remove(&self.scope, &Slot::past(key, gone));
        }
    }
}

impl<B: Backend> SaveStore for Facet<B> {
    fn info(&self) -> Info {
        Info {
            limits: self.limits,
            schema: self.writer.schema,
        }
    }

    fn get(&mut self, key: &Key) -> Result<Option<Record>, Refusal> {
        Ok(self.head(key)?.map(|held| held.into()))
    }

    fn put(
        &mut self,
        key: &Key,
        expect: Expect,
        retry: RetryKey,
        payload: &[u8],
    ) -> Result<u64, Refusal> {
        self.limits.check(key.kind(), payload)?;
        for _ in 0..TRIES {
            let head = self.head(key)?;
            if let Some(head) = &head
                && let Some(version) = self.done(key, expect, retry, head)?
            {
                return Ok(version);
            }
            let current = head.as_ref().map_or(0, |head| head.envelope.version);
            if !expect.allows(current) && !sabotage!(SAVE_ANY_VERSION) {
                return Err(Refusal::Conflict { current });
            }
            if let Some(head) = &head {
                self.fence(head.envelope.epoch)?;
                self.keep(key, head)?;
            }
            let slot = Slot::head(key);
            let next = self.next(key, head.as_ref(), retry, payload);
            let (bytes, digest) = next.encode();
            let only = head.map_or(Condition::Absent, |head| Condition::Is(head.token));
            match self.backend.store(&self.scope, &slot, &only, &bytes) {
                Ok(()) => {
                    let version = next.version;
                    self.anchors.see(slot, Anchor { version, digest });
                    self.prune(key, version);
                    return Ok(version);
                }
                // Another writer was faster, or this very write happened and its answer was lost: what is there now tells.
                Err(Fault::Precondition | Fault::Lost) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        let retry_after_ms = RETRY_AFTER_MS;
        Err(Refusal::Unavailable { retry_after_ms })
    }

    fn append(
        &mut self,
        ledger: &LedgerName,
        length: u64,
        retry: RetryKey,
        payload: &[u8],
    ) -> Result<u64, Refusal> {
        self.limits.check(Kind::Entry, payload)?;
        self.append_line(ledger, length, retry, payload)
    }

    fn read_ledger(&mut self, ledger: &LedgerName, from: u64) -> Result<Page<Record>, Refusal> {
        self.read_lines(ledger, from)
    }

    fn list(&mut self, after: Option<&Key>) -> Result<Page<Key>, Refusal> {
        let most = self.limits.page as usize;
        let after = after.map(Slot::head);
        let listed = self
            .backend
            .list(&self.scope, Group::Heads, after.as_ref(), most + 1)?;
        let more = listed.len() > most;
        let keys = listed.iter().take(most).map(|line| line.slot.key());
        let items = keys.collect::<Option<Vec<Key>>>().ok_or(Refusal::Damaged)?;
        Ok(Page { items, more })
    }

    fn history(&mut self, key: &Key) -> Result<Vec<Record>, Refusal> {
        let mut before = None;
        for _ in 0..TRIES {
            let Some(head) = self.head(key)? else {
                return Ok(Vec::new());
            };
            let newest = head.envelope.version;
            match self.versions(key, head) {
                Err(Refusal::Rollback { .. }) if before != Some(newest) => before = Some(newest),
                end => return end,
            }
        }
        let retry_after_ms = RETRY_AFTER_MS;
        Err(Refusal::Unavailable { retry_after_ms })
    }
}
