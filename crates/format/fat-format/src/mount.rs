//! Mounting a volume: its boot sector, the free hint and the label.

use foreign_bytes::read_exact;

use crate::Blocks;
use crate::boot::{BOOT_BYTES, FatKind, Geometry, free_clusters};
use crate::dir::{DirWalk, SlotKind};
use crate::error::Error;
use crate::name::ShortName;
use crate::volume::{Condition, Volume};

/// Where the copy of a FAT32 boot sector lies, in sectors (FATGEN, BPB_BkBootSec: "no value other than 6 is recommended").
const BACKUP_SECTOR: u64 = 6;
/// Slots of the root directory that are searched for the label.
const LABEL_SLOTS: u64 = 4096;

impl Volume {
    /// Reads and checks the boot sector; then, as far as they can be read, the free hint and the label.
    ///
    /// A volume that is longer than its device is mounted if its FATs are there: what is missing is reported when it
    /// is read ([`ReadError::BeyondDevice`](crate::ReadError::BeyondDevice)) and by [`missing_bytes`](Self::missing_bytes).
    pub fn mount<B: Blocks>(blocks: &mut B) -> Result<Self, Error<B::Error>> {
        let device_bytes = blocks.len_bytes();
        let mut sector = [0; BOOT_BYTES];
        let geometry = match read_exact(blocks, 0, &mut sector) {
            Ok(()) => Geometry::parse(&sector, device_bytes)?,
            Err(unreadable) => Self::second_boot_sector(blocks, &mut sector).ok_or(unreadable)?,
        };
        let mut volume = Self {
            geometry,
            device_bytes,
            label: geometry.label,
            free_hint: None,
            condition: Condition::Clean,
        };
        volume.condition = volume.left(blocks, &sector);
        if let Some(at) = geometry.info_at
            && read_exact(blocks, at, &mut sector).is_ok()
        {
            volume.free_hint = free_clusters(&sector, geometry.clusters);
        }
        if let Ok(label) = volume.root_label(blocks) {
            volume.label = label.unwrap_or(ShortName::EMPTY);
        }
        Ok(volume)
    }

    /// How it was left: by two bits of the FAT's second entry, which are cleared while it is in use (FATGEN, "FAT Data
    /// Structure": ClnShutBitMask, HrdErrBitMask), and by the byte behind BS_DrvNum, in which Linux and NT set theirs.
    fn left<B: Blocks>(&self, blocks: &mut B, sector: &[u8; BOOT_BYTES]) -> Condition {
        let (state_at, entry_bytes, clean) = match self.kind() {
            FatKind::Fat12 => return Condition::Clean,
            FatKind::Fat16 => (37, 2, 1u32 << 15),
            FatKind::Fat32 => (65, 4, 1u32 << 27),
        };
        let mut entry = [0; 4];
        let held = entry.get_mut(..entry_bytes).unwrap_or_default();
        let at = self.fat_at() + entry_bytes as u64;
        let entry = match read_exact(blocks, at, held) {
            Ok(()) => u32::from_le_bytes(entry),
            Err(_) => return Condition::Clean,
        };
        // The others are those of a chain's end; where they are not, the entry says nothing.
        let speaks = entry & ((clean >> 1) - 1) == (clean >> 1) - 1;
        let state = le::u8(sector, state_at);
        if (speaks && entry & (clean >> 1) == 0) || state & 2 != 0 {
            Condition::Failed
        } else if (speaks && entry & clean == 0) || state & 1 != 0 {
            Condition::Dirty
        } else {
            Condition::Clean
        }
    }

    /// FAT32 keeps a copy of the boot sector, mostly in sector 6. It counts if it says so itself.
    fn second_boot_sector<B: Blocks>(
        blocks: &mut B,
        sector: &mut [u8; BOOT_BYTES],
    ) -> Option<Geometry> {
        let device_bytes = blocks.len_bytes();
        [512, 4096].into_iter().find_map(|sector_bytes| {
            read_exact(blocks, BACKUP_SECTOR * sector_bytes, sector).ok()?;
            let geometry = Geometry::parse::<B::Error>(sector, device_bytes).ok()?;
            let fits = geometry.backup_at == Some(BACKUP_SECTOR * sector_bytes);
            fits.then_some(geometry)
        })
    }

    /// Searches the root directory for the label entry. A directory without one means that somebody took the label away:
    /// they leave the boot sector's copy. An error means that nobody knows.
    fn root_label<B: Blocks>(&self, blocks: &mut B) -> Result<Option<ShortName>, Error<B::Error>> {
        let mut walk = DirWalk::new(self, &self.root())?;
        for number in 0..LABEL_SLOTS {
            let Some(slot) = walk.slot(self, blocks, number)? else {
                return Ok(None);
            };
            match slot.kind() {
                SlotKind::End => return Ok(None),
                SlotKind::Label => return Ok(Some(ShortName::decode_label(&slot.raw_name()))),
                _ => {}
            }
        }
        Err(Error::DirectoryTooLong)
    }
}
