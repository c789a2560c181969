//! Call objects of a thread, to be used again: those that are idle, and all that there are.

use alloc::sync::Arc;
use alloc::vec::Vec;

use cpu::Lock;
use frames::Grow;

/// Objects that are made once and used again and again.
#[derive(Debug)]
pub(crate) struct Pool<T>(Lock<Objects<T>>);

#[derive(Debug)]
struct Objects<T> {
    free: Vec<Arc<T>>,
    all: Vec<Arc<T>>,
}

impl<T> Pool<T> {
    /// None yet.
    pub(crate) const fn new() -> Self {
        Self(Lock::new(Objects {
            free: Vec::new(),
            all: Vec::new(),
        }))
    }

    /// One that is idle.
    #[inline(always)]
    pub(crate) fn take(&self) -> Option<Arc<T>> {
        self.0.lock().free.pop()
    }

    /// One that `make` makes, which takes `bytes` at most. `None`: there are more than `most`, or there is no memory.
    pub(crate) fn make(&self, most: usize, bytes: u64, make: fn() -> Arc<T>) -> Option<Arc<T>> {
        let mut pool = self.0.lock();
        if pool.all.len() > most {
            return None;
        }
        // Grows to the most that were ever in use at once, and stays there. `make` itself has no way to be refused.
        frames::refusable(|| pool.all.try_reserve(1)).ok()?;
        let room = pool.all.len() + 1 - pool.free.len();
        frames::refusable(|| pool.free.try_reserve(room)).ok()?;
        let object = frames::with_room(bytes, make).ok()?;
        pool.all.put(object.clone()).ok()?;
        Some(object)
    }

    /// Takes one back.
    #[inline(always)]
    pub(crate) fn put(&self, object: Arc<T>) {
        // Room was reserved when it was made.
        let kept = self.0.lock().free.put(object);
        debug_assert!(kept.is_ok(), "each has its place in the pool");
    }

    /// Takes one out for good, idle or not, at the end of whoever has them.
    pub(crate) fn remove(&self) -> Option<Arc<T>> {
        let mut pool = self.0.lock();
        pool.free.pop().or_else(|| pool.all.pop())
    }

    /// All of them, one by one from the one at `first`: none is taken out before the end.
    pub(crate) fn all(&self, first: usize) -> impl Iterator<Item = Arc<T>> {
        (first..).map_while(|at| self.0.lock().all.get(at).cloned())
    }
}
