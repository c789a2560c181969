//! A place for one count of something, for whoever needs it again soon.

use alloc::sync::Arc;
use core::ptr::null_mut;

use crate::atomics::{AtomicPtr, Ordering};

/// Empty, or one count that waits to be taken.
///
/// One thread takes: the one that it belongs to. Anybody puts; in use, that is whoever has ended that thread's one operation in
/// registers, before the thread learns of it. So no exchange is needed: of two who put at once one count could be lost for good, and
/// none could be used twice.
#[derive(Debug)]
pub(crate) struct Kept<T>(AtomicPtr<T>);

impl<T> Default for Kept<T> {
    /// Empty.
    fn default() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }
}

impl<T> Kept<T> {
    /// Takes what is there.
    ///
    /// # Safety
    /// Nobody else takes meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn take(&self) -> Option<Arc<T>> {
        let count = self.0.load(Ordering::Acquire);
        if count.is_null() {
            return None;
        }
        // Who puts meanwhile finds it full until here.
        self.0.store(null_mut(), Ordering::Relaxed);
        // SAFETY: `put` left it, and by the caller's promise this alone took it.
        Some(unsafe { Arc::from_raw(count) })
    }

    /// Puts one in, which comes back where there is one already.
    #[inline(always)]
    pub(crate) fn put(&self, count: Arc<T>) -> Result<(), Arc<T>> {
        if !self.0.load(Ordering::Relaxed).is_null() {
            return Err(count);
        }
        self.0
            .store(Arc::into_raw(count).cast_mut(), Ordering::Release);
        Ok(())
    }
}

impl<T> Drop for Kept<T> {
    fn drop(&mut self) {
        // SAFETY: nobody else has it any more.
        drop(unsafe { self.take() });
    }
}

// SAFETY: it stands for an `Arc`, which is handed over whole.
unsafe impl<T: Send + Sync> Send for Kept<T> {}
// SAFETY: as for Send; what two threads may do at once is said at each function.
unsafe impl<T: Send + Sync> Sync for Kept<T> {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_count_is_kept_and_comes_back_once() {
        let (a, b) = (Arc::new(1), Arc::new(2));
        let kept = Kept::default();
        assert!(kept.put(a.clone()).is_ok());
        assert_eq!(kept.put(b.clone()), Err(b.clone()));
        assert_eq!((Arc::strong_count(&a), Arc::strong_count(&b)), (2, 1));
        // SAFETY: one thread.
        let (first, second) = unsafe { (kept.take(), kept.take()) };
        assert!(first.is_some_and(|first| Arc::ptr_eq(&first, &a)) && second.is_none());
        assert_eq!(Arc::strong_count(&a), 1);
        assert!(kept.put(b.clone()).is_ok());
        drop(kept);
        assert_eq!(Arc::strong_count(&b), 1);
    }
}
