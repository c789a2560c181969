//! The PC partition sector and the chain of extended partition sectors.

use arrayvec::ArrayVec;

use crate::bare::{self, Content};
use crate::blocks::Blocks;
use crate::layout::{Label, Layout, Scheme, Volume, VolumeKind};
use crate::{BlockRead, EntryFault, Error, MIN_BLOCK_BYTES};

const ENTRIES: usize = 446;
const ENTRY_BYTES: usize = 16;
const SIGNATURE: usize = 510;
const TYPE_PROTECTIVE: u8 = 0xee;
/// Extended partition sectors that are followed.
const MAX_CHAIN: usize = 128;
/// The other block size that tables are made for.
const LARGE_BLOCK_BYTES: u32 = 4096;

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

    /// First block behind it, as the table says. Both parts come from 32-bit fields, so the sum cannot overflow.
    fn end(&self) -> u64 {
        self.first + self.blocks
    }

    /// Checks what holds for every partition. `first` is the absolute first block.
    fn check(&self, first: u64) -> Result<(), EntryFault> {
        if self.blocks == 0 {
            Err(EntryFault::ZeroLength)
        } else if first == 0 {
            Err(EntryFault::CoversTable)
        } else {
            Ok(())
        }
    }

    fn volume(&self, number: u32, first_lba: u64) -> Volume {
        Volume {
            number,
            kind: VolumeKind::Mbr {
                type_byte: self.type_byte,
            },
            first_lba,
            blocks: self.blocks,
            missing: 0,
            label: Label::EMPTY,
        }
    }
}

/// Whether a block ends its first 512 bytes with 55 AA.
pub(crate) fn has_signature(block: &[u8]) -> bool {
    le::array(block, SIGNATURE) == [0x55, 0xaa]
}

/// Whether one of the entries announces a GPT (UEFI 2.10, 5.2.3). How many blocks it claims is as little looked at as by Linux
/// (`block/partitions/efi.c`): tools write what they like there.
pub(crate) fn is_protective(block: &[u8]) -> bool {
    (0..4).map(|index| Entry::read(block, index)).any(|entry| {
        entry.type_byte == TYPE_PROTECTIVE && entry.has_valid_status() && entry.first == 1
    })
}

/// Says which entry of a signed block 0 cannot be part of a table.
pub(crate) fn not_a_table<E>(block: &[u8]) -> Error<E> {
    (1..)
        .zip((0..4).map(|index| Entry::read(block, index)))
        .find(|(_, entry)| !entry.has_valid_status())
        .map_or(Error::NoTable, |(number, entry)| Error::NotMbr {
            number,
            status: entry.status,
        })
}

/// The four entries of block 0, none of which has an impossible status.
pub(crate) struct Table([Entry; 4]);

impl Table {
    /// Reads the entries; `None` where they cannot be a table.
    pub(crate) fn parse(block: &[u8]) -> Option<Self> {
        let entries: [Entry; 4] = core::array::from_fn(|index| Entry::read(block, index));
        entries
            .iter()
            .all(Entry::has_valid_status)
            .then_some(Self(entries))
    }

    fn used(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (1..).zip(&self.0).filter(|(_, entry)| entry.is_used())
    }

    /// Whether there are entries, and every one of them can be true. Boot code in their place does not come out so.
    pub(crate) fn makes_sense<D: BlockRead>(&self, blocks: &mut Blocks<'_, D>) -> bool {
        self.choose_unit(blocks);
        let device_blocks = blocks.len();
        let mut used = 0;
        let sound = self.used().all(|(number, entry)| {
            used += 1;
            let apart = self
                .used()
                .take_while(|(other, _)| *other < number)
                .all(|(_, other)| entry.end() <= other.first || other.end() <= entry.first);
            entry.check(entry.first).is_ok() && entry.first < device_blocks && apart
        });
        sound && used > 0
    }

    /// Nothing in this table says which block size it counts in, and enclosures change the size of a disk's blocks. So
    /// another size is taken where nothing stands at the places that the device's would give, and something at these.
    fn choose_unit<D: BlockRead>(&self, blocks: &mut Blocks<'_, D>) {
        let usual = blocks.device_unit();
        let other = if usual == MIN_BLOCK_BYTES {
            LARGE_BLOCK_BYTES
        } else {
            MIN_BLOCK_BYTES
        };
        let found = |blocks: &mut Blocks<'_, D>, unit| {
            self.used().any(|(_, entry)| {
                let mut sector = [0; MIN_BLOCK_BYTES as usize];
                let at = entry.first * u64::from(unit);
                let inside = at != 0 && at + u64::from(MIN_BLOCK_BYTES) <= blocks.device_len();
                let read = inside && blocks.read_at(at, &mut sector).is_ok();
                read && has_signature(&sector)
                    && (entry.is_extended() || bare::recognise(&sector) != Content::Unknown)
            })
        };
        let changed = !found(blocks, usual) && found(blocks, other);
        blocks.set_unit(if changed { other } else { usual });
    }
}

