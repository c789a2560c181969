//! Interrupt routes: from a source of the function to the one call that waits.

use dma_ledger::{Claim, RouteId, RouteSink, RouteState};
use ring_abi::Refusal;

use crate::effects::Effects;
use crate::function::Function;
use crate::manager::{At, VectorOwner};
use crate::{DeviceManager, Done, Message, Platform, Waiter};

/// One source that a provider holds.
pub(crate) struct Route<P: Platform> {
    id: RouteId,
    sink: RouteSink,
    message: Message,
    waiter: Option<P::Waiter>,
    /// A dispatch completed a wait whose caller was gone by then: the next wait gets it.
    undelivered: bool,
}

impl<P: Platform> Route<P> {
    pub(crate) const fn id(&self) -> &RouteId {
        &self.id
    }

    pub(crate) const fn vector(&self) -> u8 {
        self.message.vector
    }
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
}

impl<P: Platform> DeviceManager<P> {
    /// Opens a source: an MSI-X vector, or 0 for the one MSI. It starts masked.
    ///
    /// # Errors
    /// Those of the claim; `WrongState` during a reset; `OutOfRange` for a source that is none; `AlreadyExists`;
    /// `Exhausted` when the machine has no vector left or the source no generation.
    pub fn interrupt_open(&self, claim: &Claim, source: u16) -> Result<RouteId, Refusal> {
        let at = self.of(claim)?;
        let mut guard = at.lock();
        let function = &mut *guard;
        let (id, sink) = function.record.attach_route(claim, source)?;
        let Some(message) = self.platform.allocate_vector() else {
            let _ = function.record.detach_route(claim, &id);
            return Err(Refusal::Exhausted);
        };
        if let Err(refusal) = self.program(&at, function, source, message) {
            let _ = function.record.detach_route(claim, &id);
            self.platform.free_vector(message.vector);
            return Err(refusal);
        }
        let place = usize::from(source);
        if function.routes.len() <= place {
            function.routes.resize_with(place + 1, || None);
        }
        if let Some(entry) = function.routes.get_mut(place) {
            *entry = Some(Route {
                id,
                sink,
                message,
                waiter: None,
                undelivered: false,
            });
        }
        let owner = VectorOwner {
            function: at.index(),
            source,
        };
        self.set_vector(message.vector, Some(owner));
        Ok(id)
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
        let guard = at.lock();
        let state = guard.record.route_state(claim, route)?;
        Ok(RouteInfo {
            source: route.source(),
            generation: route.route_generation(),
            delivered: guard.record.dispatches(route.source()),
            masked: state != RouteState::Armed,
        })
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

    /// Spends the one acknowledgement of a dispatch: the source may be raised again.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`]; `WrongState` without a dispatch; `Duplicate` for a second one.
    pub fn interrupt_acknowledge(&self, claim: &Claim, route: &RouteId) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let mut guard = at.lock();
        let unmask = guard.record.acknowledge(claim, route)?;
        if let Some(entry) = route_of(&mut guard, route) {
            entry.undelivered = false;
        }
        if unmask {
            self.unmask_source(&at, &guard, route.source());
        }
        Ok(())
    }

