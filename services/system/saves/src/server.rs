//! The service: which facet a call came through, and what it asks of that facet's store.

mod opening;
mod sealing;

use sabotage::sabotage;
use save_core::{Expect, Key, LedgerName, Limits, Name, Page, Record, RetryKey, SaveStore, Slot};
use sdk::alloc::boxed::Box;
use sdk::alloc::vec::Vec;
use sdk::saving::capsules;
use sdk::saving::save_store::{self, End, Kind, Named};
use sdk::{Answered, Call, EntropySource, NEVER, Received, Refusal, Reply, Service, Timer};

use crate::kept::Kept;
use crate::near::Near;
use crate::options;
use crate::sealer::Sealer;
use crate::server::opening::{kept, opened, sealer};
use crate::way::Way;

/// Bytes of records that one answer may hold, unless it is one record; what is left over comes with the next one.
const PAGE_BYTES: usize = 16 * 1024;
/// Bytes of a record besides its payload.
const RECORD_BYTES: usize = 128;

/// Where all saves lie, and what leads there.
pub enum Stores {
    /// At a bridge.
    Bridge(Way),
    /// On this machine, and from there at a bridge where there is a way.
    Here {
        near: Near,
        way: Option<Way>,
        timer: Option<Timer>,
    },
}

/// The service.
pub struct Server {
    exports: Vec<Exported>,
    stores: Stores,
    /// Where there are capsules.
    entropy: Option<EntropySource>,
}

/// What an export stands for.
enum Exported {
    Facet(Minted),
    Capsules(Box<Sealer>),
}

struct Minted {
    facet: options::Facet,
    /// There once it was asked for: a bridge may not be reached yet.
    store: Option<Store>,
}

/// A facet's store.
enum Store {
    Plain(Box<dyn SaveStore>),
    Kept(Box<Kept>),
}

/// What did not come of a call.
enum Not {
    /// The client's call is none.
    Asked(Refusal),
    /// The store says so.
    Done(save_core::Refusal),
}

impl From<save_core::Refusal> for Not {
    fn from(refusal: save_core::Refusal) -> Self {
        match refusal {
            save_core::Refusal::BadName => Self::Asked(Refusal::BadArgument),
            refusal => Self::Done(refusal),
        }
    }
}

type Ended<T> = Result<T, Not>;

/// As clients are told it.
fn told(refusal: save_core::Refusal) -> (End, u64) {
    use save_core::Refusal as Of;
    match refusal {
        Of::Conflict { current } => (End::Conflict, current),
        Of::TooLarge { limit } => (End::TooLarge, limit.into()),
        Of::WrongProfile => (End::WrongProfile, 0),
        Of::WrongSchema { found } => (End::WrongSchema, found.into()),
        Of::LedgerRewrite { index } => (End::LedgerRewrite, index),
        Of::Rollback { seen, .. } => (End::Rollback, seen),
        Of::OverQuota => (End::OverQuota, 0),
        Of::Unavailable { retry_after_ms } => (End::Unavailable, retry_after_ms.into()),
        Of::Fenced { epoch } => (End::Fenced, epoch),
        Of::Damaged | Of::BadName => (End::Damaged, 0),
    }
}

/// What a reply says: that the call was done, with what it gives, or why not. What is no call is refused.
fn settle<T: Default>(ended: Ended<T>) -> Result<(End, u64, T), Refusal> {
    match ended {
        Ok(value) => Ok((End::Done, 0, value)),
        Err(Not::Asked(refusal)) => Err(refusal),
        Err(Not::Done(refusal)) => {
            let (end, detail) = told(refusal);
            Ok((end, detail, T::default()))
        }
    }
}

/// A write whose answer was lost is not a write.
fn written(ended: Ended<u64>) -> Ended<u64> {
    match ended {
        Err(Not::Done(save_core::Refusal::Unavailable { .. }))
            if sabotage!(SAVES_ACKNOWLEDGE_LOST) =>
        {
            Ok(0)
        }
        ended => ended,
    }
}

fn name_of(text: &str) -> Ended<Name> {
    Ok(Name::new(text)?)
}

fn key_of(kind: Kind, name: &str) -> Ended<Key> {
    let name = name_of(name)?;
    Ok(match kind {
        Kind::Profile => Key::profile(name),
        Kind::Checkpoint => Key::checkpoint(name),
    })
}

