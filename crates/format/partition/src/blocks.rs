//! A device in blocks of a size of the table's own.

use alloc::vec::Vec;

use crate::{BlockRead, Error, MAX_BLOCK_BYTES, MIN_BLOCK_BYTES};

/// A device, the block of it that was read last, and the block of the table's size that was asked for last.
pub(crate) struct Blocks<'d, D> {
    device: &'d mut D,
    device_blocks: u64,
    /// The device's block `held`.
    piece: Vec<u8>,
    held: Option<u64>,
    /// The block of [`Self::unit`] bytes that was asked for.
    bytes: Vec<u8>,
}

impl<'d, D: BlockRead> Blocks<'d, D> {
    /// Takes a device whose block size is one that is taken.
    pub(crate) fn new(device: &'d mut D) -> Result<Self, Error<D::Error>> {
        let block_bytes = device.block_bytes();
        if !block_bytes.is_power_of_two()
            || !(MIN_BLOCK_BYTES..=MAX_BLOCK_BYTES).contains(&block_bytes)
        {
            return Err(Error::BlockSize { block_bytes });
        }
        // So that every place has a number of bytes.
        let device_blocks = device.blocks().min(u64::MAX / u64::from(MAX_BLOCK_BYTES));
        if device_blocks == 0 {
            return Err(Error::Empty);
        }
        Ok(Self {
            device,
            device_blocks,
            piece: alloc::vec![0; block_bytes as usize],
            held: None,
            bytes: alloc::vec![0; block_bytes as usize],
        })
    }

    /// Bytes of a block of the device.
    pub(crate) fn device_unit(&self) -> u32 {
        self.piece.len() as u32
    }

    /// Bytes of the device.
    pub(crate) fn device_len(&self) -> u64 {
        self.device_blocks * self.piece.len() as u64
    }

    /// Bytes of a block as the table counts them.
    pub(crate) fn unit(&self) -> u32 {
        self.bytes.len() as u32
    }

    /// Counts in blocks of `unit` bytes from now on.
    pub(crate) fn set_unit(&mut self, unit: u32) {
        self.bytes.clear();
        self.bytes.resize(unit as usize, 0);
    }

    /// Whole blocks of [`Self::unit`] bytes on the device.
    pub(crate) fn len(&self) -> u64 {
        self.device_len() / u64::from(self.unit())
    }

    /// Reads block `lba`. The caller has checked it against [`Self::len`].
    pub(crate) fn load(&mut self, lba: u64) -> Result<(), Error<D::Error>> {
        let mut bytes = core::mem::take(&mut self.bytes);
        let read = self.read_at(lba.saturating_mul(bytes.len() as u64), &mut bytes);
        self.bytes = bytes;
        read
    }

    /// The bytes of the block that was read last.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Fills `to` from byte `at` of the device on.
    pub(crate) fn read_at(&mut self, at: u64, to: &mut [u8]) -> Result<(), Error<D::Error>> {
        let unit = self.piece.len() as u64;
        let mut at = at;
        let mut rest = to;
        while !rest.is_empty() {
            let (lba, within) = (at / unit, (at % unit) as usize);
            if self.held != Some(lba) {
                self.held = None;
                self.device
                    .read(lba, &mut self.piece)
                    .map_err(|error| Error::Read { lba, error })?;
                self.held = Some(lba);
            }
            let from = self.piece.get(within..).unwrap_or_default();
            let count = from.len().min(rest.len());
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(from.get(..count).unwrap_or_default());
            rest = later;
            at += count as u64;
        }
        Ok(())
    }
}
