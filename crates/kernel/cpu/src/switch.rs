//! From one kernel stack to another.

use core::arch::naked_asm;

/// Saves the running context on its stack, stores the stack pointer in `*save`, and goes on with `load`.
///
/// # Safety
/// `load` is a stack pointer that this function or [`prepare_stack`] produced and that no CPU runs on;
/// `save` stays valid until the context is resumed.
#[unsafe(naked)]
pub unsafe extern "C" fn switch_stacks(save: *mut u64, load: u64) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "mov [rdi], rsp",
        "mov rsp, rsi",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
    )
}

/// Calls `entry(argument)` on a fresh stack; both arrive in callee-saved registers.
#[unsafe(naked)]
unsafe extern "C" fn start() {
    naked_asm!("xor ebp, ebp", "mov rdi, r12", "call rbx", "ud2")
}

/// Lays out a fresh kernel stack so that switching to it calls `entry(argument)`. Returns the stack pointer.
///
/// # Safety
/// `top` is the 16-byte aligned end of a mapped, unused kernel stack.
pub unsafe fn prepare_stack(top: u64, entry: extern "C" fn(u64) -> !, argument: u64) -> u64 {
    let words = [
        0,                                  // r15
        0,                                  // r14
        0,                                  // r13
        argument,                           // r12
        entry as usize as u64,              // rbx
        0,                                  // rbp
        start as *const () as usize as u64, // return address
        0,                                  // keeps the stack aligned
    ];
    let base = top - 64;
    for (i, word) in words.iter().enumerate() {
        // SAFETY: the 64 bytes below `top` belong to the unused stack.
        unsafe { ((base + i as u64 * 8) as *mut u64).write(*word) };
    }
    base
}
