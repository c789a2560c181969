//! Threads on processors of their choice.

use core::sync::atomic::{AtomicU32, Ordering};

use sdk::process::thread_spawner::Shape;
use sdk::{JoinHandle, Refusal, ThreadOptions, spawn_thread};

/// Starts a thread that runs on processor `cpu` alone.
///
/// # Errors
/// The kernel's.
pub fn pinned<T: Send + 'static>(
    cpu: i16,
    body: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Refusal> {
    let default = ThreadOptions::default();
    let shape = Shape {
        cpu,
        ..default.shape
    };
    spawn_thread(ThreadOptions { shape, ..default }, body)
}

/// The number of the processor that this runs on, by what the processor says itself: the initial APIC id (Intel SDM
/// vol. 2, CPUID leaf 1, EBX bits 31 to 24).
pub fn here() -> u8 {
    (core::arch::x86_64::__cpuid(1).ebx >> 24) as u8
}

/// Where threads that are about to race wait for each other, spinning: none leaves its processor.
#[derive(Debug, Default)]
pub struct Race {
    ready: AtomicU32,
}

impl Race {
    /// Nobody is there yet.
    pub const fn new() -> Self {
        Self {
            ready: AtomicU32::new(0),
        }
    }

    /// Waits until `count` threads are here.
    pub fn meet(&self, count: u32) {
        self.ready.fetch_add(1, Ordering::AcqRel);
        while self.ready.load(Ordering::Acquire) < count {
            core::hint::spin_loop();
        }
    }
}
