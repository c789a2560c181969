//! The shape of a disk, how its commands look, and whether a client's request fits it.

use ring_abi::{Refusal, narrow};

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Disk to window.
    Read,
    /// Window to disk.
    Write,
    /// Everything written so far becomes durable.
    Flush,
}

/// What one kind of disk calls its blocks, and how it says that all is well.
pub trait Commands {
    /// Which part of the device the disk is; 0 for a device without parts.
    fn unit(&self) -> u16;

    /// What the device calls a block of the disk. `None` where it has no number for it.
    fn block(&self, block: u64) -> Option<u64>;

    /// Whether the device's status, as a completion carries it, is that of success.
    fn is_success(&self, status: u16) -> bool;
}

/// A disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Blocks.
    pub blocks: u64,
    /// Bytes of a block, as a shift.
    pub block_shift: u8,
    /// The most blocks of one command; at least 1.
    pub command_blocks: u32,
    /// Writes are refused.
    pub read_only: bool,
    /// There is a volatile write cache, so a flush has something to do.
    pub write_cache: bool,
}

impl Geometry {
    /// Bytes of a block.
    pub const fn block_bytes(&self) -> u32 {
        1 << self.block_shift
    }

    /// Whether the device must be asked before what was written counts as durable.
    pub fn needs_flush(&self) -> bool {
        self.write_cache && !sabotage::sabotage!(BLOCK_SKIP_FLUSH)
    }

    /// Checks a transfer of `blocks` from `block` on against the disk and against a window of `window_bytes`, and
    /// gives its length in bytes.
    ///
    /// # Errors
    /// `ZeroLength`, `OutOfRange`, `Misaligned` (offsets are multiples of 4), `ReadOnly`.
    pub fn check(
        &self,
        operation: Operation,
        block: u64,
        blocks: u32,
        offset: u32,
        window_bytes: u32,
    ) -> Result<u32, Refusal> {
        if operation == Operation::Write && self.read_only {
            return Err(Refusal::ReadOnly);
        }
        if blocks == 0 {
            return Err(Refusal::ZeroLength);
        }
        let end = block
            .checked_add(u64::from(blocks))
            .ok_or(Refusal::OutOfRange)?;
        let bytes = u64::from(blocks) << self.block_shift;
        if end > self.blocks || u64::from(offset) + bytes > u64::from(window_bytes) {
            return Err(Refusal::OutOfRange);
        }
        if offset & 3 != 0 {
            return Err(Refusal::Misaligned);
        }
        narrow(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Geometry = Geometry {
        blocks: 1000,
        block_shift: 9,
        command_blocks: 8,
        read_only: true,
        write_cache: false,
    };

    #[test]
    fn requests_must_fit_disk_and_window() {
        let read = |block, blocks, offset| DISK.check(Operation::Read, block, blocks, offset, 8192);
        assert_eq!(read(0, 16, 0), Ok(8192));
        assert_eq!(read(999, 1, 7680), Ok(512));
        assert_eq!(read(0, 0, 0), Err(Refusal::ZeroLength));
        assert_eq!(read(1000, 1, 0), Err(Refusal::OutOfRange));
        assert_eq!(read(u64::MAX, 1, 0), Err(Refusal::OutOfRange));
        assert_eq!(read(0, 17, 0), Err(Refusal::OutOfRange));
        assert_eq!(read(0, 16, 4), Err(Refusal::OutOfRange));
        assert_eq!(read(0, 1, u32::MAX), Err(Refusal::OutOfRange));
        assert_eq!(read(0, u32::MAX, 0), Err(Refusal::OutOfRange));
        assert_eq!(read(0, 1, 2), Err(Refusal::Misaligned));
        assert_eq!(
            DISK.check(Operation::Write, 0, 1, 0, 8192),
            Err(Refusal::ReadOnly)
        );
    }
}
