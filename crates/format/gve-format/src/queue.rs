//! What the commands about resources and queues carry.

use crate::be;
use crate::refusal::Refusal;

/// The list of a queue whose descriptors have addresses.
pub const RAW_LIST: u32 = 0xffff_ffff;

/// How queues look (`gve_queue_format`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum QueueFormat {
    /// GQI with addresses.
    GqiRda = 1,
    /// GQI with page lists.
    GqiQpl = 2,
    /// DQO with addresses.
    DqoRda = 3,
    /// DQO with page lists.
    DqoQpl = 4,
}

impl QueueFormat {
    /// Reads the number; `None` for one that means nothing. 0 says "as it was before there were formats": a driver that found no
    /// option for a format may send it, and means [`Self::GqiQpl`].
    pub const fn of(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::GqiRda,
            0 | 2 => Self::GqiQpl,
            3 => Self::DqoRda,
            4 => Self::DqoQpl,
            _ => return None,
        })
    }

    /// Whether its offsets go into page lists.
    pub const fn has_lists(self) -> bool {
        matches!(self, Self::GqiQpl | Self::DqoQpl)
    }

    /// Whether its descriptors are those of [`crate::gqi`].
    pub const fn is_gqi(self) -> bool {
        matches!(self, Self::GqiRda | Self::GqiQpl)
    }
}

/// What CONFIGURE_DEVICE_RESOURCES carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Resources {
    /// Address of the event counters: big-endian words, which the device writes.
    pub counters_at: u64,
    /// Address of the interrupt doorbell indices, which the device writes.
    pub doorbells_at: u64,
    /// How many counters there are.
    pub counters: u32,
    /// How many notification blocks there are, each with an index.
    pub blocks: u32,
    /// Bytes from one index to the next.
    pub stride: u32,
    /// The vector of the first block: 0, or 1 where the management vector is before them.
    pub first_vector: u32,
    /// How queues will look.
    pub format: QueueFormat,
}

impl Resources {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if !le::is_zero(bytes, 41, 64) {
            return Err(Refusal::Reserved);
        }
        Ok(Self {
            counters_at: be::u64(bytes, 8),
            doorbells_at: be::u64(bytes, 16),
            counters: be::u32(bytes, 24),
            blocks: be::u32(bytes, 28),
            stride: be::u32(bytes, 32),
            first_vector: be::u32(bytes, 36),
            format: QueueFormat::of(le::u8(bytes, 40)).ok_or(Refusal::Value)?,
        })
    }

    pub(crate) fn write(&self, bytes: &mut [u8]) {
        be::put64(bytes, 8, self.counters_at);
        be::put64(bytes, 16, self.doorbells_at);
        be::put32(bytes, 24, self.counters);
        be::put32(bytes, 28, self.blocks);
        be::put32(bytes, 32, self.stride);
        be::put32(bytes, 36, self.first_vector);
        le::put(bytes, 40, &[self.format as u8]);
    }
}

/// What CREATE_TX_QUEUE carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreateTx {
    /// Number of the queue.
    pub queue: u32,
    /// Address of the 64 bytes where the device writes doorbell and counter: [`queue_resources`].
    pub resources_at: u64,
    /// Address of the descriptors.
    pub ring_at: u64,
    /// The queue's page list, or [`RAW_LIST`].
    pub list: u32,
    /// The queue's notification block.
    pub block: u32,
    /// DQO: address of the completions, else 0.
    pub completions_at: u64,
    /// Descriptors, a power of two; 0 from drivers that take what the device says.
    pub entries: u16,
    /// DQO: completions, a power of two, else 0.
    pub completions: u16,
}

