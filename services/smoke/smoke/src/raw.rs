//! The calling thread's area, without the care that `rt` takes: for smokes that break the rules, or count what the
//! kernel does.
//!
//! `rt` takes its pieces from the front of the message area; what is written here lies behind [`SAFE_OFFSET`], where
//! a smoke has nothing of `rt`'s.

use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

use ring_abi::{AreaHeader, COMPLETION_BYTES, Completion, SUBMISSION_BYTES, Submission};
use rt::sys::{self, Operation, Outcome};

/// Where the part of the first thread's message area begins that `rt` does not reach in a smoke.
pub const SAFE_OFFSET: u32 = 48 * 1024;

/// The head of the calling thread's area.
pub fn header() -> *mut AreaHeader {
    let address: *mut AreaHeader;
    // SAFETY: the kernel points the FS base of every thread at its area, whose first word is its own address.
    unsafe {
        asm!("mov {}, fs:[0]", out(reg) address, options(nostack, preserves_flags, readonly))
    };
    address
}

/// A place in the calling thread's message area.
pub fn message(offset: u32) -> *mut u64 {
    // SAFETY: the kernel wrote the header before the thread ran.
    let start = unsafe { (*header()).message_offset };
    header()
        .cast::<u8>()
        .wrapping_add(start as usize + offset as usize)
        .cast()
}

/// The span of the last `bytes` bytes of the message area.
pub fn end_of_messages(bytes: u32) -> u64 {
    // SAFETY: the kernel wrote the header before the thread ran.
    let length = unsafe { (*header()).message_bytes };
    ring_abi::span(length - bytes, bytes)
}

/// Writes a word into the message area.
pub fn put(offset: u32, word: u64) {
    // SAFETY: inside this thread's own area for the offsets that smokes use.
    unsafe { message(offset).write_volatile(word) };
}

/// Reads a word of the message area.
pub fn get(offset: u32) -> u64 {
    // SAFETY: as in `put`.
    unsafe { message(offset).read_volatile() }
}

fn index(field: *mut u32) -> &'static AtomicU32 {
    // SAFETY: a field of the calling thread's area, which lives as long as the thread.
    unsafe { AtomicU32::from_ptr(field) }
}

/// Submissions made, the program's index.
pub fn submission_tail() -> &'static AtomicU32 {
    // SAFETY: only the address is taken.
    index(unsafe { &raw mut (*header()).submission_tail })
}

/// Submissions taken, the kernel's index.
pub fn submission_head() -> &'static AtomicU32 {
    // SAFETY: only the address is taken.
    index(unsafe { &raw mut (*header()).submission_head })
}

/// Completions consumed, the program's index.
pub fn completion_head() -> &'static AtomicU32 {
    // SAFETY: only the address is taken.
    index(unsafe { &raw mut (*header()).completion_head })
}

/// Completions posted, the kernel's index.
pub fn completion_tail() -> &'static AtomicU32 {
    // SAFETY: only the address is taken.
    index(unsafe { &raw mut (*header()).completion_tail })
}

/// Where a submission lies: the slot that free-running index `at` uses.
pub fn submission_slot(at: u32) -> *mut [u64; 8] {
    // SAFETY: the kernel wrote the header before the thread ran.
    let (count, start) = unsafe { ((*header()).submissions, (*header()).submission_offset) };
    let byte = start as usize + (at % count) as usize * SUBMISSION_BYTES;
    header().cast::<u8>().wrapping_add(byte).cast()
}

/// Puts a submission into the ring.
pub fn submit(submission: Submission) {
    let tail = submission_tail().load(Ordering::Relaxed);
    // SAFETY: a slot of this thread's ring.
    unsafe { submission_slot(tail).write_volatile(submission.to_words()) };
    submission_tail().store(tail.wrapping_add(1), Ordering::Release);
}

/// Enters the kernel for the ring; how many completions are there.
pub fn enter(wanted: u16, deadline_ns: u64) -> u64 {
    sys::enter_ring(wanted, deadline_ns)
}

/// Takes the next completion.
pub fn completion() -> Option<Completion> {
    let head = completion_head().load(Ordering::Relaxed);
    if head == completion_tail().load(Ordering::Acquire) {
        return None;
    }
    // SAFETY: the kernel wrote the header before the thread ran.
    let (count, start) = unsafe { ((*header()).submissions * 2, (*header()).completion_offset) };
    let byte = start as usize + (head % count) as usize * COMPLETION_BYTES;
    // SAFETY: a slot that the kernel filled before it moved the tail.
    let words = unsafe {
        header()
            .cast::<u8>()
            .wrapping_add(byte)
            .cast::<[u64; 4]>()
            .read_volatile()
    };
    completion_head().store(head.wrapping_add(1), Ordering::Release);
    let [user_data, status, cookie, reply] = words;
    Some(Completion {
        user_data,
        status,
        cookie,
        reply,
    })
}

/// Performs one operation in registers.
pub fn operate(operation: &Operation) -> Outcome {
    sys::operate(operation)
}

/// Submits `submission` again and again, as long as there is room in the ring, until the kernel takes no more of them.
/// How many it took, and how many were submitted.
pub fn flood(submission: Submission, most: u32) -> (u32, u32) {
    // SAFETY: the kernel wrote the header before the thread ran.
    let room = unsafe { (*header()).submissions };
    let start = submission_head().load(Ordering::Acquire);
    let mut submitted = 0;
    loop {
        let taken = submission_head()
            .load(Ordering::Acquire)
            .wrapping_sub(start);
        let mut added = 0;
        while submitted < most && submitted - taken < room {
            submit(submission);
            submitted += 1;
            added += 1;
        }
        enter(0, ring_abi::NEVER);
        let now = submission_head()
            .load(Ordering::Acquire)
            .wrapping_sub(start);
        if added == 0 && now == taken {
            return (now, submitted);
        }
    }
}
