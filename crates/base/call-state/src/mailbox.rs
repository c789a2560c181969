//! Where a thread finds the result of the one operation that it waits for.

#[cfg(not(loom))]
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(loom)]
use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Words of a result.
pub const RESULT_WORDS: usize = 7;

/// A result on its way to the thread that waits for it, without a lock: that thread waits for one operation at a time, and
/// whoever ended the operation is the only one who writes. So there is one writer, and it writes before it wakes the reader.
///
/// A second writer, which the state of a call excludes, could mix two results; it could not break memory.
#[derive(Debug)]
pub struct Mailbox {
    words: [AtomicU64; RESULT_WORDS],
    is_full: AtomicBool,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            words: core::array::from_fn(|_| AtomicU64::new(0)),
            is_full: AtomicBool::new(false),
        }
    }
}

impl Mailbox {
    /// Leaves a result. Whoever has ended the operation does, once.
    #[inline(always)]
    pub fn put(&self, result: [u64; RESULT_WORDS]) {
        for (place, word) in self.words.iter().zip(result) {
            place.store(word, Ordering::Relaxed);
        }
        self.is_full.store(true, Ordering::Release);
    }

    /// Takes the result out, if it is there. The thread that waits does, before it begins the next operation.
    #[inline(always)]
    pub fn take(&self) -> Option<[u64; RESULT_WORDS]> {
        if !self.is_full.load(Ordering::Acquire) {
            return None;
        }
        let mut result = [0; RESULT_WORDS];
        for (place, word) in self.words.iter().zip(&mut result) {
            *word = place.load(Ordering::Relaxed);
        }
        // The next writer learns of the next operation from this thread, through a lock, after this.
        self.is_full.store(false, Ordering::Relaxed);
        Some(result)
    }
}
