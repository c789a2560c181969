//! How requests are laid out, and what comes back.

use driver_core::{Direction, Refusal, Segment, Transfer};

/// The most bytes of a header, with what belongs to it.
pub const HEADER_BYTES: usize = 32;

/// Bytes before the data of a request, in a page of the broker's own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What the device reads; zeros where it writes.
    pub bytes: [u8; HEADER_BYTES],
    /// How many of them there are.
    pub length: u8,
    /// The device writes them.
    pub device_writes: bool,
}

/// How one request is laid out: a header, the segments, a status byte; each part a descriptor or more of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// What comes first.
    pub header: Option<Header>,
    /// A byte that the device writes comes last.
    pub status: bool,
    /// The most bytes of one descriptor of data.
    pub longest: u32,
    /// The most descriptors of data.
    pub most: u16,
}

impl Plan {
    /// Segments and nothing else.
    pub const BARE: Self = Self {
        header: None,
        status: false,
        longest: u32::MAX,
        most: u16::MAX,
    };
}

/// A request that the device has used, and that fits the record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Finished {
    /// Bytes that the device says it wrote, header and status byte included; never more than it could.
    pub written: u32,
    /// The status byte, 0 where there is none.
    pub status: u8,
}

/// Checks that a command told by its fields names neither a block nor a part of a device that has none, nor a flush, and
/// gives its segment.
///
/// # Errors
/// `TemplateRefused`.
pub fn without_blocks<'t, 'a>(transfer: &'t Transfer<'a>) -> Result<&'t [Segment<'a>], Refusal> {
    if transfer.unit != 0 || transfer.block != 0 || transfer.data.is_none() {
        return Err(Refusal::TemplateRefused);
    }
    Ok(transfer.data.as_slice())
}

/// Adds up the segments, all of which go one way.
///
/// # Errors
/// `BadArgument` for one that goes the other way; `OutOfRange` for more than 32 bits hold.
pub fn total(segments: &[Segment<'_>], direction: Direction) -> Result<u32, Refusal> {
    segments.iter().try_fold(0u32, |sum, one| {
        if one.direction != direction {
            return Err(Refusal::BadArgument);
        }
        sum.checked_add(one.length).ok_or(Refusal::OutOfRange)
    })
}
