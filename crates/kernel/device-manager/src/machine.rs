//! What all functions share: the platform below, configuration space, vectors and lines.

use alloc::boxed::Box;
use core::sync::atomic::AtomicBool;

use cpu::Lock;
use pci_format::ConfigAccess;
use sabotage::sabotage;

use crate::Platform;
use crate::interrupt::lines::Lines;
use crate::interrupt::vectors::VectorTable;

/// Configuration space, behind the one lock that serialises it.
pub(crate) type SharedConfig = Lock<Box<dyn ConfigAccess + Send>>;

/// What no single function owns. It knows of no function.
pub(crate) struct Machine<P: Platform> {
    pub(crate) platform: P,
    pub(crate) config: SharedConfig,
    /// What is behind each vector of each CPU.
    pub(crate) vectors: VectorTable,
    pub(crate) lines: Lines,
    /// The machine is shutting down: nobody claims any more.
    pub(crate) closed: AtomicBool,
}

impl<P: Platform> Machine<P> {
    pub(crate) fn new(platform: P, config: Box<dyn ConfigAccess + Send>) -> Self {
        Self {
            platform,
            config: Lock::new(config),
            vectors: VectorTable::new(),
            lines: Lines::default(),
            closed: AtomicBool::new(false),
        }
    }

    /// Wipes some frames, from page `from` on. Gives where to go on; `None` after the last.
    pub(crate) fn scrub(&self, frames: &mut P::Frames, from: usize) -> Option<usize> {
        if sabotage!(SKIP_SCRUB) {
            return None;
        }
        self.platform.scrub(frames, from)
    }

    /// Takes zeroed frames back, with looks. No lock is held.
    pub(crate) fn free(&self, frames: P::Frames) {
        let mut left = Some(frames);
        while let Some(frames) = left {
            left = self.platform.free(frames);
            self.platform.look();
        }
    }
}
