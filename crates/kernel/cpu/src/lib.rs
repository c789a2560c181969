//! Instructions, descriptor tables, entry paths and per-CPU state of one processor.
//!
//! Owns the GDT, TSS and IDT of each CPU, the assembly that enters and leaves the kernel, the switch between two
//! kernel stacks, the state of the floating-point unit, and the spin lock. Invariant: it never decides what runs or what a
//! fault means; it calls the two handlers that the kernel registered. Kernel code runs with interrupts off, but for an idle
//! CPU and the looks in the middle of long work, where it holds no lock: a lock is never taken twice by an interrupt on one
//! CPU.
#![no_std]
#![allow(unsafe_code)]

mod branches;
mod controls;
mod descriptors;
mod entry;
mod features;
mod fpu;
mod lock;
mod percpu;
pub mod port;
mod selectors;
mod switch;
mod tsc;

pub use branches::forget as forget_branches;
pub use controls::{Controls, FpuControls, set as set_controls};
pub use descriptors::{IST_DOUBLE_FAULT, IST_MACHINE_CHECK, IST_NMI, load as load_descriptors};
#[cfg(sabotage)]
pub use entry::assert_entry_flags;
pub use entry::{
    Handlers, SyscallFrame, TrapFrame, always_verw, does_verw, enter_user, install_syscall,
    set_handlers, vector_stub,
};
pub use features::{Features, features};
pub use fpu::{FpuState, has as has_fpu, switch as switch_fpu};
#[cfg(sabotage)]
pub use lock::held;
pub use lock::{Guard, Lock, relax, set_relax};
pub use percpu::{
    CpuBlock, MAX_CPUS, index, install as install_percpu, owner, scheduler, set_kernel_stack,
    set_owner,
};
pub use selectors::clear as clear_selectors;
pub use switch::{prepare_stack, switch_stacks};
pub use tsc::read as read_tsc;

/// Waits for an interrupt with interrupts on, then turns them off again.
pub fn wait_for_interrupt() {
    // SAFETY: `sti; hlt` is atomic against a wake-up in between; the kernel runs with interrupts off around it.
    unsafe { core::arch::asm!("sti", "hlt", "cli", options(nomem, nostack)) };
}

/// Lets interrupts that wait be handled, then turns them off again.
#[inline(always)]
pub fn let_interrupts_in() {
    // SAFETY: `sti` takes effect after the instruction behind it; the kernel runs with interrupts off around this. No
    // `nomem`: what a handler wrote is read again.
    unsafe { core::arch::asm!("sti", "nop", "cli", options(nostack)) };
}

/// Stops this CPU for good.
pub fn halt_forever() -> ! {
    loop {
        // SAFETY: interrupts off and halt; an NMI wakes it, and the loop halts again.
        unsafe { core::arch::asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

/// Sets the FS base of the running thread.
pub fn set_fs_base(address: u64) {
    let mut msr = x86_64::registers::model_specific::Msr::new(0xc000_0100);
    // SAFETY: IA32_FS_BASE with a canonical lower-half address; the kernel itself never uses FS.
    unsafe { msr.write(address & 0x0000_7fff_ffff_ffff) };
}

/// Physical address of the page-table root in use.
pub fn current_root() -> u64 {
    x86_64::registers::control::Cr3::read()
        .0
        .start_address()
        .as_u64()
}

/// Loads a page-table root.
///
/// # Safety
/// `root` is the physical address of a PML4 that maps the kernel exactly as the current one does.
pub unsafe fn load_root(root: u64) {
    // SAFETY: the caller promises a root that keeps every kernel mapping.
    unsafe { core::arch::asm!("mov cr3, {}", in(reg) root, options(nostack, preserves_flags)) };
}

/// Drops this CPU's translation of one page.
pub fn invalidate_page(address: u64) {
    // SAFETY: INVLPG has no effect but dropping a cached translation.
    unsafe {
        core::arch::asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags));
    }
}

/// The address that the last page fault on this CPU named.
pub fn fault_address() -> u64 {
    x86_64::registers::control::Cr2::read_raw()
}

/// The frame pointer of whoever asks. The kernel is built with them.
#[inline(always)]
pub fn frame_pointer() -> u64 {
    let pointer: u64;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {}, rbp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    pointer
}

/// One word of the processor's random number generator; `None` when it has none ready. Only where CPUID offers RDRAND.
pub fn random_word() -> Option<u64> {
    let (word, good): (u64, u8);
    // SAFETY: RDRAND changes a register and flags; callers checked that the processor has it.
    unsafe {
        core::arch::asm!("rdrand {}", "setc {}", out(reg) word, out(reg_byte) good, options(nomem, nostack));
    }
    (good != 0).then_some(word)
}
