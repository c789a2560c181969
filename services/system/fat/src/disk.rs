//! The block device as `fat-core` wants it.

use fat_core::Disk;
use sdk::{BlockDevice, Refusal, Window, alloc, alloc::vec::Vec};

/// Bytes of one fetch, and of the transfer window.
const WINDOW_BYTES: u32 = 128 * 1024;

/// The block device, and what the last fetch brought, copied out of its window.
pub struct BlockDisk {
    disk: sdk::Disk,
    held: Vec<u8>,
}

impl BlockDisk {
    /// Opens a session with the device.
    ///
    /// # Errors
    /// The provider's refusal; `NotSupported` for a device whose blocks are larger than a fetch.
    pub fn open(device: BlockDevice) -> Result<Self, Refusal> {
        let disk = sdk::Disk::open(device, WINDOW_BYTES)?;
        if disk.block_bytes() > WINDOW_BYTES {
            return Err(Refusal::NotSupported);
        }
        Ok(Self {
            disk,
            held: alloc::vec![0; WINDOW_BYTES as usize],
        })
    }
}

impl Disk for BlockDisk {
    type Error = Refusal;
    type Target = Window;

    fn block_bytes(&self) -> u32 {
        self.disk.block_bytes()
    }

    fn blocks(&self) -> u64 {
        self.disk.blocks()
    }

    fn window_bytes(&self) -> u32 {
        WINDOW_BYTES
    }

    fn is_local(error: &Refusal) -> bool {
        *error == Refusal::DeviceError
    }

    fn fetch(&mut self, block: u64, blocks: u32) -> Result<(), Refusal> {
        let bytes = blocks.saturating_mul(self.disk.block_bytes()) as usize;
        let to = self.held.get_mut(..bytes).ok_or(Refusal::OutOfRange)?;
        self.disk.read(block, to)
    }

    fn copy_out(&self, window_offset: usize, to: &mut [u8]) {
        let held = self.held.get(window_offset..).unwrap_or_default();
        for (to, from) in to.iter_mut().zip(held) {
            *to = *from;
        }
    }

    fn copy_to(
        &self,
        window_offset: usize,
        target: &mut Window,
        target_offset: usize,
        bytes: usize,
    ) {
        let held = self
            .held
            .get(window_offset..)
            .and_then(|held| held.get(..bytes))
            .unwrap_or_default();
        // Its range was checked when the request came in.
        let _ = target.write(target_offset as u64, held);
    }

    fn zero_to(&self, target: &mut Window, target_offset: usize, bytes: usize) {
        let zeroes = [0; 4096];
        let mut at = 0;
        while let Some(left) = bytes.checked_sub(at).filter(|left| *left > 0) {
            let count = left.min(zeroes.len());
            let piece = zeroes.get(..count).unwrap_or_default();
            // Its range was checked as well.
            let _ = target.write(target_offset.saturating_add(at) as u64, piece);
            at += count;
        }
    }
}
