//! One command, one completion.

use ring_abi::{Direction, Refusal};

/// What a command has the device do. The numbers are those of the entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Opcode {
    /// Blocks, a packet or random bytes go from the device into memory.
    Read = 1,
    /// Blocks or a packet go from memory to the device.
    Write = 2,
    /// What was written becomes durable. It has no data and no block.
    Flush = 3,
    /// As `Write`, and the device is asked to answer once the blocks are durable. Not every device listens.
    WriteThrough = 4,
    /// The device may forget what the blocks hold. It has no data; `length` says how many bytes of blocks.
    Discard = 5,
    /// The blocks read as zeros. It has no data; `length` says how many bytes of blocks.
    Zero = 6,
}

impl Opcode {
    /// Reads a number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Read),
            2 => Some(Self::Write),
            3 => Some(Self::Flush),
            4 => Some(Self::WriteThrough),
            5 => Some(Self::Discard),
            6 => Some(Self::Zero),
            _ => None,
        }
    }

    /// Which way its data goes; `None` where it has none.
    #[must_use]
    pub const fn direction(self) -> Option<Direction> {
        match self {
            Self::Read => Some(Direction::FromDevice),
            Self::Write | Self::WriteThrough => Some(Direction::ToDevice),
            Self::Flush | Self::Discard | Self::Zero => None,
        }
    }

    /// Whether it is about blocks and has no data.
    #[must_use]
    pub const fn is_clear(self) -> bool {
        matches!(self, Self::Discard | Self::Zero)
    }
}

/// A place of the queue at which a buffer is bound, and which use of the place it is: a name for the buffer that ends with
/// the binding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Binding {
    /// The place.
    pub slot: u8,
    /// Rises with each binding of the queue; never 0.
    pub generation: u32,
}

/// A command, as it stands in the page. Nothing in it is an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Command {
    /// Comes back with the completion.
    pub cookie: u64,
    /// An [`Opcode`], or what the provider wrote instead.
    pub opcode: u8,
    /// Where the buffer is bound; 0 without data.
    pub slot: u8,
    /// Which part of the device: an NVMe namespace from 1 on, 0 for a device without parts.
    pub unit: u16,
    /// The generation of that binding, never 0; 0 without data.
    pub generation: u32,
    /// The first block; 0 for a device without blocks.
    pub block: u64,
    /// The first byte in the buffer.
    pub offset: u32,
    /// Bytes, of the buffer or, for a command about blocks without data, of blocks.
    pub length: u32,
}

impl Command {
    /// As the four words of its entry.
    #[must_use]
    #[inline]
    pub const fn words(&self) -> [u64; 4] {
        [
            self.cookie,
            self.opcode as u64
                | (self.slot as u64) << 8
                | (self.unit as u64) << 16
                | (self.generation as u64) << 32,
            self.block,
            self.offset as u64 | (self.length as u64) << 32,
        ]
    }

    /// Out of four words that were read.
    #[must_use]
    #[inline]
    pub const fn from_words([cookie, what, block, place]: [u64; 4]) -> Self {
        Self {
            cookie,
            opcode: what as u8,
            slot: (what >> 8) as u8,
            unit: (what >> 16) as u16,
            generation: (what >> 32) as u32,
            block,
            offset: place as u32,
            length: (place >> 32) as u32,
        }
    }

    /// A command without data or block.
    #[must_use]
    pub const fn bare(cookie: u64, opcode: Opcode, unit: u16) -> Self {
        Self {
            cookie,
            opcode: opcode as u8,
            slot: 0,
            unit,
            generation: 0,
            block: 0,
            offset: 0,
            length: 0,
        }
    }

    /// The same command with `length` bytes of a bound buffer, from `offset` on.
    #[must_use]
    #[inline]
    pub const fn with(self, binding: Binding, offset: u32, length: u32) -> Self {
        Self {
            slot: binding.slot,
            generation: binding.generation,
            offset,
            length,
            ..self
        }
    }

    /// The binding that it names.
    #[must_use]
    #[inline]
    pub const fn binding(&self) -> Binding {
        Binding {
            slot: self.slot,
            generation: self.generation,
        }
    }

    /// Whether everything about a buffer is zero.
    #[must_use]
    #[inline]
    pub const fn is_unbound(&self) -> bool {
        self.slot == 0 && self.generation == 0 && self.offset == 0
    }

    /// Whether everything about data and blocks is zero.
    #[must_use]
    #[inline]
    pub const fn is_bare(&self) -> bool {
        self.is_unbound() && self.block == 0 && self.length == 0
    }
}

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Completion {
    /// What its submitter gave with it.
    pub cookie: u64,
    /// The device's status, 0 for success, and its result; or why the device never saw the command or a reset ended it.
    pub outcome: Result<(u16, u32), Refusal>,
}

impl Completion {
    /// As the two words of its entry.
    #[must_use]
    #[inline]
    pub const fn words(&self) -> [u64; 2] {
        let second = match self.outcome {
            Ok((status, result)) => status as u64 | (result as u64) << 32,
            Err(refusal) => (refusal.code() as u64) << 16,
        };
        [self.cookie, second]
    }

    /// Out of two words that were read.
    #[must_use]
    #[inline]
    pub const fn from_words([cookie, second]: [u64; 2]) -> Self {
        let outcome = match Refusal::from_code((second >> 16) as u8) {
            Some(refusal) => Err(refusal),
            None => Ok((second as u16, (second >> 32) as u32)),
        };
        Self { cookie, outcome }
    }
}
