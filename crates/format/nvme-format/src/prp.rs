//! Physical region page entries and lists (section 4.3): how a command says where its data lies.
//!
//! PRP1 names the first page and the offset in it. PRP2 is zero, the second page, or the address of a list. A list
//! holds one entry per page; where it reaches the end of its own page and more entries remain, its last entry is the
//! address of the next list page instead.
//!
//! What ends in `_in` is the same for pages of `PAGE` bytes, a power of two of at least 16: small ones let a proof try every
//! transfer there is. The others are for pages of [`PAGE_BYTES`].

use crate::PAGE_BYTES;

/// Bytes of one entry.
pub const ENTRY_BYTES: usize = 8;

const PAGE: usize = PAGE_BYTES as usize;

/// The part of a segment that lies in one page of its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Which of the buffer's pages.
    pub page: u64,
    /// Bytes of the page in front of it.
    pub within: u32,
    /// Bytes, not 0 unless there is none left.
    pub bytes: u32,
}

/// The next part of a segment of `length` bytes that begins at `offset` in its buffer, of which `done` bytes, at most all,
/// are cut off.
#[inline]
#[must_use]
pub const fn cut(offset: u32, length: u32, done: u32) -> Cut {
    cut_in::<PAGE>(offset, length, done)
}

/// As [`cut`].
#[inline]
#[must_use]
pub const fn cut_in<const PAGE: usize>(offset: u32, length: u32, done: u32) -> Cut {
    let at = offset as u64 + done as u64;
    let within = (at % PAGE as u64) as u32;
    let (room, left) = (PAGE as u32 - within, length - done);
    Cut {
        page: at / PAGE as u64,
        within,
        bytes: if room < left { room } else { left },
    }
}

/// The part of a transfer that lies in one page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Device address of its first byte.
    pub address: u64,
    /// Bytes, at least 1; it does not leave its page.
    pub bytes: u32,
}

/// Where a list is written: offsets count from a page boundary, page `n` begins at `n * 4096`, and the pages need not
/// be neighbours.
pub trait ListMemory {
    /// Device address of the page that holds `offset`, or `None` past the end.
    fn page_address(&self, offset: usize) -> Option<u64>;

    /// Stores an entry; false past the end.
    fn store(&mut self, offset: usize, entry: u64) -> bool;
}

/// Why a transfer cannot be said in PRPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrpError {
    /// There is nothing to transfer.
    Empty,
    /// The first byte is not at a multiple of 4.
    Misaligned,
    /// A piece is empty, leaves its page, or is not followed by a page's beginning where another one follows it.
    Gap,
    /// More pages than the list memory holds.
    ListFull,
    /// The sum of the pieces does not fit 32 bits.
    TooLong,
}

/// The two fields of the command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prp {
    /// PRP1.
    pub prp1: u64,
    /// PRP2.
    pub prp2: u64,
    /// Sum of the pieces in bytes.
    pub bytes: u32,
}

/// How many bytes of list memory, begun at a page boundary, a transfer of `bytes` may need at worst (it may begin at
/// the last dword of a page). 0 where PRP1 and PRP2 suffice.
pub const fn list_bytes(bytes: u32) -> usize {
    list_bytes_in::<PAGE>(bytes)
}

/// As [`list_bytes`].
pub const fn list_bytes_in<const PAGE: usize>(bytes: u32) -> usize {
    // PRP1 covers at least one dword of the transfer, the list the rest.
    let pages = (bytes as usize).saturating_sub(4).div_ceil(PAGE);
    if pages <= 1 {
        return 0;
    }
    let per_page = PAGE / ENTRY_BYTES;
    let mut left = pages;
    let mut total = 0;
    while left > per_page {
        left -= per_page - 1;
        total += PAGE;
    }
    total + left * ENTRY_BYTES
}

/// How far apart the lists of two commands lie, for transfers of up to `bytes`: a power of two up to a page, or whole pages,
/// so that no short list crosses a page's end. 0 where PRP1 and PRP2 suffice.
#[must_use]
pub const fn list_stride(bytes: u32) -> usize {
    list_stride_in::<PAGE>(bytes)
}

/// As [`list_stride`].
#[must_use]
pub const fn list_stride_in<const PAGE: usize>(bytes: u32) -> usize {
    match list_bytes_in::<PAGE>(bytes) {
        0 => 0,
        bytes if bytes <= PAGE => bytes.next_power_of_two(),
        bytes => bytes.next_multiple_of(PAGE),
    }
}

