//! One buffer for a message in and one for a message out, per CPU. Kernel code is never preempted, and a kernel object
//! answers before it returns or defers, so one of each is enough.

use core::sync::atomic::{AtomicPtr, Ordering};

use cpu::MAX_CPUS;

/// Bytes of each buffer: the longest message a kernel object takes or makes.
pub(crate) const SCRATCH_BYTES: usize = 32 * 1024;

static IN: [AtomicPtr<u8>; MAX_CPUS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];
static OUT: [AtomicPtr<u8>; MAX_CPUS] = [const { AtomicPtr::new(core::ptr::null_mut()) }; MAX_CPUS];

/// Gives this CPU its buffers. `false`: no memory.
pub fn install() -> bool {
    let cpu = cpu::index();
    for table in [&IN, &OUT] {
        let Some(run) = frames::allocate_bytes(SCRATCH_BYTES) else {
            return false;
        };
        table[cpu].store(frames::direct_map(run.address()), Ordering::Release);
        // Kept for good: the value has no destructor.
        let _ = run;
    }
    true
}

/// The buffer for a message that came in.
///
/// # Safety
/// One user at a time on this CPU: the dispatch of one call.
pub(crate) unsafe fn incoming() -> &'static mut [u8] {
    // SAFETY: `install` ran on this CPU; the caller is the one user.
    unsafe {
        core::slice::from_raw_parts_mut(IN[cpu::index()].load(Ordering::Relaxed), SCRATCH_BYTES)
    }
}

/// The buffer for a message on its way out.
///
/// # Safety
/// One user at a time on this CPU: between the first encoded byte and the copy that follows, nothing else answers.
pub(crate) unsafe fn outgoing() -> &'static mut [u8] {
    // SAFETY: as for `incoming`.
    unsafe {
        core::slice::from_raw_parts_mut(OUT[cpu::index()].load(Ordering::Relaxed), SCRATCH_BYTES)
    }
}
