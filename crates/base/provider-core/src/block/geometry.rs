//! The shape of a disk, how its commands look, and whether a client's request fits it.

use ring_abi::{Refusal, narrow};

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Disk to window.
    Read,
    /// Window to disk.
    Write,
    /// Window to disk, and durable when it is answered.
    WriteThrough,
    /// Everything written so far becomes durable.
    Flush,
    /// The blocks read as zeros.
    Zero,
    /// What the blocks hold is of no use any more.
    Discard,
}

impl Operation {
    /// Whether blocks change by it.
    pub const fn is_change(self) -> bool {
        matches!(
            self,
            Self::Write | Self::WriteThrough | Self::Zero | Self::Discard
        )
    }
}

/// What one kind of disk calls its blocks, and how it says that all is well.
pub trait Commands {
    /// Which part of the device the disk is; 0 for a device without parts.
    fn unit(&self) -> u16;

    /// What the device calls a block of the disk. `None` where it has no number for it.
    fn block(&self, block: u64) -> Option<u64>;

    /// Whether the device's status, as a completion carries it, is that of success.
    fn is_success(&self, status: u16) -> bool;

    /// Whether the device says that the same command would fail again.
    fn is_final(&self, status: u16) -> bool;
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
    /// The most blocks that one request makes zeros of; 0 where the device does not.
    pub zero_blocks: u32,
    /// The most blocks of one request to discard; 0 where the device does not.
    pub discard_blocks: u32,
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

    /// Bytes of blocks of the longest request to make zeros, and to discard; 0 where the device does not.
    pub fn clear_bytes(&self) -> [u32; 2] {
        [self.zero_blocks, self.discard_blocks].map(|blocks| blocks << self.block_shift)
    }

    /// Checks a request without data, of `blocks` from `block` on, against the disk.
    ///
    /// # Errors
    /// `NotSupported` where the device does no such thing; `ReadOnly`, `ZeroLength`; `OutOfRange`, also for more than one
    /// request may have.
    pub fn check_clear(
        &self,
        operation: Operation,
        block: u64,
        blocks: u32,
    ) -> Result<(), Refusal> {
        let most = match operation {
            Operation::Zero => self.zero_blocks,
            Operation::Discard => self.discard_blocks,
            _ => 0,
        };
        if self.read_only {
            return Err(Refusal::ReadOnly);
        }
        if most == 0 {
            return Err(Refusal::NotSupported);
        }
        if blocks == 0 {
            return Err(Refusal::ZeroLength);
        }
        let end = block.checked_add(u64::from(blocks));
        match end {
            Some(end) if end <= self.blocks && blocks <= most => Ok(()),
            _ => Err(Refusal::OutOfRange),
        }
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
        if operation.is_change() && self.read_only {
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
        zero_blocks: 16,
        discard_blocks: 0,
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

    #[test]
    fn requests_without_data_must_fit_the_disk_and_be_known_to_it() {
        let disk = Geometry {
            read_only: false,
            ..DISK
        };
        let zero = |block, blocks| disk.check_clear(Operation::Zero, block, blocks);
        assert_eq!((zero(0, 16), zero(999, 1)), (Ok(()), Ok(())));
        assert_eq!(zero(0, 0), Err(Refusal::ZeroLength));
        for (block, blocks) in [(0, 17), (1000, 1), (985, 16), (u64::MAX, 1), (0, u32::MAX)] {
            assert_eq!(zero(block, blocks), Err(Refusal::OutOfRange));
        }
        let other = |disk: &Geometry, operation| disk.check_clear(operation, 0, 1);
        assert_eq!(other(&disk, Operation::Discard), Err(Refusal::NotSupported));
        assert_eq!(other(&disk, Operation::Write), Err(Refusal::NotSupported));
        assert_eq!(other(&DISK, Operation::Zero), Err(Refusal::ReadOnly));
        assert_eq!(disk.clear_bytes(), [8192, 0]);
    }
}
