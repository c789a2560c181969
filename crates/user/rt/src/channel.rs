//! Values from one thread of a process to another, in order.

use alloc::collections::VecDeque;
use alloc::sync::Arc;

use crate::sync::{Condvar, Mutex};

struct State<T> {
    waiting: VecDeque<T>,
    /// How many may wait; a channel without a bound has none.
    most: Option<usize>,
    senders: usize,
    is_read: bool,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    /// Something came, or the last sender went.
    came: Condvar,
    /// Something was taken, or the receiver went.
    taken: Condvar,
}

/// A channel whose senders wait while `most` values are on their way, at least one. What it may hold is taken from the heap
/// now: sending allocates nothing.
pub fn channel<T>(most: usize) -> (Sender<T>, Receiver<T>) {
    let most = most.max(1);
    make(VecDeque::with_capacity(most), Some(most))
}

/// A channel whose senders never wait. It takes from the heap what lies in it.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    make(VecDeque::new(), None)
}

fn make<T>(waiting: VecDeque<T>, most: Option<usize>) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        state: Mutex::new(State {
            waiting,
            most,
            senders: 1,
            is_read: true,
        }),
        came: Condvar::new(),
        taken: Condvar::new(),
    });
    (Sender(Arc::clone(&shared)), Receiver(shared))
}

/// Puts values in; a clone puts into the same channel.
pub struct Sender<T>(Arc<Shared<T>>);

/// Takes values out.
pub struct Receiver<T>(Arc<Shared<T>>);

impl<T> Sender<T> {
    /// Puts a value in, waiting for room.
    ///
    /// # Errors
    /// The value, when the receiver is gone.
    pub fn send(&self, value: T) -> Result<(), T> {
        let mut state = self.0.state.lock();
        loop {
            if !state.is_read {
                return Err(value);
            }
            if state.most.is_none_or(|most| state.waiting.len() < most) {
                break;
            }
            state = self.0.taken.wait(state);
        }
        state.waiting.push_back(value);
        drop(state);
        self.0.came.notify_one();
        Ok(())
    }
}

impl<T> Receiver<T> {
    /// Takes the oldest value, waiting for one; `None` when there is none and no sender is left.
    pub fn receive(&self) -> Option<T> {
        let mut state = self.0.state.lock();
        loop {
            if let Some(value) = state.waiting.pop_front() {
                drop(state);
                self.0.taken.notify_one();
                return Some(value);
            }
            if state.senders == 0 {
                return None;
            }
            state = self.0.came.wait(state);
        }
    }

    /// Takes the oldest value if there is one.
    pub fn try_receive(&self) -> Option<T> {
        let value = self.0.state.lock().waiting.pop_front()?;
        self.0.taken.notify_one();
        Some(value)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.state.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.senders -= 1;
        let last = state.senders == 0;
        drop(state);
        if last {
            self.0.came.notify_all();
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.is_read = false;
        // Nobody will take them; what they hold goes now and not with the last sender.
        let left = core::mem::take(&mut state.waiting);
        drop(state);
        drop(left);
        self.0.taken.notify_all();
    }
}

impl<T> core::fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sender")
    }
}

impl<T> core::fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Receiver")
    }
}

#[cfg(test)]
mod tests {
    use super::{channel, unbounded};
    use std::thread;
    use std::vec::Vec;

    #[test]
    fn values_arrive_in_order_and_the_end_is_seen() {
        let (sender, receiver) = channel(2);
        let other = sender.clone();
        let thread = thread::spawn(move || {
            for number in 0..100 {
                sender.send(number).unwrap();
            }
        });
        drop(other);
        let mut all = Vec::new();
        while let Some(number) = receiver.receive() {
            all.push(number);
        }
        thread.join().unwrap();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_sender_without_a_receiver_gets_its_value_back() {
        let (sender, receiver) = unbounded();
        sender.send(1).unwrap();
        assert_eq!(receiver.try_receive(), Some(1));
        assert_eq!(receiver.try_receive(), None);
        drop(receiver);
        assert_eq!(sender.send(2), Err(2));
    }

    #[test]
    fn a_sender_that_waits_for_room_wakes_when_the_receiver_goes() {
        let (sender, receiver) = channel(1);
        sender.send(1).unwrap();
        let thread = thread::spawn(move || sender.send(2));
        thread::sleep(std::time::Duration::from_millis(20));
        drop(receiver);
        assert_eq!(thread.join().unwrap(), Err(2));
    }
}
