//! Endpoints that a thread is closing. A call that ends may hold the last handle of another endpoint, and calls queued
//! there of a third: they are closed one after the other, because a kernel stack is short.

use alloc::sync::Arc;
use alloc::vec::Vec;

use cpu::Lock;
use frames::Grow;

/// What one thread is closing.
#[derive(Debug)]
pub(crate) struct Closing<T>(Lock<Work<T>>);

#[derive(Debug)]
struct Work<T> {
    busy: bool,
    next: Vec<Arc<T>>,
}

impl<T> Work<T> {
    /// Puts one among those to be closed, at the kernel's cost: whose it was may have ended.
    ///
    /// # Errors
    /// It comes back where there is no memory.
    fn put_off(&mut self, one: Arc<T>) -> Result<(), Arc<T>> {
        let _kernel = frames::paid_by_kernel();
        if self.next.len() == self.next.capacity() && self.next.grow(1).is_err() {
            return Err(one);
        }
        self.next.put(one)
    }
}

impl<T> Closing<T> {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self(Lock::new(Work {
            busy: false,
            next: Vec::new(),
        }))
    }

    /// Closes `one`, and whatever that leads to; what is closed meanwhile is left to whoever closes already. Where there is no
    /// memory to put it off, it is closed where it stands.
    pub(crate) fn close(&self, one: &Arc<T>, close: impl Fn(&T)) {
        {
            let mut work = self.0.lock();
            if let Err(one) = work.put_off(one.clone()) {
                drop(work);
                return close(&one);
            }
            if core::mem::replace(&mut work.busy, true) {
                return;
            }
        }
        loop {
            let next = {
                let mut work = self.0.lock();
                let next = work.next.pop();
                work.busy = next.is_some();
                next
            };
            let Some(one) = next else { break };
            close(&one);
        }
    }
}
