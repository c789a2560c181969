//! Interrupt routes: from a source of the function to the one call that waits.

use audit_format::Kind;
use dma_ledger::{Claim, RouteId, RouteSink, RouteState};
use ring_abi::Refusal;
use sabotage::sabotage;

use crate::effects::Effects;
use crate::facts::about;
use crate::function::Function;
use crate::handler::take_waiter;
use crate::manager::At;
use crate::signal::Signal;
use crate::vectors::{Place, SourceOf, Target};
use crate::{DeviceManager, Done, Message, Platform, Waiter};

/// One source that a provider holds.
pub(crate) struct Route<P: Platform> {
    pub(crate) id: RouteId,
    pub(crate) sink: RouteSink,
    pub(crate) signal: Signal,
    pub(crate) message: Message,
    /// The vector before a move: what arrives there is this route's, until nothing can any more.
    pub(crate) previous: Option<Place>,
    pub(crate) waiter: Option<P::Waiter>,
    /// A dispatch completed a wait whose caller was gone by then: the next wait gets it.
    pub(crate) undelivered: bool,
    /// Messages since the last dispatch.
    pub(crate) since: u32,
    /// It sent too many, and is off at the device until it is acknowledged.
    pub(crate) stopped: bool,
    pub(crate) counts: RouteCounts,
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

impl Message {
    /// CPU and vector.
    pub(crate) const fn place(&self) -> Place {
        Place {
            cpu: self.cpu,
            vector: self.vector,
        }
    }
}

impl<P: Platform> DeviceManager<P> {
    /// Opens a source: a message of the function (an MSI-X vector, or 0 for the one MSI) or, after the messages, its pin.
    /// It starts masked. A function signals one way at a time.
    ///
    /// # Errors
    /// Those of the claim; `WrongState` during a reset, and for the pin while a message is open or the other way round;
    /// `OutOfRange` for a source that is none; `AlreadyExists`; `Exhausted` when the machine has no vector left or the
    /// source no generation; `NotSupported` for a pin of which no table says where it arrives.
    pub fn interrupt_open(&self, claim: &Claim, source: u16) -> Result<RouteId, Refusal> {
        let at = self.of(claim)?;
        let mut guard = at.lock();
        let function = &mut *guard;
        function.record.check(claim)?;
        let is_pin = source == at.hardware.messages() && at.hardware.pin().is_some();
        let other = |route: &Route<P>| matches!(route.signal, Signal::Line { .. }) != is_pin;
        if function.routes.iter().flatten().any(other) {
            return Err(Refusal::WrongState);
        }
        let (id, sink) = function.record.attach_route(claim, source)?;
        let opened = if is_pin {
            self.open_pin(&at, source)
        } else {
            self.open_message(&at, function, source)
        };
        let (signal, message) = match opened {
            Ok(opened) => opened,
            Err(refusal) => {
                let _ = function.record.detach_route(claim, &id);
                return Err(refusal);
            }
        };
        let place = usize::from(source);
        if function.routes.len() <= place {
            function.routes.resize_with(place + 1, || None);
        }
        if let Some(entry) = function.routes.get_mut(place) {
            *entry = Some(Route {
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
            });
        }
        self.note_route(&at, Some(claim), Kind::InterruptAttached, &id);
        Ok(id)
    }

    fn open_message(
        &self,
        at: &At<'_, P>,
        function: &Function<P>,
        source: u16,
    ) -> Result<(Signal, Message), Refusal> {
        let signal = match (&function.table, &at.hardware.msi) {
            (Some(_), _) => Signal::Msix,
            (None, Some(msi)) => Signal::Msi {
                maskable: msi.vector_mask,
            },
            (None, None) => return Err(Refusal::NotSupported),
        };
        let message = self.platform.allocate_vector(None)?;
        if let Err(refusal) = self.program(at, function, source, &message) {
            self.platform.retire_vector(message.cpu, message.vector);
            return Err(refusal);
        }
        let target = Target::Message(SourceOf {
            function: at.index(),
            source,
        });
        self.vectors.set(message.place(), Some(target));
        Ok((signal, message))
    }

