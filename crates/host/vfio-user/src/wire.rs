//! The bytes of a message (vfio-user 0.9, "Message Header" and "Commands").

/// Bytes of a header.
pub const HEADER_BYTES: usize = 16;
/// Most bytes of one transfer of memory or registers, as this side says it.
pub const MAX_TRANSFER: usize = 1 << 20;
/// Most bytes of a message: a transfer and what is before it.
pub const MAX_MESSAGE: usize = MAX_TRANSFER + 64;
/// Most file descriptors with a message, as this side says it.
pub const MAX_FDS: usize = 8;
/// The region that is configuration space, and the number of all (VFIO's numbering of PCI regions).
pub const CONFIG_REGION: u32 = 7;
/// Regions there are.
pub const REGIONS: u32 = 9;
/// The interrupt index of MSI-X, and the number of all.
pub const MSIX_INDEX: u32 = 2;
/// Interrupt indices there are.
pub const INTERRUPTS: u32 = 5;

/// A command's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Command {
    /// Versions and capabilities.
    Version = 1,
    /// Memory appears.
    DmaMap = 2,
    /// Memory goes.
    DmaUnmap = 3,
    /// Counts of regions and interrupts.
    GetInfo = 4,
    /// One region.
    GetRegion = 5,
    /// One kind of interrupt.
    GetInterrupt = 7,
    /// Where interrupts go.
    SetInterrupts = 8,
    /// A read of a region.
    Read = 9,
    /// A write of a region.
    Write = 10,
    /// The device reads memory.
    DmaRead = 11,
    /// The device writes memory.
    DmaWrite = 12,
    /// Reset.
    Reset = 13,
}

impl Command {
    /// Reads a number; `None` for one that is not known here.
    pub const fn of(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Version,
            2 => Self::DmaMap,
            3 => Self::DmaUnmap,
            4 => Self::GetInfo,
            5 => Self::GetRegion,
            7 => Self::GetInterrupt,
            8 => Self::SetInterrupts,
            9 => Self::Read,
            10 => Self::Write,
            11 => Self::DmaRead,
            12 => Self::DmaWrite,
            13 => Self::Reset,
            _ => return None,
        })
    }
}

/// What kind of message it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A command that wants an answer.
    Command,
    /// A command that wants none.
    CommandWithoutReply,
    /// An answer.
    Reply,
    /// An answer that refuses, with the error number (`errno`).
    Refusal(u32),
}

/// The header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Chosen by who sends the command; the answer repeats it.
    pub id: u16,
    /// Number of the command.
    pub command: u16,
    /// Bytes of the whole message.
    pub bytes: u32,
    /// Its kind.
    pub kind: Kind,
}

const TYPE_MASK: u32 = 0xf;
const REPLY: u32 = 1;
const NO_REPLY: u32 = 1 << 4;
const ERROR: u32 = 1 << 5;

impl Header {
    /// Writes it.
    pub fn bytes(self) -> [u8; HEADER_BYTES] {
        let (flags, error) = match self.kind {
            Kind::Command => (0, 0),
            Kind::CommandWithoutReply => (NO_REPLY, 0),
            Kind::Reply => (REPLY, 0),
            Kind::Refusal(error) => (REPLY | ERROR, error),
        };
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..2].copy_from_slice(&self.id.to_le_bytes());
        bytes[2..4].copy_from_slice(&self.command.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.bytes.to_le_bytes());
        bytes[8..12].copy_from_slice(&flags.to_le_bytes());
        bytes[12..16].copy_from_slice(&error.to_le_bytes());
        bytes
    }

    /// Reads it; `None` if it is of no kind, or the message has no end that makes sense.
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let flags = u32_at(bytes, 8)?;
        let kind = match (flags & TYPE_MASK, flags & ERROR, flags & NO_REPLY) {
            (0, 0, 0) => Kind::Command,
            (0, 0, _) => Kind::CommandWithoutReply,
            (REPLY, 0, _) => Kind::Reply,
            (REPLY, ..) => Kind::Refusal(u32_at(bytes, 12)?),
            _ => return None,
        };
        let length = u32_at(bytes, 4)?;
        let inside = (HEADER_BYTES..=MAX_MESSAGE).contains(&(length as usize));
        inside.then_some(Self {
            id: u16_at(bytes, 0)?,
            command: u16_at(bytes, 2)?,
            bytes: length,
            kind,
        })
    }
}

/// Reads two bytes, little-endian.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(two.try_into().ok()?))
}

/// Reads four bytes, little-endian.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(four.try_into().ok()?))
}

/// Reads eight bytes, little-endian.
pub fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(eight.try_into().ok()?))
}

/// Writes numbers of four bytes one after the other.
pub fn words(values: &[u32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_and_those_without_an_end_are_refused() {
        for kind in [
            Kind::Command,
            Kind::CommandWithoutReply,
            Kind::Reply,
            Kind::Refusal(19),
        ] {
            let header = Header {
                id: 7,
                command: 12,
                bytes: 40,
                kind,
            };
            assert_eq!(Header::read(&header.bytes()), Some(header));
        }
        for bytes in [0, 15, MAX_MESSAGE as u32 + 1, u32::MAX] {
            let header = Header {
                id: 7,
                command: 12,
                bytes,
                kind: Kind::Command,
            };
            assert_eq!(Header::read(&header.bytes()), None);
        }
        let mut odd = Header {
            id: 7,
            command: 12,
            bytes: 40,
            kind: Kind::Command,
        }
        .bytes();
        odd[8] = 2;
        assert_eq!(Header::read(&odd), None);
    }
}