/// Builds PRP1, PRP2 and the list from the pieces of a transfer in order. The list begins at `start` (a multiple of 8)
/// in `list` and is written only from there on; it is not written at all for one or two pages.
///
/// # Errors
/// [`PrpError`]; the list memory may have been written up to there, which is harmless as long as no command names it.
#[inline]
pub fn build<L: ListMemory>(
    pieces: impl IntoIterator<Item = Piece>,
    list: &mut L,
    start: usize,
) -> Result<Prp, PrpError> {
    build_in::<PAGE, L>(pieces, list, start)
}

/// As [`build`].
///
/// # Errors
/// [`PrpError`].
pub fn build_in<const PAGE: usize, L: ListMemory>(
    pieces: impl IntoIterator<Item = Piece>,
    list: &mut L,
    start: usize,
) -> Result<Prp, PrpError> {
    let mut pieces = pieces.into_iter();
    let first = pieces.next().ok_or(PrpError::Empty)?;
    let mut ends_page = check_first::<PAGE>(first)?;
    let mut bytes = first.bytes;
    let mut writer = Writer::<L, PAGE> {
        list,
        next: start,
        held: None,
        first: None,
    };
    for piece in pieces {
        if !ends_page || within::<PAGE>(piece.address) != 0 {
            return Err(PrpError::Gap);
        }
        ends_page = check_piece::<PAGE>(piece)?;
        bytes = bytes.checked_add(piece.bytes).ok_or(PrpError::TooLong)?;
        writer.push(piece.address)?;
    }
    Ok(Prp {
        prp1: first.address,
        prp2: writer.finish()?,
        bytes,
    })
}

/// PRP1 of a transfer that is one piece; PRP2 is 0 then.
///
/// # Errors
/// As [`build`].
#[inline]
pub fn alone(piece: Piece) -> Result<u64, PrpError> {
    alone_in::<PAGE>(piece)
}

/// As [`alone`].
///
/// # Errors
/// As [`build`].
#[inline]
pub fn alone_in<const PAGE: usize>(piece: Piece) -> Result<u64, PrpError> {
    check_first::<PAGE>(piece).map(|_| piece.address)
}

/// How far from the beginning of its page an address is.
const fn within<const PAGE: usize>(address: u64) -> u64 {
    const { assert!(PAGE.is_power_of_two() && PAGE >= 2 * ENTRY_BYTES) };
    address & (PAGE as u64 - 1)
}

#[inline]
fn check_first<const PAGE: usize>(piece: Piece) -> Result<bool, PrpError> {
    if piece.address & 3 != 0 {
        return Err(PrpError::Misaligned);
    }
    check_piece::<PAGE>(piece)
}

/// Checks that a piece stays in its page, and says whether it reaches the page's end.
#[inline]
fn check_piece<const PAGE: usize>(piece: Piece) -> Result<bool, PrpError> {
    let end = within::<PAGE>(piece.address) + u64::from(piece.bytes);
    if piece.bytes == 0 || end > PAGE as u64 {
        return Err(PrpError::Gap);
    }
    Ok(end == PAGE as u64)
}

/// Writes list entries one behind: only when the next one is known can an entry at the end of a list page tell whether
/// that place is for it or for the address of the next page.
struct Writer<'a, L, const PAGE: usize> {
    list: &'a mut L,
    next: usize,
    held: Option<u64>,
    /// Device address of the list, once an entry was written.
    first: Option<u64>,
}

impl<L: ListMemory, const PAGE: usize> Writer<'_, L, PAGE> {
    fn push(&mut self, entry: u64) -> Result<(), PrpError> {
        if let Some(held) = self.held.replace(entry) {
            if self.first.is_none() {
                self.first = Some(self.address(self.next)?);
            }
            if self.next % PAGE == PAGE - ENTRY_BYTES {
                let onward = self.next + ENTRY_BYTES;
                let address = self.address(onward)?;
                self.store(address)?;
            }
            self.store(held)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u64, PrpError> {
        match (self.held, self.first) {
            (None, _) => Ok(0),
            (Some(second), None) => Ok(second),
            (Some(last), Some(list)) => {
                self.store(last)?;
                Ok(list)
            }
        }
    }

    fn store(&mut self, entry: u64) -> Result<(), PrpError> {
        if !self.next.is_multiple_of(ENTRY_BYTES) || !self.list.store(self.next, entry) {
            return Err(PrpError::ListFull);
        }
        self.next += ENTRY_BYTES;
        Ok(())
    }

    fn address(&self, offset: usize) -> Result<u64, PrpError> {
        let page = self.list.page_address(offset).ok_or(PrpError::ListFull)?;
        Ok(page + (offset % PAGE) as u64)
    }
}
