//! Which calls go through a facet, so that revoking it finds them without looking at anybody else's.
//!
//! A call object is used again and again, mostly through the same facet. It stays in the list of the facet that it last
//! went through, so a call costs one comparison; it moves when it goes through another one. So a list holds every call
//! that is under way through its facet, and some that are not.

use alloc::sync::{Arc, Weak};
use core::cell::UnsafeCell;
use core::ptr::null;

use cpu::Lock;

use crate::call::Call;

/// The calls that last went through one facet. Held by the facet and by each of them.
#[derive(Debug)]
pub(crate) struct Through {
    first: Lock<First>,
}

#[derive(Debug)]
struct First(*const Call);

// SAFETY: the pointer stands for a weak count of an `Arc<Call>`, which is `Send` and `Sync`.
unsafe impl Send for First {}

/// A call's part.
#[derive(Debug)]
pub(crate) struct Link {
    /// The list it belongs to. Touched by the thread that starts the call, while it is in nobody else's hands, and by
    /// the call's end.
    list: UnsafeCell<Option<Arc<Through>>>,
    /// Touched under the lock of that list alone.
    neighbours: UnsafeCell<Neighbours>,
}

#[derive(Debug)]
struct Neighbours {
    next: *const Call,
    previous: *const Call,
    /// The list's count of the call itself; null once it was taken out.
    own: *const Call,
}

// SAFETY: who touches what when is said at each field.
unsafe impl Send for Link {}
// SAFETY: as for Send.
unsafe impl Sync for Link {}

impl Link {
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
}

/// The neighbours of a call.
///
/// # Safety
/// The caller holds the lock of the call's list and the call's memory is there; no other borrow of them is in use.
#[allow(clippy::mut_from_ref)]
unsafe fn neighbours<'a>(call: *const Call) -> &'a mut Neighbours {
    // SAFETY: by the caller's promise.
    unsafe { &mut *(*call).link.neighbours.get() }
}

impl Through {
    #[expect(clippy::disallowed_methods, reason = "room: its facet made it")]
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            first: Lock::new(First(null())),
        })
    }

    /// Puts a call into this list, which its thread took out of its pool to start it.
    #[inline(always)]
    pub(crate) fn enter(self: &Arc<Self>, call: &Arc<Call>) {
        // SAFETY: the call is in its thread's hands alone: it is idle and in no pool.
        let list = unsafe { &mut *call.link.list.get() };
        if !list.as_ref().is_some_and(|list| Arc::ptr_eq(list, self)) {
            self.join(call, list);
        }
    }

    #[cold]
    #[inline(never)]
    fn join(self: &Arc<Self>, call: &Arc<Call>, list: &mut Option<Arc<Self>>) {
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
    fn leave(&self, call: &Call) {
        let count = {
            let mut first = self.first.lock();
            // SAFETY: the list's lock is held.
            unsafe { unlink(&mut first, call) }
        };
        drop(count);
    }

    /// Takes the first call out that still exists.
    pub(crate) fn pop(&self) -> Option<Arc<Call>> {
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
unsafe fn unlink(first: &mut First, call: *const Call) -> Option<Weak<Call>> {
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

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(list) = self.link.list.get_mut().take() {
            list.leave(self);
        }
    }
}
