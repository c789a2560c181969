//! The two instructions that a measurement needs. Nothing else in this program is unsafe.
#![allow(unsafe_code)]

use core::arch::{asm, x86_64::_rdtsc};

/// Executes mark `I`: a no-operation that the counting plugin of `xtask bench` knows by its bytes.
#[inline(always)]
pub fn mark<const I: u32>() {
    // SAFETY: `nop dword ptr [rax + displacement]` touches neither memory nor registers.
    unsafe {
        asm!(
            ".byte 0x0f, 0x1f, 0x80",
            ".long 0x4b420000 + {i}",
            i = const I,
            options(nostack, preserves_flags),
        );
    }
}

/// The processor's time stamp. Under `-icount shift=0` it counts instructions.
#[inline(always)]
pub fn ticks() -> u64 {
    // SAFETY: RDTSC reads a counter; user mode may.
    unsafe { _rdtsc() }
}
