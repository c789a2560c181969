//! Device entries of a unit block: which requester ids the unit serves (5.2.2.1 to 5.2.2.7).

use crate::Rule;
use le::checked;

/// Bytes of an entry for a device that has an ACPI name, before the name of variable length.
const NAMED_BYTES: usize = 22;

const PADDING: u8 = 0;
const RANGE_END: u8 = 4;
const NAMED: u8 = 240;

/// What a special device is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SpecialDevice {
    /// The I/O APIC with this id.
    IoApic(u8),
    /// The HPET with this number.
    Hpet(u8),
}

/// What an entry means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceEntryKind {
    /// Every device of the segment.
    All,
    /// The requester ids from `first` to `last`; one, where they are equal.
    Range,
    /// The requester ids from `first` to `last`, whose requests carry this id instead.
    Alias(u16),
    /// A device that is no PCI function, whose requests carry the id `first`.
    Special(SpecialDevice),
    /// A device that has an ACPI name, whose requests carry the id `first`.
    Named,
    /// A type of more than 4 bytes that this crate does not decode, and that is skipped by its length.
    Unknown(u8),
}

/// One entry, or the two that mark start and end of a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceEntry {
    /// What it means.
    pub kind: DeviceEntryKind,
    /// First requester id.
    pub first: u16,
    /// Last requester id, never below the first.
    pub last: u16,
    /// The settings byte as the table gives it.
    pub settings: u8,
}

/// The walk over the entries of a unit block; padding is skipped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceEntries<'a>(&'a [u8]);

impl Iterator for DeviceEntries<'_> {
    type Item = DeviceEntry;

    fn next(&mut self) -> Option<DeviceEntry> {
        loop {
            // `check` saw every entry decode, so an error here only ends the walk.
            let (entry, rest) = next_entry(self.0).ok()?;
            self.0 = rest;
            if entry.is_some() {
                return entry;
            }
        }
    }
}

/// Checks that all of `bytes` are entries.
pub(super) fn check(bytes: &[u8]) -> Result<DeviceEntries<'_>, Rule> {
    let mut rest = bytes;
    while !rest.is_empty() {
        rest = next_entry(rest)?.1;
    }
    Ok(DeviceEntries(bytes))
}

/// Splits one entry off by the length that its type has.
fn split(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), Rule> {
    let overrun = Rule::EntryOverrun;
    let kind = checked::u8(bytes, 0).ok_or(overrun)?;
    let length = match kind {
        NAMED => NAMED_BYTES + usize::from(checked::u8(bytes, NAMED_BYTES - 1).ok_or(overrun)?),
        // The two highest bits of the type give the length.
        _ => 4 << (kind >> 6),
    };
    let (entry, rest) = bytes.split_at_checked(length).ok_or(overrun)?;
    Ok((kind, entry, rest))
}

/// Splits off what makes one entry, the end of its range included; `None` for padding.
fn next_entry(bytes: &[u8]) -> Result<(Option<DeviceEntry>, &[u8]), Rule> {
    let (kind, entry, rest) = split(bytes)?;
    let short = Rule::EntryLength;
    let first = checked::u16(entry, 1).ok_or(short)?;
    let settings = checked::u8(entry, 3).ok_or(short)?;
    // Entries of 8 bytes have a second id; in shorter ones there is none to read.
    let second = checked::u16(entry, 5);
    let one = |kind, first| DeviceEntry {
        kind,
        first,
        last: first,
        settings,
    };
    let decoded = match kind {
        PADDING => return Ok((None, rest)),
        1 => DeviceEntry {
            last: u16::MAX,
            ..one(DeviceEntryKind::All, 0)
        },
        2 | 70 => one(DeviceEntryKind::Range, first),
        66 => one(DeviceEntryKind::Alias(second.ok_or(short)?), first),
        3 | 71 => return range(one(DeviceEntryKind::Range, first), rest),
        67 => {
            let alias = DeviceEntryKind::Alias(second.ok_or(short)?);
            return range(one(alias, first), rest);
        }
        RANGE_END => return Err(Rule::Unpaired),
        72 => {
            let handle = checked::u8(entry, 4).ok_or(short)?;
            let special = match checked::u8(entry, 7) {
                Some(1) => SpecialDevice::IoApic(handle),
                Some(2) => SpecialDevice::Hpet(handle),
                _ => return Err(Rule::Field),
            };
            one(DeviceEntryKind::Special(special), second.ok_or(short)?)
        }
        NAMED => one(DeviceEntryKind::Named, first),
        // All types of 4 bytes are defined or reserved; a longer one may come with a newer revision.
        5..=63 => return Err(Rule::Field),
        other => one(DeviceEntryKind::Unknown(other), first),
    };
    Ok((Some(decoded), rest))
}

/// Completes a range with the entry that ends it, which follows at once but for padding.
fn range(start: DeviceEntry, bytes: &[u8]) -> Result<(Option<DeviceEntry>, &[u8]), Rule> {
    let mut bytes = bytes;
    loop {
        if bytes.is_empty() {
            return Err(Rule::Unpaired);
        }
        let (kind, entry, rest) = split(bytes)?;
        bytes = rest;
        match kind {
            PADDING => {}
            RANGE_END => {
                let last = checked::u16(entry, 1).ok_or(Rule::EntryLength)?;
                if last < start.first {
                    return Err(Rule::Unpaired);
                }
                return Ok((Some(DeviceEntry { last, ..start }), rest));
            }
            _ => return Err(Rule::Unpaired),
        }
    }
}
