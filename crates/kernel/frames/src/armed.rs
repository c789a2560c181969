//! The one charge or allocation that the sabotage kernel refuses.
//!
//! While the machine boots every one counts, whoever pays; later those that programs cause.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use sabotage::sabotage;

/// How many there are until then, it included; 0: none is refused.
static LEFT: AtomicU64 = AtomicU64::new(0);
/// Whether the first process runs.
static BOOTED: AtomicBool = AtomicBool::new(false);
/// How many there were before it did.
static AT_BOOT: AtomicU64 = AtomicU64::new(0);

/// Refuses the `at`th from now on; 0: none. How many were left of what was asked for before.
pub fn arm(at: u64) -> u64 {
    LEFT.swap(at, Ordering::Relaxed)
}

/// The first process is about to run. How many charges and allocations there were until now.
pub fn end_boot() -> u64 {
    BOOTED.store(true, Ordering::Relaxed);
    AT_BOOT.load(Ordering::Relaxed)
}

fn count() -> bool {
    LEFT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(1)
    }) == Ok(1)
}

/// Whether what a program causes is the one that is refused.
pub(crate) fn is_this_one() -> bool {
    let after_boot = sabotage!(FAIL_BOOT_ALLOC) && BOOTED.load(Ordering::Relaxed);
    (sabotage!(FAIL_ALLOC) || after_boot) && count()
}

/// Whether what happens at boot is, whoever pays.
pub(crate) fn is_this_one_at_boot() -> bool {
    if !sabotage!(FAIL_BOOT_ALLOC) || BOOTED.load(Ordering::Relaxed) {
        return false;
    }
    AT_BOOT.fetch_add(1, Ordering::Relaxed);
    count()
}
