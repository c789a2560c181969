//! The interface of endpoints: making and lending them, minting and revoking facets, beginning the next incarnation.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use account::{Account, Kind, Share};
use cap::{Epoch, Number};
use cpu::Lock;
use ring_abi::Refusal;
use sabotage::sabotage;
use schema::process::endpoint::{self as wire, Lifetime};
use stub::{Answered, Received, Reply};

use crate::endpoint::revoke_calls;
use crate::meeting::Queues;
use crate::notice::Notice;
use crate::records::{
    Bank, Endpoint, EndpointCore, Facet, KernelCall, KernelObject, Made, Object, Process, Slot, Tie,
};
use crate::standing::Standing;
use crate::through::Through;

/// What an endpoint or a facet takes, at most: neither has a way to be refused.
const ENDPOINT_BYTES: u64 = 1024;
const FACET_BYTES: u64 = 512 + Tie::BYTES;

impl Endpoint {
    /// Makes an endpoint that `process`, which runs, pays for.
    ///
    /// # Errors
    /// `OverBudget`.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    pub fn new(process: &Process) -> Result<Arc<Self>, Refusal> {
        let charge = process.account().charge(Kind::Endpoints, 1)?;
        let tie = Tie::new()?;
        let endpoint = frames::with_room(ENDPOINT_BYTES, || {
            let core = Arc::new(EndpointCore {
                number: Number::next(),
                queues: Lock::new(Queues::new()),
                incarnation: AtomicU64::new(1),
                standing: Standing::default(),
            });
            Arc::new(Self {
                core,
                epoch: Epoch::default(),
                charge,
                share: None,
                bank: process.bank.clone(),
                tie: tie.clone(),
            })
        })?;
        let made = Made::Endpoint(Arc::downgrade(&endpoint));
        process.bank.add(&tie, made);
        Ok(endpoint)
    }

    /// The endpoint as `process` lends it, which pays for it: at most `facets` facets live that were minted through it.
    fn lend(&self, process: &Process, facets: u64) -> Result<Slot, Refusal> {
        let charge = process.account().charge(Kind::Endpoints, 1)?;
        let share = match &self.share {
            Some(own) => own.lend(facets)?,
            None => Share::new(facets),
        };
        let lent = Self {
            core: self.core.clone(),
            epoch: Epoch::default(),
            charge,
            share: Some(frames::arc(share)?),
            bank: process.bank.clone(),
            tie: Tie::new()?,
        };
        let lent = frames::arc(lent)?;
        let made = Made::Endpoint(Arc::downgrade(&lent));
        process.bank.add(&lent.tie, made);
        Ok(Slot::new(Object::Endpoint(lent), wire::INTERFACE_ID))
    }

    /// Whose a durable facet is when `account`, which mints it, has ended: whoever lent the endpoint gave that account out of
    /// its own, and has what was in it back anyway.
    fn heir(&self, account: &Account) -> Option<Arc<Bank>> {
        let mut above = core::iter::successors(account.parent(), |account| account.parent());
        let lender = self.charge.account();
        (self.share.is_some() && above.any(|account| Arc::ptr_eq(account, lender)))
            .then(|| self.bank.clone())
    }

    /// Makes a facet that `process` pays for, whose endpoint it may be or not.
    #[expect(clippy::disallowed_methods, reason = "room: made here")]
    fn mint(
        &self,
        process: &Process,
        cookie: u64,
        interface: u64,
        lifetime: Lifetime,
    ) -> Result<Slot, Refusal> {
        let payer = if sabotage!(MAKER_PAYS_FACETS) {
            self.charge.account()
        } else {
            process.account()
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
        let heir = match lifetime {
            Lifetime::Durable => self.heir(payer),
            Lifetime::Incarnation => None,
        };
        let facet = frames::with_room(FACET_BYTES, || {
            let tie = Tie::within(Some(charge));
            Arc::new(Facet {
                core: self.core.clone(),
                epoch: Epoch::default(),
                cookie,
                incarnation: AtomicU64::new(incarnation),
                lifetime,
                interface,
                notice: Some(Notice::new(
                    cookie,
                    incarnation,
                    lifetime,
                    (tie.clone(), part),
                )),
                through: Through::new(),
                tie,
                heir,
            })
        })?;
        let made = Made::Facet(Arc::downgrade(&facet));
        process.bank.add(&facet.tie, made);
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
        let process = reply.call().process();
        let minted = self.0.mint(process, cookie, interface_id, lifetime);
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
        let process = reply.call().process();
        let lent = self.0.lend(process, facets.into());
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
