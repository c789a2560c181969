//! The routes of a claim, by source. Only this room looks one up.

use dma_ledger::{Arrival, RouteId, RouteSink};
use pieces::Pieces;
use ring_abi::Refusal;
use sabotage::sabotage;

use super::vectors::Place;
use crate::{Message, Platform};

/// How a source signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// An MSI-X vector: masked at the device, which remembers what it would have sent.
    Msix,
    /// The function's one MSI.
    Msi {
        /// The device can mask it, and remembers then.
        maskable: bool,
    },
    /// The function's pin, on a line that others may share. Masked with INTx disable.
    Line {
        /// Index of the line.
        line: u32,
    },
}

impl Signal {
    /// The name in facts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Msix => "msix",
            Self::Msi { .. } => "msi",
            Self::Line { .. } => "line",
        }
    }

    /// Whether the device goes on sending while the route is masked or waits for its acknowledgement, so that what it
    /// sends must be kept here.
    pub(crate) const fn is_unmaskable(self) -> bool {
        matches!(self, Self::Msi { maskable: false })
    }
}

/// One source that a provider holds.
pub(super) struct Route<P: Platform> {
    pub(super) id: RouteId,
    pub(super) sink: RouteSink,
    pub(super) signal: Signal,
    pub(super) message: Message,
    /// The vector before a move: what arrives there is this route's, until nothing can any more.
    pub(super) previous: Option<Place>,
    pub(super) waiter: Option<P::Waiting>,
    /// A dispatch completed a wait whose caller was gone by then: the next wait gets it.
    pub(super) undelivered: bool,
    /// Messages since the last dispatch.
    pub(super) since: u32,
    /// It sent too many, and is off at the device until it is acknowledged.
    pub(super) stopped: bool,
    pub(super) counts: RouteCounts,
}

impl<P: Platform> Route<P> {
    /// A route that was just opened.
    pub(super) fn new(id: RouteId, sink: RouteSink, signal: Signal, message: Message) -> Self {
        Self {
            id,
            sink,
            signal,
            message,
            previous: None,
            waiter: None,
            undelivered: false,
            since: 0,
            stopped: false,
            counts: RouteCounts::default(),
        }
    }

    /// Records one interrupt of the source. Returns whether it was dispatched.
    pub(super) fn arrive(&mut self) -> bool {
        if sabotage!(DROP_LATE_MESSAGE) {
            return self.sink.dispatch().is_ok();
        }
        match self.sink.arrive() {
            Ok(Arrival::Dispatched) => {
                self.counts.dispatched = self.counts.dispatched.saturating_add(1);
                self.since = 0;
                true
            }
            Ok(Arrival::Kept) => {
                self.counts.late = self.counts.late.saturating_add(1);
                self.since = self.since.saturating_add(1);
                false
            }
            // A route of before: it wakes nobody.
            Err(_) => false,
        }
    }
}

/// Routes in one piece of the list.
const PIECE: usize = 32;

/// By source, and how many there are.
pub(crate) struct Routes<P: Platform>(Pieces<Option<Route<P>>, PIECE>, usize);

impl<P: Platform> Routes<P> {
    pub(crate) const fn new() -> Self {
        Self(Pieces::new(), 0)
    }

    /// Makes room for the route of a source.
    ///
    /// # Errors
    /// `OverBudget`.
    pub(super) fn make_room(&mut self, source: u16) -> Result<(), Refusal> {
        let entries = usize::from(source) + 1;
        while self.0.len() < entries {
            let added = frames::refusable(|| self.0.push(None));
            added.map_err(|_| Refusal::OverBudget)?;
        }
        Ok(())
    }

    /// Takes up a route for which there is room.
    pub(super) fn add(&mut self, source: u16, route: Route<P>) {
        if let Some(entry) = self.0.get_mut(usize::from(source)) {
            self.1 += usize::from(entry.is_none());
            *entry = Some(route);
        }
    }

    /// How many there are.
    pub(super) const fn count(&self) -> usize {
        self.1
    }

    /// Takes the one of the highest source.
    pub(super) fn take_last(&mut self) -> Option<Route<P>> {
        loop {
            if let Some(last) = self.0.pop()? {
                self.1 -= 1;
                return Some(last);
            }
        }
    }

    /// The open route of a source, whichever it is.
    #[inline]
    pub(super) fn at(&mut self, source: u16) -> Option<&mut Route<P>> {
        self.0.get_mut(usize::from(source))?.as_mut()
    }

    /// The entry of exactly this route.
    #[inline]
    pub(super) fn of(&mut self, route: &RouteId) -> Option<&mut Route<P>> {
        self.at(route.source()).filter(|entry| entry.id == *route)
    }

    pub(super) fn take(&mut self, source: u16) -> Option<Route<P>> {
        let taken = self.0.get_mut(usize::from(source))?.take()?;
        self.1 -= 1;
        Some(taken)
    }

    /// Those that are open, from a source on.
    pub(super) fn from(&self, source: usize) -> impl Iterator<Item = &Route<P>> {
        self.0.iter().skip(source).filter_map(Option::as_ref)
    }
}

/// What has happened on a route since it was opened.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct RouteCounts {
    /// Interrupts that were dispatched at once.
    pub dispatched: u64,
    /// Interrupts that came while the route was masked or waited for its acknowledgement.
    pub late: u64,
    /// Interrupts that came on a vector from which the route had been moved.
    pub forwarded: u64,
    /// Times it was turned off because it sent too many.
    pub storms: u64,
}

/// What a route's holder may know.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteInfo {
    /// The source.
    pub source: u16,
    /// Generation of the route.
    pub generation: u64,
    /// Dispatches of the source.
    pub delivered: u64,
    /// It will not be raised now: masked, or dispatched and not acknowledged.
    pub masked: bool,
    /// The CPU that takes it.
    pub cpu: u16,
    /// How it signals.
    pub signal: Signal,
}

/// What a diagnosis may know of a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteView {
    /// Segment, bus, device, function as one number.
    pub function: u32,
    /// The source.
    pub source: u16,
    /// How it signals.
    pub signal: Signal,
    /// The CPU that takes it.
    pub cpu: u16,
    /// The vector there.
    pub vector: u8,
    /// It will not be raised now.
    pub masked: bool,
    /// What has happened.
    pub counts: RouteCounts,
}
