//! The time-stamp counter.

/// Reads the time-stamp counter after every earlier load.
pub fn read() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: RDTSC reads a counter; LFENCE orders it after earlier loads.
    unsafe {
        core::arch::asm!("lfence", "rdtsc", out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags))
    };
    u64::from(low) | u64::from(high) << 32
}
