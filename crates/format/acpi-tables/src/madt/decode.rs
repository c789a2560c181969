//! From the bytes of one entry to its value.

use super::{
    IoApic, LocalApicNmi, MadtEntry, NmiSource, Polarity, Processor, SourceOverride, Trigger,
};
use crate::Rule;
use le::checked;

const PROCESSOR_ENABLED: u32 = 1;
const PROCESSOR_ONLINE_CAPABLE: u32 = 2;

/// Splits the first entry off and decodes it.
pub(super) fn next_entry(bytes: &[u8]) -> Result<(MadtEntry, &[u8]), Rule> {
    let kind = checked::u8(bytes, 0).ok_or(Rule::EntryOverrun)?;
    let length = usize::from(checked::u8(bytes, 1).ok_or(Rule::EntryOverrun)?);
    if length < 2 || fixed_length(kind).is_some_and(|fixed| fixed != length) {
        return Err(Rule::EntryLength);
    }
    let (entry, rest) = bytes.split_at_checked(length).ok_or(Rule::EntryOverrun)?;
    Ok((decode(kind, entry).ok_or(Rule::EntryLength)??, rest))
}

/// Returns the length in bytes that the specification gives to entries of a decoded type.
pub(super) fn fixed_length(kind: u8) -> Option<usize> {
    Some(match kind {
        0 | 3 => 8,
        1 | 5 | 10 => 12,
        2 => 10,
        4 => 6,
        9 => 16,
        _ => return None,
    })
}

/// Decodes one whole entry: `None` where it is too short, an inner error where a field is refused.
fn decode(kind: u8, entry: &[u8]) -> Option<Result<MadtEntry, Rule>> {
    Some(Ok(match kind {
        0 => MadtEntry::Processor(processor(
            u32::from(checked::u8(entry, 3)?),
            u32::from(checked::u8(entry, 2)?),
            checked::u32(entry, 4)?,
        )),
        9 => MadtEntry::Processor(Processor {
            x2apic: true,
            ..processor(
                checked::u32(entry, 4)?,
                checked::u32(entry, 12)?,
                checked::u32(entry, 8)?,
            )
        }),
        1 => return io_apic(entry),
        2 => return source_override(entry),
        3 => {
            let Some((polarity, trigger)) = signalling(checked::u16(entry, 2)?) else {
                return Some(Err(Rule::Field));
            };
            MadtEntry::NmiSource(NmiSource {
                gsi: checked::u32(entry, 4)?,
                polarity,
                trigger,
            })
        }
        4 => {
            let uid = checked::u8(entry, 2)?;
            let uid = (uid != 0xff).then_some(u32::from(uid));
            return Some(local_nmi(
                uid,
                checked::u16(entry, 3)?,
                checked::u8(entry, 5)?,
            ));
        }
        10 => {
            let uid = checked::u32(entry, 4)?;
            let uid = (uid != u32::MAX).then_some(uid);
            return Some(local_nmi(
                uid,
                checked::u16(entry, 2)?,
                checked::u8(entry, 8)?,
            ));
        }
        5 => MadtEntry::LocalApicAddress(checked::u64(entry, 4)?),
        other => MadtEntry::Unknown(other),
    }))
}

fn io_apic(entry: &[u8]) -> Option<Result<MadtEntry, Rule>> {
    let address = checked::u32(entry, 4)?;
    // The register select and window need 32 bytes; everything made aligns them to at least 16.
    if address == 0 || address & 0xf != 0 {
        return Some(Err(Rule::Address));
    }
    Some(Ok(MadtEntry::IoApic(IoApic {
        id: checked::u8(entry, 2)?,
        address,
        gsi_base: checked::u32(entry, 8)?,
    })))
}

fn source_override(entry: &[u8]) -> Option<Result<MadtEntry, Rule>> {
    let source = checked::u8(entry, 3)?;
    let Some((polarity, trigger)) = signalling(checked::u16(entry, 8)?) else {
        return Some(Err(Rule::Field));
    };
    // Bus 0 is ISA, the only one that is defined.
    if checked::u8(entry, 2)? != 0 {
        return Some(Err(Rule::Field));
    }
    Some(Ok(MadtEntry::SourceOverride(SourceOverride {
        source,
        gsi: checked::u32(entry, 4)?,
        polarity,
        trigger,
    })))
}

fn processor(apic_id: u32, uid: u32, flags: u32) -> Processor {
    let enabled = flags & PROCESSOR_ENABLED != 0;
    Processor {
        apic_id,
        uid,
        enabled,
        online_capable: !enabled && flags & PROCESSOR_ONLINE_CAPABLE != 0,
        x2apic: false,
    }
}

fn local_nmi(uid: Option<u32>, flags: u16, lint: u8) -> Result<MadtEntry, Rule> {
    let (polarity, trigger) = signalling(flags).ok_or(Rule::Field)?;
    if lint > 1 {
        return Err(Rule::Field);
    }
    Ok(MadtEntry::LocalApicNmi(LocalApicNmi {
        uid,
        lint,
        polarity,
        trigger,
    }))
}

/// Decodes MPS INTI flags (table 5.26); `None` for the reserved values.
fn signalling(flags: u16) -> Option<(Polarity, Trigger)> {
    let polarity = match flags & 3 {
        0 => Polarity::BusDefault,
        1 => Polarity::ActiveHigh,
        3 => Polarity::ActiveLow,
        _ => return None,
    };
    let trigger = match flags >> 2 & 3 {
        0 => Trigger::BusDefault,
        1 => Trigger::Edge,
        3 => Trigger::Level,
        _ => return None,
    };
    Some((polarity, trigger))
}
