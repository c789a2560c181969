//! Keeps the hardware audit log on disk.
//!
//! Owns one partition: at its start it checks every segment there, then it drains the kernel's log by cursor, seals what
//! it read and appends it. The format, the checks and the order of writes are `audit-format`'s.
//!
//! Invariant: it never writes to a partition that holds something it refuses, and never says of a segment that it is
//! sealed before the disk has flushed it.
//!
//! Arguments: `key=development:HEX` (64 digits); `partition=N` (the Nth of the type `audit-format` names, from 0);
//! `batch=N` records at least before a segment is sealed; `segments=N` to end after so many; `check=N` to check another
//! partition and never write to it.
#![no_std]
#![cfg_attr(not(test), no_main)]

mod options;
mod place;

use audit_format::{
    Batch, Chain, Error as Fault, Header, INSTALLATION_BYTES, Journal, Key, RECORD_BYTES, Recovery,
    Refused, SEGMENT_RECORDS, recover,
};
use sdk::alloc::{format, string::String, vec::Vec};
use sdk::{BlockDevice, EntropySource, Env, Error, HardwareAuditLog, Refusal, Timer, exit, fact};

use options::Options;
use place::Place;

sdk::entry!(main);

/// How long a batch may wait for more records, in nanoseconds.
const LINGER_NS: u64 = 1_000_000_000;
/// Exit code when the own partition is refused.
const REFUSED: i64 = 1;

fn main(env: &Env) -> Result<(), Error> {
    let options = match Options::read(env) {
        Ok(options) => options,
        Err(what) => exit(REFUSED, format_args!("bad argument: {what}")),
    };
    let key_of = |installation: &[u8; INSTALLATION_BYTES]| options.key(installation);
    fact!(
        "audit.key",
        source = "development",
        custody = "boot-package",
        rotation = "none",
        rollback_resistant = false
    );
    for number in &options.checks {
        check(env, *number, &key_of);
    }
    let place = Place::open(env.get::<BlockDevice>("block")?, options.partition)?;
    let journal = open(env, place, &options, &key_of)?;
    drain(env, journal, &options)
}

/// The name of a recovery's refusal, and its slot, -1 for the superblocks.
fn described(refused: Refused) -> (&'static str, i64) {
    let slot = refused.slot.and_then(|slot| i64::try_from(slot).ok());
    (refused.rule.name(), slot.unwrap_or(-1))
}

/// Checks a partition without writing to it.
fn check(env: &Env, number: u32, key_of: &dyn Fn(&[u8; INSTALLATION_BYTES]) -> Key) {
    let found = env
        .get::<BlockDevice>("block")
        .map_err(Error::from)
        .and_then(|block| Ok(Place::open(block, number)?));
    let mut place = match found {
        Ok(place) => place,
        Err(error) => {
            let reason = format!("{error}");
            fact!(
                "audit.checked",
                partition = number,
                state = "unreachable",
                reason ~ reason.as_str()
            );
            return;
        }
    };
    match recover(&mut place, key_of, &mut |_, _| {}) {
        Ok((found, _)) => match found.refused {
            None => fact!(
                "audit.checked",
                partition = number,
                state = "valid",
                segments = found.segments
            ),
            Some(refused) => {
                let (rule, slot) = described(refused);
                fact!(
                    "audit.checked",
                    partition = number,
                    state = "refused",
                    rule = rule,
                    slot = slot,
                    valid = found.segments
                );
            }
        },
        Err(Fault::Refused(refused)) => {
            let (rule, slot) = described(refused);
            fact!(
                "audit.checked",
                partition = number,
                state = "refused",
                rule = rule,
                slot = slot,
                valid = 0
            );
        }
        Err(Fault::Blank) => fact!("audit.checked", partition = number, state = "blank"),
        Err(other) => {
            let reason = format!("{other}");
            fact!(
                "audit.checked",
                partition = number,
                state = "unreadable",
                reason ~ reason.as_str()
            );
        }
    }
}

/// Recovers the own partition, or makes it out of a blank one. Ends the process when anything in it is refused.
fn open(
    env: &Env,
    mut place: Place,
    options: &Options,
    key_of: &dyn Fn(&[u8; INSTALLATION_BYTES]) -> Key,
) -> Result<Journal<Place>, Error> {
    match recover(&mut place, key_of, &mut |_, _| {}) {
        Err(Fault::Blank) => {
            let name = installation(env)?;
            Journal::format(&mut place, &options.secret, name).map_err(refusal)?;
            fact!("audit.formatted", partition = options.partition);
        }
        Ok((Recovery { refused: None, .. }, _)) => {}
        Ok((
            Recovery {
                refused: Some(refused),
                ..
            },
            _,
        ))
        | Err(Fault::Refused(refused)) => give_up(refused),
        Err(other) => return Err(refusal(other).into()),
    }
    match Journal::open(place, key_of, &mut |_, _| {}) {
        Ok((journal, found)) => {
            fact!(
                "audit.recovered",
                segments = found.segments,
                next = journal.next_index(),
                boots = found.superblock().boots,
                uncounted = found.uncounted,
                spoilt_copy = found.spoilt_copy,
                records ~ found.records,
                key ~ format_args!("{}", journal.key().id())
            );
            Ok(journal)
        }
        Err(Fault::Refused(refused)) => give_up(refused),
        Err(other) => Err(refusal(other).into()),
    }
}

