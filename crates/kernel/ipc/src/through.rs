//! Which calls go through a facet, so that revoking it finds them without looking at anybody else's.
//!
//! A call object is used again and again, mostly through the same facet. It stays in the list of the facet that it last
//! went through, so a call costs one comparison; it moves when it goes through another one. So a list holds every call
//! that is under way through its facet, and some that are not.

use alloc::sync::{Arc, Weak};
use core::cell::UnsafeCell;
use core::ptr::null;

use cpu::Lock;

/// A call, as far as these lists know it.
///
/// # Safety
/// `link` gives the same field of it each time.
pub(crate) unsafe trait Linked: Sized + Send + Sync {
    /// Its place in the list of a facet.
    fn link(&self) -> &Link<Self>;
}

/// The calls that last went through one facet. Held by the facet and by each of them.
#[derive(Debug)]
pub(crate) struct Through<C> {
    first: Lock<First<C>>,
}

#[derive(Debug)]
struct First<C>(*const C);

// SAFETY: the pointer stands for a weak count of an `Arc` of a call, which is `Send` and `Sync`.
unsafe impl<C> Send for First<C> {}

/// A call's part.
#[derive(Debug)]
pub(crate) struct Link<C> {
    /// The list it belongs to. Touched by the thread that starts the call, while it is in nobody else's hands, and by
    /// the call's end.
    list: UnsafeCell<Option<Arc<Through<C>>>>,
    /// Touched under the lock of that list alone.
    neighbours: UnsafeCell<Neighbours<C>>,
}

#[derive(Debug)]
struct Neighbours<C> {
    next: *const C,
    previous: *const C,
    /// The list's count of the call itself; null once it was taken out.
    own: *const C,
}

// SAFETY: who touches what when is said at each field.
unsafe impl<C> Send for Link<C> {}
// SAFETY: as for Send.
unsafe impl<C> Sync for Link<C> {}

impl<C> Link<C> {
    /// In no list.
    pub(crate) const fn new() -> Self {
        Self {
            list: UnsafeCell::new(None),
            neighbours: UnsafeCell::new(Neighbours {
                next: null(),
                previous: null(),
                own: null(),
            }),
        }
    }

    /// The list it belonged to: it is about to go.
    pub(crate) fn end(&mut self) -> Option<Arc<Through<C>>> {
        self.list.get_mut().take()
    }
}

/// The neighbours of a call.
///
/// # Safety
/// The caller holds the lock of the call's list and the call's memory is there; no other borrow of them is in use.
#[allow(clippy::mut_from_ref)]
unsafe fn neighbours<'a, C: Linked + 'a>(call: *const C) -> &'a mut Neighbours<C> {
    // SAFETY: by the caller's promise.
    unsafe { &mut *(*call).link().neighbours.get() }
}

impl<C: Linked> Through<C> {
    #[expect(clippy::disallowed_methods, reason = "room: its facet made it")]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            first: Lock::new(First(null())),
        })
    }

    /// Puts a call into this list, which its thread took out of its pool to start it.
    #[inline(always)]
    pub(crate) fn enter(self: &Arc<Self>, call: &Arc<C>) {
        // SAFETY: the call is in its thread's hands alone: it is idle and in no pool.
        let list = unsafe { &mut *call.link().list.get() };
        if !list.as_ref().is_some_and(|list| Arc::ptr_eq(list, self)) {
            self.join(call, list);
        }
    }

    #[cold]
    #[inline(never)]
    fn join(self: &Arc<Self>, call: &Arc<C>, list: &mut Option<Arc<Self>>) {
        if let Some(before) = list.take() {
            before.leave(call);
        }
        *list = Some(self.clone());
        // The list's own count.
        let call = Arc::downgrade(call).into_raw();
        let mut first = self.first.lock();
        // SAFETY: the list's lock is held; the call's memory and its neighbours' is there by the list's counts.
        unsafe {
            *neighbours(call) = Neighbours {
                next: first.0,
                previous: null(),
                own: call,
            };
            if !first.0.is_null() {
                neighbours(first.0).previous = call;
            }
        }
        first.0 = call;
    }

    /// Takes a call out that is in this list, if no revocation did.
    pub(crate) fn leave(&self, call: &C) {
        let count = {
            let mut first = self.first.lock();
            // SAFETY: the list's lock is held.
            unsafe { unlink(&mut first, call) }
        };
        drop(count);
    }

    /// Takes the first call out that still exists.
    pub(crate) fn pop(&self) -> Option<Arc<C>> {
        loop {
            let count = {
                let mut first = self.first.lock();
                if first.0.is_null() {
                    return None;
                }
                let call = first.0;
                // SAFETY: the list's lock is held, and the list's count keeps the call's memory.
                unsafe { unlink(&mut first, call) }
            };
            if let Some(call) = count.and_then(|count| count.upgrade()) {
                return Some(call);
            }
        }
    }
}

/// Takes a call out of a list; returns the list's count of it. `None`: it was out already.
///
/// # Safety
/// The caller holds the lock of the list, to which the call belongs; its memory is there.
unsafe fn unlink<C: Linked>(first: &mut First<C>, call: *const C) -> Option<Weak<C>> {
    // SAFETY: by the caller's promise; neighbours in the list are kept by the list's counts.
    unsafe {
        let (next, previous, own) = {
            let of = neighbours(call);
            let own = core::mem::replace(&mut of.own, null());
            if own.is_null() {
                return None;
            }
            (of.next, of.previous, own)
        };
        if previous.is_null() {
            first.0 = next;
        } else {
            neighbours(previous).next = next;
        }
        if !next.is_null() {
            neighbours(next).previous = previous;
        }
        Some(Weak::from_raw(own))
    }
}
