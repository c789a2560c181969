//! The interface of endpoints: making and lending them, minting and revoking facets, beginning the next incarnation.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use account::{Account, Kind, Share};
use cap::Epoch;
use cpu::Lock;
use ring_abi::Refusal;
use sabotage::sabotage;
use schema::process::endpoint::{self as wire, Lifetime};
use stub::{Answered, Received, Reply};

use crate::endpoint::revoke_calls;
use crate::meeting::Queues;
use crate::notice::Notice;
use crate::records::{Endpoint, EndpointCore, Facet, KernelCall, KernelObject, Object, Slot};
use crate::through::Through;

/// What an endpoint or a facet takes, at most: neither has a way to be refused.
const ENDPOINT_BYTES: u64 = 1024;
const FACET_BYTES: u64 = 512;

impl Endpoint {
    /// Makes an endpoint that `account` pays for.
    ///
    /// # Errors
    /// `OverBudget`.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    pub fn new(account: &Arc<Account>) -> Result<Arc<Self>, Refusal> {
        let charge = account.charge(Kind::Endpoints, 1)?;
        frames::with_room(ENDPOINT_BYTES, || {
            let core = Arc::new(EndpointCore {
                queues: Lock::new(Queues::new()),
                incarnation: AtomicU64::new(1),
                closed: AtomicBool::new(false),
            });
            Arc::new(Self {
                core,
                epoch: Epoch::default(),
                charge,
                share: None,
            })
        })
    }

    /// The endpoint as `account` lends it, which pays for it: at most `facets` facets live that were minted through it.
    fn lend(&self, account: &Arc<Account>, facets: u64) -> Result<Slot, Refusal> {
        let charge = account.charge(Kind::Endpoints, 1)?;
        let share = match &self.share {
            Some(own) => own.lend(facets)?,
            None => Share::new(facets),
        };
        let lent = Self {
            core: self.core.clone(),
            epoch: Epoch::default(),
            charge,
            share: Some(frames::arc(share)?),
        };
        let lent = Object::Endpoint(frames::arc(lent)?);
        Ok(Slot::new(lent, wire::INTERFACE_ID))
    }

    /// Makes a facet that `account` pays for, whose endpoint it may be or not.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    fn mint(
        &self,
        account: &Arc<Account>,
        cookie: u64,
        interface: u64,
        lifetime: Lifetime,
    ) -> Result<Slot, Refusal> {
        let payer = if sabotage!(MAKER_PAYS_FACETS) {
            self.charge.account()
        } else {
            account
        };
        let charge = payer.charge(Kind::Facets, 1)?;
        let share = self.share.as_ref();
        let share = share.filter(|_| !sabotage!(LEND_EVERYTHING));
        let part = share.map(|share| share.take(1)).transpose()?;
        let incarnation = {
            // A renewal that comes meanwhile makes it stale.
            let _q = self.core.queues.lock();
            self.core.incarnation.load(Ordering::Relaxed)
        };
        let facet = frames::with_room(FACET_BYTES, || {
            Arc::new(Facet {
                core: self.core.clone(),
                epoch: Epoch::default(),
                cookie,
                incarnation,
                lifetime,
                interface,
                notice: Some(Notice::new(cookie, incarnation, lifetime, (charge, part))),
                through: Through::new(),
            })
        })?;
        Ok(Slot::new(Object::Facet(facet), interface))
    }
}

impl KernelObject for Endpoint {
    fn interface(&self) -> u64 {
        wire::INTERFACE_ID
    }

    fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    fn call(self: Arc<Self>, call: KernelCall<'_>, received: Received<'_>) -> Answered {
        wire::dispatch(&mut Methods(self), received, call)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

struct Methods(Arc<Endpoint>);

impl<'a> wire::Server<KernelCall<'a>> for Methods {
    fn mint(
        &mut self,
        reply: Reply<KernelCall<'a>, wire::call::Mint>,
        cookie: u64,
        interface_id: u64,
        lifetime: Lifetime,
    ) -> Answered {
        let account = reply.call().process().account();
        let minted = self.0.mint(account, cookie, interface_id, lifetime);
        reply.answer(minted.map(|facet| wire::MintReply { facet }))
    }

    fn revoke_facet(
        &mut self,
        reply: Reply<KernelCall<'a>, wire::call::RevokeFacet>,
        facet: Slot,
    ) -> Answered {
        let result = match facet.object() {
            Object::Facet(f) if Arc::ptr_eq(&f.core, &self.0.core) => {
                f.epoch.revoke();
                revoke_calls(f);
                Ok(())
            }
            Object::Facet(_) => Err(Refusal::WrongOwner),
            _ => Err(Refusal::WrongKind),
        };
        reply.answer(result)
    }

    fn lend(&mut self, reply: Reply<KernelCall<'a>, wire::call::Lend>, facets: u32) -> Answered {
        let account = reply.call().process().account();
        let lent = self.0.lend(account, facets.into());
        reply.answer(lent.map(|endpoint| wire::LendReply { endpoint }))
    }

    fn renew(&mut self, reply: Reply<KernelCall<'a>, wire::call::Renew>) -> Answered {
        if self.0.share.is_some() {
            return reply.refuse(Refusal::NotSupported);
        }
        let incarnation = self.0.core.renew();
        reply.answer(Ok(wire::RenewReply { incarnation }))
    }
}
