//! The GUID partition table: header and entry array, primary and backup (UEFI 2.10, 5.3).

use crate::blocks::Blocks;
use crate::layout::{Guid, Label, Layout, Scheme, Volume, VolumeKind};
use crate::{BlockRead, Crc32, EntryFault, Error, GptFault};

const HEADER_BYTES: u32 = 92;
const HEADER_CRC: usize = 16;
const MAX_ENTRIES: u32 = 4096;
const MIN_ENTRY_BYTES: u32 = 128;
const MAX_ENTRY_BYTES: u32 = 4096;
/// Block sizes that tables are made for.
const UNITS: [u32; 4] = [512, 4096, 2048, 1024];

/// The fields of a header whose CRC has matched and whose ranges fit the device.
struct Header {
    disk: Guid,
    own_lba: u64,
    /// Where the other copy should be; nobody has looked.
    other_lba: u64,
    array_lba: u64,
    array_blocks: u64,
    array_bytes: u64,
    entry_bytes: u32,
    array_crc: u32,
}

/// One copy was not usable, or the device failed.
enum Failure<E> {
    Fault(GptFault),
    Device(Error<E>),
}

impl<E> From<GptFault> for Failure<E> {
    fn from(fault: GptFault) -> Self {
        Self::Fault(fault)
    }
}

/// Finds the table, in blocks of the device's size or, where a table was made for another size, of that.
pub(crate) fn find<D: BlockRead>(blocks: &mut Blocks<'_, D>) -> Result<Layout, Error<D::Error>> {
    let usual = match read(blocks) {
        Ok(layout) => return Ok(layout),
        Err(error) => error,
    };
    let device_unit = blocks.device_unit();
    for unit in UNITS.into_iter().filter(|unit| *unit != device_unit) {
        // Its own header says in which block it stands, so a copy that is right cannot be one of another size.
        blocks.set_unit(unit);
        if let Ok(layout) = read(blocks) {
            return Ok(layout);
        }
    }
    blocks.set_unit(device_unit);
    Err(usual)
}

/// Reads the primary table, or the backup where the primary is not valid.
///
/// A primary that the device cannot read counts as not valid; an unreadable backup is then reported as such.
fn read<D: BlockRead>(blocks: &mut Blocks<'_, D>) -> Result<Layout, Error<D::Error>> {
    let primary = match read_copy(blocks, 1, Scheme::Gpt) {
        Ok(layout) => return Ok(layout),
        Err(failure) => failure,
    };
    let scheme = match &primary {
        Failure::Fault(fault) => Scheme::GptBackup { primary: *fault },
        Failure::Device(_) => Scheme::GptBackup {
            primary: GptFault::Unreadable,
        },
    };
    let last = blocks.len().saturating_sub(1);
    match (primary, read_copy(blocks, last, scheme)) {
        (_, Ok(layout)) => Ok(layout),
        (Failure::Fault(primary), Err(Failure::Fault(backup))) => {
            Err(Error::Gpt { primary, backup })
        }
        (Failure::Device(error), _) | (_, Err(Failure::Device(error))) => Err(error),
    }
}

fn read_copy<D: BlockRead>(
    blocks: &mut Blocks<'_, D>,
    lba: u64,
    scheme: Scheme,
) -> Result<Layout, Failure<D::Error>> {
    let device_blocks = blocks.len();
    if lba == 0 || lba >= device_blocks {
        return Err(GptFault::Missing.into());
    }
    blocks.load(lba).map_err(Failure::Device)?;
    let header = Header::parse(blocks.bytes(), lba, device_blocks)?;
    let mut layout = Layout::new(scheme, blocks);
    layout.disk = Some(header.disk).filter(|guid| !guid.is_zero());
    let mut sum = Crc32::new();
    let mut left = header.array_bytes;
    // Entries and blocks are both powers of two, so an entry never straddles a block in its first 128 bytes.
    let (mut number, mut next_entry, mut block_at) = (1u32, 0u64, 0u64);
    for index in 0..header.array_blocks {
        blocks
            .load(header.array_lba + index)
            .map_err(Failure::Device)?;
        let bytes = blocks.bytes();
        let used = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = bytes.get(..used).unwrap_or_default();
        sum.update(bytes);
        while next_entry < block_at + used as u64 {
            let at = (next_entry - block_at) as usize;
            let entry = bytes.get(at..).unwrap_or_default();
            add_entry(&mut layout, &header, number, entry, device_blocks);
            number += 1;
            next_entry += u64::from(header.entry_bytes);
        }
        block_at += used as u64;
        left -= used as u64;
    }
    // The layout leaves this function only if the sum over what it was made from is right.
    match sum.finish() {
        computed if computed != header.array_crc => Err(GptFault::EntryCrc {
            stored: header.array_crc,
            computed,
        }
        .into()),
        _ => Ok(layout),
    }
}

