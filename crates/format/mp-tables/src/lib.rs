//! Reading the configuration table of the MultiProcessor Specification, version 1.4: at which input of which I/O APIC
//! the interrupt pins of PCI devices arrive. ACPI tells that in AML alone, which nobody here interprets.
//!
//! Owns the floating pointer structure (4.1), the table's header (4.2) and its base entries (4.3), read from bytes that
//! the caller copied. Invariant: never believes a length, a count or a checksum before it looked; never walks without a
//! bound; panics on nothing; touches no memory but the bytes it was given.
#![no_std]
#![forbid(unsafe_code)]

/// Bytes of the floating pointer structure.
pub const POINTER_BYTES: usize = 16;
/// Bytes of the table's header.
pub const HEADER_BYTES: usize = 44;
/// The longest base table that its length field can tell.
pub const MAX_TABLE_BYTES: usize = 0xffff;

const POINTER_SIGNATURE: &[u8; 4] = b"_MP_";
const TABLE_SIGNATURE: &[u8; 4] = b"PCMP";

/// Why the table is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MpError {
    /// Fewer bytes than the length says, or than a header has.
    Truncated,
    /// Another signature.
    Signature,
    /// The bytes do not add up to 0.
    Checksum,
    /// An entry of a type that the specification does not have, or one that reaches past the table.
    Entry,
    /// The header counts other entries than there are.
    Count,
}

impl MpError {
    /// The name in facts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Signature => "signature",
            Self::Checksum => "checksum",
            Self::Entry => "entry",
            Self::Count => "count",
        }
    }
}

/// An I/O APIC (4.3.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IoApic {
    /// Its id, by which interrupt entries name it.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u32,
}

/// Where an interrupt of a bus arrives (4.3.4).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupt {
    /// Number of the bus.
    pub bus: u8,
    /// PCI: device in bits 2 to 6, pin (0 for A) in bits 0 and 1.
    pub source: u8,
    /// Id of the I/O APIC; 0xff stands for all of them.
    pub io_apic: u8,
    /// Its input.
    pub input: u8,
    /// Active low; `None` as the bus defines it.
    pub active_low: Option<bool>,
    /// Level triggered; `None` as the bus defines it.
    pub level: Option<bool>,
}

/// The line of a PCI pin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PinRoute {
    /// The I/O APIC.
    pub io_apic: IoApic,
    /// Its input.
    pub input: u8,
    /// Active low, else active high. PCI lines are active low unless the entry says otherwise.
    pub active_low: bool,
    /// Level triggered, else edge triggered. PCI lines are level triggered unless the entry says otherwise.
    pub level: bool,
}

/// Physical address of the table, from the floating pointer structure in `area`, which lies on a multiple of 16 there.
/// `None` where there is none, or where it names one of the default configurations, which have no PCI bus.
#[must_use]
pub fn find_table(area: &[u8]) -> Option<u32> {
    area.chunks_exact(POINTER_BYTES).find_map(|structure| {
        let sound = structure.starts_with(POINTER_SIGNATURE)
            && structure.get(8) == Some(&1)
            && sum(structure) == 0
            && structure.get(11) == Some(&0);
        let address = u32_at(structure, 4).filter(|address| *address != 0);
        address.filter(|_| sound)
    })
}

/// How many bytes the table has, from its header.
///
/// # Errors
/// `Truncated`, `Signature`.
pub fn table_bytes(header: &[u8]) -> Result<usize, MpError> {
    if header.len() < HEADER_BYTES {
        return Err(MpError::Truncated);
    }
    if !header.starts_with(TABLE_SIGNATURE) {
        return Err(MpError::Signature);
    }
    let bytes = u16_at(header, 4).ok_or(MpError::Truncated)?;
    let bytes = usize::from(bytes);
    if bytes < HEADER_BYTES {
        return Err(MpError::Truncated);
    }
    Ok(bytes)
}

enum Entry {
    Bus { id: u8, pci: bool },
    IoApic(IoApic),
    Interrupt(Interrupt),
    Other,
}

/// A checked table: its sum is right and every entry decodes.
#[derive(Clone, Copy, Debug)]
pub struct MpTable<'a> {
    entries: &'a [u8],
}

