//! The submission queue entry (section 4.2): sixteen dwords.

use le::checked;

/// Bytes of a command.
pub const COMMAND_BYTES: usize = 64;

/// Admin command opcodes (section 5).
pub mod admin {
    /// DELETE I/O SUBMISSION QUEUE (5.6).
    pub const DELETE_IO_SQ: u8 = 0x00;
    /// CREATE I/O SUBMISSION QUEUE (5.4).
    pub const CREATE_IO_SQ: u8 = 0x01;
    /// GET LOG PAGE (5.14).
    pub const GET_LOG_PAGE: u8 = 0x02;
    /// DELETE I/O COMPLETION QUEUE (5.5).
    pub const DELETE_IO_CQ: u8 = 0x04;
    /// CREATE I/O COMPLETION QUEUE (5.3).
    pub const CREATE_IO_CQ: u8 = 0x05;
    /// IDENTIFY (5.15).
    pub const IDENTIFY: u8 = 0x06;
    /// ABORT (5.1).
    pub const ABORT: u8 = 0x08;
    /// SET FEATURES (5.21).
    pub const SET_FEATURES: u8 = 0x09;
    /// GET FEATURES (5.13).
    pub const GET_FEATURES: u8 = 0x0a;
    /// DOORBELL BUFFER CONFIG (5.7).
    pub const DOORBELL_BUFFER_CONFIG: u8 = 0x7c;
    /// FORMAT NVM (5.23).
    pub const FORMAT_NVM: u8 = 0x80;
}

/// NVM command set opcodes (section 6).
pub mod io {
    /// FLUSH (6.8).
    pub const FLUSH: u8 = 0x00;
    /// WRITE (6.15).
    pub const WRITE: u8 = 0x01;
    /// READ (6.9).
    pub const READ: u8 = 0x02;
    /// WRITE ZEROES (6.17).
    pub const WRITE_ZEROES: u8 = 0x08;
    /// DATASET MANAGEMENT (6.7).
    pub const DATASET_MANAGEMENT: u8 = 0x09;
}

/// CDW12 bit 30 of WRITE and WRITE ZEROES: force unit access.
pub const FUA: u32 = 1 << 30;

/// CDW11 bit 2 of DATASET MANAGEMENT: attribute deallocate.
const DEALLOCATE: u32 = 1 << 2;

/// Bytes of one range of DATASET MANAGEMENT (6.7.1).
pub const RANGE_BYTES: usize = 16;

/// Feature identifiers (5.21.1).
pub mod feature {
    /// Arbitration.
    pub const ARBITRATION: u8 = 0x01;
    /// Power management.
    pub const POWER_MANAGEMENT: u8 = 0x02;
    /// LBA range type: has a data buffer.
    pub const LBA_RANGE_TYPE: u8 = 0x03;
    /// Temperature threshold.
    pub const TEMPERATURE_THRESHOLD: u8 = 0x04;
    /// Error recovery.
    pub const ERROR_RECOVERY: u8 = 0x05;
    /// Volatile write cache.
    pub const VOLATILE_WRITE_CACHE: u8 = 0x06;
    /// Number of queues: the broker's own.
    pub const NUMBER_OF_QUEUES: u8 = 0x07;
    /// Interrupt coalescing.
    pub const INTERRUPT_COALESCING: u8 = 0x08;
    /// Interrupt vector configuration.
    pub const INTERRUPT_VECTOR: u8 = 0x09;
    /// Write atomicity.
    pub const WRITE_ATOMICITY: u8 = 0x0a;
    /// Asynchronous event configuration.
    pub const ASYNC_EVENT: u8 = 0x0b;
    /// Host memory buffer: hands memory to the device.
    pub const HOST_MEMORY_BUFFER: u8 = 0x0d;
}

/// One command, field by field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// CDW0 bits 7:0.
    pub opcode: u8,
    /// CDW0 bits 15:8: FUSE (9:8), reserved (13:10), PSDT (15:14).
    pub flags: u8,
    /// CDW0 bits 31:16: command identifier.
    pub cid: u16,
    /// CDW1: namespace.
    pub nsid: u32,
    /// CDW2 and CDW3.
    pub cdw2: u32,
    /// CDW3.
    pub cdw3: u32,
    /// CDW4 and CDW5: metadata pointer.
    pub mptr: u64,
    /// CDW6 and CDW7: first PRP entry.
    pub prp1: u64,
    /// CDW8 and CDW9: second PRP entry, or the address of a PRP list.
    pub prp2: u64,
    /// CDW10 to CDW15.
    pub cdw: [u32; 6],
}

