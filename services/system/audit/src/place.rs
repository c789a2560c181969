//! One partition of a block device, as cells.

use audit_format::{CELL_BYTES, PARTITION_TYPE, Region};
use partition::{Guid, VolumeKind, find_volumes};
use sdk::{BlockDevice, Disk, Refusal};

/// Bytes of the transfer window.
const WINDOW_BYTES: u32 = 64 * 1024;

/// An audit partition.
#[derive(Debug)]
pub struct Place {
    disk: Disk,
    first_block: u64,
    blocks_per_cell: u64,
    cells: u64,
}

impl Place {
    /// Opens the `nth` audit partition of a device, from 0.
    ///
    /// # Errors
    /// The device's; `NotFound` where there is none such; `Corrupt` for a partition table that is refused;
    /// `NotSupported` for blocks larger than a cell.
    pub fn open(device: BlockDevice, nth: u32) -> Result<Self, Refusal> {
        let mut disk = Disk::open(device, WINDOW_BYTES)?;
        let blocks_per_cell = CELL_BYTES as u64 / u64::from(disk.block_bytes());
        if blocks_per_cell == 0 {
            return Err(Refusal::NotSupported);
        }
        let layout = find_volumes(&mut disk).map_err(|error| match error {
            partition::Error::Read { error, .. } => error,
            _ => Refusal::Corrupt,
        })?;
        let ours = |kind: &VolumeKind| matches!(kind, VolumeKind::Gpt { type_guid, .. } if *type_guid == Guid(PARTITION_TYPE));
        let found = layout
            .volumes
            .iter()
            .filter(|volume| ours(&volume.kind))
            .nth(nth as usize)
            .ok_or(Refusal::NotFound)?;
        // The table may count in other blocks than the disk.
        let (first_byte, bytes) = layout.bytes_of(found);
        let block_bytes = u64::from(disk.block_bytes());
        // A partition that the disk is too small for holds nobody's records whole.
        if !first_byte.is_multiple_of(block_bytes) || found.missing != 0 {
            return Err(Refusal::Corrupt);
        }
        let first_block = first_byte / block_bytes;
        if !disk.is_read_only() {
            disk.claim(first_block, bytes / block_bytes)?;
        }
        Ok(Self {
            first_block,
            cells: bytes / CELL_BYTES as u64,
            blocks_per_cell,
            disk,
        })
    }

    /// The block of a cell, if `bytes` from there on lie in the partition.
    fn block(&self, cell: u64, bytes: usize) -> Result<u64, Refusal> {
        let cells = (bytes / CELL_BYTES) as u64;
        let end = cell.checked_add(cells).ok_or(Refusal::OutOfRange)?;
        if end > self.cells || !bytes.is_multiple_of(CELL_BYTES) {
            return Err(Refusal::OutOfRange);
        }
        Ok(self.first_block + cell * self.blocks_per_cell)
    }
}

impl Region for Place {
    type Error = Refusal;

    fn cells(&self) -> u64 {
        self.cells
    }

    fn read(&mut self, cell: u64, to: &mut [u8]) -> Result<(), Refusal> {
        let block = self.block(cell, to.len())?;
        self.disk.read(block, to)
    }

    fn write(&mut self, cell: u64, from: &[u8]) -> Result<(), Refusal> {
        let block = self.block(cell, from.len())?;
        self.disk.write(block, from)
    }

    fn flush(&mut self) -> Result<(), Refusal> {
        self.disk.flush()
    }
}