fn retry_of(bytes: &[u8]) -> Ended<RetryKey> {
    if sabotage!(SAVES_FORGET_KEY) && bytes.len() == 16 && bytes != [0; 16] {
        return Ok(RetryKey::NONE);
    }
    let key = <[u8; 16]>::try_from(bytes).ok().map(RetryKey);
    // Zeroes name no call, and would be done as often as asked for.
    let key = key.filter(|key| *key != RetryKey::NONE || sabotage!(SAVES_ANY_RETRY));
    key.ok_or(Not::Asked(Refusal::BadArgument))
}

/// As many records as one answer holds, and whether more follow.
fn fitting(mut page: Page<Record>) -> (Vec<Record>, bool) {
    let mut bytes = 0;
    let fits = page.items.iter().take_while(|record| {
        let is_first = bytes == 0;
        bytes += RECORD_BYTES + record.payload.len();
        is_first || bytes <= PAGE_BYTES
    });
    let count = fits.count();
    let more = page.more || count < page.items.len();
    page.items.truncate(count);
    (page.items, more)
}

fn line(record: &Record) -> save_store::Record<'_> {
    save_store::Record {
        version: record.version,
        schema: record.schema,
        epoch: record.epoch,
        digest: &record.digest,
        previous: &record.previous,
        payload: &record.payload,
    }
}

fn lines(records: &[Record]) -> Vec<save_store::Record<'_>> {
    records.iter().map(line).collect()
}

fn named(key: &Key) -> Named<'_> {
    Named {
        kind: match key.kind() {
            save_core::Kind::Profile => Kind::Profile,
            _ => Kind::Checkpoint,
        },
        name: key.name().text(),
    }
}

impl Server {
    /// Serves these. Those that are brought to a bridge go on with it at once, whoever asks for them.
    pub fn new(
        exports: Vec<options::Export>,
        stores: Stores,
        entropy: Option<EntropySource>,
    ) -> Self {
        let exported = |export: &options::Export| match export {
            options::Export::Facet(facet) => Some(Exported::Facet(Minted {
                store: kept(facet, &stores),
                facet: facet.clone(),
            })),
            options::Export::Capsules(capsules) => sealer(capsules, &exports, &stores)
                .map(|sealer| Exported::Capsules(Box::new(sealer))),
        };
        Self {
            // What the arguments say is what they are checked for.
            exports: exports.iter().filter_map(exported).collect(),
            stores,
            entropy,
        }
    }

    /// The facet that a call came through. There is no other way to one.
    fn minted(&mut self, cookie: u64) -> Ended<&mut Store> {
        let place = match sabotage!(SAVES_ANY_FACET) {
            true => 0,
            false => usize::try_from(cookie).unwrap_or(usize::MAX),
        };
        // An export that no argument speaks of.
        let none = || Not::Asked(Refusal::NotSupported);
        let Some(Exported::Facet(minted)) = self.exports.get_mut(place) else {
            return Err(none());
        };
        if minted.store.is_none() {
            minted.store = Some(Store::Plain(opened(&minted.facet, &self.stores)?));
        }
        minted.store.as_mut().ok_or_else(none)
    }

    /// Its store.
    fn store(&mut self, cookie: u64) -> Ended<&mut dyn SaveStore> {
        Ok(match self.minted(cookie)? {
            Store::Plain(store) => &mut **store,
            Store::Kept(kept) => kept.store(),
        })
    }

    /// The facet, where what it saves is brought to a bridge.
    fn kept(&mut self, cookie: u64) -> Ended<&mut Kept> {
        match self.minted(cookie)? {
            Store::Kept(kept) => Ok(kept),
            Store::Plain(_) => Err(Not::Asked(Refusal::NotSupported)),
        }
    }

    /// Has what was just saved brought to the bridge.
    fn stir(&mut self, cookie: u64) {
        if let Ok(Store::Kept(kept)) = self.minted(cookie) {
            kept.pace.stirred();
        }
    }

    fn marks(&mut self, cookie: u64, slot: Ended<Slot>) -> Ended<(u64, u64)> {
        let slot = slot?;
        Ok(self.kept(cookie)?.saves.brought(&slot)?)
    }

    fn far(&mut self, cookie: u64, key: Ended<Key>) -> Ended<Vec<Record>> {
        let key = key?;
        let found = self.kept(cookie)?.saves.theirs(&key)?;
        Ok(found.into_iter().collect())
    }

    fn settled(&mut self, cookie: u64, key: Ended<Key>, version: u64) -> Ended<()> {
        let kept = self.kept(cookie)?;
        kept.saves.settle(&key?, version)?;
        kept.pace.stirred();
        Ok(())
    }

