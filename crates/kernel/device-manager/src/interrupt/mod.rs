//! The interrupt room: routes from a source of a function to the one call that waits.
//!
//! | module | what it does |
//! |---|---|
//! | `route` | the routes of a claim, which nothing outside this folder can look up |
//! | `handler` | the handler's side: from CPU and vector to the route |
//! | `signal` | what masks, unmasks and moves a source at its device |
//! | `lines`, `vectors` | lines that are shared; what is behind each vector of each CPU |

mod handler;
pub(crate) mod lines;
pub(crate) mod route;
mod signal;
pub(crate) mod vectors;

use audit_format::Kind;
use dma_ledger::{Claim, RouteId, RouteState};
use ring_abi::Refusal;
use sabotage::sabotage;

use self::handler::Delivery;
use self::lines::{LineView, Lines};
use self::route::{Route, RouteCounts, RouteInfo, RouteView, Signal};
use self::vectors::{SourceOf, Target};
use crate::effects::Answer;
use crate::facts::about;
use crate::turn::{At, Turn};
use crate::{DeviceManager, Message, Platform, Raiser, Waiter};

/// Routes that end in one turn, at most, but for those that a pin shares.
const FEW_ROUTES: usize = 4;

impl<P: Platform> DeviceManager<P> {
    /// Opens a source: a message of the function (an MSI-X vector, or 0 for the one MSI) or, after the messages, its pin.
    /// It starts masked. A function signals one way at a time.
    ///
    /// # Errors
    /// Those of the claim; `WrongState` during a reset, and for the pin while a message is open or the other way round;
    /// `OutOfRange` for a source that is none; `AlreadyExists`; `Exhausted` when the machine has no vector left or the
    /// source no generation; `NotSupported` for a pin of which no table says where it arrives.
    pub fn interrupt_open(&self, claim: &Claim, source: u16) -> Result<RouteId, Refusal> {
        let mut turn = self.turn(claim)?;
        turn.function.record.check(claim)?;
        let hardware = turn.at.hardware;
        let is_pin = source == hardware.messages() && hardware.pin().is_some();
        let other = |route: &Route<P>| matches!(route.signal, Signal::Line { .. }) != is_pin;
        if turn.function.held()?.routes.from(0).any(other) {
            return Err(Refusal::WrongState);
        }
        turn.function.held()?.routes.make_room(source)?;
        let (id, sink) = turn.function.record.attach_route(claim, source)?;
        let opened = if is_pin {
            turn.open_pin(source)
        } else {
            turn.open_message(source)
        };
        let (signal, message) = match opened {
            Ok(opened) => opened,
            Err(refusal) => {
                let _ = turn.function.record.detach_route(claim, &id);
                return Err(refusal);
            }
        };
        let route = Route::new(id, sink, signal, message);
        turn.function.held()?.routes.add(source, route);
        turn.at
            .note_route(Some(claim), Kind::InterruptAttached, &id);
        Ok(id)
    }

    /// Closes a route: the source is masked, and who waits gets `revoked`.
    ///
    /// # Errors
    /// Those of the claim; `WrongOwner`, `Stale`.
    pub fn interrupt_close(&self, claim: &Claim, route: &RouteId) -> Result<(), Refusal> {
        let mut turn = self.turn(claim)?;
        turn.function.record.detach_route(claim, route)?;
        let closed = turn.function.held()?.routes.take(route.source());
        if let Some(closed) = closed {
            turn.drop_route(claim, closed);
        }
        turn.leave();
        Ok(())
    }

    /// Describes a route.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`].
    pub fn interrupt_info(&self, claim: &Claim, route: &RouteId) -> Result<RouteInfo, Refusal> {
        let mut turn = self.turn(claim)?;
        let state = turn.function.record.route_state(claim, route)?;
        let delivered = turn.function.record.dispatches(route.source());
        let routes = &mut turn.function.held()?.routes;
        let entry = routes.of(route).ok_or(Refusal::Stale)?;
        Ok(RouteInfo {
            source: route.source(),
            generation: route.route_generation(),
            delivered,
            masked: state != RouteState::Armed,
            cpu: message_of(&self.machine.lines, entry).cpu,
            signal: entry.signal,
        })
    }

    /// Tells what has happened on a route.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`].
    pub fn interrupt_counts(&self, claim: &Claim, route: &RouteId) -> Result<RouteCounts, Refusal> {
        let mut turn = self.turn(claim)?;
        turn.function.record.route_state(claim, route)?;
        let entry = turn.function.held()?.routes.of(route);
        Ok(entry.ok_or(Refusal::Stale)?.counts)
    }

