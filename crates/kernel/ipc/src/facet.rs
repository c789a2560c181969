//! Facets: whether a call through one may still arrive.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use cap::Epoch;
use ring_abi::Refusal;
use sabotage::sabotage;
use schema::process::endpoint::Lifetime;

use crate::records::{Endpoint, EndpointCore, Facet};

impl Facet {
    pub(crate) const fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// Whether a call on its way through it may still arrive.
    pub(crate) fn usable(&self) -> Result<(), Refusal> {
        if self.epoch.is_raised() {
            if sabotage!(SKIP_EPOCH_CHECK) {
                return Ok(());
            }
            return Err(Refusal::Revoked);
        }
        self.live()
    }

    pub(crate) fn live(&self) -> Result<(), Refusal> {
        if self.core.is_closed() {
            return Err(Refusal::Revoked);
        }
        if self.lifetime == Lifetime::Incarnation
            && self.incarnation.load(Ordering::Relaxed)
                != self.core.incarnation.load(Ordering::Acquire)
            && !sabotage!(SKIP_INCARNATION_CHECK)
        {
            return Err(Refusal::Stale);
        }
        Ok(())
    }

    pub(crate) const fn core(&self) -> &Arc<EndpointCore> {
        &self.core
    }
}

impl Endpoint {
    pub(crate) const fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    pub(crate) const fn core(&self) -> &Arc<EndpointCore> {
        &self.core
    }
}

impl EndpointCore {
    /// Whether the right to receive is gone for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.standing.is_closed()
    }
}
