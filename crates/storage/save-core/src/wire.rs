//! Calls of [`crate::SaveStore`] as bytes: what goes to a bridge and comes back. Little-endian; no field names a tenant
//! or a profile, which are those of the sender's token.

use alloc::vec::Vec;

use crate::{Expect, Info, Key, LedgerName, Limits, Name, Page, Record, Refusal, RetryKey, Writer};

/// The longest message, either way: a page of the longest records and some.
pub const MAX_MESSAGE: usize = 1 << 20;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// [`crate::SaveStore::info`]
    Info,
    /// [`crate::SaveStore::get`]
    Get(Key),
    /// [`crate::SaveStore::put`]
    Put(Key, Expect, RetryKey, Vec<u8>),
    /// [`crate::SaveStore::append`]
    Append(LedgerName, u64, RetryKey, Vec<u8>),
    /// [`crate::SaveStore::read_ledger`]
    ReadLedger(LedgerName, u64),
    /// [`crate::SaveStore::list`]
    List(Option<Key>),
    /// [`crate::SaveStore::history`]
    History(Key),
}

/// What comes back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// To [`Call::Info`].
    Info(Info),
    /// To [`Call::Get`].
    Got(Option<Record>),
    /// To [`Call::Put`] and [`Call::Append`].
    Version(u64),
    /// To [`Call::ReadLedger`] and [`Call::History`].
    Records(Page<Record>),
    /// To [`Call::List`].
    Keys(Page<Key>),
    /// To any.
    Refused(Refusal),
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let length = usize::try_from(self.u32()?).ok()?;
        self.take(length).map(<[u8]>::to_vec)
    }

    fn name(&mut self) -> Option<Name> {
        let length = self.u8()?.into();
        Name::new(core::str::from_utf8(self.take(length)?).ok()?).ok()
    }

    fn key(&mut self) -> Option<Key> {
        match self.u8()? {
            1 => Some(Key::profile(self.name()?)),
            2 => Some(Key::checkpoint(self.name()?)),
            _ => None,
        }
    }

    /// Something that may be missing. A byte other than 0 and 1 is none of ours.
    fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.u8()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }

    fn page<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Page<T>> {
        let more = match self.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        // No line takes less than two bytes, so that a count cannot ask for more room than the message has.
        let count = usize::try_from(self.u32()?).ok()?;
        if count > self.0.len() / 2 {
            return None;
        }
        let items = (0..count).map(|_| read(self)).collect::<Option<_>>()?;
        Some(Page { items, more })
    }

    fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend(bytes);
}

fn put_name(out: &mut Vec<u8>, name: &Name) {
    // A name has 64 bytes at most.
    out.push(name.text().len() as u8);
    out.extend(name.text().as_bytes());
}

fn put_key(out: &mut Vec<u8>, key: &Key) {
    out.push(key.kind().number());
    put_name(out, key.name());
}

impl Call {
    /// The bytes of a call by that writer.
    #[must_use]
    pub fn encode(&self, writer: Writer) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend(writer.schema.to_le_bytes());
        out.extend(writer.epoch.to_le_bytes());
        match self {
            Self::Info => out.push(1),
            Self::Get(key) => {
                out.push(2);
                put_key(&mut out, key);
            }
            Self::Put(key, expect, retry, payload) => {
                out.push(3);
                put_key(&mut out, key);
                let (kind, version) = match expect {
                    Expect::Absent => (0, 0),
                    Expect::Version(version) => (1, *version),
                    Expect::Any => (2, 0),
                };
                out.push(kind);
                out.extend(version.to_le_bytes());
                out.extend(retry.0);
                put_bytes(&mut out, payload);
            }
            Self::Append(ledger, length, retry, payload) => {
                out.push(4);
                put_name(&mut out, &ledger.0);
                out.extend(length.to_le_bytes());
                out.extend(retry.0);
                put_bytes(&mut out, payload);
            }
            Self::ReadLedger(ledger, from) => {
                out.push(5);
                put_name(&mut out, &ledger.0);
                out.extend(from.to_le_bytes());
            }
            Self::List(after) => {
                out.push(6);
                out.push(after.is_some().into());
                after.iter().for_each(|key| put_key(&mut out, key));
            }
            Self::History(key) => {
                out.push(7);
                put_key(&mut out, key);
            }
        }
        out
    }

    /// Reads a call and who makes it. `None` for whatever [`Call::encode`] has not made.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(Self, Writer)> {
        let mut read = Reader(bytes);
        let (schema, epoch) = (read.u32()?, read.u64()?);
        let call = match read.u8()? {
            1 => Self::Info,
            2 => Self::Get(read.key()?),
            3 => {
                let key = read.key()?;
                let expect = match (read.u8()?, read.u64()?) {
                    (0, 0) => Expect::Absent,
                    (1, version) => Expect::Version(version),
                    (2, 0) => Expect::Any,
                    _ => return None,
                };
                Self::Put(key, expect, RetryKey(read.array()?), read.bytes()?)
            }
            4 => {
                let (ledger, length) = (LedgerName(read.name()?), read.u64()?);
                Self::Append(ledger, length, RetryKey(read.array()?), read.bytes()?)
            }
            5 => Self::ReadLedger(LedgerName(read.name()?), read.u64()?),
            6 => Self::List(read.maybe(Reader::key)?),
            7 => Self::History(read.key()?),
            _ => return None,
        };
        read.end((call, Writer { schema, epoch }))
    }
}

