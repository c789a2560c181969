//! [`SaveStore`] at the other end of a wire: the bridge does the work, and this side remembers what it has seen.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use sabotage::sabotage;

use crate::wire::{Answer, Call};
use crate::{
    Digest, Expect, Fault, Info, Key, LedgerName, Limits, Page, Record, Refusal, RetryKey,
    SaveStore, Slot, Writer,
};

/// Brings one call to the bridge and its answer back.
pub trait Wire {
    /// Sends a call.
    ///
    /// # Errors
    /// [`Fault::Lost`] where no whole answer came, [`Fault::Busy`] where the bridge said so.
    fn call(&mut self, call: &[u8]) -> Result<Vec<u8>, Fault>;
}

/// What was seen of a record or ledger at a bridge. Whoever keeps it notices what the bridge takes back while nobody looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Its version, or a ledger's length.
    pub version: u64,
    /// The sum of that version, or of a ledger's last line; not known of what was only written.
    pub digest: Option<Digest>,
}

/// The client's end. It neither knows a tenant nor a provider's credential: the token that goes with the wire says who
/// it is.
#[derive(Debug)]
pub struct Remote<W> {
    wire: W,
    writer: Writer,
    /// `None` until the bridge was asked.
    info: Option<Info>,
    seen: BTreeMap<Slot, Seen>,
}

