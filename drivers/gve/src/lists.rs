//! Page lists: formed from pages that the ledger admitted, and compared with what each descriptor names.

use alloc::vec::Vec;

use driver_core::{BrokerIo, DeviceAddress, Direction, DmaPages, Refusal, Segment};
use gve_format::brokered::Side;
use gve_format::{Command, PAGE_BYTES, pages};
use sabotage::sabotage;

/// Most pages of a list, whatever the device takes: so many entries are written in one go.
pub(crate) const MAX_PAGES: u16 = 1024;

const PAGE: u32 = PAGE_BYTES;

/// How a list stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Empty,
    /// The device was asked to take it: the command in this slot.
    Asked(u16),
    /// It has it.
    Held,
}

/// The list of one queue.
#[derive(Debug)]
pub(crate) struct List {
    side: Side,
    /// What the device reads.
    entries: DmaPages,
    /// The same, which the device cannot write; its length is the room.
    known: Vec<DeviceAddress>,
    /// How many of them there are.
    count: usize,
    /// Where in its buffer the list begins, in pages.
    first: u32,
    state: State,
}

/// A part of one page that a segment names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Where the device sees it.
    pub(crate) at: u64,
    /// Bytes.
    pub(crate) bytes: u16,
}

/// Number of a side's list at the device.
pub(crate) const fn number(side: Side) -> u32 {
    match side {
        Side::Receive => 0,
        Side::Transmit => 1,
    }
}

const fn direction(side: Side) -> Direction {
    match side {
        Side::Receive => Direction::FromDevice,
        Side::Transmit => Direction::ToDevice,
    }
}

impl List {
    /// Makes room for a list of `most` pages.
    ///
    /// # Errors
    /// `NoMemory`, `OverBudget`.
    pub(crate) fn new(io: &mut dyn BrokerIo, side: Side, most: u16) -> Result<Self, Refusal> {
        let bytes = pages::list_bytes(most.into()).ok_or(Refusal::OutOfRange)?;
        let none = core::iter::repeat_n(DeviceAddress::new(0), most.into());
        Ok(Self {
            side,
            entries: io.pages(bytes.next_multiple_of(PAGE as usize))?,
            known: driver_core::list(none)?,
            count: 0,
            first: 0,
            state: State::Empty,
        })
    }

    /// How many pages there is room for.
    pub(crate) fn room(&self) -> usize {
        self.known.len()
    }

    /// The device has forgotten it.
    pub(crate) fn forget(&mut self) {
        self.count = 0;
        self.state = State::Empty;
    }

    /// Forms the list from a command's segment, and gives what the device is asked.
    ///
    /// # Errors
    /// `WrongState` where there is one; `LengthMismatch` without one segment; `BadArgument` for another direction;
    /// `Misaligned` for parts of pages; `OutOfRange` for more pages than a list has.
    pub(crate) fn form(&mut self, slot: u16, segments: &[Segment<'_>]) -> Result<Command, Refusal> {
        let [segment] = segments else {
            return Err(Refusal::LengthMismatch);
        };
        if self.state != State::Empty {
            return Err(Refusal::WrongState);
        }
        if segment.direction != direction(self.side) {
            return Err(Refusal::BadArgument);
        }
        if !segment.offset.is_multiple_of(PAGE) || !segment.length.is_multiple_of(PAGE) {
            return Err(Refusal::Misaligned);
        }
        let (first, count) = (segment.offset / PAGE, segment.length / PAGE);
        if count == 0 || count as usize > self.room() {
            return Err(Refusal::OutOfRange);
        }
        for page in 0..count {
            let address = segment.pages.get((first + page) as usize);
            let address = *address.ok_or(Refusal::OutOfRange)?;
            let entry = pages::entry(address.bus()).ok_or(Refusal::Misaligned)?;
            let at = page as usize * pages::ENTRY_BYTES;
            self.entries.store64(at, u64::from_ne_bytes(entry))?;
            if let Some(known) = self.known.get_mut(page as usize) {
                *known = address;
            }
        }
        self.count = count as usize;
        self.first = first;
        self.state = State::Asked(slot);
        Ok(Command::RegisterPageList {
            list: number(self.side),
            pages: count,
            address: self.entries.address().bus(),
            page_bytes: PAGE.into(),
        })
    }

    /// The device answered: the slot of the command that asked, where the device did not take the list.
    pub(crate) fn answered(&mut self, taken: Result<(), Refusal>) -> Option<u16> {
        let State::Asked(slot) = self.state else {
            return None;
        };
        if taken.is_ok() {
            self.state = State::Held;
            return None;
        }
        self.forget();
        Some(slot)
    }

    /// Whether a queue may be opened over it; `None` while the device has not answered.
    pub(crate) fn is_held(&self) -> Option<bool> {
        match self.state {
            State::Asked(_) => None,
            State::Held => Some(true),
            State::Empty => Some(false),
        }
    }

    /// Where in the list a segment begins, in bytes.
    ///
    /// # Errors
    /// `OutOfRange` where a byte of it lies in no page of the list, or its page is another one than that of the list.
    #[inline]
    pub(crate) fn locate(&self, segment: &Segment<'_>) -> Result<u32, Refusal> {
        let begin = self.first * PAGE;
        let offset = segment.offset.checked_sub(begin);
        let offset = offset.ok_or(Refusal::OutOfRange)?;
        let last = offset.checked_add(segment.length.saturating_sub(1));
        let last = last.ok_or(Refusal::OutOfRange)? / PAGE;
        for page in offset / PAGE..=last {
            let listed = self.known.get(..self.count);
            let listed = listed.and_then(|known| known.get(page as usize));
            let named = segment.pages.get((self.first + page) as usize);
            if (listed.is_none() || listed != named) && !sabotage!(GVE_SKIP_LIST_CHECK) {
                return Err(Refusal::OutOfRange);
            }
        }
        Ok(offset)
    }
}

/// The parts of a segment, a page each: the first, and the second where it crosses into one.
///
/// # Errors
/// `OutOfRange` for one that crosses into more, or that lies outside of its buffer.
#[inline]
pub(crate) fn parts(segment: &Segment<'_>) -> Result<(Part, Option<Part>), Refusal> {
    let (page, from) = (segment.offset / PAGE, segment.offset % PAGE);
    let here = (PAGE - from).min(segment.length);
    let rest = segment.length - here;
    if rest > PAGE {
        return Err(Refusal::OutOfRange);
    }
    let address = |page: u32| {
        let address = segment.pages.get(page as usize);
        address
            .map(|address| address.bus())
            .ok_or(Refusal::OutOfRange)
    };
    let first = Part {
        at: address(page)? + u64::from(from),
        bytes: here as u16,
    };
    let second = match rest {
        0 => None,
        rest => Some(Part {
            at: address(page + 1)?,
            bytes: rest as u16,
        }),
    };
    Ok((first, second))
}
