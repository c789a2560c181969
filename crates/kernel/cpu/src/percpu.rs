//! The block that each CPU finds through GS.

use core::mem::offset_of;

/// The most CPUs the kernel starts.
pub const MAX_CPUS: usize = 64;

/// What the entry paths find through GS. One per CPU, never moved.
#[derive(Debug)]
#[repr(C)]
pub struct CpuBlock {
    /// Its own address.
    pub address: u64,
    /// Top of the kernel stack of the thread that runs.
    pub kernel_stack: u64,
    /// Scratch for the user stack pointer at system call entry.
    pub user_stack: u64,
    /// Dense number of this CPU.
    pub index: u32,
    /// Local APIC identifier.
    pub apic_id: u32,
    /// Address of the scheduler's part of this CPU.
    pub scheduler: u64,
    /// Address of what the task that runs belongs to; 0 for nothing.
    pub owner: u64,
}

pub(crate) const KERNEL_STACK: usize = offset_of!(CpuBlock, kernel_stack);
pub(crate) const USER_STACK: usize = offset_of!(CpuBlock, user_stack);
const INDEX: usize = offset_of!(CpuBlock, index);
const SCHEDULER: usize = offset_of!(CpuBlock, scheduler);
const OWNER: usize = offset_of!(CpuBlock, owner);

/// Makes `block` this CPU's block.
///
/// # Safety
/// Runs once on each CPU, before anything calls [`index`]; `block` is used by this CPU alone.
pub unsafe fn install(block: &'static mut CpuBlock) {
    block.address = core::ptr::from_mut(block) as u64;
    let address = x86_64::VirtAddr::new(block.address);
    x86_64::registers::model_specific::GsBase::write(address);
    x86_64::registers::model_specific::KernelGsBase::write(x86_64::VirtAddr::zero());
}

/// Dense number of the CPU this runs on.
#[inline]
pub fn index() -> usize {
    let value: u32;
    // SAFETY: GS points at this CPU's block from `install` on.
    unsafe {
        core::arch::asm!("mov {:e}, gs:[{}]", out(reg) value, const INDEX, options(nostack, preserves_flags, readonly));
    }
    value as usize
}

/// What [`CpuBlock::scheduler`] says on the CPU this runs on.
#[inline(always)]
pub fn scheduler() -> *const () {
    let value: *const ();
    // SAFETY: GS points at this CPU's block from `install` on.
    unsafe {
        core::arch::asm!("mov {}, gs:[{}]", out(reg) value, const SCHEDULER, options(nostack, preserves_flags, readonly));
    }
    value
}

/// What [`set_owner`] said last on the CPU this runs on.
#[inline(always)]
pub fn owner() -> *const () {
    let value: *const ();
    // SAFETY: GS points at this CPU's block from `install` on.
    unsafe {
        core::arch::asm!("mov {}, gs:[{}]", out(reg) value, const OWNER, options(nostack, preserves_flags, readonly));
    }
    value
}

/// Notes what the task belongs to that runs on this CPU from now on.
#[inline(always)]
pub fn set_owner(owner: *const ()) {
    // SAFETY: GS points at this CPU's block; only this CPU writes it.
    unsafe {
        core::arch::asm!("mov gs:[{}], {}", const OWNER, in(reg) owner, options(nostack, preserves_flags));
    }
}

/// Sets the stack that the next entry from user mode starts on.
pub fn set_kernel_stack(top: u64) {
    // SAFETY: GS points at this CPU's block; only this CPU writes it.
    unsafe {
        core::arch::asm!("mov gs:[{}], {}", const KERNEL_STACK, in(reg) top, options(nostack, preserves_flags));
    }
    crate::descriptors::set_ring0_stack(top);
}
