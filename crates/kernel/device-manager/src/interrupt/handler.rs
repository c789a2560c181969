//! The handler's side of interrupt routes: finding the source, recording the dispatch, waking the one call that waits.
//! Nothing here allocates or waits for more than one function's lock. A storm, which is stated once, is formatted with no lock held
//! and after whoever waited was woken; nothing else is formatted.

use dma_ledger::RouteId;
use evidence::FactWriter;
use sabotage::sabotage;

use super::lines::Cause;
use super::route::{Route, Signal};
use super::vectors::{Place, SourceOf, Target};
use crate::facts::about;
use crate::turn::{At, Turn};
use crate::{DeviceManager, Platform, Saying, Waiter, Waiters};

/// Messages that a source may send without being acknowledged, if it cannot be masked, before it is turned off.
const STORM: u32 = 64;

impl<P: Platform> DeviceManager<P> {
    /// Takes an interrupt: masks its source at the device, records the dispatch and completes the wait. Called by the
    /// handler of that CPU, which sends the end of interrupt afterwards. `false` where the vector belongs to no route:
    /// then nothing was changed.
    pub fn on_interrupt(&self, cpu: u16, vector: u8) -> bool {
        let place = Place { cpu, vector };
        match self.machine.vectors.get(place) {
            None => false,
            Some(Target::Line(line)) => self.on_line(line),
            Some(Target::Message(of)) => self.on_message(of, place),
        }
    }

    fn on_message(&self, of: SourceOf, place: Place) -> bool {
        let Some(at) = self.at_index(of.function) else {
            return false;
        };
        let mut turn = at.turn();
        let Some(entry) = turn.at_source(of.source) else {
            return false;
        };
        if entry.previous == Some(place) {
            entry.counts.forwarded = entry.counts.forwarded.saturating_add(1);
        } else if entry.message.place() != place {
            return false;
        }
        let signal = entry.signal;
        turn.mask_source(of.source, signal);
        let dispatched = turn.arrived(of.source);
        let storms = turn.stop_storm(of.source, signal);
        let saying = storms.then(|| turn.may_say_later());
        let taken = dispatched.then(|| turn.take_waiter(of.source)).flatten();
        turn.leave();
        at.deliver(taken);
        if saying == Some(Saying::Aloud) {
            self.machine.platform.fact(&|sink| {
                let line: FactWriter<'_> = about(sink, "interrupt.storm", at.bdf());
                line.stable("kind", "msi").stable("source", of.source).end()
            });
        }
        true
    }

    /// Takes the interrupt of a line: finds who asserts it, silences and tells each, and opens the line again.
    fn on_line(&self, line: u32) -> bool {
        let (platform, lines) = (&self.machine.platform, &self.machine.lines);
        let Some(users) = lines.fired(platform, line) else {
            return false;
        };
        let mut cause = Cause::Nobody;
        for user in users {
            if self.on_pin(user, line) {
                cause = Cause::Found;
            }
        }
        if cause == Cause::Found && sabotage!(LINE_WAITS_FOR_ACKNOWLEDGEMENT) {
            return true;
        }
        if let Some(gsi) = lines.reopen(platform, line, cause)
            && lines.may_say(platform.now_ns()) == Saying::Aloud
        {
            platform.fact(&|sink| {
                evidence::write_fact(sink, "interrupt.storm")
                    .stable("kind", "line")
                    .volatile("gsi", gsi)
                    .end()
            });
        }
        true
    }

