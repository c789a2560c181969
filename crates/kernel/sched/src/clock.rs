//! Monotonic nanoseconds from the TSC.

use core::sync::atomic::{AtomicU64, Ordering};

/// The time that never comes.
pub const NEVER: u64 = u64::MAX;

static BASE: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per tick, times 2^32; until the clock starts, no time passes.
static SCALE: AtomicU64 = AtomicU64::new(0);
static HZ: AtomicU64 = AtomicU64::new(1_000_000_000);

/// Starts the clock at zero with a TSC of `hz` ticks per second.
pub fn initialise(hz: u64) {
    let hz = hz.max(1_000_000);
    HZ.store(hz, Ordering::Relaxed);
    SCALE.store(
        ((1_000_000_000u128 << 32) / u128::from(hz)) as u64,
        Ordering::Relaxed,
    );
    BASE.store(cpu::read_tsc(), Ordering::Relaxed);
}

/// TSC ticks per second.
pub fn tsc_hz() -> u64 {
    HZ.load(Ordering::Relaxed)
}

/// Converts a count of ticks.
pub fn tsc_to_ns(ticks: u64) -> u64 {
    ((u128::from(ticks) * u128::from(SCALE.load(Ordering::Relaxed))) >> 32) as u64
}

/// Nanoseconds since the clock started.
pub fn now_ns() -> u64 {
    tsc_to_ns(cpu::read_tsc().wrapping_sub(BASE.load(Ordering::Relaxed)))
}
