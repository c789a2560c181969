//! The segment selectors that user mode may load.

use sabotage::sabotage;

/// Empties DS, ES, FS and GS, so that what one process left in them is not read by the next. The base of FS is gone with
/// its selector; whoever runs next sets its own.
pub fn clear() {
    sabotage!(KEEP_SELECTORS => return);
    let (ds, es, fs, gs): (u32, u32, u32, u32);
    // SAFETY: reading a selector has no effect.
    unsafe {
        core::arch::asm!(
            "mov {0:e}, ds", "mov {1:e}, es", "mov {2:e}, fs", "mov {3:e}, gs",
            out(reg) ds, out(reg) es, out(reg) fs, out(reg) gs,
            options(nomem, nostack, preserves_flags)
        );
    }
    if (ds | es | fs | gs) & 0xffff != 0 {
        empty();
    }
}

#[cold]
#[inline(never)]
fn empty() {
    // SAFETY: 64-bit code uses neither DS nor ES, the kernel never uses FS, and the base of GS, which some processors drop
    // with the selector, is put back with no interrupt in between.
    unsafe {
        core::arch::asm!(
            "mov ds, {zero:e}",
            "mov es, {zero:e}",
            "mov fs, {zero:e}",
            "rdmsr",
            "mov gs, {zero:e}",
            "wrmsr",
            zero = in(reg) 0,
            in("ecx") 0xc000_0101_u32,
            out("eax") _,
            out("edx") _,
            options(nomem, nostack, preserves_flags)
        );
    }
}
