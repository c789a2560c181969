//! Bringing to a store far away what was saved here first.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use sabotage::sabotage;

use crate::{Expect, Key, LedgerName, Record, Refusal, RetryKey, SaveStore, Slot};

/// How far something was brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Mark {
    /// The version here that was brought last.
    near: u64,
    /// What it became there; of a ledger, how many lines were brought.
    far: u64,
}

/// What goes up to a store far away, and how far it has come. Saving happens here first, so it needs no network; the
/// newest version of a record goes up, and every line of a ledger.
///
/// A version goes up with a retry key made of its sum: brought again, it is there once. So the marks may be older than
/// what was brought, and are kept after it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Uplink(BTreeMap<Slot, Mark>);

fn retry(record: &Record) -> RetryKey {
    let mut key = RetryKey::NONE;
    key.0.copy_from_slice(&record.digest[..16]);
    key
}

impl Uplink {
    /// How far a slot was brought: the version here, and what it became there.
    #[must_use]
    pub fn mark(&self, slot: &Slot) -> (u64, u64) {
        let mark = self.0.get(slot).copied().unwrap_or_default();
        (mark.near, mark.far)
    }

    /// Takes a mark that was kept.
    pub fn set(&mut self, slot: Slot, near: u64, far: u64) {
        self.0.insert(slot, Mark { near, far });
    }

    /// Brings the newest version of a record up, and says whether there was anything to bring.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] where another machine has brought something of its own: nothing was written over, and the
    /// application must merge. Else what either store refuses.
    pub fn bring(
        &mut self,
        near: &mut dyn SaveStore,
        far: &mut dyn SaveStore,
        key: &Key,
    ) -> Result<bool, Refusal> {
        let slot = Slot::head(key);
        let mut mark = self.0.get(&slot).copied().unwrap_or_default();
        let Some(record) = near.get(key)? else {
            return Ok(false);
        };
        if record.version == mark.near {
            return Ok(false);
        }
        let mut end = put(far, key, mark.far, &record);
        if let Err(Refusal::Conflict { .. }) = end {
            // Perhaps it was this machine, and the mark was lost: then an earlier version's key is known there.
            let known = near.history(key)?.into_iter().rev().skip(1);
            for earlier in known.take_while(|earlier| earlier.version > mark.near) {
                if let Ok(far) = put(far, key, mark.far, &earlier) {
                    mark.far = far;
                    break;
                }
            }
            end = put(far, key, mark.far, &record);
        }
        let far = end?;
        let near = record.version;
        self.0.insert(slot, Mark { near, far });
        Ok(true)
    }

    /// Brings the lines of a ledger up that are not there yet, and says how many.
    ///
    /// # Errors
    /// [`Refusal::Conflict`] where another machine has written lines of its own. Else what either store refuses; what was
    /// brought before stays.
    pub fn bring_lines(
        &mut self,
        near: &mut dyn SaveStore,
        far: &mut dyn SaveStore,
        ledger: &LedgerName,
    ) -> Result<u64, Refusal> {
        let slot = Slot::length(ledger);
        let start = self.0.get(&slot).copied().unwrap_or_default().far;
        let mut at = start;
        loop {
            let page = near.read_ledger(ledger, at)?;
            for line in &page.items {
                at = far.append(ledger, at, retry(line), &line.payload)?;
                self.0.insert(slot.clone(), Mark { near: at, far: at });
            }
            if !page.more || page.items.is_empty() {
                return Ok(at - start);
            }
        }
    }

    /// The marks as bytes, to be kept after what they mark was brought.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (slot, mark) in &self.0 {
            // A slot has at most three names.
            out.push(slot.text().len() as u8);
            out.extend(slot.text().as_bytes());
            out.extend(mark.near.to_le_bytes());
            out.extend(mark.far.to_le_bytes());
        }
        out
    }

    /// Reads marks. `None` for whatever [`Uplink::encode`] has not made.
    #[must_use]
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut marks = BTreeMap::new();
        while let Some((length, rest)) = bytes.split_first() {
            let (text, rest) = rest.split_at_checked((*length).into())?;
            let (numbers, rest) = rest.split_at_checked(16)?;
            let slot = Slot::listed(core::str::from_utf8(text).ok()?)?;
            let near = le::u64(numbers, 0);
            let far = le::u64(numbers, 8);
            let is_after = marks.last_key_value().is_none_or(|(last, _)| *last < slot);
            marks.insert(slot, Mark { near, far });
            if !is_after {
                return None;
            }
            bytes = rest;
        }
        Some(Self(marks))
    }
}

fn put(far: &mut dyn SaveStore, key: &Key, there: u64, record: &Record) -> Result<u64, Refusal> {
    let expect = match there {
        0 => Expect::Absent,
        version => Expect::Version(version),
    };
    let expect = match sabotage!(SAVE_OVER_OTHERS) {
        true => Expect::Any,
        false => expect,
    };
    far.put(key, expect, retry(record), &record.payload)
}
