//! Which messages raise a vector: those of one source, by an entry of its remapping unit, or what names the vector itself where no
//! unit that is on judges the source's messages.

use apic::{End, Pin, Redirection};
use device_manager::{Entry, Line, Message, Raiser};
use iommu::{Destination, Polarity, Trigger, Unit};
use sabotage::sabotage;
use stub::Refusal;

/// Shows that nothing raises a vector any more, by the word of whoever judges its messages.
pub struct NothingRaises;

/// Lets something raise a vector; the message by which it does.
///
/// # Errors
/// Those of [`Unit::take_entry`].
pub fn admit(raiser: Raiser, message: Message) -> Result<Message, Refusal> {
    let (source, level) = match raiser {
        Raiser::Function(function) => (crate::iommu::judge_of(function), false),
        Raiser::Line(line) => (
            crate::lines::io_apic_of(line.gsi).and_then(crate::iommu::judge_of_io_apic),
            line.level,
        ),
    };
    let Some((unit, source)) = source else {
        return Ok(message);
    };
    let trigger = match level {
        true => Trigger::Level,
        false => Trigger::Edge,
    };
    // What an I/O APIC needs is nobody's in particular.
    let _kernel = matches!(raiser, Raiser::Line(_)).then(frames::paid_by_kernel);
    let entry = unit.take_entry(source, trigger, destination(&message))?;
    let (address, data) = unit.message(entry);
    Ok(Message {
        address,
        data,
        entry: Some(Entry {
            unit: unit.number(),
            source,
            index: entry.index,
            level,
        }),
        ..message
    })
}

/// Leads an entry to another vector, and gives the message that stands for that one.
///
/// # Errors
/// `NotSupported` without an entry; those of [`Unit::move_entry`].
pub fn redirect(from: &mut Message, to: Message) -> Result<Message, Refusal> {
    let entry = from.entry.ok_or(Refusal::NotSupported)?;
    let (unit, its) = of(&entry).ok_or(Refusal::DeviceError)?;
    unit.move_entry(its, destination(&to))?;
    from.entry = None;
    Ok(Message {
        address: from.address,
        data: from.data,
        entry: Some(entry),
        ..to
    })
}

/// Ends that anything raises a vector, by its entry; a source without one has been told to stop.
///
/// # Errors
/// Those of [`Unit::clear_entry`].
pub fn end(message: &Message) -> Result<NothingRaises, Refusal> {
    let Some(entry) = message.entry else {
        return Ok(NothingRaises);
    };
    let (unit, its) = of(&entry).ok_or(Refusal::DeviceError)?;
    unit.clear_entry(its).map(|_forgotten| NothingRaises)
}

/// What the input of an I/O APIC holds for a line that raises a vector.
pub fn pin(line: &Line, message: &Message) -> Redirection {
    let plain = Redirection::to(
        message.vector,
        message.apic_id,
        Pin {
            level: line.level,
            active_low: line.active_low,
        },
    );
    let Some((unit, entry)) = message.entry.as_ref().and_then(of) else {
        return plain;
    };
    let polarity = match line.active_low {
        true => Polarity::Low,
        false => Polarity::High,
    };
    let entry = iommu::Entry {
        index: entry.index + u16::from(sabotage!(NAME_ENTRY_BEHIND)),
        ..entry
    };
    Redirection {
        entry: unit.pin(entry, message.vector, polarity),
        end: match unit.ends_by_number() && line.level {
            true => End::ByNumber,
            false => End::ByVector,
        },
    }
}

const fn destination(message: &Message) -> Destination {
    Destination {
        apic_id: message.apic_id,
        vector: message.vector,
    }
}

/// The unit of an entry, and how it calls it.
fn of(entry: &Entry) -> Option<(&'static Unit, iommu::Entry)> {
    let unit = crate::iommu::unit(entry.unit)?;
    let trigger = match entry.level {
        true => Trigger::Level,
        false => Trigger::Edge,
    };
    Some((
        unit,
        iommu::Entry {
            source: entry.source,
            index: entry.index,
            trigger,
        },
    ))
}