fn put_record(out: &mut Vec<u8>, record: &Record) {
    out.extend(record.version.to_le_bytes());
    out.extend(record.schema.to_le_bytes());
    out.extend(record.epoch.to_le_bytes());
    out.extend(record.digest);
    out.extend(record.previous);
    put_bytes(out, &record.payload);
}

fn record(read: &mut Reader<'_>) -> Option<Record> {
    Some(Record {
        version: read.u64()?,
        schema: read.u32()?,
        epoch: read.u64()?,
        digest: read.array()?,
        previous: read.array()?,
        payload: read.bytes()?,
    })
}

fn put_page<T>(out: &mut Vec<u8>, page: &Page<T>, put: impl Fn(&mut Vec<u8>, &T)) {
    out.push(page.more.into());
    let count = u32::try_from(page.items.len()).unwrap_or(u32::MAX);
    out.extend(count.to_le_bytes());
    page.items.iter().for_each(|item| put(out, item));
}

impl Answer {
    /// Its bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::Info(info) => {
                out.push(1);
                let limits = &info.limits;
                for number in [
                    info.schema,
                    limits.profile_bytes,
                    limits.checkpoint_bytes,
                    limits.entry_bytes,
                    limits.kept_versions,
                    limits.page,
                ] {
                    out.extend(number.to_le_bytes());
                }
            }
            Self::Got(found) => {
                out.push(2);
                out.push(found.is_some().into());
                found.iter().for_each(|found| put_record(&mut out, found));
            }
            Self::Version(version) => {
                out.push(3);
                out.extend(version.to_le_bytes());
            }
            Self::Records(page) => {
                out.push(4);
                put_page(&mut out, page, put_record);
            }
            Self::Keys(page) => {
                out.push(5);
                put_page(&mut out, page, put_key);
            }
            Self::Refused(refusal) => {
                out.push(6);
                put_refusal(&mut out, *refusal);
            }
        }
        out
    }

    /// Reads an answer. `None` for whatever [`Answer::encode`] has not made.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut read = Reader(bytes);
        let answer = match read.u8()? {
            1 => Self::Info(Info {
                schema: read.u32()?,
                limits: Limits {
                    profile_bytes: read.u32()?,
                    checkpoint_bytes: read.u32()?,
                    entry_bytes: read.u32()?,
                    kept_versions: read.u32()?,
                    page: read.u32()?,
                },
            }),
            2 => Self::Got(read.maybe(record)?),
            3 => Self::Version(read.u64()?),
            4 => Self::Records(read.page(record)?),
            5 => Self::Keys(read.page(Reader::key)?),
            6 => Self::Refused(refusal(&mut read)?),
            _ => return None,
        };
        read.end(answer)
    }
}

fn put_refusal(out: &mut Vec<u8>, refusal: Refusal) {
    let (number, one, two) = match refusal {
        Refusal::Conflict { current } => (1, current, 0),
        Refusal::TooLarge { limit } => (2, limit.into(), 0),
        Refusal::WrongProfile => (3, 0, 0),
        Refusal::WrongSchema { found } => (4, found.into(), 0),
        Refusal::LedgerRewrite { index } => (5, index, 0),
        Refusal::Rollback { seen, found } => (6, seen, found),
        Refusal::OverQuota => (7, 0, 0),
        Refusal::Unavailable { retry_after_ms } => (8, retry_after_ms.into(), 0),
        Refusal::Fenced { epoch } => (9, epoch, 0),
        Refusal::Damaged => (10, 0, 0),
        Refusal::BadName => (11, 0, 0),
    };
    out.push(number);
    out.extend(one.to_le_bytes());
    out.extend(two.to_le_bytes());
}

fn refusal(read: &mut Reader<'_>) -> Option<Refusal> {
    let (number, one, two) = (read.u8()?, read.u64()?, read.u64()?);
    let small = u32::try_from(one).ok();
    Some(match (number, two) {
        (1, 0) => Refusal::Conflict { current: one },
        (2, 0) => Refusal::TooLarge { limit: small? },
        (3, 0) if one == 0 => Refusal::WrongProfile,
        (4, 0) => Refusal::WrongSchema { found: small? },
        (5, 0) => Refusal::LedgerRewrite { index: one },
        (6, found) => Refusal::Rollback { seen: one, found },
        (7, 0) if one == 0 => Refusal::OverQuota,
        (8, 0) => Refusal::Unavailable {
            retry_after_ms: small?,
        },
        (9, 0) => Refusal::Fenced { epoch: one },
        (10, 0) if one == 0 => Refusal::Damaged,
        (11, 0) if one == 0 => Refusal::BadName,
        _ => return None,
    })
}
