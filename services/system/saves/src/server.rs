//! The service: which facet a call came through, and what it asks of that facet's store.

use sabotage::sabotage;
use save_core::{
    Anchors, Expect, Facet, Key, LedgerName, Limits, Memory, Name, Page, Record, Remote, RetryKey,
    SaveStore,
};
use sdk::alloc::boxed::Box;
use sdk::alloc::vec::Vec;
use sdk::saving::save_store::{self, End, Kind, Named};
use sdk::{Answered, Call, Received, Refusal, Reply, Service};

use crate::options;
use crate::options::Whose;
use crate::way::Way;

/// Bytes of records that one answer may hold, unless it is one record; what is left over comes with the next one.
const PAGE_BYTES: usize = 16 * 1024;
/// Bytes of a record besides its payload.
const RECORD_BYTES: usize = 128;

/// The service.
pub struct Server {
    facets: Vec<Minted>,
    way: Option<Way>,
}

struct Minted {
    facet: options::Facet,
    /// There once it was asked for: a bridge may not be reached yet.
    store: Option<Box<dyn SaveStore>>,
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
    /// Serves these facets, at a bridge or in memory.
    pub fn new(facets: Vec<options::Facet>, way: Option<Way>) -> Self {
        let minted = |facet| Minted { facet, store: None };
        Self {
            facets: facets.into_iter().map(minted).collect(),
            way,
        }
    }

    /// The store of the facet that a call came through. There is no other way to one.
    fn store(&mut self, cookie: u64) -> Ended<&mut dyn SaveStore> {
        let place = match sabotage!(SAVES_ANY_FACET) {
            true => 0,
            false => usize::try_from(cookie).unwrap_or(usize::MAX),
        };
        // An export that no argument speaks of.
        let none = || Not::Asked(Refusal::NotSupported);
        let minted = self.facets.get_mut(place).ok_or_else(none)?;
        if minted.store.is_none() {
            minted.store = Some(opened(&minted.facet, self.way.as_ref())?);
        }
        match &mut minted.store {
            Some(store) => Ok(&mut **store),
            None => Err(none()),
        }
    }

    fn put(&mut self, cookie: u64, asked: &save_store::PutParams<'_>) -> Ended<u64> {
        let key = key_of(asked.kind, asked.name)?;
        let expect = match (asked.expect, asked.version) {
            (save_store::Expect::Absent, 0) => Expect::Absent,
            (save_store::Expect::Any, 0) => Expect::Any,
            (save_store::Expect::Version, version) if version > 0 => Expect::Version(version),
            _ => return Err(Not::Asked(Refusal::BadArgument)),
        };
        let retry = retry_of(asked.retry)?;
        let store = self.store(cookie)?;
        Ok(store.put(&key, expect, retry, asked.payload)?)
    }

    fn append(&mut self, cookie: u64, asked: &save_store::AppendParams<'_>) -> Ended<u64> {
        let ledger = LedgerName(name_of(asked.ledger)?);
        let retry = retry_of(asked.retry)?;
        let store = self.store(cookie)?;
        Ok(store.append(&ledger, asked.length, retry, asked.payload)?)
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

fn opened(facet: &options::Facet, way: Option<&Way>) -> Ended<Box<dyn SaveStore>> {
    Ok(match (&facet.whose, way) {
        (Whose::Token(token), Some(way)) => {
            Box::new(Remote::connect(way.of(token), facet.writer)?) as Box<dyn SaveStore>
        }
        (Whose::Scope(scope), None) => Box::new(Facet::mint(
            Memory::default(),
            *scope,
            Limits::USUAL,
            facet.writer,
            Anchors::default(),
        )),
        _ => return Err(Not::Asked(Refusal::NotSupported)),
    })
}

impl Service for Server {
    fn call(&mut self, received: Received<'_>, call: Call<'_>) -> Answered {
        save_store::dispatch(self, received, call)
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
}

#[cfg(test)]
mod tests;