impl CreateTx {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        if !le::is_zero(bytes, 12, 16) || !le::is_zero(bytes, 52, 64) {
            return Err(Refusal::Reserved);
        }
        Ok(Self {
            queue: be::u32(bytes, 8),
            resources_at: be::u64(bytes, 16),
            ring_at: be::u64(bytes, 24),
            list: be::u32(bytes, 32),
            block: be::u32(bytes, 36),
            completions_at: be::u64(bytes, 40),
            entries: be::u16(bytes, 48),
            completions: be::u16(bytes, 50),
        })
    }

    pub(crate) fn write(&self, bytes: &mut [u8]) {
        be::put32(bytes, 8, self.queue);
        be::put64(bytes, 16, self.resources_at);
        be::put64(bytes, 24, self.ring_at);
        be::put32(bytes, 32, self.list);
        be::put32(bytes, 36, self.block);
        be::put64(bytes, 40, self.completions_at);
        be::put16(bytes, 48, self.entries);
        be::put16(bytes, 50, self.completions);
    }
}

/// What CREATE_RX_QUEUE carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CreateRx {
    /// Number of the queue.
    pub queue: u32,
    /// GQI: the number again. DQO: 0.
    pub index: u32,
    /// The queue's notification block.
    pub block: u32,
    /// Address of the 64 bytes where the device writes doorbell and counter: [`queue_resources`].
    pub resources_at: u64,
    /// GQI: address of the descriptors. DQO: of the completions.
    pub ring_at: u64,
    /// GQI: address of the data slots. DQO: of the descriptors of buffers.
    pub data_at: u64,
    /// The queue's page list, or [`RAW_LIST`].
    pub list: u32,
    /// Descriptors, a power of two.
    pub entries: u16,
    /// Bytes of a buffer.
    pub buffer_bytes: u16,
    /// DQO: descriptors of buffers, a power of two. GQI: 0.
    pub buffers: u16,
    /// DQO: whether segments may be put together. GQI: no.
    pub coalesce: bool,
    /// DQO: bytes of a buffer of headers; 0 where headers stay with the data.
    pub header_bytes: u16,
}

impl CreateRx {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Refusal> {
        let spare = [(16, 20), (59, 60), (62, 64)];
        if !spare
            .iter()
            .all(|(from, to)| le::is_zero(bytes, *from, *to))
        {
            return Err(Refusal::Reserved);
        }
        Ok(Self {
            queue: be::u32(bytes, 8),
            index: be::u32(bytes, 12),
            block: be::u32(bytes, 20),
            resources_at: be::u64(bytes, 24),
            ring_at: be::u64(bytes, 32),
            data_at: be::u64(bytes, 40),
            list: be::u32(bytes, 48),
            entries: be::u16(bytes, 52),
            buffer_bytes: be::u16(bytes, 54),
            buffers: be::u16(bytes, 56),
            coalesce: match le::u8(bytes, 58) {
                0 => false,
                1 => true,
                _ => return Err(Refusal::Value),
            },
            header_bytes: be::u16(bytes, 60),
        })
    }

    pub(crate) fn write(&self, bytes: &mut [u8]) {
        be::put32(bytes, 8, self.queue);
        be::put32(bytes, 12, self.index);
        be::put32(bytes, 20, self.block);
        be::put64(bytes, 24, self.resources_at);
        be::put64(bytes, 32, self.ring_at);
        be::put64(bytes, 40, self.data_at);
        be::put32(bytes, 48, self.list);
        be::put16(bytes, 52, self.entries);
        be::put16(bytes, 54, self.buffer_bytes);
        be::put16(bytes, 56, self.buffers);
        le::put(bytes, 58, &[u8::from(self.coalesce)]);
        be::put16(bytes, 60, self.header_bytes);
    }
}

/// The 64 bytes in which a device says where a queue's doorbell and counter are.
pub mod queue_resources {
    use crate::be;

    /// Bytes of it.
    pub const BYTES: usize = 64;

    /// Index of the doorbell and of the event counter, as the device wrote them: neither is inside of anything yet.
    pub fn read(bytes: &[u8; BYTES]) -> (u32, u32) {
        (be::u32(bytes, 0), be::u32(bytes, 4))
    }

    /// The first eight bytes, which are all that a device writes.
    pub fn bytes(doorbell: u32, counter: u32) -> [u8; 8] {
        let mut bytes = [0; 8];
        be::put32(&mut bytes, 0, doorbell);
        be::put32(&mut bytes, 4, counter);
        bytes
    }
}
