//! What a handle names, seen as a target of a use: its epoch, and whether it works.

use alloc::sync::Arc;

use cap::{Epoch, Target};
use ring_abi::Refusal;

use crate::records::{About, Facet, KernelObject, Made, Object, Slot};

impl Clone for Object {
    // Once in each operation: derived, it would be a call.
    #[inline(always)]
    fn clone(&self) -> Self {
        match self {
            Self::Facet(f) => Self::Facet(f.clone()),
            Self::Endpoint(e) => Self::Endpoint(e.clone()),
            Self::Reply(r) => Self::Reply(r.clone()),
            Self::Kernel(k) => Self::Kernel(k.clone()),
        }
    }
}

impl core::fmt::Debug for Made {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Memory(_) => "memory",
            Self::Endpoint(_) => "endpoint",
            Self::Facet(_) => "facet",
            Self::Kernel(_) => "kernel object",
        })
    }
}

impl core::fmt::Debug for Object {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Facet(_) => "facet",
            Self::Endpoint(_) => "endpoint",
            Self::Reply(_) => "reply",
            Self::Kernel(_) => "kernel object",
        })
    }
}

/// What a handle led to.
pub(crate) enum Found {
    /// A facet, to be called through.
    Facet(Arc<Facet>),
    /// Another object, to be called.
    Object(Object),
    /// The answer: the object had it at hand.
    Answer([u64; 4]),
    /// The answer, and the object that has something left to do.
    Then([u64; 4], Arc<dyn KernelObject>),
}

impl Target for Object {
    #[inline(always)]
    fn epoch(&self) -> &Epoch {
        match self {
            Self::Facet(f) => f.epoch(),
            Self::Endpoint(e) => e.epoch(),
            Self::Reply(r) => r.epoch(),
            Self::Kernel(k) => k.epoch(),
        }
    }

    #[inline(always)]
    fn valid(&self, epoch: u64) -> Result<(), Refusal> {
        match self {
            Self::Facet(f) => f.epoch().check(epoch).and_then(|()| f.live()),
            Self::Endpoint(e) => e.epoch().check(epoch),
            Self::Reply(r) => r.epoch().check(epoch),
            Self::Kernel(k) => k.valid(epoch),
        }
    }
}

impl Object {
    /// What it stands for, for whoever looks. The caller holds no lock.
    pub fn about(&self) -> About {
        match self {
            Self::Facet(f) => About::Endpoint(f.core().number.get()),
            Self::Endpoint(e) => About::Endpoint(e.core().number.get()),
            Self::Reply(_) => About::Itself,
            Self::Kernel(k) => k.about(),
        }
    }

    /// Whether it is the right to receive that everything lent of the endpoint derives from: with its last handle the endpoint ends.
    pub fn is_own_endpoint(&self) -> bool {
        matches!(self, Self::Endpoint(e) if e.share.is_none())
    }

    /// A kernel object as a capability.
    pub fn kernel<K: KernelObject>(object: Arc<K>) -> Slot {
        let interface = object.interface();
        Slot::new(Self::Kernel(object), interface)
    }

    /// The kernel object of type `K` behind this capability.
    ///
    /// # Errors
    /// `WrongKind`.
    pub fn downcast<K: KernelObject>(&self) -> Result<Arc<K>, Refusal> {
        match self {
            Self::Kernel(k) => k
                .clone()
                .as_any()
                .downcast::<K>()
                .map_err(|_| Refusal::WrongKind),
            _ => Err(Refusal::WrongKind),
        }
    }
}

/// Drops a capability that was taken out of a table. Callers hold no lock: what it names may go with it, and say so to
/// others.
pub fn release(slot: Slot) {
    drop(slot);
}
