//! What this application asks of saving: each call with a retry key of its own, made again until it is answered.

use sdk::saving::save_store::{End, Expect, Kind};
use sdk::{EntropySource, Env, Error, Refusal, SaveStore, Timer};

const MOST_MS: u64 = 1000;
const MS_NS: u64 = 1_000_000;

/// What came of a call: the version or length, or what stands with the end.
#[derive(Clone, Copy)]
pub struct Answered {
    pub end: End,
    pub number: u64,
}

/// A count that was saved, and the version that says so; both 0 where there is none.
#[derive(Clone, Copy, Default)]
pub struct Count {
    pub value: u64,
    pub version: u64,
}

/// What has become of something at the bridge.
#[derive(Clone, Copy)]
pub struct Brought {
    pub end: End,
    pub near: u64,
    pub far: u64,
}

pub struct Saves {
    store: SaveStore,
    entropy: EntropySource,
    timer: Timer,
}

impl Saves {
    pub fn new(env: &Env) -> Result<Self, Error> {
        Ok(Self {
            store: env.get("saveStore")?,
            entropy: env.get("entropySource")?,
            timer: env.get("timer")?,
        })
    }

    /// A key for one call, never used for another.
    fn retry(&self) -> Result<[u8; 16], Refusal> {
        let random = self.entropy.fill()?;
        let mut key = [0; 16];
        let (first, second) = key.split_at_mut(8);
        first.copy_from_slice(&random.a.to_le_bytes());
        second.copy_from_slice(&random.b.to_le_bytes());
        Ok(key)
    }

    /// Makes a call until it is answered.
    fn until(
        &self,
        mut call: impl FnMut() -> Result<(End, u64), Refusal>,
    ) -> Result<Answered, Refusal> {
        loop {
            let (end, number) = call()?;
            if end != End::Unavailable {
                return Ok(Answered { end, number });
            }
            sdk::sleep_for(&self.timer, number.clamp(1, MOST_MS) * MS_NS)?;
        }
    }

    pub fn put(
        &self,
        kind: Kind,
        name: &str,
        (expect, version): (Expect, u64),
        bytes: &[u8],
    ) -> Result<Answered, Refusal> {
        let retry = self.retry()?;
        self.until(|| {
            let put = self.store.put(kind, name, expect, version, &retry, bytes)?;
            let done = put.end == End::Done;
            Ok((put.end, if done { put.version } else { put.detail }))
        })
    }

    pub fn append(&self, ledger: &str, length: u64, line: &[u8]) -> Result<Answered, Refusal> {
        let retry = self.retry()?;
        self.until(|| {
            let put = self.store.append(ledger, length, &retry, line)?;
            let done = put.end == End::Done;
            Ok((put.end, if done { put.length } else { put.detail }))
        })
    }

    /// A count that lies here.
    pub fn count(&self, name: &str) -> Result<Count, Refusal> {
        let mut count = Count::default();
        self.until(|| {
            self.store.get(Kind::Profile, name, |got| {
                if let Some(record) = got.records()?.iter().last() {
                    count = counted(record.version(), record.payload()?);
                }
                Ok((got.end()?, got.detail()))
            })?
        })?;
        Ok(count)
    }

    /// The same at the bridge; `None` where it cannot be asked now.
    pub fn theirs(&self, name: &str) -> Result<Option<Count>, Refusal> {
        self.store.theirs(Kind::Profile, name, |got| {
            let mut count = Count::default();
            if let Some(record) = got.records()?.iter().last() {
                count = counted(record.version(), record.payload()?);
            }
            Ok((got.end()? == End::Done).then_some(count))
        })?
    }

    pub fn settle(&self, name: &str, version: u64) -> Result<End, Refusal> {
        let settled = self.until(|| {
            let settle = self.store.settle(Kind::Profile, name, version)?;
            Ok((settle.end, settle.detail))
        })?;
        Ok(settled.end)
    }

    pub fn brought(&self, kind: Kind, name: &str) -> Result<Brought, Refusal> {
        let brought = self.store.brought(kind, name)?;
        Ok(Brought {
            end: brought.end,
            near: brought.near,
            far: brought.far,
        })
    }

    pub fn brought_lines(&self, ledger: &str) -> Result<Brought, Refusal> {
        let brought = self.store.brought_lines(ledger)?;
        Ok(Brought {
            end: brought.end,
            near: brought.near,
            far: brought.far,
        })
    }
}

/// What a record says; one that is no number counts as none.
fn counted(version: u64, payload: &[u8]) -> Count {
    let value = payload.try_into().map_or(0, u64::from_le_bytes);
    Count { value, version }
}

/// The name of an end.
pub const fn name(end: End) -> &'static str {
    match end {
        End::Done => "done",
        End::Conflict => "conflict",
        End::TooLarge => "tooLarge",
        End::WrongProfile => "wrongProfile",
        End::WrongSchema => "wrongSchema",
        End::LedgerRewrite => "ledgerRewrite",
        End::Rollback => "rollback",
        End::OverQuota => "overQuota",
        End::Unavailable => "unavailable",
        End::Fenced => "fenced",
        End::Damaged => "damaged",
    }
}
