//! What others do while long work lets them go first, or while a fact is stated.

use std::sync::{Arc, Mutex};

pub type Act = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    count: u64,
    next: Option<(u32, Act)>,
}

/// The looks of long work; or each time that a fact is stated.
#[derive(Clone, Default)]
pub struct Looks(Arc<Mutex<State>>);

impl Looks {
    /// Times that others could go first.
    pub fn count(&self) -> u64 {
        self.0.lock().unwrap().count
    }

    /// What they do at the last of the next so many times.
    pub fn at(&self, number: u32, act: impl FnOnce() + Send + 'static) {
        self.0.lock().unwrap().next = Some((number, Box::new(act)));
    }

    pub fn look(&self) {
        let mut state = self.0.lock().unwrap();
        state.count += 1;
        let next = state.next.take();
        match next.map(|(left, act)| (left - 1, act)) {
            Some((0, act)) => {
                drop(state);
                act();
            }
            left => state.next = left,
        }
    }
}
