//! What the threads of one process know together: handles, and numbers that answers gave.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::random::Random;

const HANDLES: usize = 96;
const VALUES: usize = 48;
/// Handles that a process starts with, at most.
const OWN: usize = 24;
/// The kind of a handle that answers a call.
pub const REPLY: u64 = 1;

static HANDLE: [AtomicU64; HANDLES] = [const { AtomicU64::new(0) }; HANDLES];
static KIND: [AtomicU64; HANDLES] = [const { AtomicU64::new(0) }; HANDLES];
static VALUE: [AtomicU64; VALUES] = [const { AtomicU64::new(0) }; VALUES];
/// Where something is mapped, or was.
static ADDRESS: [AtomicU64; VALUES] = [const { AtomicU64::new(0) }; VALUES];

/// What the process started with. It is handed out as a copy and never released: without it the attack would soon be over.
static START: [AtomicU64; OWN] = [const { AtomicU64::new(0) }; OWN];

/// Notes a handle that the process started with.
pub fn note_own(handle: u64) {
    let free = START.iter().find(|own| own.load(Ordering::Relaxed) == 0);
    if let Some(place) = free {
        place.store(handle, Ordering::Relaxed);
    }
}

/// Whether the process started with this handle.
pub fn is_own(handle: u64) -> bool {
    START
        .iter()
        .any(|own| own.load(Ordering::Relaxed) == handle)
}

/// Releases a handle that the process did not start with.
pub fn release(handle: u64) {
    if !is_own(handle) {
        rt::sys::release(handle);
    }
}

/// A handle and the interface it serves.
#[derive(Clone, Copy)]
pub struct Held {
    pub handle: u64,
    pub kind: u64,
}

/// Keeps a handle. What had its place is released, most of the time.
pub fn keep(random: &mut Random, held: Held) {
    let free = HANDLE.iter().position(|h| h.load(Ordering::Relaxed) == 0);
    let at = free.unwrap_or_else(|| random.index(HANDLES));
    KIND[at].store(held.kind, Ordering::Relaxed);
    let old = HANDLE[at].swap(held.handle, Ordering::AcqRel);
    if old != 0 && !random.one_in(8) {
        release(old);
    }
}

/// Some handle, preferably of an interface.
pub fn any(random: &mut Random, kind: Option<u64>) -> Held {
    let start = random.index(HANDLES);
    let mut other = Held { handle: 0, kind: 0 };
    for step in 0..HANDLES {
        let at = (start + step) % HANDLES;
        let held = Held {
            handle: HANDLE[at].load(Ordering::Acquire),
            kind: KIND[at].load(Ordering::Relaxed),
        };
        if held.handle == 0 {
            continue;
        }
        if kind.is_none_or(|kind| kind == held.kind) {
            return held;
        }
        other = held;
    }
    other
}

/// Forgets a handle and gives it.
pub fn take(random: &mut Random, kind: Option<u64>) -> u64 {
    let held = any(random, kind);
    for place in &HANDLE {
        if place.load(Ordering::Relaxed) == held.handle {
            place.store(0, Ordering::Release);
        }
    }
    held.handle
}

/// Notes a number that an answer gave.
pub fn note(random: &mut Random, value: u64) {
    VALUE[random.index(VALUES)].store(value, Ordering::Relaxed);
}

/// A number that some answer gave.
pub fn noted(random: &mut Random) -> u64 {
    VALUE[random.index(VALUES)].load(Ordering::Relaxed)
}

/// Notes an address that an answer gave.
pub fn note_address(random: &mut Random, value: u64) {
    ADDRESS[random.index(VALUES)].store(value, Ordering::Relaxed);
}

/// An address that some answer gave; 0 where there was none.
pub fn address(random: &mut Random) -> u64 {
    let start = random.index(VALUES);
    (0..VALUES)
        .map(|step| ADDRESS[(start + step) % VALUES].load(Ordering::Relaxed))
        .find(|value| *value != 0)
        .unwrap_or(0)
}