    /// Keeps the source from being raised.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`].
    pub fn interrupt_mask(&self, claim: &Claim, route: &RouteId) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let guard = at.lock();
        if guard.record.mask_route(claim, route)? {
            self.mask_source(&at, &guard, route.source());
        }
        Ok(())
    }

    /// Lets the source be raised.
    ///
    /// # Errors
    /// As [`Self::interrupt_close`].
    pub fn interrupt_unmask(&self, claim: &Claim, route: &RouteId) -> Result<(), Refusal> {
        let at = self.of(claim)?;
        let guard = at.lock();
        if guard.record.unmask_route(claim, route)? {
            self.unmask_source(&at, &guard, route.source());
        }
        Ok(())
    }

    /// Takes an interrupt: masks its source at the device, notes the dispatch and completes the wait. Called by the
    /// handler, which sends the end of interrupt afterwards. `false` where the vector belongs to no route: then
    /// nothing was changed.
    pub fn on_interrupt(&self, vector: u8) -> bool {
        let Some(owner) = self.vector_owner(vector) else {
            return false;
        };
        let Some(at) = self.at_index(owner.function) else {
            return false;
        };
        let mut taken = {
            let mut guard = at.lock();
            let place = usize::from(owner.source);
            let entry = guard.routes.get(place).and_then(Option::as_ref);
            if entry.is_none_or(|entry| entry.message.vector != vector) {
                return false;
            }
            self.mask_source(&at, &guard, owner.source);
            let function = &mut *guard;
            let Some(Some(entry)) = function.routes.get_mut(place) else {
                return false;
            };
            if entry.sink.dispatch().is_err() {
                // Masked, or dispatched already: nobody is woken and nothing is counted.
                return true;
            }
            take_waiter(function, owner.source)
        };
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
        true
    }

    /// Makes the function's signals ready for a new claim: everything masked, messages of before erased.
    pub(crate) fn prepare_signals(&self, at: &At<'_, P>, function: &Function<P>) {
        let mut config = self.config.lock();
        if let (Some(msix), Some(table)) = (&at.hardware.msix, &function.table) {
            msix.enable_masked(&mut **config, at.bdf());
            table.clear();
            // From here each vector's own mask bit counts, and each is set.
            msix.unmask(&mut **config, at.bdf());
        } else if let Some(msi) = &at.hardware.msi {
            msi.disable(&mut **config, at.bdf());
        }
    }

    /// Turns the function's signals off: its claim ends.
    pub(crate) fn silence(&self, at: &At<'_, P>) {
        let mut config = self.config.lock();
        if let Some(msix) = &at.hardware.msix {
            msix.mask(&mut **config, at.bdf());
            msix.disable(&mut **config, at.bdf());
        }
        if let Some(msi) = &at.hardware.msi {
            msi.disable(&mut **config, at.bdf());
        }
    }

    /// Takes every route away from its holder: sources masked, vectors freed, waits ended.
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
        self.mask_source(at, function, route.id.source());
        self.set_vector(route.message.vector, None);
        self.platform.free_vector(route.message.vector);
        if let Some(waiter) = route.waiter {
            effects.answer(waiter, Err(Refusal::Revoked));
        }
    }

    /// Writes the message of a source, masked.
    fn program(
        &self,
        at: &At<'_, P>,
        function: &Function<P>,
        source: u16,
        message: Message,
    ) -> Result<(), Refusal> {
        if let Some(table) = &function.table {
            let written = table.program(source, message.address, message.data);
            return written.then_some(()).ok_or(Refusal::OutOfRange);
        }
        let msi = at.hardware.msi.as_ref().ok_or(Refusal::NotSupported)?;
        let data = u16::try_from(message.data).map_err(|_| Refusal::NotSupported)?;
        let mut config = self.config.lock();
        msi.program(&mut **config, at.bdf(), message.address, data)
            .map_err(|_| Refusal::NotSupported)?;
        msi.mask(&mut **config, at.bdf());
        if msi.vector_mask {
            msi.enable(&mut **config, at.bdf());
        }
        Ok(())
    }

    fn mask_source(&self, at: &At<'_, P>, function: &Function<P>, source: u16) {
        if let Some(table) = &function.table {
            table.mask(source);
        } else if let Some(msi) = &at.hardware.msi {
            let mut config = self.config.lock();
            if msi.vector_mask {
                msi.mask(&mut **config, at.bdf());
            } else {
                msi.disable(&mut **config, at.bdf());
            }
        }
    }

    fn unmask_source(&self, at: &At<'_, P>, function: &Function<P>, source: u16) {
        if let Some(table) = &function.table {
            table.unmask(source);
        } else if let Some(msi) = &at.hardware.msi {
            let mut config = self.config.lock();
            if msi.vector_mask {
                msi.unmask(&mut **config, at.bdf());
            } else {
                msi.enable(&mut **config, at.bdf());
            }
        }
    }
}

/// The entry of exactly this route.
fn route_of<'f, P: Platform>(
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

/// Takes the waiter of a route that has just dispatched, and with it the dispatch. Without one, the dispatch stays.
fn take_waiter<P: Platform>(
    function: &mut Function<P>,
    source: u16,
) -> Option<(P::Waiter, u64, RouteId)> {
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
