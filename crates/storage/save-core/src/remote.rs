//! [`SaveStore`] at the other end of a wire: the bridge does the work, and this side remembers what it has seen.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use sabotage::sabotage;

use crate::wire::{Answer, Call};
use crate::{
    Digest, Expect, Fault, Info, Key, LedgerName, Page, Record, Refusal, RetryKey, SaveStore, Slot,
    Writer,
};

/// Brings one call to the bridge and its answer back.
pub trait Wire {
    /// Sends a call.
    ///
    /// # Errors
    /// [`Fault::Lost`] where no whole answer came, [`Fault::Busy`] where the bridge said so.
    fn call(&mut self, call: &[u8]) -> Result<Vec<u8>, Fault>;
}

/// What was seen of a record or ledger. The sum is not known of what was only written.
#[derive(Clone, Copy, Debug)]
struct Seen {
    version: u64,
    digest: Option<Digest>,
}

/// The client's end. It neither knows a tenant nor a provider's credential: the token that goes with the wire says who
/// it is.
#[derive(Debug)]
pub struct Remote<W> {
    wire: W,
    writer: Writer,
    info: Info,
    seen: BTreeMap<Slot, Seen>,
}

impl<W: Wire> Remote<W> {
    /// Asks the bridge for its bounds.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn connect(mut wire: W, writer: Writer) -> Result<Self, Refusal> {
        match ask(&mut wire, writer, &Call::Info)? {
            Answer::Info(info) => Ok(Self {
                wire,
                writer,
                info,
                seen: BTreeMap::new(),
            }),
            _ => Err(Refusal::Damaged),
        }
    }

    fn ask(&mut self, call: &Call) -> Result<Answer, Refusal> {
        ask(&mut self.wire, self.writer, call)
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

    /// A write answers what it made, which may be older than what was seen if it was asked for again.
    fn wrote(&mut self, slot: Slot, version: u64) {
        let seen = self.seen.get(&slot).map_or(0, |seen| seen.version);
        if version > seen {
            let digest = None;
            self.seen.insert(slot, Seen { version, digest });
        }
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
        self.info
    }

    fn get(&mut self, key: &Key) -> Result<Option<Record>, Refusal> {
        let Answer::Got(found) = self.ask(&Call::Get(key.clone()))? else {
            return Err(Refusal::Damaged);
        };
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
        let Answer::Version(version) = self.ask(&call)? else {
            return Err(Refusal::Damaged);
        };
        self.wrote(Slot::head(key), version);
        Ok(version)
    }

    fn append(
        &mut self,
        ledger: &LedgerName,
        length: u64,
        retry: RetryKey,
        payload: &[u8],
    ) -> Result<u64, Refusal> {
        let call = Call::Append(ledger.clone(), length, retry, payload.to_vec());
        let Answer::Version(length) = self.ask(&call)? else {
            return Err(Refusal::Damaged);
        };
        self.wrote(Slot::length(ledger), length);
        Ok(length)
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
        if !page.more {
            let end = page
                .items
                .last()
                .map(|line| (line.version + 1, line.digest));
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