    /// Looks whether a function on a line asserts it; if so, silences it, records the dispatch and completes the wait.
    fn on_pin(&self, user: SourceOf, line: u32) -> bool {
        let Some(at) = self.at_index(user.function) else {
            return false;
        };
        let mut turn = at.turn();
        let ours = turn.at_source(user.source);
        if ours.is_none_or(|entry| entry.signal != Signal::Line { line }) {
            return false;
        }
        if !turn.asserts_pin() && !sabotage!(LINE_TELLS_ALL) {
            return false;
        }
        let Some(entry) = turn.at_source(user.source) else {
            return false;
        };
        let dispatched = entry.sink.dispatch().is_ok();
        let counts = &mut entry.counts;
        if dispatched {
            counts.dispatched = counts.dispatched.saturating_add(1);
        } else {
            counts.late = counts.late.saturating_add(1);
        }
        let signal = entry.signal;
        turn.mask_source(user.source, signal);
        // Some devices assert until a register is read that no provider may read.
        let _ = turn.with_broker(|broker, io| broker.acknowledge_line(io));
        let taken = dispatched.then(|| turn.take_waiter(user.source)).flatten();
        turn.leave();
        at.deliver(taken);
        true
    }

    /// A vector that was retired can raise nothing any more.
    pub fn vector_settled(&self, cpu: u16, vector: u8) {
        let place = Place { cpu, vector };
        match self.machine.vectors.get(place) {
            None => return,
            Some(Target::Line(line)) => self.machine.lines.settled(line, place),
            Some(Target::Message(of)) => {
                if let Some(at) = self.at_index(of.function)
                    && let Some(held) = &mut at.turn().function.held
                    && let Some(entry) = held.routes.at(of.source)
                    && entry.previous == Some(place)
                {
                    entry.previous = None;
                }
            }
        }
        self.machine.vectors.set(place, None);
    }
}

/// The call that waits, the dispatches of its source so far, and its route.
pub(super) type Delivery<P> = (<P as Waiters>::Waiting, u64, RouteId);

impl<P: Platform> Turn<'_, P> {
    /// Records one interrupt of a source. Returns whether it was dispatched.
    pub(super) fn arrived(&mut self, source: u16) -> bool {
        self.at_source(source).is_some_and(Route::arrive)
    }

    /// The open route of a source, whichever it is.
    #[inline]
    fn at_source(&mut self, source: u16) -> Option<&mut Route<P>> {
        self.function.held.as_mut()?.routes.at(source)
    }

    /// Turns a source off that cannot be masked and does not stop sending. Returns whether to say so.
    fn stop_storm(&mut self, source: u16, signal: Signal) -> bool {
        let Some(entry) = self.at_source(source) else {
            return false;
        };
        if !signal.is_unmaskable() || entry.since < STORM || entry.stopped {
            return false;
        }
        entry.stopped = true;
        entry.counts.storms = entry.counts.storms.saturating_add(1);
        let first = entry.counts.storms == 1;
        self.quiet_source(source, signal);
        first
    }

    /// Takes the waiter of a route that has just dispatched, and with it the dispatch. Without one, the dispatch stays.
    pub(super) fn take_waiter(&mut self, source: u16) -> Option<Delivery<P>> {
        let function = &mut *self.function;
        let held = function.held.as_mut()?;
        let entry = held.routes.at(source)?;
        let route = entry.id;
        if !entry.waiter.as_ref()?.is_live() {
            return None;
        }
        let record = &function.record;
        if !record.poll_wait(&held.claim, &route).unwrap_or(false) {
            return None;
        }
        let count = record.dispatches(source);
        entry.waiter.take().map(|waiter| (waiter, count, route))
    }
}

impl<P: Platform> At<'_, P> {
    /// Hands a dispatch to the call that waited for it, with no lock held.
    pub(super) fn deliver(self, mut taken: Option<Delivery<P>>) {
        while let Some((waiter, count, route)) = taken {
            if waiter.answer(Ok(count)) {
                break;
            }
            // Its caller had gone. Whoever waits by now gets the dispatch, or whoever waits next.
            let mut turn = self.turn();
            let held = turn.function.held.as_mut();
            let Some(entry) = held.and_then(|held| held.routes.of(&route)) else {
                break;
            };
            taken = entry.waiter.take().map(|waiter| (waiter, count, route));
            entry.undelivered = taken.is_none();
        }
    }
}