impl<'a> MpTable<'a> {
    /// Checks a table and all of its base entries.
    ///
    /// # Errors
    /// See [`MpError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, MpError> {
        let length = table_bytes(bytes)?;
        let table = bytes.get(..length).ok_or(MpError::Truncated)?;
        if sum(table) != 0 {
            return Err(MpError::Checksum);
        }
        let entries = table.get(HEADER_BYTES..).ok_or(MpError::Truncated)?;
        let count = u16_at(table, 34).ok_or(MpError::Truncated)?;
        let mut rest = entries;
        let mut seen = 0usize;
        while !rest.is_empty() {
            rest = next(rest).ok_or(MpError::Entry)?.1;
            seen += 1;
        }
        if seen != usize::from(count) {
            return Err(MpError::Count);
        }
        Ok(Self { entries })
    }

    fn entries(&self) -> impl Iterator<Item = Entry> + use<'a> {
        let mut rest = self.entries;
        core::iter::from_fn(move || {
            let (entry, after) = next(rest)?;
            rest = after;
            Some(entry)
        })
    }

    /// I/O APICs that may be used.
    pub fn io_apics(&self) -> impl Iterator<Item = IoApic> + use<'a> {
        self.entries().filter_map(|entry| match entry {
            Entry::IoApic(io_apic) => Some(io_apic),
            _ => None,
        })
    }

    /// Vectored interrupts of all buses.
    pub fn interrupts(&self) -> impl Iterator<Item = Interrupt> + use<'a> {
        self.entries().filter_map(|entry| match entry {
            Entry::Interrupt(interrupt) => Some(interrupt),
            _ => None,
        })
    }

    /// Whether the table calls bus `id` a PCI bus.
    #[must_use]
    pub fn is_pci(&self, id: u8) -> bool {
        self.entries()
            .any(|entry| matches!(entry, Entry::Bus { id: it, pci: true } if it == id))
    }

    /// Where pin `pin` (0 for A, to 3) of a device of a PCI bus arrives. `None` where the table does not say, or says two
    /// different things.
    #[must_use]
    pub fn pin(&self, bus: u8, device: u8, pin: u8) -> Option<PinRoute> {
        if device > 31 || pin > 3 || !self.is_pci(bus) {
            return None;
        }
        let source = device << 2 | pin;
        let mut found = self
            .interrupts()
            .filter(|one| one.bus == bus && one.source == source);
        let first = found.next()?;
        if found.any(|other| other != first) {
            return None;
        }
        let io_apic = self.io_apics().find(|one| one.id == first.io_apic)?;
        Some(PinRoute {
            io_apic,
            input: first.input,
            active_low: first.active_low.unwrap_or(true),
            level: first.level.unwrap_or(true),
        })
    }
}

/// The entry at the start of `bytes`, and what follows it.
fn next(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let length = match bytes.first()? {
        0 => 20,
        1..=4 => 8,
        _ => return None,
    };
    let (entry, rest) = bytes.split_at_checked(length)?;
    Some((decode(entry)?, rest))
}

fn decode(entry: &[u8]) -> Option<Entry> {
    let byte = |at: usize| entry.get(at).copied();
    Some(match byte(0)? {
        1 => Entry::Bus {
            id: byte(1)?,
            pci: entry.get(2..)?.starts_with(b"PCI"),
        },
        // Bit 0 of the flags: it may be used.
        2 if byte(3)? & 1 != 0 => Entry::IoApic(IoApic {
            id: byte(1)?,
            address: u32_at(entry, 4)?,
        }),
        // Type 0: a vectored interrupt.
        3 if byte(1)? == 0 => {
            let flags = u16_at(entry, 2)?;
            Entry::Interrupt(Interrupt {
                bus: byte(4)?,
                source: byte(5)?,
                io_apic: byte(6)?,
                input: byte(7)?,
                // 1: high or edge; 3: low or level; 0: as the bus has it; 2 is reserved.
                active_low: choice(flags & 3)?,
                level: choice(flags >> 2 & 3)?,
            })
        }
        _ => Entry::Other,
    })
}

/// A two-bit field: as the bus has it, no, reserved, yes.
fn choice(bits: u16) -> Option<Option<bool>> {
    match bits {
        0 => Some(None),
        1 => Some(Some(false)),
        3 => Some(Some(true)),
        _ => None,
    }
}

fn sum(bytes: &[u8]) -> u8 {
    bytes
        .iter()
        .fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let field = bytes.get(at..at.checked_add(2)?)?;
    field.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    field.try_into().ok().map(u32::from_le_bytes)
}
