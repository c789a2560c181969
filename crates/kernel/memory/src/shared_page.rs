//! A page that the kernel and a process write in turn, word by word.

use alloc::sync::Arc;
use core::sync::atomic::{Ordering, fence};

use mmio::SharedBytes;
use ring_abi::Refusal;
use session_queue::Memory;

use crate::MemoryObject;

/// The kernel's side of one page, which it holds as long as it looks at it.
#[derive(Clone, Debug)]
pub struct SharedPage {
    object: Arc<MemoryObject>,
    /// Of the object's only page, which goes with the object.
    bytes: SharedBytes,
}

impl SharedPage {
    /// A zeroed page, which who pays on this CPU pays for.
    ///
    /// # Errors
    /// `OverBudget`, `NoMemory`.
    pub fn new() -> Result<Self, Refusal> {
        let object = MemoryObject::new(1)?;
        let bytes = object.view(0)?;
        Ok(Self { object, bytes })
    }

    /// The page, for processes to map.
    pub const fn object(&self) -> &Arc<MemoryObject> {
        &self.object
    }
}

impl Memory for SharedPage {
    #[inline]
    fn words(&self) -> usize {
        self.bytes.len() / 8
    }

    #[inline(always)]
    fn load(&self, word: usize, order: Ordering) -> u64 {
        // Whoever lays something out in it stays below `words`.
        self.bytes.word(word, order).unwrap_or(0)
    }

    #[inline(always)]
    fn store(&self, word: usize, value: u64, order: Ordering) {
        self.bytes.set_word(word, value, order);
    }

    #[inline]
    fn fence(&self) {
        fence(Ordering::SeqCst);
    }
}