    fn put(&mut self, cookie: u64, asked: &save_store::PutParams<'_>) -> Ended<u64> {
        let key = key_of(asked.kind, asked.name)?;
        let expect = match (asked.expect, asked.version) {
            _ if sabotage!(SAVES_ANY_EXPECT) => Expect::Any,
            (save_store::Expect::Absent, 0) => Expect::Absent,
            (save_store::Expect::Any, 0) => Expect::Any,
            (save_store::Expect::Version, version) if version > 0 => Expect::Version(version),
            _ => return Err(Not::Asked(Refusal::BadArgument)),
        };
        let retry = retry_of(asked.retry)?;
        let store = self.store(cookie)?;
        let version = store.put(&key, expect, retry, asked.payload)?;
        self.stir(cookie);
        Ok(version)
    }

    fn append(&mut self, cookie: u64, asked: &save_store::AppendParams<'_>) -> Ended<u64> {
        let ledger = LedgerName(name_of(asked.ledger)?);
        let retry = retry_of(asked.retry)?;
        let store = self.store(cookie)?;
        let length = store.append(&ledger, asked.length, retry, asked.payload)?;
        self.stir(cookie);
        Ok(length)
    }

    fn ledger(&mut self, cookie: u64, ledger: &str, from: u64) -> Ended<(Vec<Record>, bool)> {
        let ledger = LedgerName(name_of(ledger)?);
        Ok(fitting(self.store(cookie)?.read_ledger(&ledger, from)?))
    }

    fn versions(&mut self, cookie: u64, key: Ended<Key>, from: u64) -> Ended<(Vec<Record>, bool)> {
        let mut items = self.store(cookie)?.history(&key?)?;
        items.retain(|record| record.version >= from);
        let more = false;
        Ok(fitting(Page { items, more }))
    }

    fn newest(&mut self, cookie: u64, key: Ended<Key>) -> Ended<Vec<Record>> {
        let found = self.store(cookie)?.get(&key?)?;
        Ok(found.into_iter().collect())
    }

    fn names(&mut self, cookie: u64, kind: Kind, after: &str) -> Ended<(Vec<Key>, bool)> {
        let after = match after {
            "" => None,
            name => Some(key_of(kind, name)?),
        };
        let page = self.store(cookie)?.list(after.as_ref())?;
        Ok((page.items, page.more))
    }
}

impl Service for Server {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        use sdk::stub::Incoming as _;
        let place = usize::try_from(call.cookie()).unwrap_or(usize::MAX);
        match self.exports.get(place) {
            Some(Exported::Capsules(_)) => capsules::dispatch(self, received, call),
            _ => save_store::dispatch(self, received, call),
        }
    }

    fn deadline_ns(&self) -> u64 {
        let kept = self.exports.iter().filter_map(|export| match export {
            Exported::Facet(Minted {
                store: Some(Store::Kept(kept)),
                ..
            }) => Some(kept.pace.next_ns()),
            _ => None,
        });
        kept.min().unwrap_or(NEVER)
    }

    fn due(&mut self) {
        let deadline_ns = self.deadline_ns();
        let Stores::Here {
            timer: Some(timer), ..
        } = &self.stores
        else {
            return;
        };
        // One at a time, so that calls come between; the facets take turns, because whoever was served is due later than the others.
        let due = self.exports.iter_mut().find_map(|export| match export {
            Exported::Facet(Minted {
                store: Some(Store::Kept(kept)),
                ..
            }) if kept.pace.next_ns() == deadline_ns => Some(kept),
            _ => None,
        });
        if let Some(kept) = due {
            kept.step(|| timer.now().map_or(0, |now| now.ns));
        }
    }
}

impl<'c> save_store::Server<Call<'c>> for Server {
    fn info(&mut self, reply: Reply<Call<'c>, save_store::call::Info>) -> Answered {
        let info = self.store(reply.cookie()).map(|store| store.info());
        let (end, detail, info) = match settle(info.map(Some)) {
            Ok(settled) => settled,
            Err(refusal) => return reply.refuse(refusal),
        };
        let limits = info.map(|info| info.limits);
        let bytes = |of: fn(&Limits) -> u32| limits.as_ref().map_or(0, of);
        reply.send(save_store::InfoReply {
            end,
            detail,
            profile_bytes: bytes(|limits| limits.profile_bytes),
            checkpoint_bytes: bytes(|limits| limits.checkpoint_bytes),
            line_bytes: bytes(|limits| limits.entry_bytes),
            kept_versions: bytes(|limits| limits.kept_versions),
            schema: info.map_or(0, |info| info.schema),
        })
    }