fn give_up(refused: Refused) -> ! {
    let (rule, slot) = described(refused);
    fact!("audit.refused", rule = rule, slot = slot, appended = false);
    exit(
        REFUSED,
        format_args!("the audit partition is refused ({rule}); it is left as it is"),
    )
}

fn refusal(fault: Fault<Refusal>) -> Refusal {
    match fault {
        Fault::Device(refusal) => refusal,
        Fault::TooSmall => Refusal::OutOfRange,
        Fault::Blank => Refusal::NotFound,
        Fault::Refused(_) => Refusal::Corrupt,
        Fault::BadBatch => Refusal::BadArgument,
    }
}

/// A name that no other installation has: random, or where the processor has no random bytes, the time.
fn installation(env: &Env) -> Result<[u8; INSTALLATION_BYTES], Error> {
    let timer: Timer = env.get("timer")?;
    let drawn = env
        .get::<EntropySource>("entropySource")
        .ok()
        .and_then(|source| source.fill().ok());
    let words = match drawn {
        Some(words) => [words.a, words.b],
        None => [timer.now()?.ns, env.process()],
    };
    fact!("audit.installation", random ~ drawn.is_some());
    let mut name = [0; INSTALLATION_BYTES];
    let (halves, _) = name.as_chunks_mut::<8>();
    for (half, word) in halves.iter_mut().zip(words) {
        *half = word.to_le_bytes();
    }
    Ok(name)
}

/// What one read of the log gave.
struct Piece {
    first: u64,
    next: u64,
    dropped: u64,
    suppressed: u64,
    before: Chain,
    records: Vec<u8>,
}

fn read(log: &HardwareAuditLog, from: u64, max: u32) -> Result<Piece, Refusal> {
    log.snapshot(from, max, |results| {
        let before = results.before()?.try_into();
        Ok(Piece {
            first: results.first(),
            next: results.next(),
            dropped: results.dropped(),
            suppressed: results.suppressed(),
            before: Chain(before.map_err(|_| Refusal::Corrupt)?),
            records: Vec::from(results.records()?),
        })
    })?
}

/// Waits until `batch` records are there, or some and a while has passed.
fn gather(env: &Env, log: &HardwareAuditLog, from: u64, batch: u64) -> Result<(), Error> {
    let timer: Timer = env.get("timer")?;
    let edge = log.wait(from)?.edge;
    if edge - from < batch {
        let until = timer.now()?.ns.saturating_add(LINGER_NS);
        match log.with_deadline(until).wait(from + batch - 1) {
            Ok(_) | Err(Refusal::TimedOut | Refusal::OutOfRange) => {}
            Err(refusal) => return Err(refusal.into()),
        }
    }
    Ok(())
}

/// Reads, seals and appends for as long as the options say.
fn drain(env: &Env, mut journal: Journal<Place>, options: &Options) -> Result<(), Error> {
    let log: HardwareAuditLog = env.get("log")?;
    let batch = options.batch.clamp(1, SEGMENT_RECORDS as u32);
    let mut from = 1;
    let mut chain = Chain::GENESIS;
    let mut sealed = 0;
    while options.segments.is_none_or(|most| sealed < most) {
        gather(env, &log, from, u64::from(batch))?;
        let piece = read(&log, from, options.read_at_once())?;
        if piece.records.is_empty() {
            continue;
        }
        // The kernel's own chain: what was read is what was recorded, and nothing between two reads is missing.
        if piece.dropped == 0 && piece.before != chain {
            return Err(Refusal::Corrupt.into());
        }
        chain = piece.before.over(&piece.records);
        let header = journal
            .append(&Batch {
                first: piece.first,
                records: &piece.records,
                dropped: piece.dropped,
                suppressed: piece.suppressed,
                before: piece.before,
            })
            .map_err(refusal)?;
        state_sealed(&header, piece.records.len() / RECORD_BYTES);
        from = piece.next;
        sealed += 1;
    }
    fact!("audit.done", segments = sealed, next = journal.next_index());
    Ok(())
}

fn state_sealed(header: &Header, records: usize) {
    let marker: String = format!("{:?}", header.marker).to_lowercase();
    fact!(
        "audit.sealed",
        index = header.index,
        boot = header.boot,
        marker = marker.as_str(),
        dropped = header.dropped,
        first ~ header.first,
        records ~ records
    );
}