impl Command {
    /// Reads a command; `None` unless there are exactly [`COMMAND_BYTES`] bytes.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != COMMAND_BYTES {
            return None;
        }
        let mut cdw = [0; 6];
        for (i, word) in cdw.iter_mut().enumerate() {
            *word = checked::u32(bytes, 40 + i * 4)?;
        }
        Some(Self {
            opcode: checked::u8(bytes, 0)?,
            flags: checked::u8(bytes, 1)?,
            cid: checked::u16(bytes, 2)?,
            nsid: checked::u32(bytes, 4)?,
            cdw2: checked::u32(bytes, 8)?,
            cdw3: checked::u32(bytes, 12)?,
            mptr: checked::u64(bytes, 16)?,
            prp1: checked::u64(bytes, 24)?,
            prp2: checked::u64(bytes, 32)?,
            cdw,
        })
    }

    /// The eight 64-bit words as they lie in the queue.
    pub const fn words(&self) -> [u64; 8] {
        const fn pair(low: u32, high: u32) -> u64 {
            low as u64 | (high as u64) << 32
        }
        let cdw0 = self.opcode as u32 | (self.flags as u32) << 8 | (self.cid as u32) << 16;
        [
            pair(cdw0, self.nsid),
            pair(self.cdw2, self.cdw3),
            self.mptr,
            self.prp1,
            self.prp2,
            pair(self.cdw[0], self.cdw[1]),
            pair(self.cdw[2], self.cdw[3]),
            pair(self.cdw[4], self.cdw[5]),
        ]
    }

    /// The bytes as they lie in the queue.
    pub fn to_bytes(&self) -> [u8; COMMAND_BYTES] {
        let mut out = [0; COMMAND_BYTES];
        for (chunk, word) in out.chunks_exact_mut(8).zip(self.words()) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        out
    }

    /// IDENTIFY with a controller or namespace structure selector (CDW10.CNS) into one page at `prp1` (5.15).
    pub const fn identify(cns: u8, nsid: u32, prp1: u64) -> Self {
        let mut command = Self::blank(admin::IDENTIFY);
        command.nsid = nsid;
        command.prp1 = prp1;
        command.cdw[0] = cns as u32;
        command
    }

    /// SET FEATURES, number of queues: asks for `pairs` submission and completion queues, at least 1 (5.21.1.7).
    pub const fn number_of_queues(pairs: u16) -> Self {
        let zero_based = pairs.saturating_sub(1) as u32;
        let mut command = Self::blank(admin::SET_FEATURES);
        command.cdw[0] = feature::NUMBER_OF_QUEUES as u32;
        command.cdw[1] = zero_based | zero_based << 16;
        command
    }

    /// CREATE I/O COMPLETION QUEUE `queue`, contiguous at `base`, raising `vector` or nothing (5.3).
    pub const fn create_cq(queue: u16, entries: u16, base: u64, vector: Option<u16>) -> Self {
        let mut command = Self::blank(admin::CREATE_IO_CQ);
        command.prp1 = base;
        command.cdw[0] = queue as u32 | (entries.saturating_sub(1) as u32) << 16;
        command.cdw[1] = match vector {
            Some(vector) => 0b11 | (vector as u32) << 16,
            None => 0b01,
        };
        command
    }

    /// CREATE I/O SUBMISSION QUEUE `queue`, contiguous at `base`, answering to the completion queue of the same
    /// number (5.4).
    pub const fn create_sq(queue: u16, entries: u16, base: u64) -> Self {
        let mut command = Self::blank(admin::CREATE_IO_SQ);
        command.prp1 = base;
        command.cdw[0] = queue as u32 | (entries.saturating_sub(1) as u32) << 16;
        command.cdw[1] = 0b01 | (queue as u32) << 16;
        command
    }

    /// DELETE I/O SUBMISSION QUEUE `queue` (5.6).
    pub const fn delete_sq(queue: u16) -> Self {
        let mut command = Self::blank(admin::DELETE_IO_SQ);
        command.cdw[0] = queue as u32;
        command
    }

    /// DELETE I/O COMPLETION QUEUE `queue`, whose submission queue is gone (5.5).
    pub const fn delete_cq(queue: u16) -> Self {
        let mut command = Self::blank(admin::DELETE_IO_CQ);
        command.cdw[0] = queue as u32;
        command
    }

    /// A template for READ, WRITE or WRITE ZEROES of `blocks` (1 to 65536) from `lba` on; `None` for other counts (6.9, 6.15, 6.17).
    pub const fn transfer(opcode: u8, nsid: u32, lba: u64, blocks: u32) -> Option<Self> {
        if blocks == 0 || blocks > 65_536 {
            return None;
        }
        let mut command = Self::blank(opcode);
        command.nsid = nsid;
        command.cdw[0] = lba as u32;
        command.cdw[1] = (lba >> 32) as u32;
        command.cdw[2] = blocks - 1;
        Some(command)
    }

    /// A template for FLUSH (6.8).
    pub const fn flush(nsid: u32) -> Self {
        let mut command = Self::blank(io::FLUSH);
        command.nsid = nsid;
        command
    }

    /// DATASET MANAGEMENT that deallocates one range, whose [`RANGE_BYTES`] lie at `prp1` (6.7).
    pub const fn deallocate(nsid: u32, prp1: u64) -> Self {
        let mut command = Self::blank(io::DATASET_MANAGEMENT);
        command.nsid = nsid;
        command.prp1 = prp1;
        // CDW10 is the count of ranges, less one.
        command.cdw[1] = DEALLOCATE;
        command
    }

    /// A range of DATASET MANAGEMENT as its two words, without context attributes (6.7.1).
    pub const fn range(lba: u64, blocks: u32) -> [u64; 2] {
        [(blocks as u64) << 32, lba]
    }

    const fn blank(opcode: u8) -> Self {
        Self {
            opcode,
            flags: 0,
            cid: 0,
            nsid: 0,
            cdw2: 0,
            cdw3: 0,
            mptr: 0,
            prp1: 0,
            prp2: 0,
            cdw: [0; 6],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_specification_puts_them() {
        let mut bytes = [0; 64];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = i as u8;
        }
        let command = Command::parse(&bytes).unwrap();
        assert_eq!((command.opcode, command.flags, command.cid), (0, 1, 0x0302));
        assert_eq!(command.nsid, 0x0706_0504);
        assert_eq!((command.cdw2, command.cdw3), (0x0b0a_0908, 0x0f0e_0d0c));
        assert_eq!(command.mptr, 0x1716_1514_1312_1110);
        assert_eq!(command.prp1, 0x1f1e_1d1c_1b1a_1918);
        assert_eq!(command.prp2, 0x2726_2524_2322_2120);
        assert_eq!(command.cdw[0], 0x2b2a_2928);
        assert_eq!(command.cdw[5], 0x3f3e_3d3c);
        assert_eq!(command.to_bytes(), bytes);
        assert_eq!(Command::parse(&bytes[..63]), None);
        assert_eq!(Command::parse(&[0; 65]), None);
    }

    #[test]
    fn queue_commands() {
        let cq = Command::create_cq(1, 64, 0x1000, Some(3));
        assert_eq!(
            (cq.opcode, cq.cdw[0], cq.cdw[1]),
            (5, 0x003f_0001, 0x0003_0003)
        );
        assert_eq!(Command::create_cq(1, 64, 0, None).cdw[1], 1);
        let sq = Command::create_sq(2, 65, 0x2000);
        assert_eq!(
            (sq.opcode, sq.cdw[0], sq.cdw[1]),
            (1, 0x0040_0002, 0x0002_0001)
        );
        assert_eq!(Command::number_of_queues(4).cdw[..2], [7, 0x0003_0003]);
        let deallocate = Command::deallocate(3, 0x4010);
        assert_eq!((deallocate.opcode, deallocate.nsid), (9, 3));
        assert_eq!(
            (deallocate.prp1, deallocate.cdw),
            (0x4010, [0, 4, 0, 0, 0, 0])
        );
        // Attributes, blocks, first block.
        assert_eq!(Command::range(0x0102, 7), [7 << 32, 0x0102]);
    }

    #[test]
    fn transfers_are_zero_based_and_bounded() {
        let read = Command::transfer(io::READ, 1, 0x1_0000_0002, 65_536).unwrap();
        assert_eq!(read.cdw, [2, 1, 0xffff, 0, 0, 0]);
        assert_eq!(Command::transfer(io::READ, 1, 0, 0), None);
        assert_eq!(Command::transfer(io::READ, 1, 0, 65_537), None);
    }
}