    fn get(
        &mut self,
        reply: Reply<Call<'c>, save_store::call::Get>,
        kind: Kind,
        name: &str,
    ) -> Answered {
        match settle(self.newest(reply.cookie(), key_of(kind, name))) {
            Ok((end, detail, found)) => reply.send(save_store::GetReply {
                end,
                detail,
                records: &lines(&found),
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn put(
        &mut self,
        reply: Reply<Call<'c>, save_store::call::Put>,
        kind: Kind,
        name: &str,
        expect: save_store::Expect,
        version: u64,
        retry: &[u8],
        payload: &[u8],
    ) -> Answered {
        let asked = save_store::PutParams {
            kind,
            name,
            expect,
            version,
            retry,
            payload,
        };
        let ended = self.put(reply.cookie(), &asked);
        reply.answer(
            settle(written(ended)).map(|(end, detail, version)| save_store::PutReply {
                end,
                detail,
                version,
            }),
        )
    }

    fn append(
        &mut self,
        reply: Reply<Call<'c>, save_store::call::Append>,
        ledger: &str,
        length: u64,
        retry: &[u8],
        payload: &[u8],
    ) -> Answered {
        let asked = save_store::AppendParams {
            ledger,
            length,
            retry,
            payload,
        };
        let ended = self.append(reply.cookie(), &asked);
        reply.answer(
            settle(written(ended)).map(|(end, detail, length)| save_store::AppendReply {
                end,
                detail,
                length,
            }),
        )
    }

    fn read_ledger(
        &mut self,
        reply: Reply<Call<'c>, save_store::call::ReadLedger>,
        ledger: &str,
        from: u64,
    ) -> Answered {
        match settle(self.ledger(reply.cookie(), ledger, from)) {
            Ok((end, detail, (found, more))) => reply.send(save_store::ReadLedgerReply {
                end,
                detail,
                records: &lines(&found),
                more,
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn list(
        &mut self,
        reply: Reply<Call<'c>, save_store::call::List>,
        kind: Kind,
        after: &str,
    ) -> Answered {
        match settle(self.names(reply.cookie(), kind, after)) {
            Ok((end, detail, (keys, more))) => {
                let names: Vec<Named<'_>> = keys.iter().map(named).collect();
                reply.send(save_store::ListReply {
                    end,
                    detail,
                    names: &names,
                    more,
                })
            }
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn history(
        &mut self,
        reply: Reply<Call<'c>, save_store::call::History>,
        kind: Kind,
        name: &str,
        from: u64,
    ) -> Answered {
        match settle(self.versions(reply.cookie(), key_of(kind, name), from)) {
            Ok((end, detail, (found, more))) => reply.send(save_store::HistoryReply {
                end,
                detail,
                records: &lines(&found),
                more,
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn brought(
        &mut self,
        reply: Reply<Call<'c>, save_store::call::Brought>,
        kind: Kind,
        name: &str,
    ) -> Answered {
        let slot = key_of(kind, name).map(|key| Slot::head(&key));
        let ended = self.marks(reply.cookie(), slot);
        reply.answer(
            settle(ended).map(|(end, detail, (near, far))| save_store::BroughtReply {
                end,
                detail,
                near,
                far,
            }),
        )
    }

    fn brought_lines(
        &mut self,
        reply: Reply<Call<'c>, save_store::call::BroughtLines>,
        ledger: &str,
    ) -> Answered {
        let slot = name_of(ledger).map(|name| Slot::length(&LedgerName(name)));
        let ended = self.marks(reply.cookie(), slot);
        reply.answer(settle(ended).map(|(end, detail, (near, far))| {
            save_store::BroughtLinesReply {
                end,
                detail,
                near,
                far,
            }
        }))
    }

    fn theirs(
        &mut self,
        reply: Reply<Call<'c>, save_store::call::Theirs>,
        kind: Kind,
        name: &str,
    ) -> Answered {
        match settle(self.far(reply.cookie(), key_of(kind, name))) {
            Ok((end, detail, found)) => reply.send(save_store::TheirsReply {
                end,
                detail,
                records: &lines(&found),
            }),
            Err(refusal) => reply.refuse(refusal),
        }
    }

    fn settle(
        &mut self,
        reply: Reply<Call<'c>, save_store::call::Settle>,
        kind: Kind,
        name: &str,
        version: u64,
    ) -> Answered {
        let ended = self.settled(reply.cookie(), key_of(kind, name), version);
        reply.answer(settle(ended).map(|(end, detail, ())| save_store::SettleReply { end, detail }))
    }
}

#[cfg(test)]
mod tests;
