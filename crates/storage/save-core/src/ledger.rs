//! Ledgers: lines that are written once, and a length that only grows.

use alloc::vec::Vec;

use sabotage::sabotage;

use crate::backend::RETRY_AFTER_MS;
use crate::facet::{Held, TRIES};
use crate::{
    Anchor, Backend, Condition, Digest, Envelope, Facet, Fault, Kind, LedgerName, Page, RECENT,
    Record, Refusal, RetryKey, Slot, Token,
};

/// How long a ledger is.
struct Length {
    /// `None` before the first line.
    token: Option<Token>,
    lines: u64,
    /// The sum of the last line.
    last: Digest,
    /// Who counted it.
    epoch: u64,
}

impl<B: Backend> Facet<B> {
    fn line(&mut self, ledger: &LedgerName, index: u64) -> Result<Option<Held>, Refusal> {
        let held = self.open(&Slot::entry(ledger, index), Kind::Entry, &ledger.0)?;
        let moved = held
            .as_ref()
            .is_some_and(|held| held.envelope.version != index);
        if moved {
            return Err(Refusal::LedgerRewrite { index });
        }
        Ok(held)
    }

    /// The length, compared with what was seen.
    fn length(&mut self, ledger: &LedgerName) -> Result<Length, Refusal> {
        let slot = Slot::length(ledger);
        let held = self.open(&slot, Kind::Length, &ledger.0)?;
        let found = held.as_ref().map_or(0, |held| held.envelope.version);
        let last = held.as_ref().map_or([0; 32], |held| held.envelope.previous);
        if let Some(anchor) = self.anchors.of(&slot)
            && !sabotage!(SAVE_BELIEVE_PROVIDER)
        {
            let seen = anchor.version;
            if found < seen {
                return Err(Refusal::Rollback { seen, found });
            }
            // The first line that was not seen names the last one that was.
            let before = match found == seen {
                true => last,
                false => self.must(ledger, seen)?.envelope.previous,
            };
            if before != anchor.digest {
                return Err(Refusal::LedgerRewrite {
                    index: seen.saturating_sub(1),
                });
            }
        }
        if held.is_some() {
            self.seen(ledger, found, last);
        }
        let epoch = held.as_ref().map_or(0, |held| held.envelope.epoch);
        Ok(Length {
            token: held.map(|held| held.token),
            lines: found,
            last,
            epoch,
        })
    }

    fn seen(&mut self, ledger: &LedgerName, version: u64, digest: Digest) {
        let anchor = Anchor { version, digest };
        self.anchors.see(Slot::length(ledger), anchor);
    }

    /// A line that must be there.
    fn must(&mut self, ledger: &LedgerName, index: u64) -> Result<Held, Refusal> {
        let gone = Refusal::LedgerRewrite { index };
        self.line(ledger, index)?.ok_or(gone)
    }

    fn written(&self, ledger: &LedgerName, kind: Kind, version: u64, previous: Digest) -> Envelope {
        Envelope {
            scope: self.scope,
            kind,
            name: ledger.0.clone(),
            schema: self.writer.schema,
            version,
            epoch: self.writer.epoch,
            retry: [RetryKey::NONE; RECENT + 1],
            previous,
            payload: Vec::new(),
        }
    }

    /// Makes the length count a line that is there. Whoever finds such a line does it, so that a writer may die between
    /// the two.
    fn count(&mut self, ledger: &LedgerName, length: &Length, last: Digest) -> Result<(), Fault> {
        let lines = length.lines + 1;
        let (bytes, _) = self.written(ledger, Kind::Length, lines, last).encode();
        let only = length
            .token
            .clone()
            .map_or(Condition::Absent, Condition::Is);
        let slot = Slot::length(ledger);
        self.backend.store(&self.scope, &slot, &only, &bytes)
    }

    pub(crate) fn append_line(
        &mut self,
        ledger: &LedgerName,
        at: u64,
        retry: RetryKey,
        payload: &[u8],
    ) -> Result<u64, Refusal> {
        // Each turn takes one step: it finds the call done, counts a line, or writes it.
        for _ in 0..2 * TRIES {
            let length = self.length(ledger)?;
            if at < length.lines {
                let done = self.must(ledger, at)?.envelope.retry[0].is(retry);
                let current = length.lines;
                return match done && !sabotage!(SAVE_FORGET_RETRY) {
                    true => Ok(at + 1),
                    false => Err(Refusal::Conflict { current }),
                };
            }
            self.fence(length.epoch)?;
            let step = match self.line(ledger, length.lines)? {
                Some(line) if line.envelope.previous != length.last => {
                    let index = length.lines;
                    return Err(Refusal::LedgerRewrite { index });
                }
                Some(line) => self.count(ledger, &length, line.digest),
                None if at > length.lines => {
                    let current = length.lines;
                    return Err(Refusal::Conflict { current });
                }
                None => {
                    let mut line = self.written(ledger, Kind::Entry, at, length.last);
                    line.retry[0] = retry;
                    line.payload = payload.to_vec();
                    self.write(ledger, &length, &line)
                }
            };
            match step {
                Ok(()) | Err(Fault::Precondition | Fault::Lost) => {}
                Err(fault) => return Err(fault.into()),
            }
        }
        let retry_after_ms = RETRY_AFTER_MS;
        Err(Refusal::Unavailable { retry_after_ms })
    }

    /// Writes a line and counts it.
    fn write(
        &mut self,
        ledger: &LedgerName,
        length: &Length,
        line: &Envelope,
    ) -> Result<(), Fault> {
        let slot = Slot::entry(ledger, line.version);
        let (bytes, digest) = line.encode();
        self.backend
            .store(&self.scope, &slot, &Condition::Absent, &bytes)?;
        self.count(ledger, length, digest)
    }

    pub(crate) fn read_lines(
        &mut self,
        ledger: &LedgerName,
        from: u64,
    ) -> Result<Page<Record>, Refusal> {
        let length = self.length(ledger)?;
        let end = length
            .lines
            .min(from.saturating_add(u64::from(self.limits.page)));
        let mut items = Vec::new();
        let mut previous = match from {
            0 => [0; 32],
            _ if from >= end => [0; 32],
            _ => self.must(ledger, from - 1)?.digest,
        };
        for index in from..end {
            let line = self.must(ledger, index)?;
            if line.envelope.previous != previous && !sabotage!(SAVE_REWRITE_LEDGER) {
                return Err(Refusal::LedgerRewrite {
                    index: index.saturating_sub(1),
                });
            }
            previous = line.digest;
            items.push(line.into());
        }
        let whole = end == length.lines && from < end;
        if whole && previous != length.last && !sabotage!(SAVE_REWRITE_LEDGER) {
            return Err(Refusal::LedgerRewrite { index: end - 1 });
        }
        let more = end < length.lines;
        Ok(Page { items, more })
    }
}
