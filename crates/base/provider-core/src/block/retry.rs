//! What follows when a device refuses a command: it is asked again, and where it refuses a read for good, the bad block is looked
//! for, so that it can be named.

use core::fmt;
use core::mem::take;

use ring_abi::Refusal;
use sabotage::sabotage;

use super::geometry::Operation;

/// How often what the device refused is asked for again. A flush never is: what the device could not keep then is lost, and
/// the next flush would say nothing of it.
pub const MAX_RETRIES: u8 = 3;

/// Why commands failed: as the client is told, and the device's status where it was the device.
type Failure = Option<(Refusal, Option<u16>)>;

/// What a device refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The device's status.
    pub status: u16,
    /// First block of what it refused, as its unit counts them.
    pub block: u64,
    /// Blocks of it, one of which is bad; 0 for a flush.
    pub blocks: u32,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.blocks {
            0 => f.write_str("a flush"),
            1 => write!(f, "block {}", self.block),
            blocks => write!(f, "one of the {blocks} blocks from {} on", self.block),
        }
    }
}

/// Blocks that are asked for, with where they lie in the window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub block: u64,
    pub blocks: u32,
    pub offset: u32,
}

impl Range {
    /// What lies behind the first `blocks` of it.
    fn behind(self, blocks: u32, block_shift: u8) -> Self {
        Self {
            block: self.block + u64::from(blocks),
            blocks: self.blocks.saturating_sub(blocks),
            // `Geometry::check` has shown that the whole request lies in the window, which is shorter than 2^32 bytes.
            offset: self.offset + (blocks << block_shift),
        }
    }
}

/// What is known of why a request fails.
#[derive(Clone, Copy, Debug)]
enum Search {
    /// Nothing: it is asked for as a whole.
    No,
    /// These blocks hold the bad one, and the request is refused for this status.
    In(Range, u16),
    /// Each part was read at last, so the whole was asked for once more; what it says now counts.
    Over,
}

/// How often a request was asked for, and what is known of why it fails.
#[derive(Debug)]
pub(super) struct Attempts {
    whole: Range,
    asked: Range,
    retries: u8,
    search: Search,
}

impl Attempts {
    pub fn new(whole: Range) -> Self {
        Self {
            whole,
            asked: whole,
            retries: 0,
            search: Search::No,
        }
    }

    /// Whether the request has failed, and only the bad block is looked for.
    pub fn is_looking(&self) -> bool {
        matches!(self.search, Search::In(..))
    }

    /// What is to be asked for next, with all commands done; `failed` is why some failed, and what the client is told in the end.
    pub fn next(
        &mut self,
        operation: Operation,
        failed: &mut Failure,
        block_shift: u8,
        is_final: impl FnOnce(u16) -> bool,
    ) -> Option<Range> {
        match self.search {
            Search::No => {}
            Search::In(range, status) => {
                return self.narrow((range, status), failed, block_shift);
            }
            Search::Over => return None,
        }
        let (_, status) = (*failed)?;
        let status = status.filter(|_| operation != Operation::Flush)?;
        if self.retries < MAX_RETRIES && !is_final(status) && !sabotage!(BLOCK_NEVER_RETRY) {
            self.retries += 1;
            take(failed);
            return Some(self.asked);
        }
        if operation != Operation::Read {
            return None;
        }
        self.found(self.whole, status, failed)
    }

    /// What the answer to a part says of the blocks among which the bad one is.
    fn narrow(
        &mut self,
        (range, status): (Range, u16),
        failed: &mut Failure,
        block_shift: u8,
    ) -> Option<Range> {
        match failed.replace((Refusal::DeviceError, Some(status))) {
            Some((_, Some(_))) => self.found(self.asked, status, failed),
            // The device went away meanwhile: what is known so far is told.
            Some((_, None)) => None,
            // The last block that was left reads, too: none is known to be bad.
            None if self.asked.blocks == range.blocks => {
                self.search = Search::Over;
                self.ask(self.whole, failed)
            }
            None => self.among(range.behind(self.asked.blocks, block_shift), status, failed),
        }
    }

    /// The device has refused these blocks. One alone is the bad one.
    fn found(&mut self, range: Range, status: u16, failed: &mut Failure) -> Option<Range> {
        if range.blocks < 2 {
            self.search = Search::In(range, status);
            return None;
        }
        self.among(range, status, failed)
    }

    /// A bad block is among these, of which the first half is asked for; one that was never read alone is asked for alone.
    fn among(&mut self, range: Range, status: u16, failed: &mut Failure) -> Option<Range> {
        self.search = Search::In(range, status);
        let blocks = range.blocks.div_ceil(2);
        self.ask(Range { blocks, ..range }, failed)
    }

    fn ask(&mut self, range: Range, failed: &mut Failure) -> Option<Range> {
        take(failed);
        self.asked = range;
        Some(range)
    }

    /// What the device refused.
    pub fn refused(&self, operation: Operation, failed: Failure) -> Option<Refused> {
        let (range, status) = match self.search {
            Search::In(range, status) => (range, status),
            Search::No | Search::Over => (self.whole, failed?.1?),
        };
        Some(Refused {
            status,
            block: range.block,
            blocks: match operation {
                Operation::Flush => 0,
                _ => range.blocks,
            },
        })
    }
}
