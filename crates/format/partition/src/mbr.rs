//! The PC partition sector and the chain of extended partition sectors.

use arrayvec::ArrayVec;

use crate::layout::{Label, Layout, Scheme, Volume, VolumeKind};
use crate::{Block, BlockRead, EntryFault, Error, le};

const ENTRIES: usize = 446;
const ENTRY_BYTES: usize = 16;
const SIGNATURE: usize = 510;
const TYPE_PROTECTIVE: u8 = 0xee;
/// Extended partition sectors that are followed.
const MAX_CHAIN: usize = 64;

/// One of the four entries of a partition sector.
#[derive(Clone, Copy)]
struct Entry {
    status: u8,
    type_byte: u8,
    first: u64,
    blocks: u64,
}

impl Entry {
    fn read(block: &[u8], index: usize) -> Self {
        let at = ENTRIES + index * ENTRY_BYTES;
        Self {
            status: le::u8(block, at),
            type_byte: le::u8(block, at + 4),
            first: u64::from(le::u32(block, at + 8)),
            blocks: u64::from(le::u32(block, at + 12)),
        }
    }

    fn is_used(&self) -> bool {
        self.type_byte != 0
    }

    fn is_extended(&self) -> bool {
        matches!(self.type_byte, 0x05 | 0x0f | 0x85)
    }

    fn has_valid_status(&self) -> bool {
        matches!(self.status, 0x00 | 0x80)
    }

    /// Checks what holds for every partition. `first` is the absolute first block.
    fn check(&self, first: u64, device_blocks: u64) -> Result<(), EntryFault> {
        // Both come from 32-bit fields, so the sum cannot overflow.
        let end = first + self.blocks;
        if self.blocks == 0 {
            Err(EntryFault::ZeroLength)
        } else if first == 0 {
            Err(EntryFault::CoversTable)
        } else if end > device_blocks {
            Err(EntryFault::BeyondDevice { end, device_blocks })
        } else {
            Ok(())
        }
    }
}

/// Returns whether a block ends its first 512 bytes with 55 AA.
pub(crate) fn has_signature(block: &[u8]) -> bool {
    le::array(block, SIGNATURE) == [0x55, 0xaa]
}

/// Returns whether block 0 announces a GPT: a protective entry that begins right behind it.
///
/// UEFI 2.10, 5.2.3. An entry elsewhere in the list is taken as well, since hybrid tables place it freely.
pub(crate) fn is_protective(block: &[u8]) -> bool {
    (0..4).map(|index| Entry::read(block, index)).any(|entry| {
        entry.type_byte == TYPE_PROTECTIVE
            && entry.has_valid_status()
            && entry.first == 1
            && entry.blocks != 0
    })
}

/// Reads the partition sector in `block` and the logical partitions it leads to.
pub(crate) fn read<D: BlockRead>(
    device: &mut D,
    block: &mut Block,
    device_blocks: u64,
) -> Result<Layout, Error<D::Error>> {
    let entries: [Entry; 4] = core::array::from_fn(|index| Entry::read(block.bytes(), index));
    if let Some((index, entry)) = entries
        .iter()
        .enumerate()
        .find(|(_, entry)| !entry.has_valid_status())
    {
        return Err(Error::NotMbr {
            number: index as u32 + 1,
            status: entry.status,
        });
    }
    let mut layout = Layout::new(Scheme::Mbr);
    let mut extended = None;
    for (index, entry) in entries
        .iter()
        .enumerate()
        .filter(|(_, entry)| entry.is_used())
    {
        let number = index as u32 + 1;
        if let Err(fault) = entry.check(entry.first, device_blocks) {
            layout.refuse(number, entry.first, fault);
        } else if !entry.is_extended() {
            add(&mut layout, number, entry, entry.first);
        } else if extended.is_some() {
            layout.refuse(number, entry.first, EntryFault::SecondExtended);
        } else {
            extended = Some((number, *entry));
        }
    }
    if let Some((number, entry)) = extended {
        // Known only now: a primary partition behind the extended one in the list may lie inside it.
        let end = entry.first + entry.blocks;
        match layout
            .volumes
            .iter()
            .find(|v| entry.first < v.end() && v.first_lba < end)
        {
            Some(other) => {
                let other = other.number;
                layout.refuse(number, entry.first, EntryFault::Overlaps { other });
            }
            None => read_logical(device, block, entry, &mut layout)?,
        }
    }
    Ok(layout)
}

/// Follows the chain inside the extended partition `parent`, which lies inside the device.
fn read_logical<D: BlockRead>(
    device: &mut D,
    block: &mut Block,
    parent: Entry,
    layout: &mut Layout,
) -> Result<(), Error<D::Error>> {
    let parent_end = parent.first + parent.blocks;
    let mut visited = ArrayVec::<u64, MAX_CHAIN>::new();
    let mut at = parent.first;
    let mut number = 5;
    loop {
        if visited.contains(&at) {
            layout.refuse(number, at, EntryFault::ChainLoop { lba: at });
            return Ok(());
        }
        if visited.try_push(at).is_err() {
            layout.refuse(number, at, EntryFault::ChainTooLong);
            return Ok(());
        }
        block.load(device, at)?;
        let (logical, next) = (Entry::read(block.bytes(), 0), Entry::read(block.bytes(), 1));
        if !has_signature(block.bytes()) || !logical.has_valid_status() || !next.has_valid_status()
        {
            layout.refuse(number, at, EntryFault::ChainBlock { lba: at });
            return Ok(());
        }
        // An empty first entry is what is left of a deleted partition; the chain goes on.
        if logical.is_used() && !logical.is_extended() {
            let first = at + logical.first;
            let fault = if logical.first == 0 {
                Err(EntryFault::CoversTable)
            } else if logical.blocks != 0 && first + logical.blocks > parent_end {
                Err(EntryFault::OutsideParent)
            } else {
                logical.check(first, parent_end)
            };
            match fault {
                Ok(()) => add(layout, number, &logical, first),
                Err(fault) => layout.refuse(number, first, fault),
            }
            number += 1;
        }
        if !next.is_extended() {
            return Ok(());
        }
        at = parent.first + next.first;
        if at >= parent_end {
            layout.refuse(number, at, EntryFault::OutsideParent);
            return Ok(());
        }
    }
}

fn add(layout: &mut Layout, number: u32, entry: &Entry, first_lba: u64) {
    layout.add(Volume {
        number,
        kind: VolumeKind::Mbr {
            type_byte: entry.type_byte,
        },
        first_lba,
        blocks: entry.blocks,
        label: Label::EMPTY,
    });
}
