//! Endpoints that a thread is closing. A call that ends may hold the last handle of another endpoint, and calls queued
//! there of a third: they are closed one after the other, because a kernel stack is short. So are those whose notices it gives out.

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
    pub(crate) fn close(&self, one: &Arc<T>, close: impl Fn(&Arc<T>)) {
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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use core::cell::{Cell, RefCell};

    /// One that leads to two others, down to the last.
    struct Node(u32);

    #[test]
    fn what_closing_leads_to_is_closed_after_it_and_never_within_it() {
        const LAST: u32 = 1000;
        let closing = Closing::<Node>::new();
        let (depth, closed) = (Cell::new(0), RefCell::new(Vec::new()));
        let close = |node: &Arc<Node>| {
            assert_eq!(depth.replace(1), 0, "one within another");
            closed.borrow_mut().push(node.0);
            for next in [2 * node.0, 2 * node.0 + 1] {
                if next <= LAST {
                    closing.close(&Arc::new(Node(next)), |_| panic!("somebody closes already"));
                }
            }
            depth.set(0);
        };
        closing.close(&Arc::new(Node(1)), close);
        let mut all = closed.into_inner();
        all.sort_unstable();
        assert!(all.into_iter().eq(1..=LAST));
        closing.close(&Arc::new(Node(LAST + 1)), |node| {
            assert_eq!(node.0, LAST + 1)
        });
    }
}
