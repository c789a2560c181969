//! One domain: its device addresses and what lies behind them.

use core::cmp::Reverse;

use dma_ledger::{ShootdownProof, TranslationProof};

use pieces::Sorted;

use crate::{FlushClock, IotlbReceipt, Numbers};

/// Bytes of a page.
pub const PAGE_BYTES: u64 = 4096;
/// Pages of the next larger size: a run that has so many is aligned so that large pages fit.
const LARGE_PAGES: u64 = 512;
/// Most pages of a run: its bytes are a number of 64 bits, and no device has more address.
const MAX_PAGES: u64 = 1 << 40;
/// Where messages of interrupts go (VT-d 3.14, AMD 2.1.3): never an address of memory.
const MESSAGES: (u64, u64) = (0xfee0_0000, 0xfef0_0000);

/// The device addresses that a domain may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// First address, a multiple of a page and not 0.
    pub start: u64,
    /// End, a multiple of a page.
    pub end: u64,
}

impl Window {
    /// All below 4 GiB but page 0: what every device can name.
    pub const LOW: Self = Self {
        start: PAGE_BYTES,
        end: 1 << 32,
    };

    /// Those that a device with so many address bits can name, at most [`Self::LOW`]; `None` where that is not one page.
    pub const fn of_bits(bits: u8) -> Option<Self> {
        match bits {
            0..=12 => None,
            13..=31 => Some(Self {
                end: 1 << bits,
                ..Self::LOW
            }),
            _ => Some(Self::LOW),
        }
    }
}

/// Whose a domain is: the function and the generation of its claim, as the device manager's ledger numbers them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Requester id.
    pub source: u16,
    /// Generation of the claim.
    pub generation: u64,
}

/// Which mapping of a domain. Never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MappingKey(u64);

/// How far a mapping has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It has an address, and the tables do not hold it yet.
    Reserved,
    /// The tables hold it.
    Mapped,
    /// The tables do not hold it any more, and the unit may.
    Unmapped,
}

/// Why something was refused. Nothing has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No page, or the physical address is not one of a page.
    Range,
    /// No device addresses are free for a run of this length.
    NoAddress,
    /// There is no memory for one more record.
    NoMemory,
    /// The domain is at its end: nothing is mapped any more.
    Ending,
    /// Another owner asks, or the same one in an earlier claim.
    WrongOwner,
    /// There is no such mapping, or it is in another state.
    State,
    /// The receipt is of another unit or domain, or older than the unmapping.
    Receipt,
    /// Mappings are left.
    InUse,
}

/// A mapping as the ledger keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapped {
    /// Which one.
    pub key: MappingKey,
    /// Where the device sees it.
    pub iova: u64,
    /// Count of pages.
    pub pages: u64,
    /// How far it has come.
    pub state: State,
}

/// Which domain a value is of: unit and number. No value outlives its domain, because its place keeps that open.
type Home = (u8, u16);

#[derive(Debug)]
struct Span<F> {
    key: MappingKey,
    pages: u64,
    state: State,
    /// There while it is mapped.
    frames: Option<F>,
}

/// Device addresses for a run of frames that the tables do not hold yet.
#[must_use = "its addresses stay taken"]
#[derive(Debug)]
pub struct Reserved<F> {
    frames: F,
    home: Home,
    key: MappingKey,
    iova: u64,
}

impl<F> Reserved<F> {
    /// Returns where the device is to see it.
    pub const fn iova(&self) -> u64 {
        self.iova
    }
}

/// Frames that the tables do not lead to any more, and the unit may. They leave with [`Domain::forget`] alone.
///
/// ```compile_fail,E0616
/// fn take<F>(unmapped: domain_ledger::Unmapped<F>) -> F {
///     unmapped.frames
/// }
/// ```
#[must_use = "its frames and addresses stay out of use"]
#[derive(Debug)]
pub struct Unmapped<F> {
    frames: F,
    home: Home,
    key: MappingKey,
    iova: u64,
    turn: u64,
}

/// Frames that no device reaches any more. They leave with a shootdown receipt: no CPU reaches them either.
#[must_use = "its frames stay out of use"]
#[derive(Debug)]
pub struct Withdrawn<F>(F);

