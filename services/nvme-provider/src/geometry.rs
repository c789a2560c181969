//! The shape of the disk, and whether a client's request fits it.

use nvme_format::identify::{Controller, Namespace};
use nvme_format::{MAX_TRANSFER_BYTES, io};
use ring_abi::Refusal;

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

impl Operation {
    /// The command's opcode.
    pub const fn opcode(self) -> u8 {
        match self {
            Self::Read => io::READ,
            Self::Write => io::WRITE,
            Self::Flush => io::FLUSH,
        }
    }
}

/// A disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Namespace identifier.
    pub nsid: u32,
    /// Blocks.
    pub blocks: u64,
    /// Bytes of a block, as a shift.
    pub block_shift: u8,
    /// The most blocks of one command.
    pub command_blocks: u32,
    /// Writes are refused.
    pub read_only: bool,
    /// There is a volatile write cache, so a flush has something to do.
    pub write_cache: bool,
}

impl Geometry {
    /// From what the controller and the namespace say; `read_only` asks for less than they offer.
    pub fn new(controller: &Controller, namespace: &Namespace, read_only: bool) -> Self {
        // The broker runs controllers with a least page of 4 KiB only, so CAP.MPSMIN is 0.
        let bytes = controller.max_transfer_bytes(0, MAX_TRANSFER_BYTES);
        Self {
            nsid: namespace.nsid,
            blocks: namespace.blocks,
            block_shift: namespace.block_shift,
            command_blocks: (bytes >> namespace.block_shift).clamp(1, 65_536),
            read_only: read_only || namespace.write_protected,
            write_cache: controller.has_write_cache(),
        }
    }

    /// Bytes of a block.
    pub const fn block_bytes(&self) -> u32 {
        1 << self.block_shift
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
        u32::try_from(bytes).map_err(|_| Refusal::OutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Geometry = Geometry {
        nsid: 1,
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

    #[test]
    fn commands_are_cut_where_the_controller_or_the_broker_stops() {
        let mut data = [0; 4096];
        data[77] = 5;
        let controller = Controller::parse(&data).unwrap();
        let namespace = Namespace {
            nsid: 3,
            blocks: 10,
            block_shift: 12,
            write_protected: true,
        };
        let disk = Geometry::new(&controller, &namespace, false);
        assert_eq!(
            (disk.command_blocks, disk.read_only, disk.write_cache),
            (32, true, false)
        );
        data[77] = 0;
        data[525] = 1;
        let controller = Controller::parse(&data).unwrap();
        let namespace = Namespace {
            block_shift: 9,
            write_protected: false,
            ..namespace
        };
        let disk = Geometry::new(&controller, &namespace, false);
        assert_eq!(
            (disk.command_blocks, disk.read_only, disk.write_cache),
            (8184, false, true)
        );
    }
}
