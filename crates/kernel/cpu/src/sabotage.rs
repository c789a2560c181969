//! Which sabotage point was chosen. Exists in the sabotage kernel alone.

use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

static POINT: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Chooses the point, at boot.
pub fn choose(point: &'static str) {
    LENGTH.store(point.len(), Ordering::Relaxed);
    POINT.store(point.as_ptr().cast_mut(), Ordering::Release);
}

/// Whether `point` was chosen.
pub fn sabotaged(point: &str) -> bool {
    chosen() == Some(point)
}

/// The point that was chosen.
pub fn chosen() -> Option<&'static str> {
    let at = POINT.load(Ordering::Acquire);
    if at.is_null() {
        return None;
    }
    // SAFETY: `choose` stored a `&'static str`, length first.
    let chosen = unsafe { core::slice::from_raw_parts(at, LENGTH.load(Ordering::Relaxed)) };
    core::str::from_utf8(chosen).ok()
}
