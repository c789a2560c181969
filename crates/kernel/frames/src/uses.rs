//! One word for every frame: what it is used for, and how many page-table entries of processes name it.
//!
//! The allocator takes nobody's word that a frame may go: one that an entry still names, or that is free already, stays
//! out for good. What lies outside this machine looks at the same words, so their layout is fixed.

use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use sabotage::sabotage;

use crate::FRAME_BYTES;

/// What a frame is used for: the lowest byte of its word. The numbers are read by tools outside the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Use {
    /// Never the allocator's: firmware, devices, holes, the kernel's image.
    Foreign = 0,
    /// The allocator's to hand out.
    Free = 1,
    /// The kernel's own bytes, which no process maps: its heap, its buffers.
    Kernel = 2,
    /// A page table that is no root.
    Table = 3,
    /// The root of an address space.
    Root = 4,
    /// The kernel's own root.
    KernelRoot = 5,
    /// A page of a kernel stack.
    Stack = 6,
    /// Pages of a memory object.
    Object = 7,
    /// A thread's ring and messages.
    Area = 8,
    /// A buffer that a device may be told to use.
    Buffer = 9,
    /// Queues and lists that a device reads and only a broker writes.
    Queue = 10,
    /// Given back while an entry still named it, or given back twice: nobody gets it again.
    Withheld = 11,
}

/// One entry, in a word.
const ENTRY: u32 = 1 << 8;

/// Where the words lie. Its symbol is how a tool outside the machine finds them.
#[repr(C)]
struct FrameWords {
    /// In the direct map.
    first: AtomicPtr<AtomicU32>,
    count: AtomicU64,
    withheld: AtomicU64,
}

#[unsafe(no_mangle)]
static FRAME_WORDS: FrameWords = FrameWords {
    first: AtomicPtr::new(core::ptr::null_mut()),
    count: AtomicU64::new(0),
    withheld: AtomicU64::new(0),
};

/// Bytes of one word.
pub(crate) const WORD_BYTES: usize = size_of::<AtomicU32>();

/// Starts with every frame foreign.
///
/// # Safety
/// `first` is memory for `count` words, 4-byte aligned and nobody else's for good.
pub(crate) unsafe fn initialise(first: *mut AtomicU32, count: usize) {
    for at in 0..count {
        // SAFETY: in range by the caller's promise.
        unsafe { first.add(at).write(AtomicU32::new(0)) };
    }
    FRAME_WORDS.count.store(count as u64, Ordering::Relaxed);
    FRAME_WORDS.first.store(first, Ordering::Release);
}

fn word(frame: u64) -> Option<&'static AtomicU32> {
    if frame >= FRAME_WORDS.count.load(Ordering::Relaxed) {
        return None;
    }
    let first = FRAME_WORDS.first.load(Ordering::Acquire);
    // SAFETY: in range, initialised before the count was seen, and there for good.
    Some(unsafe { &*first.add(frame as usize) })
}

fn words(first: u32, count: u32) -> impl Iterator<Item = &'static AtomicU32> {
    (u64::from(first)..u64::from(first) + u64::from(count)).filter_map(word)
}

/// Notes that an entry of a process is about to name the frame at `physical`. Memory that is not the allocator's has no
/// count.
#[inline]
pub fn entry_made(physical: u64) {
    if let Some(word) = word(physical / FRAME_BYTES) {
        word.fetch_add(ENTRY, Ordering::AcqRel);
    }
}

/// Notes that an entry that named the frame does so no more. A CPU may still know it until the shootdown.
#[inline]
pub fn entry_gone(physical: u64) {
    if let Some(word) = word(physical / FRAME_BYTES) {
        word.fetch_sub(ENTRY, Ordering::AcqRel);
    }
}

/// Gives a run its use, with no entries.
pub(crate) fn begin(first: u32, count: u32, of: Use) {
    for word in words(first, count) {
        word.store(of as u32, Ordering::Release);
    }
}

/// Ends the use of a run. `false`: some frame of it is free, or named by an entry, and all of it is withheld.
pub(crate) fn end(first: u32, count: u32) -> bool {
    let sound = |word: &AtomicU32| {
        let word = word.load(Ordering::Acquire);
        word < ENTRY && !matches!(word as u8, FREE | FOREIGN | WITHHELD)
    };
    if words(first, count).all(sound) || sabotage!(SECOND_REVOKER_GOES_ON) {
        begin(first, count, Use::Free);
        return true;
    }
    for word in words(first, count) {
        let now = word.load(Ordering::Acquire);
        // What is free already is somebody else's by now, or soon.
        if !matches!(now as u8, FREE | FOREIGN | WITHHELD) {
            word.fetch_and(!0xff, Ordering::AcqRel);
            word.fetch_or(u32::from(WITHHELD), Ordering::AcqRel);
            FRAME_WORDS.withheld.fetch_add(1, Ordering::Relaxed);
        }
    }
    false
}

const FOREIGN: u8 = Use::Foreign as u8;
const FREE: u8 = Use::Free as u8;
const WITHHELD: u8 = Use::Withheld as u8;

/// Frames that were withheld so far.
pub(crate) fn withheld() -> u64 {
    FRAME_WORDS.withheld.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;

    fn is(frame: u64, of: Use) -> bool {
        word(frame).is_some_and(|word| word.load(Ordering::Acquire) as u8 == of as u8)
    }

    #[test]
    fn a_frame_that_is_named_or_free_stays_out() {
        let words = Box::leak(std::vec![0u32; 16].into_boxed_slice());
        // SAFETY: leaked, aligned and large enough.
        unsafe { initialise(words.as_mut_ptr().cast(), 16) };
        begin(0, 16, Use::Free);
        begin(4, 4, Use::Object);
        entry_made(5 * FRAME_BYTES);
        entry_made(5 * FRAME_BYTES + 17);
        entry_gone(5 * FRAME_BYTES);
        assert!(!end(4, 4), "one entry is left");
        assert_eq!(withheld(), 4);
        assert!(is(5, Use::Withheld) && is(7, Use::Withheld));
        begin(8, 1, Use::Table);
        assert!(end(8, 1));
        assert!(!end(8, 1), "twice");
        assert!(is(8, Use::Free), "and it is no different");
        assert_eq!(withheld(), 4);
        // Past the end is nobody's, and neither call does harm.
        entry_made(16 * FRAME_BYTES);
        entry_gone(u64::MAX);
        assert!(!is(16, Use::Free));
    }
}