/// One for each mapping that a unit was seen to forget.
impl<F> TranslationProof for Withdrawn<F> {}

impl<F> Withdrawn<F> {
    /// Gives the frames back.
    pub fn release(self, _proof: impl ShootdownProof) -> F {
        self.0
    }
}

/// By falling device address, so that a new one mostly comes last.
type Spans<F> = Sorted<Reverse<u64>, Span<F>, 64>;

/// Shows that a domain is gone, with everything that it mapped.
#[must_use = "what it mapped stays out of use"]
#[derive(Debug)]
pub struct Retired(());

impl TranslationProof for Retired {}

/// One domain of one unit.
///
/// The frames of what is mapped are kept here; those of what is not, in the values it gives out.
#[derive(Debug)]
pub struct Domain<F> {
    unit: u8,
    number: u16,
    owner: Owner,
    window: Window,
    spans: Spans<F>,
    next: u64,
    /// Turn of the last unmapping.
    last: u64,
    /// Pages in state [`State::Mapped`].
    mapped_pages: u64,
    /// Its function is blocked: nothing is mapped any more.
    ending: bool,
}

impl<F> Domain<F> {
    /// Makes a domain with a free number; `None` if there is none, or for a window that makes no sense.
    pub fn new(
        clock: &FlushClock,
        numbers: &mut Numbers,
        owner: Owner,
        window: Window,
    ) -> Option<Self> {
        let pages = (window.start | window.end).is_multiple_of(PAGE_BYTES);
        if !pages || window.start == 0 || window.start >= window.end {
            return None;
        }
        Some(Self {
            unit: clock.unit(),
            number: numbers.take()?,
            owner,
            window,
            spans: Sorted::new(),
            next: 1,
            last: 0,
            mapped_pages: 0,
            ending: false,
        })
    }

    /// Returns the number by which the unit knows it.
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// Returns whose it is.
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// Returns how many mappings it has, in whatever state.
    pub fn mappings(&self) -> usize {
        self.spans.len()
    }

    /// Returns how many pages the tables hold.
    pub const fn mapped_pages(&self) -> u64 {
        self.mapped_pages
    }

    /// Finds what a device address belongs to.
    pub fn find(&self, iova: u64) -> Option<Mapped> {
        let (Reverse(start), span) = self.spans.from(Reverse(iova)).next()?;
        (iova - start < span.pages * PAGE_BYTES).then_some(Mapped {
            key: span.key,
            iova: start,
            pages: span.pages,
            state: span.state,
        })
    }

    /// Gives a run of frames device addresses: right below all others, or else the highest that are free. Never the
    /// physical one: where a unit does not translate, such an address is seen to miss.
    ///
    /// # Errors
    /// `WrongOwner`, `Ending`, `Range`, `NoAddress` and `NoMemory`, with the frames.
    pub fn reserve(
        &mut self,
        owner: Owner,
        frames: F,
        physical: u64,
        pages: u64,
    ) -> Result<Reserved<F>, (Refusal, F)> {
        let home = self.home();
        match self.take_addresses(owner, physical, pages) {
            Ok((iova, span)) => Ok(Reserved {
                frames,
                home,
                key: span.key,
                iova,
            }),
            Err(refusal) => Err((refusal, frames)),
        }
    }

    /// Gives a run of frames device addresses as [`Self::reserve`] does, has `write` put the entries into the tables, and states
    /// that they hold it as [`Self::confirm`] does: for who lets nobody else at the ledger meanwhile. Whatever `write` returns,
    /// the run is mapped, because some of its entries may be there. Returns where the device sees it, and that.
    ///
    /// # Errors
    /// As for [`Self::reserve`], with the frames; `write` was not called.
    pub fn map<R>(
        &mut self,
        owner: Owner,
        frames: F,
        (physical, pages): (u64, u64),
        write: impl FnOnce(u64) -> R,
    ) -> Result<(u64, R), (Refusal, F)> {
        match self.take_addresses(owner, physical, pages) {
            Ok((iova, span)) => {
                let written = write(iova);
                span.state = State::Mapped;
                span.frames = Some(frames);
                self.mapped_pages += pages;
                Ok((iova, written))
            }
            Err(refusal) => Err((refusal, frames)),
        }
    }