/// Lists the partitions of the table and the logical partitions it leads to.
pub(crate) fn read<D: BlockRead>(blocks: &mut Blocks<'_, D>, table: &Table) -> Layout {
    table.choose_unit(blocks);
    let device_blocks = blocks.len();
    let mut layout = Layout::new(Scheme::Mbr, blocks);
    let mut extended = ArrayVec::<(u32, Entry), 4>::new();
    for (number, entry) in table.used() {
        if let Err(fault) = entry.check(entry.first) {
            layout.refuse(number, entry.first, fault);
        } else if !entry.is_extended() {
            layout.add(entry.volume(number, entry.first), device_blocks);
        } else if entry.first >= device_blocks {
            let first = entry.first;
            let fault = EntryFault::BeyondDevice {
                first,
                device_blocks,
            };
            layout.refuse(number, first, fault);
        } else {
            extended.push((number, *entry));
        }
    }
    // One by the books, several where they were made by hand: Linux follows them all, and counts on.
    let mut chain = Chain {
        visited: ArrayVec::new(),
        number: FIRST_LOGICAL,
    };
    for (number, entry) in extended {
        // Known only now: a primary partition behind the extended one in the list may lie inside it.
        match layout
            .volumes
            .iter()
            .find(|v| entry.first < v.end() && v.first_lba < entry.end())
        {
            Some(other) => {
                let other = other.number;
                layout.refuse(number, entry.first, EntryFault::Overlaps { other });
            }
            None => chain.follow(blocks, entry, &mut layout),
        }
    }
    layout
}

/// The number of the first logical partition.
const FIRST_LOGICAL: u32 = 5;

/// Where the chains of extended partition sectors are at.
struct Chain {
    visited: ArrayVec<u64, MAX_CHAIN>,
    /// Of the next logical partition.
    number: u32,
}

impl Chain {
    /// Follows the chain inside the extended partition `parent`, which begins inside the device.
    fn follow<D: BlockRead>(
        &mut self,
        blocks: &mut Blocks<'_, D>,
        parent: Entry,
        layout: &mut Layout,
    ) {
        let device_blocks = blocks.len();
        let mut at = parent.first;
        loop {
            if self.visited.contains(&at) {
                return self.refuse(layout, at, EntryFault::ChainLoop { lba: at });
            }
            if self.visited.try_push(at).is_err() {
                return self.refuse(layout, at, EntryFault::ChainTooLong);
            }
            if blocks.load(at).is_err() {
                // Only those that this block leads to are lost.
                return self.refuse(layout, at, EntryFault::ChainUnreadable { lba: at });
            }
            let Some(table) =
                Table::parse(blocks.bytes()).filter(|_| has_signature(blocks.bytes()))
            else {
                return self.refuse(layout, at, EntryFault::ChainBlock { lba: at });
            };
            // One and the link by the books, in this order; Linux takes them wherever they stand. No entry is left of a
            // partition that was deleted, and the chain goes on.
            for (_, logical) in table.used().filter(|(_, entry)| !entry.is_extended()) {
                self.add(layout, at, logical, parent, device_blocks);
            }
            let Some((_, next)) = table.used().find(|(_, entry)| entry.is_extended()) else {
                return;
            };
            at = parent.first + next.first;
            if at >= parent.end() {
                return self.refuse(layout, at, EntryFault::OutsideParent);
            }
            if at >= device_blocks {
                let fault = EntryFault::BeyondDevice {
                    first: at,
                    device_blocks,
                };
                return self.refuse(layout, at, fault);
            }
        }
    }

    /// Notes a logical partition of the sector at `at`.
    fn add(
        &mut self,
        layout: &mut Layout,
        at: u64,
        logical: &Entry,
        parent: Entry,
        device_blocks: u64,
    ) {
        let first = at + logical.first;
        let fault = if logical.first == 0 {
            Err(EntryFault::CoversTable)
        } else if logical.blocks != 0 && first + logical.blocks > parent.end() {
            Err(EntryFault::OutsideParent)
        } else {
            logical.check(first)
        };
        match fault {
            Ok(()) => {
                layout.add(logical.volume(self.number, first), device_blocks);
                self.number += 1;
            }
            Err(fault) => self.refuse(layout, first, fault),
        }
    }

    fn refuse(&mut self, layout: &mut Layout, lba: u64, fault: EntryFault) {
        layout.refuse(self.number, lba, fault);
        self.number += 1;
    }
}
