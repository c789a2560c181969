//! How many interrupts of devices arrived at each CPU.

use core::sync::atomic::{AtomicU64, Ordering};

use cpu::MAX_CPUS;

/// What arrived at one CPU.
pub struct Counts {
    pub device: AtomicU64,
    pub spurious: AtomicU64,
    pub unowned: AtomicU64,
}

static COUNTS: [Counts; MAX_CPUS] = [const {
    Counts {
        device: AtomicU64::new(0),
        spurious: AtomicU64::new(0),
        unowned: AtomicU64::new(0),
    }
}; MAX_CPUS];

/// Interrupts of devices that arrived at one CPU.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrivals {
    /// Raised by a source that somebody holds, or by the console.
    pub device: u64,
    /// Spurious interrupts of the local APIC.
    pub spurious: u64,
    /// On a vector that nobody owns.
    pub unowned: u64,
}

/// What arrived at CPU `cpu`; `None` for one that the kernel has no place for.
pub fn at(cpu: usize) -> Option<Arrivals> {
    let counts = COUNTS.get(cpu)?;
    Some(Arrivals {
        device: counts.device.load(Ordering::Relaxed),
        spurious: counts.spurious.load(Ordering::Relaxed),
        unowned: counts.unowned.load(Ordering::Relaxed),
    })
}

/// Counts one interrupt of this CPU.
pub fn count(which: fn(&Counts) -> &AtomicU64) {
    if let Some(counts) = COUNTS.get(cpu::index()) {
        which(counts).fetch_add(1, Ordering::Relaxed);
    }
}
