//! Interrupt routes of a function: who holds which, and what the handler is given.

use alloc::sync::Arc;

use crate::ids::{Claim, RouteId};
use crate::record::{FunctionRecord, Phase};
use crate::refusal::Refusal;
use crate::route::{Arrival, RouteState, RouteWord};

/// What the interrupt handler holds: the word and the one generation that it speaks for.
#[derive(Clone, Debug)]
pub struct RouteSink {
    word: Arc<RouteWord>,
    generation: u64,
}

impl RouteSink {
    /// Records an interrupt; see [`RouteWord::dispatch`].
    ///
    /// # Errors
    /// `Stale` or `WrongState`: wake nobody.
    pub fn dispatch(&self) -> Result<(), Refusal> {
        self.word.dispatch(self.generation)
    }

    /// Records a message; see [`RouteWord::arrive`].
    ///
    /// # Errors
    /// `Stale` or `WrongState`: wake nobody.
    pub fn arrive(&self) -> Result<Arrival, Refusal> {
        self.word.arrive(self.generation)
    }
}

impl<F> FunctionRecord<F> {
    /// Registers a route for a source and hands it to the claim's holder, masked. The sink goes to the handler.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongState` during a reset; `OutOfRange` for a source the function does not have;
    /// `AlreadyExists` while the source has a route; `Exhausted` after its last generation.
    pub fn attach_route(
        &mut self,
        claim: &Claim,
        source: u16,
    ) -> Result<(RouteId, RouteSink), Refusal> {
        if self.check(claim)? == Phase::Resetting {
            return Err(Refusal::WrongState);
        }
        let route = self
            .routes
            .get(usize::from(source))
            .ok_or(Refusal::OutOfRange)?;
        let generation = route.word.register()?;
        route.word.take(generation)?;
        let id = RouteId {
            function: self.id,
            source,
            source_generation: self.source_generation,
            route_generation: generation,
        };
        self.attached = self.attached.max(source.saturating_add(1));
        Ok((
            id,
            RouteSink {
                word: route.word.clone(),
                generation,
            },
        ))
    }

    /// Takes a route away from its holder; everything that names it is stale afterwards.
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner` for a route of another function; `Stale`.
    pub fn detach_route(&mut self, claim: &Claim, route: &RouteId) -> Result<(), Refusal> {
        let word = self.checked_route(claim, route)?;
        let (generation, state) = word.load();
        if generation != route.route_generation || state == RouteState::Unregistered {
            return Err(Refusal::Stale);
        }
        word.detach();
        Ok(())
    }

    /// Unmasks a route; see [`RouteWord::unmask`].
    ///
    /// # Errors
    /// Those of [`Self::check`]; `WrongOwner` for a route of another function; `Stale`.
    pub fn unmask_route(&self, claim: &Claim, route: &RouteId) -> Result<bool, Refusal> {
        self.checked_route(claim, route)?
            .unmask(route.route_generation)
    }

    /// Masks a route; see [`RouteWord::mask`].
    ///
    /// # Errors
    /// As for [`Self::unmask_route`].
    pub fn mask_route(&self, claim: &Claim, route: &RouteId) -> Result<bool, Refusal> {
        self.checked_route(claim, route)?
            .mask(route.route_generation)
    }

    /// Completes a wait on exactly this route, if it dispatched; see [`RouteWord::poll_wait`].
    ///
    /// # Errors
    /// As for [`Self::unmask_route`]; the wait ends with them.
    pub fn poll_wait(&self, claim: &Claim, route: &RouteId) -> Result<bool, Refusal> {
        self.checked_route(claim, route)?
            .poll_wait(route.route_generation)
    }

    /// Spends the one acknowledgement of a dispatch; see [`RouteWord::acknowledge`].
    ///
    /// # Errors
    /// As for [`Self::unmask_route`]; `WrongState` without a dispatch; `Duplicate` for a second one.
    pub fn acknowledge(&self, claim: &Claim, route: &RouteId) -> Result<bool, Refusal> {
        self.checked_route(claim, route)?
            .acknowledge(route.route_generation)
    }

    /// Returns the state of a source's route.
    ///
    /// # Errors
    /// As for [`Self::unmask_route`].
    pub fn route_state(&self, claim: &Claim, route: &RouteId) -> Result<RouteState, Refusal> {
        match self.checked_route(claim, route)?.load() {
            (generation, state)
                if generation == route.route_generation && state != RouteState::Unregistered =>
            {
                Ok(state)
            }
            _ => Err(Refusal::Stale),
        }
    }

    /// Matches function, source and source generation; the word matches the route generation.
    #[inline]
    fn checked_route(&self, claim: &Claim, route: &RouteId) -> Result<&RouteWord, Refusal> {
        self.check(claim)?;
        if route.function != self.id {
            return Err(Refusal::WrongOwner);
        }
        match self.routes.get(usize::from(route.source)) {
            Some(known) if self.source_generation == route.source_generation => Ok(&known.word),
            _ => Err(Refusal::Stale),
        }
    }

    /// Returns how often the source has dispatched, over all its routes.
    #[must_use]
    pub fn dispatches(&self, source: u16) -> u64 {
        self.routes
            .get(usize::from(source))
            .map_or(0, |route| route.word.dispatches())
    }

    /// Detaches every route and raises every source's generation.
    pub(crate) fn detach_all_routes(&mut self) {
        // Of thousands of sources few have a route.
        for route in self.routes.iter().take(usize::from(self.attached)) {
            route.word.detach();
        }
        self.attached = 0;
        // One step per reset, and resets are counted in 64 bits that end first: this cannot saturate before.
        self.source_generation = self.source_generation.saturating_add(1);
    }
}