    /// Finds device addresses for a run, and notes that it has them.
    fn take_addresses(
        &mut self,
        owner: Owner,
        physical: u64,
        pages: u64,
    ) -> Result<(u64, &mut Span<F>), Refusal> {
        if owner != self.owner {
            return Err(Refusal::WrongOwner);
        }
        if self.ending {
            return Err(Refusal::Ending);
        }
        let runs = pages > 0 && pages <= MAX_PAGES;
        if !runs || !physical.is_multiple_of(PAGE_BYTES) {
            return Err(Refusal::Range);
        }
        let iova = self.free_run(pages, physical).ok_or(Refusal::NoAddress)?;
        let span = Span {
            key: MappingKey(self.next),
            pages,
            state: State::Reserved,
            frames: None,
        };
        let added = self.spans.add(Reverse(iova), span);
        let span = added.map_err(|_| Refusal::NoMemory)?;
        self.next += 1;
        Ok((iova, span))
    }

    /// States that the tables hold it. From now on the device reaches it.
    ///
    /// # Errors
    /// `State`: it is of another domain. It comes back.
    pub fn confirm(&mut self, reserved: Reserved<F>) -> Result<MappingKey, (Refusal, Reserved<F>)> {
        let found = self.span(reserved.home, reserved.iova, reserved.key, State::Reserved);
        let Some(span) = found else {
            return Err((Refusal::State, reserved));
        };
        span.state = State::Mapped;
        span.frames = Some(reserved.frames);
        let pages = span.pages;
        self.mapped_pages += pages;
        Ok(reserved.key)
    }

    /// Takes a reservation back whose entries the tables never held.
    ///
    /// # Errors
    /// `State`: it is of another domain. It comes back.
    pub fn abandon(&mut self, reserved: Reserved<F>) -> Result<F, (Refusal, Reserved<F>)> {
        let found = self.span(reserved.home, reserved.iova, reserved.key, State::Reserved);
        if found.is_none() {
            return Err((Refusal::State, reserved));
        }
        self.spans.remove(Reverse(reserved.iova));
        Ok(reserved.frames)
    }

    /// Unmaps: `clear` takes the entries out of the tables, and only then is the turn taken.
    ///
    /// # Errors
    /// `WrongOwner`, and `State`: nothing is mapped there.
    pub fn unmap(
        &mut self,
        owner: Owner,
        clock: &FlushClock,
        iova: u64,
        clear: impl FnOnce(Mapped),
    ) -> Result<Unmapped<F>, Refusal> {
        if owner != self.owner || clock.unit() != self.unit {
            return Err(Refusal::WrongOwner);
        }
        let span = self.spans.get_mut(Reverse(iova)).ok_or(Refusal::State)?;
        let frames = match span.state {
            State::Mapped => span.frames.take().ok_or(Refusal::State)?,
            State::Reserved | State::Unmapped => return Err(Refusal::State),
        };
        let (key, pages) = (span.key, span.pages);
        self.mapped_pages -= pages;
        span.state = State::Unmapped;
        let state = State::Mapped;
        clear(Mapped {
            key,
            iova,
            pages,
            state,
        });
        let turn = clock.unmapped();
        self.last = turn;
        let home = self.home();
        Ok(Unmapped {
            frames,
            home,
            key,
            iova,
            turn,
        })
    }

    /// Lists what is mapped, for the end of a domain.
    pub fn mapped(&self) -> impl Iterator<Item = u64> {
        let mapped = |(Reverse(iova), span): (Reverse<u64>, &Span<F>)| {
            (span.state == State::Mapped).then_some(iova)
        };
        self.spans.iter().filter_map(mapped)
    }

