//! What an account paid for and others may hold, and its end: see [`Bank`].
//!
//! Three rules hold. A bank is closed before it is emptied, so what comes too late is ended by whoever brings it. A tie says that
//! its object has ended before the object is ended, so whoever sees the object work afterwards had begun before. And a table
//! is asked for what has ended only after all of a bank has: it finds all of it but what is on its way in a message, which is
//! looked at where it arrives.

use alloc::sync::{Arc, Weak};
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};

use account::Charge;
use cap::Epoch;
use cpu::Lock;
use memory::{Keeper, MemoryObject};
use ring_abi::Refusal;
use sabotage::sabotage;
use schema::process::endpoint::Lifetime;
use stub::{Answered, Received};

use crate::endpoint::revoke_calls;
use crate::process::for_each_process;
use crate::records::{
    Bank, Endpoint, Facet, KernelCall, KernelObject, Made, Object, Process, Slot, Tie,
};
use crate::through::{Link, Linked, Through};

impl Bank {
    /// An empty one. Who pays on this CPU pays for it.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`.
    pub(crate) fn new() -> Result<Arc<Self>, Refusal> {
        // room: an allocation of its own
        let list = frames::with_room(LIST_BYTES, Through::new)?;
        frames::arc(Self {
            list,
            is_closed: AtomicBool::new(false),
        })
    }

    /// Makes an object of `pages` zeroed pages, which go with this bank's account whoever holds it.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`.
    pub fn memory(&self, pages: u32) -> Result<Arc<MemoryObject>, Refusal> {
        let tie = Tie::new()?;
        let object = MemoryObject::ending(pages, tie.clone())?;
        self.add(&tie, Made::Memory(Arc::downgrade(&object)));
        Ok(object)
    }

    /// Makes an object of the kernel that goes with this bank's account, whoever holds it.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`.
    pub fn object<K: KernelObject>(
        &self,
        make: impl FnOnce(Arc<Tie>) -> K,
    ) -> Result<Slot, Refusal> {
        let tie = Tie::new()?;
        let object = frames::arc(make(tie.clone()))?;
        let named = Arc::downgrade(&object);
        self.add(&tie, Made::Kernel(named));
        Ok(Object::kernel(object))
    }

    /// Names what a tie stands for, and puts it in.
    pub(crate) fn add(&self, tie: &Arc<Tie>, made: Made) {
        *tie.made.lock() = Some(made);
        self.enter(tie);
    }

    fn enter(&self, tie: &Arc<Tie>) {
        if sabotage!(KEEP_WHAT_ENDED_PAID) {
            return;
        }
        self.list.enter(tie);
        // Whoever takes it out ends it. This may be an interrupt, so the rest is left to the ending account's own thread.
        if self.is_closed.load(Ordering::SeqCst) && self.list.leave(tie) {
            tie.end();
        }
    }

    /// Ends all that is in it, and takes it out of all tables: its account ends.
    pub(crate) fn end(&self) {
        self.is_closed.store(true, Ordering::SeqCst);
        if self.empty() && !sabotage!(KEEP_HUSKS) {
            for_each_process(|process| sweep(process));
        }
    }

    /// Ends what is in it. Whether there was anything that somebody holds.
    fn empty(&self) -> bool {
        let mut any = false;
        while let Some(tie) = self.list.pop() {
            any |= tie.end();
            let _ = sched::point();
        }
        any
    }
}

/// Most that the head of a list takes.
const LIST_BYTES: u64 = 128;

// SAFETY: always the same field.
unsafe impl Linked for Tie {
    #[inline(always)]
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Drop for Tie {
    fn drop(&mut self) {
        if let Some(list) = self.link.end() {
            let _ = list.leave(self);
        }
    }
}

impl Keeper for Tie {
    fn has_ended(&self) -> bool {
        self.has_ended()
    }
}

impl Tie {
    /// One that stands for nothing yet. Who pays on this CPU pays for it.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`.
    pub(crate) fn new() -> Result<Arc<Self>, Refusal> {
        frames::with_room(Self::BYTES, || Self::within(None))
    }

    /// Most that one takes.
    pub(crate) const BYTES: u64 = size_of::<Self>() as u64 + 128;

    /// As [`Self::new`], where room was made for it.
    #[expect(clippy::disallowed_methods, reason = "room: its caller made it")]
    pub(crate) fn within(charge: Option<Charge>) -> Arc<Self> {
        Arc::new(Self {
            link: Link::new(),
            has_ended: AtomicBool::new(false),
            charge,
            made: Lock::new(None),
        })
    }

