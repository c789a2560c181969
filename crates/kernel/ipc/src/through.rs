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
            let _ = before.leave(call);
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

    /// Takes a call out that is in this list, if no revocation did. Whether it was in.
    pub(crate) fn leave(&self, call: &C) -> bool {
        let count = {
            let mut first = self.first.lock();
            // SAFETY: the list's lock is held.
            unsafe { unlink(&mut first, call) }
        };
        count.is_some()
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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use alloc::vec::Vec;

    struct Item {
        number: usize,
        link: Link<Self>,
    }

    // SAFETY: always the same field.
    unsafe impl Linked for Item {
        fn link(&self) -> &Link<Self> {
            &self.link
        }
    }

    impl Drop for Item {
        fn drop(&mut self) {
            if let Some(list) = self.link.end() {
                let _ = list.leave(self);
            }
        }
    }

    #[test]
    fn a_list_holds_what_last_went_through_it_and_is_still_there() {
        const LISTS: usize = 3;
        let lists: [_; LISTS] = core::array::from_fn(|_| Through::<Item>::new());
        // What each list holds, the first to come out first; and where each item last went.
        let mut model: [Vec<usize>; LISTS] = core::array::from_fn(|_| Vec::new());
        let mut items: Vec<(Option<Arc<Item>>, Option<usize>)> = Vec::new();
        let mut seed = 7usize;
        for number in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (list, at) = ((seed >> 33) % LISTS, (seed >> 40) % items.len().max(1));
            match (seed >> 56) % 8 {
                0 | 1 => {
                    let link = Link::new();
                    items.push((
                        Some(Arc::new(Item {
                            number: items.len(),
                            link,
                        })),
                        None,
                    ));
                }
                2..=4 => {
                    let Some((Some(item), last)) = items.get_mut(at) else {
                        continue;
                    };
                    lists[list].enter(item);
                    if *last != Some(list) {
                        model.iter_mut().for_each(|held| held.retain(|n| *n != at));
                        model[list].insert(0, at);
                        *last = Some(list);
                    }
                }
                5 | 6 => {
                    let Some((item, _)) = items.get_mut(at) else {
                        continue;
                    };
                    drop(item.take());
                    model.iter_mut().for_each(|held| held.retain(|n| *n != at));
                }
                _ => {
                    let first = (!model[list].is_empty()).then(|| model[list].remove(0));
                    let popped = lists[list].pop().map(|item| item.number);
                    assert_eq!(popped, first, "step {number}");
                }
            }
        }
        for (list, held) in lists.iter().zip(model) {
            let rest = core::iter::from_fn(|| list.pop().map(|item| item.number));
            assert_eq!(rest.collect::<Vec<_>>(), held);
        }
    }
}