    fn open_pin(&self, at: &At<'_, P>, source: u16) -> Result<(Signal, Message), Refusal> {
        let pin = at.hardware.pin().ok_or(Refusal::OutOfRange)?;
        let name = ["a", "b", "c", "d"]
            .get(usize::from(pin - 1))
            .unwrap_or(&"");
        let Some(line) = self.platform.line_of(at.bdf(), pin) else {
            // Without a table the holder has to look for itself what its device did.
            self.platform.fact(&|sink| {
                about(sink, "interrupt.polled", at.bdf())
                    .stable("pin", name)
                    .stable("reason", "no-table-names-its-line")
                    .end()
            });
            return Err(Refusal::NotSupported);
        };
        // A function with messages on uses no pin (PCI 6.8.1.3).
        self.silence(at);
        let user = SourceOf {
            function: at.index(),
            source,
        };
        let (index, message) = self.join_line(line, user)?;
        self.platform.fact(&|sink| {
            about(sink, "interrupt.line", at.bdf())
                .stable("pin", name)
                .stable("gsi", line.gsi)
                .stable("level", line.level)
                .stable("active-low", line.active_low)
                .end()
        });
        Ok((Signal::Line { line: index }, message))
    }

    /// Closes a route: the source is masked, and who waits gets `revoked`.
    ///
    /// # Errors
    /// Those of the claim; `WrongOwner`, `Stale`.
    pub fn interrupt_close(&self, claim: &Claim, route: &RouteId) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let mut effects = Effects::new();
        {
            let mut guard = at.lock();
            guard.record.detach_route(claim, route)?;
            let entry = guard.routes.get_mut(usize::from(route.source()));
            let closed = entry.and_then(Option::take);
            self.drop_route(&at, &guard, closed, &mut effects);
        }
        effects.run(&self.platform, at.index());
        Ok(())
    }

    /// Tells about a route.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`].
    pub fn interrupt_info(&self, claim: &Claim, route: &RouteId) -> Result<RouteInfo, Refusal> {
        let at = self.of(claim)?;
        let mut guard = at.lock();
        let state = guard.record.route_state(claim, route)?;
        let delivered = guard.record.dispatches(route.source());
        let entry = route_of(&mut guard, route).ok_or(Refusal::Stale)?;
        Ok(RouteInfo {
            source: route.source(),
            generation: route.route_generation(),
            delivered,
            masked: state != RouteState::Armed,
            cpu: self.message_of(entry).cpu,
            signal: entry.signal,
        })
    }

    /// Tells what has happened on a route.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`].
    pub fn interrupt_counts(&self, claim: &Claim, route: &RouteId) -> Result<RouteCounts, Refusal> {
        let at = self.of(claim)?;
        let mut guard = at.lock();
        guard.record.route_state(claim, route)?;
        let entry = route_of(&mut guard, route).ok_or(Refusal::Stale)?;
        Ok(entry.counts)
    }

    /// The vector of a route; a line may have been moved by somebody else on it.
    fn message_of(&self, entry: &Route<P>) -> Message {
        match entry.signal {
            Signal::Line { line } => self.line_message(line).unwrap_or(entry.message),
            Signal::Msix | Signal::Msi { .. } => entry.message,
        }
    }

