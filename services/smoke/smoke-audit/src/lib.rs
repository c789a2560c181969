//! What programs that read the hardware audit log share.
//!
//! Owns one checked read. Invariant: it never takes a record that the chain does not cover.
#![no_std]

use audit_format::{Chain, Kind, RECORD_BYTES, Record, TEARDOWN_STEPS};
use sdk::alloc::{string::String, vec::Vec};
use sdk::{HardwareAuditLog, Refusal};

/// What one read of the log gave.
pub struct Piece {
    /// Number of the first record.
    pub first: u64,
    /// Where to go on.
    pub next: u64,
    /// Number of the next event.
    pub edge: u64,
    /// Records that are gone.
    pub dropped: u64,
    /// There were more.
    pub truncated: bool,
    /// The chain before the first record.
    pub before: Chain,
    /// The chain after the last record of the piece.
    pub after: Chain,
    /// The chain after the newest record there is.
    pub head: Chain,
    /// The records.
    pub records: Vec<Record>,
}

fn chain(bytes: &[u8]) -> Result<Chain, Refusal> {
    bytes.try_into().map(Chain).map_err(|_| Refusal::Corrupt)
}

/// Reads once.
///
/// # Errors
/// The log's; `Corrupt` for what is no record.
pub fn read(log: &HardwareAuditLog, from: u64, max: u32) -> Result<Piece, Refusal> {
    log.snapshot(from, max, |results| {
        let bytes = results.records()?;
        let before = chain(results.before()?)?;
        let (whole, _) = bytes.as_chunks::<RECORD_BYTES>();
        let records: Option<Vec<Record>> =
            whole.iter().map(|bytes| Record::decode(bytes)).collect();
        Ok(Piece {
            first: results.first(),
            next: results.next(),
            edge: results.edge(),
            dropped: results.dropped(),
            truncated: results.truncated(),
            before,
            after: before.over(bytes),
            head: chain(results.head()?)?,
            records: records.ok_or(Refusal::Corrupt)?,
        })
    })?
}

/// Reads from `from` to the edge in pieces of `max`. Gives all records, the chain before them, and whether the chain
/// goes through all of them to its head.
///
/// # Errors
/// As [`read`].
pub fn read_on(
    log: &HardwareAuditLog,
    from: u64,
    max: u32,
) -> Result<(Vec<Record>, bool), Refusal> {
    let mut records = Vec::new();
    let mut piece = read(log, from, max)?;
    let mut chained = true;
    loop {
        records.append(&mut piece.records);
        if piece.next == piece.edge {
            return Ok((records, chained && piece.after == piece.head));
        }
        let next = read(log, piece.next, max)?;
        chained = chained && next.before == piece.after && next.dropped == 0;
        piece = next;
    }
}

/// The names of the records' kinds, in a row.
pub fn names(records: &[Record]) -> String {
    row(records.iter().map(|record| record.event.kind.name()))
}

/// The same, with the steps of a teardown by their own names.
pub fn steps(records: &[Record]) -> String {
    row(records.iter().map(|record| {
        let place = (record.event.detail as usize).checked_sub(1);
        let step = place.and_then(|place| TEARDOWN_STEPS.get(place));
        match (record.event.kind, step) {
            (Kind::TeardownStep, Some(step)) => step,
            (kind, _) => kind.name(),
        }
    }))
}

fn row(words: impl Iterator<Item = &'static str>) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(word);
    }
    text
}

/// How many records are of a kind.
pub fn count(records: &[Record], kind: Kind) -> usize {
    let found = records.iter().filter(|record| record.event.kind == kind);
    found.count()
}