    /// Whether the account has ended that paid for what it stands for.
    #[inline(always)]
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Ends what it stands for, or hands it on. Whether there was anything.
    fn end(self: &Arc<Self>) -> bool {
        let made = self.made.lock().clone();
        let heir = made.as_ref().and_then(Made::heir);
        if let Some(heir) = heir {
            heir.enter(self);
            return false;
        }
        self.has_ended.store(true, Ordering::Release);
        // Also for a facet that is gone and of which nobody has heard yet.
        if let Some(charge) = &self.charge {
            charge.release();
        }
        // Others may share the tie of an object that is gone.
        let shared = Arc::strong_count(self) > 1;
        made.is_some_and(|made| made.end()) || shared
    }
}

impl Made {
    /// Who has it from now on: a durable facet outlives its minter where whoever lent the endpoint gave the minter its account.
    fn heir(&self) -> Option<Arc<Bank>> {
        let Self::Facet(facet) = self else {
            return None;
        };
        let facet = facet.upgrade()?;
        let heir = facet.heir.clone()?;
        (!facet.core.is_closed() && !heir.is_closed.load(Ordering::SeqCst)).then_some(heir)
    }

    fn end(self) -> bool {
        fn each<T: ?Sized>(one: &Weak<T>, end: impl FnOnce(&Arc<T>)) -> bool {
            one.upgrade().inspect(end).is_some()
        }
        match self {
            Self::Memory(memory) => each(&memory, |memory| memory.end()),
            Self::Endpoint(endpoint) => each(&endpoint, |endpoint| endpoint.end()),
            Self::Facet(facet) => each(&facet, end_facet),
            Self::Kernel(object) => each(&object, |object| object.end()),
        }
    }
}

/// Its minter's account has ended: it is as one of an incarnation before, or revoked where it was to outlive those.
fn end_facet(facet: &Arc<Facet>) {
    match facet.lifetime {
        Lifetime::Durable => {
            facet.epoch.revoke();
            revoke_calls(facet);
        }
        // None begins with this number.
        Lifetime::Incarnation => facet.incarnation.store(0, Ordering::Release),
    }
}

/// Puts what says why in the place of everything in a table that has ended.
fn sweep(process: &Process) {
    process.handles.replace(|slot| {
        let refusal = slot.object().ended()?;
        grave(refusal, slot.interface())
    });
}

impl Object {
    /// Whether what it names has ended with an account, and what its use is refused with then.
    #[inline]
    pub(crate) fn ended(&self) -> Option<Refusal> {
        match self {
            Self::Facet(facet) => facet.ended(),
            Self::Endpoint(endpoint) => endpoint.tie.has_ended().then_some(Refusal::Revoked),
            Self::Kernel(object) => object.has_ended().then_some(Refusal::Revoked),
            Self::Reply(_) => None,
        }
    }
}

impl Facet {
    #[inline]
    fn ended(&self) -> Option<Refusal> {
        match self.live() {
            Err(refusal) if self.tie.has_ended() => Some(refusal),
            Err(Refusal::Revoked) => Some(Refusal::Revoked),
            _ if self.tie.has_ended() && self.lifetime == Lifetime::Durable => {
                Some(Refusal::Revoked)
            }
            _ => None,
        }
    }
}

impl Endpoint {
    /// Its account has ended: nobody receives through it, and where it was not lent, through no other.
    fn end(&self) {
        self.epoch.revoke();
        self.charge.release();
        match self.share {
            Some(_) => self.core.end_of_right(),
            None => self.close(),
        }
    }
}

/// What is in the place of a capability whose object has ended: nothing but the reason.
#[derive(Debug)]
struct Grave {
    epoch: Epoch,
    why: Refusal,
}

/// One for each reason, the same everywhere.
static GRAVES: Lock<[Option<Arc<dyn KernelObject>>; 2]> = Lock::new([const { None }; 2]);

/// Makes what stands for objects that have ended. At boot.
#[expect(clippy::disallowed_methods, reason = "boot: nothing else runs yet")]
pub fn dig() {
    let of = |why| -> Arc<dyn KernelObject> {
        Arc::new(Grave {
            epoch: Epoch::default(),
            why,
        })
    };
    *GRAVES.lock() = [Some(of(Refusal::Revoked)), Some(of(Refusal::Stale))];
}

#[cold]
pub(crate) fn grave(why: Refusal, interface: u64) -> Option<Slot> {
    let graves = GRAVES.lock();
    let grave = graves[usize::from(why == Refusal::Stale)].clone()?;
    Some(Slot::new(Object::Kernel(grave), interface))
}

impl KernelObject for Grave {
    fn interface(&self) -> u64 {
        0
    }

    fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    fn live(&self) -> Result<(), Refusal> {
        Err(self.why)
    }

    fn call(self: Arc<Self>, call: KernelCall<'_>, _received: Received<'_>) -> Answered {
        stub::refuse(call, self.why)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