    /// Moves a route to another CPU, and a line with everybody on it. The old vector is dead from then on; what is
    /// already on its way there still counts for this route.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`]; `OutOfRange` for a CPU that is not there or that no device can interrupt;
    /// `Exhausted`; `Busy` while the last move has not settled, or a line is in service.
    pub fn interrupt_move(&self, claim: &Claim, route: &RouteId, cpu: u16) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let taken = {
            let mut guard = at.lock();
            let function = &mut *guard;
            let armed = function.record.route_state(claim, route)? == RouteState::Armed;
            let entry = route_of(function, route).ok_or(Refusal::Stale)?;
            let (signal, old, source) = (entry.signal, entry.message, route.source());
            if let Signal::Line { line } = signal {
                return self.move_line(line, cpu).map(drop);
            }
            if old.cpu == cpu {
                return Ok(());
            }
            if entry.previous.is_some() {
                return Err(Refusal::Busy);
            }
            let sends = signal.is_unmaskable() && self.is_sending(&at);
            let message = self.platform.allocate_vector(Some(cpu))?;
            let target = Target::Message(SourceOf {
                function: at.index(),
                source,
            });
            self.vectors.set(message.place(), Some(target));
            self.quiet_source(&at, function, source, signal);
            let programmed = self.program_moved(&at, function, source, &message);
            let (dead, result) = match programmed {
                Ok(()) => (old, Ok(())),
                Err(refusal) => {
                    // It goes on where it was; the messages of before were written completely, so they are again.
                    let _ = self.program(&at, function, source, &old);
                    self.vectors.set(message.place(), None);
                    (message, Err(refusal))
                }
            };
            if let Some(entry) = route_of(function, route).filter(|_| result.is_ok()) {
                entry.message = message;
                entry.previous = Some(dead.place());
            }
            if sends || armed && !signal.is_unmaskable() {
                self.unmask_source(&at, function, source, signal);
            }
            self.platform.retire_vector(dead.cpu, dead.vector);
            result?;
            self.note_route(&at, Some(claim), Kind::InterruptMoved, route);
            // What the device had to say while its only message was off, it does not say again.
            let missed = sends && self.has_cause(&at).unwrap_or(true);
            let kept = missed && self.note(function, source);
            kept.then(|| take_waiter(function, source)).flatten()
        };
        self.deliver(&at, taken);
        Ok(())
    }

    fn program_moved(
        &self,
        at: &At<'_, P>,
        function: &Function<P>,
        source: u16,
        message: &Message,
    ) -> Result<(), Refusal> {
        if sabotage!(MOVE_TELLS_NOBODY) {
            return Ok(());
        }
        self.program(at, function, source, message)
    }

    /// Completes a wait if the route has dispatched since the last one: `Some` dispatches of the source so far.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`].
    pub fn interrupt_try_wait(
        &self,
        claim: &Claim,
        route: &RouteId,
    ) -> Result<Option<u64>, Refusal> {
        let at = self.of(claim)?;
        let mut guard = at.lock();
        take_dispatch(&mut guard, claim, route)
    }

    /// Waits for the next dispatch of exactly this route; at once if one is pending. One call waits at a time: `Busy`
    /// for a second one. A route that ends answers `revoked`.
    pub fn interrupt_wait(&self, claim: &Claim, route: &RouteId, waiter: P::Waiter) {
        let at = match self.of(claim) {
            Ok(at) => at,
            Err(refusal) => {
                waiter.answer(Err(refusal));
                return;
            }
        };
        let mut guard = at.lock();
        let outcome = match take_dispatch(&mut guard, claim, route) {
            Err(refusal) => Err(refusal),
            Ok(Some(count)) => Ok(Done::Dispatched(count)),
            Ok(None) => match route_of(&mut guard, route) {
                None => Err(Refusal::Stale),
                Some(entry) if entry.waiter.as_ref().is_some_and(Waiter::is_live) => {
                    Err(Refusal::Busy)
                }
                Some(entry) => {
                    // A waiter whose caller has gone is dropped only once the lock is open again.
                    let gone = entry.waiter.replace(waiter);
                    drop(guard);
                    drop(gone);
                    return;
                }
            },
        };
        drop(guard);
        waiter.answer(outcome);
    }

    /// Spends the one acknowledgement of a dispatch: the source may be raised again. An interrupt that came meanwhile is
    /// the next dispatch at once.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`]; `WrongState` without a dispatch; `Duplicate` for a second one.
    pub fn interrupt_acknowledge(&self, claim: &Claim, route: &RouteId) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let taken = {
            let mut guard = at.lock();
            let unmask = match guard.record.acknowledge(claim, route) {
                Err(Refusal::Duplicate) if sabotage!(ACKNOWLEDGE_AGAIN) => true,
                other => other?,
            };
            if let Some(entry) = route_of(&mut guard, route) {
                entry.undelivered = false;
            }
            self.armed(&at, &mut guard, route, unmask);
            let kept = (!unmask).then(|| take_waiter(&mut guard, route.source()));
            kept.flatten()
        };
        self.deliver(&at, taken);
        Ok(())
    }

    /// Keeps the source from being raised.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`].
    pub fn interrupt_mask(&self, claim: &Claim, route: &RouteId) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let mut guard = at.lock();
        if guard.record.mask_route(claim, route)? {
            let signal = route_of(&mut guard, route).map(|entry| entry.signal);
            if let Some(signal) = signal {
                self.mask_source(&at, &guard, route.source(), signal);
            }
        }
        Ok(())
    }

    /// Lets the source be raised. An interrupt that came while it was masked is dispatched at once.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`].
    pub fn interrupt_unmask(&self, claim: &Claim, route: &RouteId) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let taken = {
            let mut guard = at.lock();
            let unmask = guard.record.unmask_route(claim, route)?;
            self.armed(&at, &mut guard, route, unmask);
            let kept = (!unmask).then(|| take_waiter(&mut guard, route.source()));
            kept.flatten()
        };
        self.deliver(&at, taken);
        Ok(())
    }

    /// The holder armed its route, or came to the dispatch of what was kept: a source that was stopped goes on.
    fn armed(&self, at: &At<'_, P>, function: &mut Function<P>, route: &RouteId, unmask: bool) {
        let Some(entry) = route_of(function, route) else {
            return;
        };
        entry.since = 0;
        let (signal, stopped) = (entry.signal, core::mem::take(&mut entry.stopped));
        if unmask || stopped {
            self.unmask_source(at, function, route.source(), signal);
        }
    }

    /// Takes every route away from its holder: sources masked, vectors retired, waits ended.
    pub(crate) fn drop_routes(
        &self,
        at: &At<'_, P>,
        function: &mut Function<P>,
        effects: &mut Effects<P>,
    ) {
        let routes = core::mem::take(&mut function.routes);
        for route in routes {
            self.drop_route(at, function, route, effects);
        }
    }

    fn drop_route(
        &self,
        at: &At<'_, P>,
        function: &Function<P>,
        route: Option<Route<P>>,
        effects: &mut Effects<P>,
    ) {
        let Some(route) = route else { return };
        self.note_route(
            at,
            function.claim.as_ref(),
            Kind::InterruptDetached,
            &route.id,
        );
        let source = route.id.source();
        self.quiet_source(at, function, source, route.signal);
        if let Signal::Line { line } = route.signal {
            let user = SourceOf {
                function: at.index(),
                source,
            };
            self.leave_line(line, user);
            // Messages may be used again.
            self.prepare_signals(at, function);
        } else {
            self.vectors.set(route.message.place(), None);
            if let Some(previous) = route.previous {
                self.vectors.set(previous, None);
            }
            let place = route.message.place();
            self.platform.retire_vector(place.cpu, place.vector);
        }
        if let Some(waiter) = route.waiter {
            effects.answer(waiter, Err(Refusal::Revoked));
        }
    }

    /// Visits every open route of every function.
    pub fn interrupt_table(&self, visit: &mut dyn FnMut(&RouteView)) {
        for index in 0..self.hardware.len() as u32 {
            let Some(at) = self.at_index(index) else {
                continue;
            };
            let mut source = 0;
            // One at a time: `visit` runs with no lock held.
            loop {
                let found = {
                    let guard = at.lock();
                    let open = guard.routes.iter().skip(source).flatten().next();
                    open.map(|entry| self.view_of(&at, entry, &guard))
                };
                let Some(view) = found else { break };
                source = usize::from(view.source) + 1;
                visit(&view);
            }
        }
    }

    fn view_of(&self, at: &At<'_, P>, entry: &Route<P>, function: &Function<P>) -> RouteView {
        let state = function
            .claim
            .and_then(|claim| function.record.route_state(&claim, &entry.id).ok());
        let message = self.message_of(entry);
        RouteView {
            function: at.bdf().as_u32(),
            source: entry.id.source(),
            signal: entry.signal,
            cpu: message.cpu,
            vector: message.vector,
            masked: state != Some(RouteState::Armed),
            counts: entry.counts,
        }
    }
}

/// The entry of exactly this route.
pub(crate) fn route_of<'f, P: Platform>(
    function: &'f mut Function<P>,
    route: &RouteId,
) -> Option<&'f mut Route<P>> {
    let entry = function.routes.get_mut(usize::from(route.source()))?;
    entry.as_mut().filter(|entry| entry.id == *route)
}

/// Takes a dispatch that has completed no wait yet.
fn take_dispatch<P: Platform>(
    function: &mut Function<P>,
    claim: &Claim,
    route: &RouteId,
) -> Result<Option<u64>, Refusal> {
    let pending = function.record.poll_wait(claim, route)?;
    let left =
        route_of(function, route).is_some_and(|entry| core::mem::take(&mut entry.undelivered));
    Ok((pending || left).then(|| function.record.dispatches(route.source())))
}
