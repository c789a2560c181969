//! The handler's side of interrupt routes: finding the source, noting the dispatch, waking the one call that waits.

use dma_ledger::{Arrival, RouteId};
use evidence::FactWriter;
use sabotage::sabotage;

use crate::facts::about;
use crate::function::Function;
use crate::interrupt::{Route, route_of};
use crate::manager::At;
use crate::signal::Signal;
use crate::vectors::{Place, SourceOf, Target};
use crate::{DeviceManager, Done, Platform, Waiter};

/// Messages that a source may send without being acknowledged, if it cannot be masked, before it is turned off.
const STORM: u32 = 64;

impl<P: Platform> DeviceManager<P> {
    /// Takes an interrupt: masks its source at the device, notes the dispatch and completes the wait. Called by the
    /// handler of that CPU, which sends the end of interrupt afterwards. `false` where the vector belongs to no route:
    /// then nothing was changed.
    pub fn on_interrupt(&self, cpu: u16, vector: u8) -> bool {
        let place = Place { cpu, vector };
        match self.vectors.get(place) {
            None => false,
            Some(Target::Line(line)) => self.on_line(line),
            Some(Target::Message(of)) => self.on_message(of, place),
        }
    }

    fn on_message(&self, of: SourceOf, place: Place) -> bool {
        let Some(at) = self.at_index(of.function) else {
            return false;
        };
        let (taken, storm) = {
            let mut guard = at.lock();
            let function = &mut *guard;
            let entry = function.routes.get_mut(usize::from(of.source));
            let Some(entry) = entry.and_then(Option::as_mut) else {
                return false;
            };
            if entry.previous == Some(place) {
                entry.counts.forwarded = entry.counts.forwarded.saturating_add(1);
            } else if entry.message.place() != place {
                return false;
            }
            let signal = entry.signal;
            self.mask_source(&at, function, of.source, signal);
            let dispatched = self.note(function, of.source);
            let storm = self.stop_storm(&at, function, of.source, signal);
            let taken = dispatched.then(|| take_waiter(function, of.source));
            (taken.flatten(), storm)
        };
        if storm {
            self.platform.fact(&|sink| {
                let line: FactWriter<'_> = about(sink, "interrupt.storm", at.bdf());
                line.stable("kind", "msi").stable("source", of.source).end()
            });
        }
        self.deliver(&at, taken);
        true
    }

    /// Turns a source off that cannot be masked and does not stop sending. Tells whether to say so.
    fn stop_storm(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        source: u16,
        signal: Signal,
    ) -> bool {
        let entry = function.routes.get_mut(usize::from(source));
        let Some(entry) = entry.and_then(Option::as_mut) else {
            return false;
        };
        if !signal.is_unmaskable() || entry.since < STORM || entry.stopped {
            return false;
        }
        entry.stopped = true;
        entry.counts.storms = entry.counts.storms.saturating_add(1);
        let first = entry.counts.storms == 1;
        self.quiet_source(at, function, source, signal);
        first
    }

    /// Looks whether a function on a line asserts it; if so, silences it, notes the dispatch and completes the wait.
    pub(crate) fn on_pin(&self, user: SourceOf, line: u32) -> bool {
        let Some(at) = self.at_index(user.function) else {
            return false;
        };
        let taken = {
            let mut guard = at.lock();
            let function = &mut *guard;
            let ours = |entry: &&mut Route<P>| entry.signal == Signal::Line { line };
            let entry = function.routes.get_mut(usize::from(user.source));
            let Some(entry) = entry.and_then(Option::as_mut).filter(ours) else {
                return false;
            };
            if !self.asserts_pin(&at) && !sabotage!(LINE_TELLS_ALL) {
                return false;
            }
            let dispatched = entry.sink.dispatch().is_ok();
            let counts = &mut entry.counts;
            if dispatched {
                counts.dispatched = counts.dispatched.saturating_add(1);
            } else {
                counts.late = counts.late.saturating_add(1);
            }
            let signal = entry.signal;
            self.mask_source(&at, function, user.source, signal);
            // Some devices assert until a register is read that no provider may read.
            let _ = function.with_broker(&self.platform, |broker, io| broker.acknowledge_line(io));
            let taken = dispatched.then(|| take_waiter(function, user.source));
            taken.flatten()
        };
        self.deliver(&at, taken);
        true
    }

    /// Hands a dispatch to the call that waited for it, with no lock held.
    pub(crate) fn deliver(&self, at: &At<'_, P>, mut taken: Option<Delivery<P>>) {
        while let Some((waiter, count, route)) = taken {
            if waiter.answer(Ok(Done::Dispatched(count))) {
                break;
            }
            // Its caller had gone. Whoever waits by now gets the dispatch, or whoever waits next.
            let mut guard = at.lock();
            let Some(entry) = route_of(&mut guard, &route) else {
                break;
            };
            taken = entry.waiter.take().map(|waiter| (waiter, count, route));
            entry.undelivered = taken.is_none();
        }
    }

    /// Notes one interrupt of a source. Returns whether it was dispatched.
    pub(crate) fn note(&self, function: &mut Function<P>, source: u16) -> bool {
        let entry = function.routes.get_mut(usize::from(source));
        let Some(entry) = entry.and_then(Option::as_mut) else {
            return false;
        };
        if sabotage!(DROP_LATE_MESSAGE) {
            return entry.sink.dispatch().is_ok();
        }
        match entry.sink.arrive() {
            Ok(Arrival::Dispatched) => {
                entry.counts.dispatched = entry.counts.dispatched.saturating_add(1);
                entry.since = 0;
                true
            }
            Ok(Arrival::Kept) => {
                entry.counts.late = entry.counts.late.saturating_add(1);
                entry.since = entry.since.saturating_add(1);
                false
            }
            // A route of before: it wakes nobody.
            Err(_) => false,
        }
    }

    /// A vector that was retired can raise nothing any more.
    pub fn vector_settled(&self, cpu: u16, vector: u8) {
        let place = Place { cpu, vector };
        match self.vectors.get(place) {
            None => return,
            Some(Target::Line(line)) => self.line_settled(line, place),
            Some(Target::Message(of)) => {
                if let Some(at) = self.at_index(of.function) {
                    let mut guard = at.lock();
                    let entry = guard.routes.get_mut(usize::from(of.source));
                    if let Some(entry) = entry.and_then(Option::as_mut)
                        && entry.previous == Some(place)
                    {
                        entry.previous = None;
                    }
                }
            }
        }
        self.vectors.set(place, None);
    }
}

/// The call that waits, the dispatches of its source so far, and its route.
pub(crate) type Delivery<P> = (<P as Platform>::Waiter, u64, RouteId);

/// Takes the waiter of a route that has just dispatched, and with it the dispatch. Without one, the dispatch stays.
pub(crate) fn take_waiter<P: Platform>(
    function: &mut Function<P>,
    source: u16,
) -> Option<Delivery<P>> {
    let claim = function.claim?;
    let entry = function.routes.get_mut(usize::from(source))?.as_mut()?;
    let route = entry.id;
    if !entry.waiter.as_ref()?.is_live() {
        return None;
    }
    if !function.record.poll_wait(&claim, &route).unwrap_or(false) {
        return None;
    }
    let count = function.record.dispatches(source);
    entry.waiter.take().map(|waiter| (waiter, count, route))
}
