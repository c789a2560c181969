//! Segments cut into pages.

use driver_core::{Direction, Refusal, Segment};
use nvme_format::prp::{self, Cut, Piece, PrpError};
use nvme_format::template::Transfer;
use nvme_format::{Command, PAGE_BYTES};
use sabotage::sabotage;

use crate::lists::Lists;
use crate::queue::Queue;

impl Queue {
    /// Gives an admitted command its addresses and writes it, if its segments are what it transfers. The slot was checked.
    ///
    /// # Errors
    /// Those of [`check`]; `LengthMismatch`; `Misaligned`, `OutOfRange`; those of [`Queue::push`]. Nothing has changed then.
    #[inline]
    pub(crate) fn write(
        &mut self,
        slot: u16,
        mut command: Command,
        transfer: Transfer,
        segments: &[Segment<'_>],
    ) -> Result<(), Refusal> {
        let given = check(segments, transfer)?;
        if given != transfer.bytes() && !sabotage!(SKIP_LENGTH_CHECK) {
            return Err(Refusal::LengthMismatch);
        }
        if transfer != Transfer::Nothing {
            let addresses = place(&self.lists, slot, segments, given)?;
            (command.prp1, command.prp2) = addresses;
        }
        self.push(slot, command)
    }
}

/// Builds the two PRP entries, and the slot's list where they do not suffice.
#[inline]
fn place(
    lists: &Lists,
    slot: u16,
    segments: &[Segment<'_>],
    given: u32,
) -> Result<(u64, u64), Refusal> {
    // Within one page, as most are: no list, and nothing to walk.
    let mut pieces = Pieces::new(segments);
    if let (Some(piece), [_]) = (pieces.next(), segments)
        && piece.bytes == given
    {
        let alone = prp::alone(piece).map_err(refusal)?;
        return Ok((alone, 0));
    }
    let mut list = lists.of(slot);
    let start = list.start;
    let built = prp::build(Pieces::new(segments), &mut list, start).map_err(refusal)?;
    if built.bytes != given {
        return Err(Refusal::OutOfRange);
    }
    Ok((built.prp1, built.prp2))
}

const fn refusal(error: PrpError) -> Refusal {
    match error {
        PrpError::Misaligned | PrpError::Gap => Refusal::Misaligned,
        PrpError::Empty => Refusal::LengthMismatch,
        PrpError::ListFull | PrpError::TooLong => Refusal::OutOfRange,
    }
}

/// Checks that every segment lies inside its buffer and goes the way the command goes, and adds them up.
///
/// # Errors
/// `ZeroLength`, `OutOfRange`, `BadArgument` for a wrong direction, `LengthMismatch` for a sum over 32 bits.
#[inline]
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

    #[inline]
    fn next(&mut self) -> Option<Piece> {
        let (segment, rest) = self.segments.split_first()?;
        let Cut {
            page,
            within,
            bytes,
        } = prp::cut(segment.offset, segment.length, self.done);
        let page = segment.pages.get(usize::try_from(page).ok()?)?;
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
