//! What was found on a device.

use alloc::vec::Vec;
use core::fmt;

use crate::BlockRead;
use crate::blocks::Blocks;
use crate::error::{EntryFault, GptFault};

/// Volumes that a [`Layout`] can hold.
pub const MAX_VOLUMES: usize = 512;
/// Refused partitions that a [`Layout`] can name.
pub const MAX_REFUSED: usize = 64;

/// The name of the EFI system partition of a disk that capOS boots from.
pub const BOOT_LABEL: &str = "capOS boot";

/// Which table a layout was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// No table: the device is one FAT volume.
    Bare,
    /// A PC partition sector, with logical partitions where there are any.
    Mbr,
    /// A GUID partition table, from its copy at block 1.
    Gpt,
    /// A GUID partition table, from its copy in the last block.
    GptBackup {
        /// Why the copy at block 1 was not used.
        primary: GptFault,
    },
}

/// A GUID as it lies on disk: three little-endian fields and eight bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Guid(
    /// The sixteen bytes in disk order.
    pub [u8; 16],
);

impl Guid {
    /// The type of an EFI system partition.
    pub const EFI_SYSTEM: Self = Self([
        0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b,
    ]);
    /// The type of a "basic data" partition, under which FAT volumes stand.
    pub const BASIC_DATA: Self = Self([
        0xa2, 0xa0, 0xd0, 0xeb, 0xe5, 0xb9, 0x33, 0x44, 0x87, 0xc0, 0x68, 0xb6, 0xb7, 0x26, 0x99,
        0xc7,
    ]);

    /// Reads `c12a7328-f81f-11d2-ba4b-00a0c93ec93b`, in either case.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        // Where each pair of digits lies on disk.
        let places = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
        let mut places = places.into_iter();
        let mut parts = text.split('-');
        for digits in [8, 4, 4, 4, 12] {
            let part = parts.next().filter(|part| part.len() == digits)?;
            for pair in part.as_bytes().chunks_exact(2) {
                let digit = |at: usize| char::from(*pair.get(at)?).to_digit(16);
                let value = digit(0)? << 4 | digit(1)?;
                *bytes.get_mut(places.next()?)? = value as u8;
            }
        }
        parts.next().is_none().then_some(Self(bytes))
    }

    /// Returns whether this is the all-zero GUID of an unused entry.
    pub fn is_zero(&self) -> bool {
        self.0 == [0; 16]
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i, rest @ ..] = self.0;
        write!(
            f,
            "{d:02x}{c:02x}{b:02x}{a:02x}-{g:02x}{e:02x}-{i:02x}{h:02x}-"
        )?;
        for (at, byte) in rest.iter().enumerate() {
            write!(f, "{}{byte:02x}", if at == 2 { "-" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a table says a volume is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeKind {
    /// The whole device, recognised as FAT by its boot sector.
    Bare,
    /// A primary or logical MBR partition.
    Mbr {
        /// The type byte.
        type_byte: u8,
    },
    /// A GPT partition.
    Gpt {
        /// The partition type.
        type_guid: Guid,
        /// The identity of this partition.
        unique_guid: Guid,
    },
}

impl VolumeKind {
    /// Returns whether a FAT volume usually stands in a partition of this kind. A hint: only the boot sector tells.
    pub fn suggests_fat(&self) -> bool {
        match self {
            Self::Bare => true,
            Self::Mbr { type_byte } => {
                matches!(
                    type_byte,
                    0x01 | 0x04
                        | 0x06
                        | 0x0b
                        | 0x0c
                        | 0x0e
                        | 0x11
                        | 0x14
                        | 0x16
                        | 0x1b
                        | 0x1c
                        | 0x1e
                        | 0xef
                )
            }
            Self::Gpt { type_guid, .. } => {
                *type_guid == Guid::EFI_SYSTEM || *type_guid == Guid::BASIC_DATA
            }
        }
    }
}

/// The name of a GPT partition, as UTF-8 with control characters replaced; empty for all others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label {
    bytes: [u8; Self::MAX_BYTES],
    len: u8,
}

impl Label {
    /// Most bytes a label can have: 36 UTF-16 units of at most three bytes.
    pub const MAX_BYTES: usize = 108;

    /// A label without characters.
    pub const EMPTY: Self = Self {
        bytes: [0; Self::MAX_BYTES],
        len: 0,
    };

    /// Converts up to 36 UTF-16 units, ended by a zero unit.
    pub(crate) fn from_utf16(units: impl Iterator<Item = u16>) -> Self {
        let mut label = Self::EMPTY;
        for unit in char::decode_utf16(units.take(36).take_while(|&unit| unit != 0)) {
            let c = unit
                .ok()
                .filter(|c| !c.is_control())
                .unwrap_or(char::REPLACEMENT_CHARACTER);
            let at = usize::from(label.len);
            let Some(room) = label.bytes.get_mut(at..at + c.len_utf8()) else {
                break;
            };
            c.encode_utf8(room);
            // At most 108, so it fits.
            label.len += c.len_utf8() as u8;
        }
        label
    }

    /// Returns the UTF-8 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    /// Returns the label as text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// One range of blocks that may hold a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    /// Partition number as tools count: 1 to 4 primary, from 5 logical, entry position + 1 for GPT, 0 for bare.
    pub number: u32,
    /// What the table says it is for.
    pub kind: VolumeKind,
    /// First block.
    pub first_lba: u64,
    /// Number of blocks, at least one; the range lies inside the device.
    pub blocks: u64,
    /// Blocks that it has by its table and that are not there, because the device ends before.
    pub missing: u64,
    /// Its name, where the table gives one.
    pub label: Label,
}

impl Volume {
    /// Returns the first block behind the volume.
    pub fn end(&self) -> u64 {
        self.first_lba.saturating_add(self.blocks)
    }
}

/// A partition that is not handed out, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Partition number, counted as in [`Volume::number`].
    pub number: u32,
    /// First block, as the table says.
    pub first_lba: u64,
    /// The rule that it breaks.
    pub fault: EntryFault,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "partition {} at block {} is refused: {}",
            self.number, self.first_lba, self.fault
        )
    }
}

