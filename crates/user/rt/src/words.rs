//! Memory shared with the kernel or another process, as words of 8 bytes.

use alloc::rc::Rc;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use session_queue::Memory;
use stub::Refusal;

use crate::{Access, Window};

/// A window over memory in which two sides keep a queue. Each word is read and written whole, and never referred to.
#[derive(Clone, Debug)]
pub struct Words {
    base: *const AtomicU64,
    words: usize,
    /// Keeps it mapped.
    _window: Rc<Window>,
}

impl Words {
    /// The words of a window that is mapped for writing.
    ///
    /// # Errors
    /// [`Refusal::ReadOnly`] for one that is not.
    pub fn of(window: Window) -> Result<Self, Refusal> {
        if window.access() == Access::Read {
            return Err(Refusal::ReadOnly);
        }
        let words = usize::try_from(window.len() / 8).map_err(|_| Refusal::OutOfRange)?;
        Ok(Self {
            base: window.start().cast(),
            words,
            _window: Rc::new(window),
        })
    }
}

impl Memory for Words {
    #[inline]
    fn words(&self) -> usize {
        self.words
    }

    #[inline]
    fn load(&self, word: usize, order: Ordering) -> u64 {
        if word >= self.words {
            return 0;
        }
        // SAFETY: below the end of a mapping that is page-aligned and lives as long as `self`; whoever else writes the word
        // meanwhile does so in one piece.
        unsafe { (*self.base.add(word)).load(order) }
    }

    #[inline]
    fn store(&self, word: usize, value: u64, order: Ordering) {
        if word < self.words {
            // SAFETY: as for `load`, and mapped for writing.
            unsafe { (*self.base.add(word)).store(value, order) };
        }
    }

    #[inline]
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}