    /// Ends an unmapping that the unit forgot. Its addresses are free, and its frames wait for the shootdown alone.
    ///
    /// # Errors
    /// `Receipt` and `State`, with what was unmapped.
    pub fn forget(
        &mut self,
        unmapped: Unmapped<F>,
        receipt: &IotlbReceipt,
    ) -> Result<Withdrawn<F>, (Refusal, Unmapped<F>)> {
        if unmapped.home != self.home() {
            return Err((Refusal::State, unmapped));
        }
        let mut refusal = Refusal::State;
        let is_forgotten = |span: &Span<F>| {
            if span.key != unmapped.key || span.state != State::Unmapped {
                return false;
            }
            refusal = Refusal::Receipt;
            let run = Some((unmapped.iova, span.pages));
            receipt.holds_for(self.unit, self.number, run, unmapped.turn)
        };
        match self.spans.remove_if(Reverse(unmapped.iova), is_forgotten) {
            Some(_) => Ok(Withdrawn(unmapped.frames)),
            None => Err((refusal, unmapped)),
        }
    }

    /// Ends the domain, and gives its number back. Its function must be blocked, and `receipt` be of a flush that began
    /// after that.
    ///
    /// # Errors
    /// `InUse` and `Receipt`, with the domain.
    pub fn close(
        self,
        numbers: &mut Numbers,
        receipt: &IotlbReceipt,
    ) -> Result<(), (Refusal, Self)> {
        if !self.spans.is_empty() {
            return Err((Refusal::InUse, self));
        }
        if !receipt.holds_for(self.unit, self.number, None, self.last) {
            return Err((Refusal::Receipt, self));
        }
        numbers.give(self.number);
        Ok(())
    }

    /// Begins the end: the function must be blocked by now. Nothing is mapped any more, and a flush that begins after
    /// this ends everything that was.
    pub fn end(&mut self, clock: &FlushClock) {
        if clock.unit() == self.unit {
            self.ending = true;
            self.last = clock.unmapped();
        }
    }

    /// Ends the domain with all that it maps, in whatever state, and gives its number back: the unit was seen to forget
    /// the whole domain after [`Self::end`].
    ///
    /// # Errors
    /// `State` before that, and `Receipt`, with the domain.
    pub fn retire(
        self,
        numbers: &mut Numbers,
        receipt: &IotlbReceipt,
    ) -> Result<Retired, (Refusal, Self)> {
        if !self.ending {
            return Err((Refusal::State, self));
        }
        if !receipt.holds_for(self.unit, self.number, None, self.last) {
            return Err((Refusal::Receipt, self));
        }
        numbers.give(self.number);
        Ok(Retired(()))
    }

    fn home(&self) -> Home {
        (self.unit, self.number)
    }

    fn span(
        &mut self,
        home: Home,
        iova: u64,
        key: MappingKey,
        state: State,
    ) -> Option<&mut Span<F>> {
        if home != self.home() {
            return None;
        }
        let span = self.spans.get_mut(Reverse(iova))?;
        (span.key == key && span.state == state).then_some(span)
    }

    /// The run right below all others; where there is no room, the highest free one.
    fn free_run(&self, pages: u64, physical: u64) -> Option<u64> {
        let mut end = self.window.end;
        let lowest = self.spans.last().map_or(end, |(Reverse(iova), _)| iova);
        if let Some(found) = self.fit(self.window.start, lowest, pages, physical) {
            return Some(found);
        }
        for (Reverse(iova), span) in self.spans.iter() {
            let above = iova + span.pages * PAGE_BYTES;
            if let Some(found) = self.fit(above, end, pages, physical) {
                return Some(found);
            }
            end = iova;
        }
        None
    }

    /// The highest place for a run between two addresses, off the messages and off the run's own physical address.
    fn fit(&self, start: u64, end: u64, pages: u64, physical: u64) -> Option<u64> {
        let (low, high) = MESSAGES;
        if end > low && start < high {
            // Above them, and then below.
            return place(start.max(high), end, pages, physical)
                .or_else(|| place(start, end.min(low), pages, physical));
        }
        place(start, end, pages, physical)
    }
}

fn place(start: u64, end: u64, pages: u64, physical: u64) -> Option<u64> {
    let bytes = pages * PAGE_BYTES;
    let align = match pages >= LARGE_PAGES && physical.is_multiple_of(LARGE_PAGES * PAGE_BYTES) {
        true => LARGE_PAGES * PAGE_BYTES,
        false => PAGE_BYTES,
    };
    let highest = end.checked_sub(bytes)? / align * align;
    let other = match highest == physical {
        true => highest.checked_sub(align)?,
        false => highest,
    };
    (other >= start).then_some(other)
}
