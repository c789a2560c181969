//! What was done with device authority, newest last, and whether the chain over it holds.

use audit_format::{Chain, Kind, NO_FUNCTION, RECORD_BYTES, Record, TEARDOWN_STEPS};
use sdk::{
    HardwareAuditLog, Refusal,
    alloc::{format, string::String, vec::Vec},
    fact,
};
use shell_lang::show;
use terminal::Failure;

use crate::output::{Outcome, Output};

/// One answer of the log.
struct Piece {
    first: u64,
    next: u64,
    edge: u64,
    suppressed: u64,
    before: Vec<u8>,
    head: Vec<u8>,
    records: Vec<u8>,
}

fn read(log: &HardwareAuditLog, from: u64, max: u32) -> Result<Piece, Refusal> {
    log.snapshot(from, max, |results| {
        Ok(Piece {
            first: results.first(),
            next: results.next(),
            edge: results.edge(),
            suppressed: results.suppressed(),
            before: Vec::from(results.before()?),
            head: Vec::from(results.head()?),
            records: Vec::from(results.records()?),
        })
    })?
}

/// The newest `lines` records.
pub fn show(log: Option<&HardwareAuditLog>, lines: u32, to: &mut Output<'_>) -> Outcome {
    let log = log.ok_or_else(|| Failure::not_held("HardwareAuditLog"))?;
    let edge = read(log, 1, 1).map_err(Failure::about("audit"))?.edge;
    let mut from = edge.saturating_sub(u64::from(lines)).max(1);
    let mut chain: Option<Chain> = None;
    let (mut shown, mut suppressed, mut intact) = (0u64, 0, true);
    while from < edge {
        let left = u32::try_from(edge - from).unwrap_or(u32::MAX);
        let piece = read(log, from, left).map_err(Failure::about("audit"))?;
        let before = <[u8; 32]>::try_from(piece.before.as_slice())
            .ok()
            .map(Chain);
        // Each piece goes on where the one before it ended, unless records went meanwhile.
        if piece.first == from
            && let (Some(chain), Some(before)) = (chain, before)
        {
            intact &= chain == before;
        }
        let at = before.map(|before| before.over(&piece.records));
        for bytes in piece.records.chunks_exact(RECORD_BYTES) {
            match Record::decode(bytes) {
                Some(record) => {
                    to.one(&line(&record))?;
                    shown += 1;
                }
                None => intact = false,
            }
        }
        if piece.next == piece.edge {
            intact &= at.is_some_and(|chain| chain.0.as_slice() == piece.head);
        }
        chain = at;
        suppressed = piece.suppressed;
        if piece.next <= from {
            break;
        }
        from = piece.next;
    }
    let older = edge.saturating_sub(1).saturating_sub(shown);
    let state = if intact { "holds" } else { "is broken" };
    to.line(&format!(
        "{shown} records; {older} came before, {suppressed} refusals were counted only; the chain {state}"
    ));
    fact!("diagnostics.audit", any = shown > 0, intact = intact, shown ~ shown, older ~ older);
    Ok(())
}

fn line(record: &Record) -> String {
    let event = &record.event;
    let mut text = format!(
        "{:>6} {:>12}  {}",
        record.sequence,
        record.ns / 1000,
        event.kind.name()
    );
    if event.function != NO_FUNCTION {
        text.push(' ');
        text.push_str(&show::pci_address(event.function));
        text.push_str(&format!(" process {} claim {}", event.owner, event.claim));
    }
    if event.kind == Kind::TeardownStep {
        let place = (event.detail as usize).wrapping_sub(1);
        text.push(' ');
        text.push_str(TEARDOWN_STEPS.get(place).copied().unwrap_or("?"));
    }
    if event.value != 0 {
        text.push_str(&format!(" value {}", event.value));
    }
    if let Some(refusal) = Refusal::from_code(event.outcome) {
        text.push_str(&format!(" refused {}", refusal.name()));
    }
    text
}