/// What stands beside a partition table and is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Besides {
    /// Block 0 is a FAT boot sector as well.
    Fat,
    /// The device holds this as well.
    Other(&'static str),
}

impl fmt::Display for Besides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fat => f.write_str("a FAT volume over the whole disk"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// Everything that was found on one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The kind of table.
    pub scheme: Scheme,
    /// Bytes of the blocks that all numbers here count: mostly the device's, but a table may have been made elsewhere.
    pub block_bytes: u32,
    /// The disk's own GUID, where its table gives one.
    pub disk: Option<Guid>,
    /// The volumes, in table order; no two of them overlap.
    pub volumes: Vec<Volume>,
    /// The first partitions that were refused.
    pub refused: Vec<Refused>,
    /// Partitions that fit into neither list.
    pub omitted: u32,
    /// What the device holds besides its table.
    pub besides: Option<Besides>,
}

impl Layout {
    pub(crate) fn new<D: BlockRead>(scheme: Scheme, blocks: &Blocks<'_, D>) -> Self {
        Self {
            scheme,
            block_bytes: blocks.unit(),
            disk: None,
            volumes: Vec::new(),
            refused: Vec::new(),
            omitted: 0,
            besides: None,
        }
    }

    /// Makes the layout of a device that is one volume.
    pub(crate) fn whole_device<D: BlockRead>(blocks: &Blocks<'_, D>) -> Self {
        let mut layout = Self::new(Scheme::Bare, blocks);
        layout.keep(Volume {
            number: 0,
            kind: VolumeKind::Bare,
            first_lba: 0,
            blocks: blocks.len(),
            missing: 0,
            label: Label::EMPTY,
        });
        layout
    }

    /// Whether capOS boots from this disk: it has the partition that `cargo xtask image` makes for that.
    pub fn boots(&self) -> bool {
        self.volumes.iter().any(|volume| {
            let is_system = matches!(volume.kind, VolumeKind::Gpt { type_guid, .. } if type_guid == Guid::EFI_SYSTEM);
            is_system && volume.label.as_str() == BOOT_LABEL
        })
    }

    /// Returns first byte and number of bytes of one of the volumes.
    pub fn bytes_of(&self, volume: &Volume) -> (u64, u64) {
        let unit = u64::from(self.block_bytes);
        (
            volume.first_lba.saturating_mul(unit),
            volume.blocks.saturating_mul(unit),
        )
    }

    /// Takes over `volume` unless it begins behind the device or overlaps one that is already there. What lies behind the
    /// end of a device of `device_blocks` blocks is cut off and counted.
    pub(crate) fn add(&mut self, mut volume: Volume, device_blocks: u64) {
        let first = volume.first_lba;
        let Some(room) = device_blocks.checked_sub(first).filter(|room| *room > 0) else {
            let fault = EntryFault::BeyondDevice {
                first,
                device_blocks,
            };
            return self.refuse(volume.number, first, fault);
        };
        volume.missing = volume.blocks.saturating_sub(room);
        volume.blocks = volume.blocks.min(room);
        let clash = self
            .volumes
            .iter()
            .find(|v| volume.first_lba < v.end() && v.first_lba < volume.end());
        match clash.map(|v| v.number) {
            Some(other) => self.refuse(
                volume.number,
                volume.first_lba,
                EntryFault::Overlaps { other },
            ),
            None => self.keep(volume),
        }
    }

    pub(crate) fn refuse(&mut self, number: u32, first_lba: u64, fault: EntryFault) {
        if self.refused.len() < MAX_REFUSED {
            self.refused.push(Refused {
                number,
                first_lba,
                fault,
            });
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }

    fn keep(&mut self, volume: Volume) {
        if self.volumes.len() < MAX_VOLUMES {
            self.volumes.push(volume);
        } else {
            self.omitted = self.omitted.saturating_add(1);
        }
    }
}