impl<W: Wire> Remote<W> {
    /// Asks the bridge for its bounds.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn connect(wire: W, writer: Writer) -> Result<Self, Refusal> {
        let mut remote = Self::new(wire, writer);
        remote.bounds()?;
        Ok(remote)
    }

    /// One that asks nothing before it must.
    pub const fn new(wire: W, writer: Writer) -> Self {
        Self {
            wire,
            writer,
            info: None,
            seen: BTreeMap::new(),
        }
    }

    /// The bridge's bounds.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn bounds(&mut self) -> Result<Info, Refusal> {
        if let Some(info) = self.info {
            return Ok(info);
        }
        match self.ask(&Call::Info)? {
            Answer::Info(info) => Ok(*self.info.insert(info)),
            _ => Err(Refusal::Damaged),
        }
    }

    /// What was seen of a slot, to be kept.
    #[must_use]
    pub fn seen(&self, slot: &Slot) -> Option<Seen> {
        self.seen.get(slot).copied()
    }

    /// Takes what was kept, or what is to count as seen from now on.
    pub fn remember(&mut self, slot: Slot, seen: Option<Seen>) {
        match seen {
            Some(seen) => drop(self.seen.insert(slot, seen)),
            None => drop(self.seen.remove(&slot)),
        }
    }

    /// The newest version, whatever was seen before. Whoever asks decides.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn peek(&mut self, key: &Key) -> Result<Option<Record>, Refusal> {
        match self.ask(&Call::Get(key.clone()))? {
            Answer::Got(found) => Ok(found),
            _ => Err(Refusal::Damaged),
        }
    }

    fn ask(&mut self, call: &Call) -> Result<Answer, Refusal> {
        ask(&mut self.wire, self.writer, call)
    }

    /// What a write was answered. A conflict with less than was seen is none: the bridge has taken something back.
    fn written(&mut self, slot: &Slot, call: &Call) -> Result<u64, Refusal> {
        let seen = self.seen.get(slot).map_or(0, |seen| seen.version);
        match self.ask(call) {
            Ok(Answer::Version(version)) => {
                self.wrote(slot.clone(), version);
                Ok(version)
            }
            Ok(_) => Err(Refusal::Damaged),
            Err(Refusal::Conflict { current })
                if current < seen && !sabotage!(SAVE_BELIEVE_BRIDGE) =>
            {
                let found = current;
                Err(Refusal::Rollback { seen, found })
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Compares a version with what was seen, and remembers it.
    fn see(&mut self, slot: Slot, found: u64, digest: Option<Digest>) -> Result<(), Refusal> {
        if let Some(old) = self.seen.get(&slot).copied() {
            let seen = old.version;
            let other = old.digest.zip(digest).is_some_and(|(old, new)| old != new);
            let back = found < seen || (found == seen && other);
            if back && !sabotage!(SAVE_BELIEVE_BRIDGE) {
                return Err(Refusal::Rollback { seen, found });
            }
            if found == seen && digest.is_none() {
                return Ok(());
            }
        }
        if found > 0 {
            let version = found;
            self.seen.insert(slot, Seen { version, digest });
        }
        Ok(())
    }

    /// Whether a newer version was made from the one that was seen. Where versions between the two are kept no more, the way back
    /// ends there.
    fn descends(&mut self, key: &Key, newer: &Record) -> Result<(), Refusal> {
        let seen = self.seen.get(&Slot::head(key)).copied();
        let Some((seen, digest)) = seen.and_then(|seen| Some((seen.version, seen.digest?))) else {
            return Ok(());
        };
        let found = newer.version;
        if found <= seen || sabotage!(SAVE_BELIEVE_BRIDGE) {
            return Ok(());
        }
        let back = Err(Refusal::Rollback { seen, found });
        let first = seen.saturating_add(1);
        if found == first {
            return if newer.previous == digest {
                Ok(())
            } else {
                back
            };
        }
        let kept = self.bounds()?.limits.kept_versions;
        let Answer::Records(page) = self.ask(&Call::History(key.clone()))? else {
            return Err(Refusal::Damaged);
        };
        let at = |version| page.items.iter().find(|record| record.version == version);
        // Others may write meanwhile; then what was found is kept still, or a longer way than any was gone.
        let newest = page.items.last().map_or(0, |record| record.version);
        let is_gone = |version: u64| version < newest.saturating_sub(kept.into());
        let has = at(found).is_some_and(|record| record.digest == newer.digest);
        let leads = at(first).is_some_and(|record| record.previous == digest);
        let good = chained(&page.items).is_none() && newest >= found;
        match good && (has || is_gone(found)) && (leads || is_gone(first)) {
            true => Ok(()),
            false => back,
        }
    }

    /// A write answers what it made, which may be older than what was seen if it was asked for again.
    fn wrote(&mut self, slot: Slot, version: u64) {
        let seen = self.seen.get(&slot).map_or(0, |seen| seen.version);
        if version > seen {
            let digest = None;
            self.seen.insert(slot, Seen { version, digest });
        }
    }

    /// Whether lines from a place on have the last one that was seen, as it was.
    fn keeps(&self, ledger: &LedgerName, from: u64, lines: &[Record]) -> bool {
        let seen = self.seen.get(&Slot::length(ledger)).copied();
        let Some((length, digest)) = seen.and_then(|seen| Some((seen.version, seen.digest?)))
        else {
            return true;
        };
        let first = lines.first().filter(|_| from == length);
        let behind = first.is_none_or(|line| line.previous == digest);
        let last = lines
            .iter()
            .find(|line| line.version.checked_add(1) == Some(length));
        let same = last.is_none_or(|line| line.digest == digest);
        (behind && same) || sabotage!(SAVE_BELIEVE_BRIDGE)
    }
}

fn ask(wire: &mut impl Wire, writer: Writer, call: &Call) -> Result<Answer, Refusal> {
    let answer = wire.call(&call.encode(writer))?;
    match Answer::decode(&answer) {
        Some(Answer::Refused(refusal)) => Err(refusal),
        Some(answer) => Ok(answer),
        None => Err(Refusal::Damaged),
    }
}

/// Whether each record names the one before it.
fn chained(records: &[Record]) -> Option<usize> {
    let broken = |pair: &[Record]| {
        let [one, two] = pair else { return false };
        two.previous != one.digest || one.version.checked_add(1) != Some(two.version)
    };
    records.windows(2).position(broken)
}

impl<W: Wire> SaveStore for Remote<W> {
    fn info(&self) -> Info {
        let usual = Info {
            limits: Limits::USUAL,
            schema: self.writer.schema,
        };
        self.info.unwrap_or(usual)
    }

    fn get(&mut self, key: &Key) -> Result<Option<Record>, Refusal> {
        let found = self.peek(key)?;
        if let Some(record) = &found {
            self.descends(key, record)?;
        }
        let version = found.as_ref().map_or(0, |record| record.version);
        let digest = found.as_ref().map(|record| record.digest);
        self.see(Slot::head(key), version, digest)?;
        Ok(found)
    }

    fn put(
        &mut self,
        key: &Key,
        expect: Expect,
        retry: RetryKey,
        payload: &[u8],
    ) -> Result<u64, Refusal> {
        let call = Call::Put(key.clone(), expect, retry, payload.to_vec());
        self.written(&Slot::head(key), &call)
    }

    fn append(
        &mut self,
        ledger: &LedgerName,
        length: u64,
        retry: RetryKey,
        payload: &[u8],
    ) -> Result<u64, Refusal> {
        let call = Call::Append(ledger.clone(), length, retry, payload.to_vec());
        self.written(&Slot::length(ledger), &call)
    }

    fn read_ledger(&mut self, ledger: &LedgerName, from: u64) -> Result<Page<Record>, Refusal> {
        let Answer::Records(page) = self.ask(&Call::ReadLedger(ledger.clone(), from))? else {
            return Err(Refusal::Damaged);
        };
        let starts = page.items.first().is_none_or(|line| line.version == from);
        if let Some(at) = chained(&page.items).or((!starts).then_some(0)) {
            let index = from.saturating_add(at as u64);
            return Err(Refusal::LedgerRewrite { index });
        }
        if !self.keeps(ledger, from, &page.items) {
            let seen = self.seen.get(&Slot::length(ledger));
            let index = seen.map_or(0, |seen| seen.version.saturating_sub(1));
            return Err(Refusal::LedgerRewrite { index });
        }
        if !page.more {
            let end = page
                .items
                .last()
                .map(|line| (line.version.saturating_add(1), line.digest));
            let seen = self
                .seen
                .get(&Slot::length(ledger))
                .map_or(0, |seen| seen.version);
            match end {
                Some((length, digest)) => self.see(Slot::length(ledger), length, Some(digest))?,
                None if from < seen => return Err(Refusal::Rollback { seen, found: from }),
                None => {}
            }
        }
        Ok(page)
    }

    fn list(&mut self, after: Option<&Key>) -> Result<Page<Key>, Refusal> {
        match self.ask(&Call::List(after.cloned()))? {
            Answer::Keys(page) => Ok(page),
            _ => Err(Refusal::Damaged),
        }
    }

    fn history(&mut self, key: &Key) -> Result<Vec<Record>, Refusal> {
        let Answer::Records(page) = self.ask(&Call::History(key.clone()))? else {
            return Err(Refusal::Damaged);
        };
        if let Some(at) = chained(&page.items) {
            let seen = page.items[at].version;
            return Err(Refusal::Rollback { seen, found: seen });
        }
        let newest = page
            .items
            .last()
            .map(|record| (record.version, record.digest));
        let version = newest.map_or(0, |(version, _)| version);
        self.see(Slot::head(key), version, newest.map(|(_, digest)| digest))?;
        Ok(page.items)
    }
}

/// What a bridge does with a call: the same methods at any store.
pub fn serve(store: &mut dyn SaveStore, call: Call) -> Answer {
    let answer = match call {
        Call::Info => Ok(Answer::Info(store.info())),
        Call::Get(key) => store.get(&key).map(Answer::Got),
        Call::Put(key, expect, retry, payload) => store
            .put(&key, expect, retry, &payload)
            .map(Answer::Version),
        Call::Append(ledger, length, retry, payload) => store
            .append(&ledger, length, retry, &payload)
            .map(Answer::Version),
        Call::ReadLedger(ledger, from) => store.read_ledger(&ledger, from).map(Answer::Records),
        Call::List(after) => store.list(after.as_ref()).map(Answer::Keys),
        Call::History(key) => {
            let more = false;
            let items = store.history(&key);
            items.map(|items| Answer::Records(Page { items, more }))
        }
    };
    answer.unwrap_or_else(Answer::Refused)
}