impl Header {
    fn parse(block: &[u8], lba: u64, device_blocks: u64) -> Result<Self, GptFault> {
        if &le::array::<8>(block, 0) != b"EFI PART" {
            return Err(GptFault::Signature);
        }
        let revision = le::u32(block, 8);
        if revision >> 16 != 1 {
            return Err(GptFault::Revision(revision));
        }
        let size = le::u32(block, 12);
        let bytes = usize::try_from(size)
            .ok()
            .filter(|_| size >= HEADER_BYTES)
            .and_then(|size| block.get(..size));
        let Some(bytes) = bytes else {
            return Err(GptFault::HeaderSize(size));
        };
        let stored = le::u32(bytes, HEADER_CRC);
        let computed = header_crc(bytes);
        if stored != computed {
            return Err(GptFault::HeaderCrc { stored, computed });
        }
        let own_lba = le::u64(bytes, 24);
        if own_lba != lba {
            return Err(GptFault::OwnLba(own_lba));
        }
        let (first_usable, last_usable) = (le::u64(bytes, 40), le::u64(bytes, 48));
        // A device that ends before its usable blocks do is the copy of a larger one: its partitions are cut.
        if first_usable < 2 || first_usable > last_usable {
            return Err(GptFault::UsableRange {
                first: first_usable,
                last: last_usable,
            });
        }
        let array_lba = le::u64(bytes, 72);
        let (count, entry_bytes) = (le::u32(bytes, 80), le::u32(bytes, 84));
        let shape = entry_bytes.is_power_of_two()
            && (MIN_ENTRY_BYTES..=MAX_ENTRY_BYTES).contains(&entry_bytes)
            && (1..=MAX_ENTRIES).contains(&count);
        if !shape {
            return Err(GptFault::EntryShape {
                count,
                bytes: entry_bytes,
            });
        }
        let array_bytes = u64::from(count) * u64::from(entry_bytes);
        let array_blocks = array_bytes.div_ceil(block.len() as u64);
        // It may lie among the usable blocks: tools let people move it. A partition there is refused instead.
        let fits = array_lba.checked_add(array_blocks).is_some_and(|end| {
            array_lba >= 1 && end <= device_blocks && !(array_lba..end).contains(&lba)
        });
        if !fits {
            return Err(GptFault::EntryArray { lba: array_lba });
        }
        Ok(Self {
            disk: Guid(le::array(bytes, 56)),
            own_lba,
            other_lba: le::u64(bytes, 32),
            array_lba,
            array_blocks,
            array_bytes,
            entry_bytes,
            array_crc: le::u32(bytes, 88),
        })
    }
}

/// Sums the header with its CRC field taken as zero.
fn header_crc(bytes: &[u8]) -> u32 {
    let (before, rest) = bytes.split_at_checked(HEADER_CRC).unwrap_or((bytes, &[]));
    let mut sum = Crc32::new();
    sum.update(before);
    sum.update(&[0; 4]);
    sum.update(rest.get(4..).unwrap_or_default());
    sum.finish()
}

fn add_entry(layout: &mut Layout, header: &Header, number: u32, entry: &[u8], device_blocks: u64) {
    let type_guid = Guid(le::array(entry, 0));
    if type_guid.is_zero() {
        return;
    }
    let (first, last) = (le::u64(entry, 32), le::u64(entry, 40));
    let covers = |from: u64, to: u64| first <= to && from <= last;
    let array_last = header.array_lba + (header.array_blocks - 1);
    if last < first {
        layout.refuse(number, first, EntryFault::ZeroLength);
    } else if covers(0, 0)
        || covers(header.own_lba, header.own_lba)
        || covers(header.other_lba, header.other_lba)
        || covers(header.array_lba, array_last)
    {
        layout.refuse(number, first, EntryFault::CoversTable);
    } else {
        let volume = Volume {
            number,
            kind: VolumeKind::Gpt {
                type_guid,
                unique_guid: Guid(le::array(entry, 16)),
            },
            first_lba: first,
            // Not past the last number, because it does not begin at the first.
            blocks: last - first + 1,
            missing: 0,
            label: Label::from_utf16((0..36).map(|unit| le::u16(entry, 56 + unit * 2))),
        };
        layout.add(volume, device_blocks);
    }
}
