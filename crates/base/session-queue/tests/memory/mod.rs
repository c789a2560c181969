//! The shared memory of the tests: words that anybody may write, and a hook at a store.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering;

use session_queue::Memory;

/// What happens, once, right before a word is stored.
type Hook = Box<dyn FnOnce()>;

/// Words that both ends share.
#[derive(Clone)]
pub struct Shared {
    words: Rc<Vec<Cell<u64>>>,
    hook: Rc<RefCell<Option<(usize, Hook)>>>,
}

impl Shared {
    pub fn new(words: usize) -> Self {
        Self {
            words: Rc::new(vec![Cell::new(0); words]),
            hook: Rc::default(),
        }
    }

    /// Does something right before `word` is stored the next time.
    pub fn before_store(&self, word: usize, hook: impl FnOnce() + 'static) {
        *self.hook.borrow_mut() = Some((word, Box::new(hook)));
    }

    /// What the other end may do at any time.
    pub fn set(&self, word: usize, value: u64) {
        self.words[word].set(value);
    }
}

impl Memory for Shared {
    fn words(&self) -> usize {
        self.words.len()
    }

    fn load(&self, word: usize, _: Ordering) -> u64 {
        self.words[word].get()
    }

    fn store(&self, word: usize, value: u64, _: Ordering) {
        let hook = self.hook.borrow_mut().take_if(|(at, _)| *at == word);
        if let Some((_, hook)) = hook {
            hook();
        }
        self.words[word].set(value);
    }

    fn fence(&self) {}
}
