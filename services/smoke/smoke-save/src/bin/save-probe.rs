//! Saves through two facets while the bridge behind them dies again and again, and reads back what it was told is saved.
//!
//! Invariant: it never states what it did not see.
#![no_std]
#![cfg_attr(not(test), no_main)]

use sdk::alloc::format;
use sdk::alloc::string::String;
use sdk::saving::save_store::{End, Expect, Kind};
use sdk::{Env, Error, Refusal, SaveStore, Timer, fact};
use smoke_rig::outcome;
use smoke_save::{Answered, name, retry_key, until};

sdk::entry!(main);

/// Versions of the record, and lines of the ledger.
const ROUNDS: u64 = 12;
const SLOT: &str = "slot-1";
const LEDGER: &str = "trades";

struct Probe {
    timer: Timer,
    one: SaveStore,
    two: SaveStore,
}

fn main(env: &Env) -> Result<(), Error> {
    let probe = Probe {
        timer: env.get("timer")?,
        one: env.get("one")?,
        two: env.get("two")?,
    };
    probe.bounds()?;
    probe.save()?;
    probe.read_back()?;
    probe.apart()?;
    probe.refused()?;
    fact!("probe.done");
    Ok(())
}

fn payload(number: u64) -> String {
    format!("save {number}")
}

impl Probe {
    fn bounds(&self) -> Result<(), Refusal> {
        let mut seen = None;
        until(&self.timer, || {
            let info = self.one.info()?;
            seen = Some(info);
            Ok((info.end, info.detail))
        })?;
        if let Some(info) = seen {
            fact!(
                "probe.bounds",
                profile = info.profile_bytes,
                checkpoint = info.checkpoint_bytes,
                line = info.line_bytes,
                kept = info.kept_versions,
                schema = info.schema
            );
        }
        Ok(())
    }

    fn put(
        &self,
        store: &SaveStore,
        expect: Expect,
        version: u64,
        number: u64,
        bytes: &[u8],
    ) -> Result<Answered, Refusal> {
        let retry = retry_key(1, number);
        until(&self.timer, || {
            let put = store.put(Kind::Checkpoint, SLOT, expect, version, &retry, bytes)?;

            Ok((put.end, either(put.end, put.version, put.detail)))
        })
    }

    fn append(&self, length: u64, number: u64, bytes: &[u8]) -> Result<Answered, Refusal> {
        let retry = retry_key(2, number);
        until(&self.timer, || {
            let append = self.one.append(LEDGER, length, &retry, bytes)?;
            Ok((append.end, either(append.end, append.length, append.detail)))
        })
    }

    /// Each version on top of the one before, each line behind the one before.
    fn save(&self) -> Result<(), Refusal> {
        let (mut versions, mut lines, mut again) = (0, 0, 0);
        for number in 1..=ROUNDS {
            let expect = match number {
                1 => Expect::Absent,
                _ => Expect::Version,
            };
            let bytes = payload(number);
            let put = self.put(&self.one, expect, number - 1, number, bytes.as_bytes())?;
            versions += u64::from((put.end, put.number) == (End::Done, number));
            let line = self.append(number - 1, number, bytes.as_bytes())?;
            lines += u64::from((line.end, line.number) == (End::Done, number));
            again += u64::from(put.again) + u64::from(line.again);
            fact!(
                "probe.saved",
                round = number,
                put = name(put.end),
                version = put.number,
                line = name(line.end),
                length = line.number
            );
        }
        fact!(
            "probe.acknowledged",
            versions = versions,
            lines = lines,
            asked_again = again > 0
        );
        Ok(())
    }

    /// What is there now, in its order.
    fn read_back(&self) -> Result<(), Refusal> {
        let (mut versions, mut lines) = (0, 0);
        until(&self.timer, || {
            self.one.history(Kind::Checkpoint, SLOT, 1, |page| {
                versions = 0;
                for record in page.records()?.iter() {
                    let is_next = record.version() == versions + 1;
                    let bytes = payload(record.version());
                    versions += u64::from(is_next && record.payload()? == bytes.as_bytes());
                }
                Ok((page.end()?, page.detail()))
            })?
        })?;
        until(&self.timer, || {
            self.one.read_ledger(LEDGER, 0, |page| {
                lines = 0;
                for record in page.records()?.iter() {
                    let bytes = payload(lines + 1);
                    lines += u64::from(
                        record.version() == lines && record.payload()? == bytes.as_bytes(),
                    );
                }
                Ok((page.end()?, page.detail()))
            })?
        })?;
        fact!("probe.read", versions = versions, lines = lines);
        Ok(())
    }

    /// The other profile has nothing of this one's, and the same name in it is another record.
    fn apart(&self) -> Result<(), Refusal> {
        let found = |store: &SaveStore| {
            let mut found = 0;
            until(&self.timer, || {
                store.get(Kind::Checkpoint, SLOT, |got| {
                    let records = got.records()?;
                    found = records.iter().map(|record| record.version()).sum();
                    Ok((got.end()?, got.detail()))
                })?
            })?;
            Ok::<u64, Refusal>(found)
        };
        let before = found(&self.two)?;
        let put = self.put(&self.two, Expect::Absent, 0, 1000, b"another's")?;
        fact!(
            "probe.apart",
            there = before,
            put = name(put.end),
            version = put.number,
            first = found(&self.one)?
        );
        Ok(())
    }

    fn refused(&self) -> Result<(), Refusal> {
        let stale = self.put(&self.one, Expect::Version, 1, 2000, b"x")?;
        let long = self.put(&self.one, Expect::Any, 0, 2001, &[0; 8193])?;
        let rewrite = self.append(3, 2002, b"x")?;
        fact!(
            "probe.refused",
            stale = name(stale.end),
            current = stale.number,
            long = name(long.end),
            limit = long.number,
            rewrite = name(rewrite.end),
            length = rewrite.number
        );
        let put = |name, retry: &[u8]| {
            let put = self
                .one
                .put(Kind::Profile, name, Expect::Any, 0, retry, b"x");
            outcome(&put)
        };
        fact!(
            "probe.no_call",
            name = put("../other", &[1; 16]),
            no_key = put("x", &[0; 16]),
            short_key = put("x", &[1; 8])
        );
        Ok(())
    }
}

const fn either(end: End, done: u64, otherwise: u64) -> u64 {
    match end {
        End::Done => done,
        _ => otherwise,
    }
}
