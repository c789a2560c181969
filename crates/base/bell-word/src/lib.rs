//! The word of a bell: 64 bits that are rung and taken, and which of them somebody waits for.
//!
//! Invariant: it never loses a bit: one that was rung is taken once, or is still there. Ringing never takes a lock.
//!
//! Who rings sets bits and looks whether anybody asked for one of them. Who is about to wait states what it asks for and
//! looks a second time. Each does its own half first, with a fence between the halves: so the bits are seen by who waits,
//! or the question by who rings, or both, and whoever is to be woken is.
#![no_std]
#![forbid(unsafe_code)]

use core::sync::atomic::Ordering;
#[cfg(not(loom))]
use core::sync::atomic::{AtomicU64, fence};
#[cfg(loom)]
use loom::sync::atomic::{AtomicU64, fence};

use sabotage::sabotage;

/// Whether anybody may be waiting for what was rung.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "who waits stays asleep"]
pub enum Rung {
    /// Nobody: the bits stay until they are taken.
    Unheard,
    /// Somebody asked for one of them: look who, and wake it.
    Awaited,
}

/// What was rung and not taken, and what is waited for.
#[derive(Debug, Default)]
pub struct BellWord {
    rung: AtomicU64,
    wanted: AtomicU64,
}

impl BellWord {
    /// Nothing was rung, nobody waits.
    #[must_use]
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self {
            rung: AtomicU64::new(0),
            wanted: AtomicU64::new(0),
        }
    }

    /// Sets bits.
    #[inline]
    pub fn ring(&self, bits: u64) -> Rung {
        self.rung.fetch_or(bits, Ordering::AcqRel);
        // Either the second look of who waits finds the bits, or its question is seen here.
        fence(Ordering::SeqCst);
        if self.is_awaited(bits) {
            Rung::Awaited
        } else {
            Rung::Unheard
        }
    }

    /// Whether somebody is known to wait for one of the bits: a look, and no more.
    #[inline]
    pub fn is_awaited(&self, bits: u64) -> bool {
        self.wanted.load(Ordering::Relaxed) & bits != 0
    }

    /// Takes those of `mask` that were rung.
    #[inline]
    pub fn take(&self, mask: u64) -> u64 {
        if self.rung.load(Ordering::Relaxed) & mask == 0 {
            return 0;
        }
        self.rung.fetch_and(!mask, Ordering::AcqRel) & mask
    }

    /// States that all who wait, the newcomer among them, wait for `wanted`, and takes what was rung of the newcomer's
    /// `mask`: the second look. 0: nothing was, and whoever rings will see the question. The caller holds the lock of the
    /// list of those who wait.
    pub fn ask(&self, wanted: u64, mask: u64) -> u64 {
        self.wanted.store(wanted | mask, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if sabotage!(BELL_SKIP_SECOND_LOOK) {
            return 0;
        }
        self.take(mask)
    }

    /// States what those who are left wait for. The caller holds the lock of their list.
    pub fn leave(&self, wanted: u64) {
        self.wanted.store(wanted, Ordering::Relaxed);
    }
}