    /// Moves a route to another CPU, and a line with everybody on it. The old vector is dead from then on; what is
    /// already on its way there still counts for this route.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`]; `OutOfRange` for a CPU that is not there or that no device can interrupt;
    /// `Exhausted`; `Busy` while the last move has not settled, or a line is in service.
    pub fn interrupt_move(&self, claim: &Claim, route: &RouteId, cpu: u16) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let mut turn = at.turn();
        let taken = turn.move_route(claim, route, cpu)?;
        turn.leave();
        at.deliver(taken);
        Ok(())
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
        self.turn(claim)?.take_dispatch(claim, route)
    }

    /// Waits for the next dispatch of exactly this route; at once if one is pending. One call waits at a time: `Busy`
    /// for a second one. A route that ends answers `revoked`.
    pub fn interrupt_wait(&self, claim: &Claim, route: &RouteId, waiter: P::Waiting) {
        let mut turn = match self.turn(claim) {
            Ok(turn) => turn,
            Err(refusal) => {
                waiter.answer(Err(refusal));
                return;
            }
        };
        let outcome = match turn.take_dispatch(claim, route) {
            Err(refusal) => Err(refusal),
            Ok(Some(count)) => Ok(count),
            Ok(None) => match turn.route(route) {
                None => Err(Refusal::Stale),
                Some(entry) if entry.waiter.as_ref().is_some_and(Waiter::is_live) => {
                    Err(Refusal::Busy)
                }
                Some(entry) => {
                    // A waiter whose caller has gone is dropped only once the lock is open again.
                    let gone = entry.waiter.replace(waiter);
                    turn.leave();
                    drop(gone);
                    return;
                }
            },
        };
        // Answered here, because an effect takes memory.
        turn.leave();
        waiter.answer(outcome);
    }

    /// Spends the one acknowledgement of a dispatch: the source may be raised again. An interrupt that came meanwhile is
    /// the next dispatch at once.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`]; `WrongState` without a dispatch; `Duplicate` for a second one.
    pub fn interrupt_acknowledge(&self, claim: &Claim, route: &RouteId) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let mut turn = at.turn();
        let unmask = match turn.function.record.acknowledge(claim, route) {
            Err(Refusal::Duplicate) if sabotage!(ACKNOWLEDGE_AGAIN) => true,
            other => other?,
        };
        if let Some(entry) = turn.route(route) {
            entry.undelivered = false;
        }
        let kept = match unmask {
            true => {
                turn.arm(route);
                None
            }
            false => turn.go_on_with_kept(route),
        };
        turn.leave();
        at.deliver(kept);
        Ok(())
    }

    /// Keeps the source from being raised.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`].
    pub fn interrupt_mask(&self, claim: &Claim, route: &RouteId) -> Result<(), Refusal> {
        let mut turn = self.turn(claim)?;
        if turn.function.record.mask_route(claim, route)? {
            let signal = turn.route(route).map(|entry| entry.signal);
            if let Some(signal) = signal {
                turn.mask_source(route.source(), signal);
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
        let mut turn = at.turn();
        let unmask = turn.function.record.unmask_route(claim, route)?;
        let kept = match unmask {
            true => {
                turn.arm(route);
                None
            }
            false => turn.go_on_with_kept(route),
        };
        turn.leave();
        at.deliver(kept);
        Ok(())
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
                    let turn = at.turn();
                    turn.view_from(source)
                };
                let Some(view) = found else { break };
                source = usize::from(view.source) + 1;
                visit(&view);
            }
        }
    }

    /// Opens a line that was masked because it stormed: its timer has fired.
    pub fn poll_line(&self, line: u32) {
        self.machine.lines.poll(&self.machine.platform, line);
    }

    /// Visits every line in use.
    pub fn line_table(&self, visit: &mut dyn FnMut(&LineView)) {
        self.machine.lines.visit(visit);
    }
}

