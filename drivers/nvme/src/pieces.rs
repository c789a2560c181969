//! Segments cut into pages.

use driver_core::{Direction, Refusal, Segment};
use nvme_format::PAGE_BYTES;
use nvme_format::prp::Piece;
use nvme_format::template::Transfer;

/// Checks that every segment lies inside its buffer and goes the way the command goes, and adds them up.
///
/// # Errors
/// `ZeroLength`, `OutOfRange`, `BadArgument` for a wrong direction, `LengthMismatch` for a sum over 32 bits.
pub(crate) fn check(segments: &[Segment<'_>], transfer: Transfer) -> Result<u32, Refusal> {
    let mut sum = 0u32;
    for segment in segments {
        let end = u64::from(segment.offset) + u64::from(segment.length);
        if segment.length == 0 {
            return Err(Refusal::ZeroLength);
        }
        if end > segment.pages.len() as u64 * u64::from(PAGE_BYTES) {
            return Err(Refusal::OutOfRange);
        }
        let fits = match transfer {
            Transfer::Nothing => return Err(Refusal::LengthMismatch),
            Transfer::ToDevice(_) => segment.direction == Direction::ToDevice,
            Transfer::FromDevice(_) => segment.direction == Direction::FromDevice,
        };
        if !fits {
            return Err(Refusal::BadArgument);
        }
        sum = sum
            .checked_add(segment.length)
            .ok_or(Refusal::LengthMismatch)?;
    }
    Ok(sum)
}

/// The pieces of checked segments, page by page. It ends early should a page be missing, which [`check`] excludes.
pub(crate) struct Pieces<'a> {
    segments: &'a [Segment<'a>],
    /// Bytes of the first segment already given out.
    done: u32,
}

impl<'a> Pieces<'a> {
    pub(crate) const fn new(segments: &'a [Segment<'a>]) -> Self {
        Self { segments, done: 0 }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let (segment, rest) = self.segments.split_first()?;
        let at = u64::from(segment.offset) + u64::from(self.done);
        let within = (at % u64::from(PAGE_BYTES)) as u32;
        let page = segment
            .pages
            .get(usize::try_from(at / u64::from(PAGE_BYTES)).ok()?)?;
        let bytes = (PAGE_BYTES - within).min(segment.length - self.done);
        self.done += bytes;
        if self.done == segment.length {
            self.segments = rest;
            self.done = 0;
        }
        Some(Piece {
            address: page.offset(u64::from(within)).bus(),
            bytes,
        })
    }
}
