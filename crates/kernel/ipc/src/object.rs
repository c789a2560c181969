//! What a handle names, and what the kernel's own objects have in common.

use alloc::sync::Arc;
use core::any::Any;

use cap::{Epoch, Target};
use ring_abi::Refusal;
use stub::{Answered, Received};

use crate::call::ReplyRight;
use crate::{Endpoint, Facet, KernelCall};

/// Something the kernel itself serves.
pub trait KernelObject: Any + Send + Sync {
    /// The interface.
    fn interface(&self) -> u64;

    /// The epoch that revokes its handles.
    fn epoch(&self) -> &Epoch;

    /// Whether it still works.
    ///
    /// # Errors
    /// Why not.
    fn live(&self) -> Result<(), Refusal> {
        Ok(())
    }

    /// Whether a grant of `epoch` still holds and the object still works.
    ///
    /// # Errors
    /// `Revoked`, or those of [`Self::live`].
    fn valid(&self, epoch: u64) -> Result<(), Refusal> {
        self.epoch().check(epoch)?;
        self.live()
    }

    /// Answers a call of four words and four words' answer at once, or leaves it to [`Self::call`]. It is asked with the lock of
    /// the caller's table held, of an object that nobody holds otherwise: it takes no lock, allocates nothing, drops nothing, and
    /// it looks at the grant's epoch itself.
    #[inline]
    fn quick(&self, _granted: u64, _method: u16, _words: &[u64; 4]) -> Option<Quick> {
        None
    }

    /// What [`Quick::Then`] left to be done, with no lock held.
    fn finish(&self) {}

    /// Serves one call: decodes, acts, answers or defers. Never waits for anybody; work that grows with what was asked
    /// for goes in steps, with a [`sched::point`] after each.
    fn call(self: Arc<Self>, call: KernelCall<'_>, received: Received<'_>) -> Answered;

    /// Bytes of a message from which on serving it takes looks: it lies in memory of its own then, not in a buffer of this
    /// CPU. Shorter ones are little work.
    fn long_from(&self) -> usize {
        usize::MAX
    }

    /// For objects that take other objects as parameters.
    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// What a handle names.
pub enum Object {
    /// A client's end of an endpoint.
    Facet(Arc<Facet>),
    /// The right to receive.
    Endpoint(Arc<Endpoint>),
    /// The right to answer one call. One-shot: it is moved, never copied.
    Reply(ReplyRight),
    /// An object of the kernel.
    Kernel(Arc<dyn KernelObject>),
}

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

/// One capability of a process.
pub type Slot = cap::Slot<Object>;

/// A quick answer.
#[derive(Clone, Copy, Debug)]
pub enum Quick {
    /// The call is over.
    Answer([u64; 4]),
    /// It is answered with these words; what needs a lock is left to [`KernelObject::finish`].
    Then([u64; 4]),
}

/// What a handle led to.
pub(crate) enum Found {
    /// The object, to be called.
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