impl<P: Platform> Turn<'_, P> {
    fn open_message(&mut self, source: u16) -> Result<(Signal, Message), Refusal> {
        let At {
            machine, hardware, ..
        } = self.at;
        let signal = match (self.function.mapped.table(), &hardware.msi) {
            (Some(_), _) => Signal::Msix,
            (None, Some(msi)) => Signal::Msi {
                maskable: msi.vector_mask,
            },
            (None, None) => return Err(Refusal::NotSupported),
        };
        let platform = &machine.platform;
        let fresh = platform.allocate_vector(None)?;
        let admitted = platform.admit(Raiser::Function(self.at.bdf()), fresh);
        let message = match admitted.map(|message| (message, self.program(source, &message))) {
            Ok((message, Ok(()))) => message,
            Ok((message, Err(refusal))) => {
                platform.retire_vector(&message);
                return Err(refusal);
            }
            Err(refusal) => {
                give_back(platform, fresh, Err(refusal));
                return Err(refusal);
            }
        };
        let target = Target::Message(SourceOf {
            function: self.at.index(),
            source,
        });
        machine.vectors.set(message.place(), Some(target));
        Ok((signal, message))
    }

    fn open_pin(&mut self, source: u16) -> Result<(Signal, Message), Refusal> {
        let At {
            machine, hardware, ..
        } = self.at;
        let bdf = self.at.bdf();
        let pin = hardware.pin().ok_or(Refusal::OutOfRange)?;
        let name = ["a", "b", "c", "d"]
            .get(usize::from(pin - 1))
            .unwrap_or(&"");
        let Some(line) = machine.platform.line_of(bdf, pin) else {
            // Without a table the holder has to look for itself what its device did.
            self.say(&|sink| {
                about(sink, "interrupt.polled", bdf)
                    .stable("pin", name)
                    .stable("reason", "no-table-names-its-line")
                    .end()
            });
            return Err(Refusal::NotSupported);
        };
        // A function with messages on uses no pin (PCI 6.8.1.3).
        self.silence();
        let user = SourceOf {
            function: self.at.index(),
            source,
        };
        let (index, message) =
            machine
                .lines
                .join(&machine.platform, &machine.vectors, line, user)?;
        self.say(&|sink| {
            about(sink, "interrupt.line", bdf)
                .stable("pin", name)
                .stable("gsi", line.gsi)
                .stable("level", line.level)
                .stable("active-low", line.active_low)
                .end()
        });
        Ok((Signal::Line { line: index }, message))
    }

    /// Moves a route. Gives a dispatch that came of it and its waiter.
    fn move_route(
        &mut self,
        claim: &Claim,
        route: &RouteId,
        cpu: u16,
    ) -> Result<Option<Delivery<P>>, Refusal> {
        let machine = self.at.machine;
        let armed = self.function.record.route_state(claim, route)? == RouteState::Armed;
        let entry = self.route(route).ok_or(Refusal::Stale)?;
        let (signal, old, source) = (entry.signal, entry.message, route.source());
        let is_moving = entry.previous.is_some();
        if let Signal::Line { line } = signal {
            let moved = machine
                .lines
                .move_to(&machine.platform, &machine.vectors, line, cpu);
            return moved.map(|()| None);
        }
        if old.cpu == cpu {
            return Ok(None);
        }
        if is_moving {
            return Err(Refusal::Busy);
        }
        let message = machine.platform.allocate_vector(Some(cpu))?;
        let target = Target::Message(SourceOf {
            function: self.at.index(),
            source,
        });
        machine.vectors.set(message.place(), Some(target));
        if old.entry.is_some() {
            self.redirect(route, old, message)?;
            self.at.note_route(Some(claim), Kind::InterruptMoved, route);
            return Ok(None);
        }
        let sends = signal.is_unmaskable() && self.is_sending();
        self.quiet_source(source, signal);
        let programmed = self.program_moved(source, &message);
        let (dead, result) = match programmed {
            Ok(()) => (old, Ok(())),
            Err(refusal) => {
                // It goes on where it was; the messages of before were written completely, so they are again.
                let _ = self.program(source, &old);
                machine.vectors.set(message.place(), None);
                (message, Err(refusal))
            }
        };
        if let Some(entry) = self.route(route).filter(|_| result.is_ok()) {
            entry.message = message;
            entry.previous = Some(dead.place());
        }
        if sends || armed && !signal.is_unmaskable() {
            self.unmask_source(source, signal);
        }
        machine.platform.retire_vector(&dead);
        result?;
        self.at.note_route(Some(claim), Kind::InterruptMoved, route);
        // What the device had to say while its only message was off, it does not say again.
        let missed = sends && self.has_cause().unwrap_or(true);
        let kept = missed && self.arrived(source);
        Ok(kept.then(|| self.take_waiter(source)).flatten())
    }

    /// Moves a route whose message names an entry: its device goes on sending the same one, and is told nothing.
    fn redirect(&mut self, route: &RouteId, mut old: Message, to: Message) -> Result<(), Refusal> {
        let machine = self.at.machine;
        match machine.platform.redirect(&mut old, to) {
            Ok(message) => {
                if let Some(entry) = self.route(route) {
                    entry.message = message;
                    entry.previous = Some(old.place());
                }
                machine.platform.retire_vector(&old);
                Ok(())
            }
            Err(refusal) => {
                // Something may arrive at the new vector from now on, so nobody else gets it.
                machine.vectors.set(to.place(), None);
                Err(refusal)
            }
        }
    }

    fn program_moved(&self, source: u16, message: &Message) -> Result<(), Refusal> {
        if sabotage!(MOVE_TELLS_NOBODY) {
            return Ok(());
        }
        self.program(source, message)
    }

    /// The holder armed its route: the source may be raised again.
    fn arm(&mut self, route: &RouteId) {
        if let Some(entry) = self.route(route) {
            (entry.since, entry.stopped) = (0, false);
            let signal = entry.signal;
            self.unmask_source(route.source(), signal);
        }
    }

    /// The holder came to the dispatch of what was kept, which is given to whoever waits. A source that was stopped goes on.
    fn go_on_with_kept(&mut self, route: &RouteId) -> Option<Delivery<P>> {
        if let Some(entry) = self.route(route) {
            entry.since = 0;
            let signal = entry.signal;
            if core::mem::take(&mut entry.stopped) {
                self.unmask_source(route.source(), signal);
            }
        }
        self.take_waiter(route.source())
    }

    /// Takes some routes away from their holder where there are more than a few. `true`: there still are.
    pub(crate) fn drop_some_routes(&mut self) -> bool {
        let Some(held) = &mut self.function.held else {
            return false;
        };
        let claim = held.claim;
        if held.routes.count() <= FEW_ROUTES {
            return false;
        }
        for _ in 0..FEW_ROUTES {
            let held = self.function.held.as_mut();
            let Some(route) = held.and_then(|held| held.routes.take_last()) else {
                return false;
            };
            self.drop_route(&claim, route);
        }
        true
    }

    /// Takes every route away from its holder: sources masked, vectors retired, waits ended.
    pub(crate) fn drop_routes(&mut self) {
        let Some(held) = &mut self.function.held else {
            return;
        };
        let claim = held.claim;
        loop {
            let held = self.function.held.as_mut();
            let Some(route) = held.and_then(|held| held.routes.take_last()) else {
                return;
            };
            self.drop_route(&claim, route);
        }
    }

    fn drop_route(&mut self, claim: &Claim, route: Route<P>) {
        let machine = self.at.machine;
        let detached = Kind::InterruptDetached;
        self.at.note_route(Some(claim), detached, &route.id);
        let source = route.id.source();
        self.quiet_source(source, route.signal);
        if let Signal::Line { line } = route.signal {
            let user = SourceOf {
                function: self.at.index(),
                source,
            };
            machine
                .lines
                .leave(&machine.platform, &machine.vectors, line, user);
            // Messages may be used again.
            self.prepare_signals();
        } else {
            let place = route.message.place();
            machine.vectors.set(place, None);
            if let Some(previous) = route.previous {
                machine.vectors.set(previous, None);
            }
            machine.platform.retire_vector(&route.message);
        }
        if let Some(waiter) = route.waiter {
            let revoked = Answer::Wait(waiter, Err(Refusal::Revoked));
            self.effects.answer(revoked);
        }
    }

    /// The first open route from a source on.
    fn view_from(&self, source: usize) -> Option<RouteView> {
        let held = self.function.held.as_ref()?;
        let entry = held.routes.from(source).next()?;
        let state = self.function.record.route_state(&held.claim, &entry.id);
        let message = message_of(&self.at.machine.lines, entry);
        Some(RouteView {
            function: self.at.bdf().as_u32(),
            source: entry.id.source(),
            signal: entry.signal,
            cpu: message.cpu,
            vector: message.vector,
            masked: state != Ok(RouteState::Armed),
            counts: entry.counts,
        })
    }

    /// The entry of exactly this route.
    fn route(&mut self, route: &RouteId) -> Option<&mut Route<P>> {
        self.function.held.as_mut()?.routes.of(route)
    }

    /// Takes a dispatch that has completed no wait yet.
    fn take_dispatch(&mut self, claim: &Claim, route: &RouteId) -> Result<Option<u64>, Refusal> {
        let pending = self.function.record.poll_wait(claim, route)?;
        let entry = self.route(route);
        let left = entry.is_some_and(|entry| core::mem::take(&mut entry.undelivered));
        let count = || self.function.record.dispatches(route.source());
        Ok((pending || left).then(count))
    }
}

/// Gives a vector back that nothing raises after all. Where a unit did not answer, something may, so nobody gets it.
fn give_back<P: Platform>(platform: &P, fresh: Message, admitted: Result<Message, Refusal>) {
    match admitted {
        Ok(message) => platform.retire_vector(&message),
        Err(Refusal::DeviceError) => {}
        Err(_) => platform.retire_vector(&fresh),
    }
}

/// The vector of a route; a line may have been moved by somebody else on it.
fn message_of<P: Platform>(lines: &Lines, entry: &Route<P>) -> Message {
    match entry.signal {
        Signal::Line { line } => lines.message(line).unwrap_or(entry.message),
        Signal::Msix | Signal::Msi { .. } => entry.message,
    }
}
