//! The processor: what it can do, the state the protocol wants at entry, and the way into the kernel.

use core::arch::x86_64::__cpuid;
use core::arch::{asm, global_asm};

use loader::{Cpu, HHDM, Start};

use crate::port::out;

const EFER: u32 = 0xc000_0080;
const EFER_NXE: u64 = 1 << 11;
const PAT: u32 = 0x277;
/// Entries 0 to 5 as the protocol fixes them: WB, WT, UC-, UC, WP, WC; the last two as after reset.
const PAT_LAYOUT: u64 = 0x0007_0105_0007_0406;
/// CPUID leaf 1 EDX: the page attribute table exists.
const CPUID_PAT: u32 = 1 << 16;
/// CPUID leaf `0x8000_0001` EDX.
const CPUID_NX: u32 = 1 << 20;
const CPUID_GIB_PAGES: u32 = 1 << 26;

/// Where the first I/O APIC of a PC stands.
const IO_APIC: usize = 0xfec0_0000;

/// What the processor can do, as far as the loader cares.
pub fn features() -> Cpu {
    let extended = __cpuid(0x8000_0000).eax;
    let bits = if extended >= 0x8000_0001 {
        __cpuid(0x8000_0001).edx
    } else {
        0
    };
    Cpu {
        no_execute: bits & CPUID_NX != 0,
        gib_pages: bits & CPUID_GIB_PAGES != 0,
    }
}

/// Turns interrupts off, and masks the legacy interrupt controllers and every fixed or lowest-priority entry of the first I/O APIC.
///
/// # Safety
/// The machine belongs to the loader alone, and the I/O APIC's address maps to itself.
pub unsafe fn mask_interrupts() {
    // SAFETY: the caller owns the interrupt controllers; all ones masks every line.
    unsafe {
        asm!("cli", options(nomem, nostack));
        out(0x21, 0xff);
        out(0xa1, 0xff);
    }
    let select = IO_APIC as *mut u32;
    let window = (IO_APIC + 0x10) as *mut u32;
    let read = |register: u32| {
        // SAFETY: the register pair is mapped, by the caller's word; without a device, reads give all ones.
        unsafe {
            select.write_volatile(register);
            window.read_volatile()
        }
    };
    let version = read(1);
    if version == 0 || version == u32::MAX {
        return;
    }
    for entry in 0..=(version >> 16 & 0xff) {
        let register = 0x10 + 2 * entry;
        let low = read(register);
        // Delivery modes 0 (fixed) and 1 (lowest priority).
        if low >> 8 & 7 <= 1 {
            // SAFETY: `read` has just selected this register; bit 16 masks the entry.
            unsafe { window.write_volatile(low | 1 << 16) };
        }
    }
}

/// Brings the processor into the state the protocol promises and enters the kernel.
///
/// # Safety
/// `start` comes from a successful [`loader::build`] over this machine's memory; interrupts are off; the code runs in 64-bit
/// mode with four-level paging at an address that maps to itself and is in the direct map.
pub unsafe fn jump(start: &Start, cpu: Cpu) -> ! {
    if cpu.no_execute {
        // SAFETY: the bit exists, and no table in use has its top bits set by accident (they were reserved until now).
        unsafe { wrmsr(EFER, rdmsr(EFER) | EFER_NXE) };
    }
    if __cpuid(1).edx & CPUID_PAT != 0 {
        // SAFETY: the register exists; entries 0 to 3 are what they are after reset, so present mappings keep their meaning.
        unsafe { wrmsr(PAT, PAT_LAYOUT) };
    }
    // SAFETY: the caller's word for `start` and for where this code runs is what `loader_jump` needs.
    unsafe {
        loader_jump(
            start.bridge,
            start.tables,
            start.gdt,
            start.stack,
            start.entry,
        )
    }
}

/// # Safety
/// The register exists.
unsafe fn rdmsr(register: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the caller's.
    unsafe {
        asm!("rdmsr", in("ecx") register, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags))
    };
    u64::from(high) << 32 | u64::from(low)
}

/// # Safety
/// The register exists, and the value keeps every present mapping valid.
unsafe fn wrmsr(register: u32, value: u64) {
    // SAFETY: the caller's. The low half is what `eax` holds.
    unsafe {
        asm!("wrmsr", in("ecx") register, in("eax") value as u32, in("edx") (value >> 32) as u32, options(nostack, preserves_flags));
    }
}

unsafe extern "sysv64" {
    fn loader_jump(bridge: u64, tables: u64, gdt: u64, stack: u64, entry: u64) -> !;
}

// rdi: bridge tables, rsi: kernel tables, rdx: GDT operand, rcx: end of stack, r8: entry.
// The instruction stream stays mapped throughout: at its physical address under the loader's and the bridge tables, then in
// the direct map under the bridge and the kernel's. CR4 loses everything but PAE and machine checks, so that global entries of
// the loader's tables leave the TLB; CR0 is PE, MP, ET, NE, WP, PG.
global_asm!(
    ".section .text",
    ".global loader_jump",
    "loader_jump:",
    "cli",
    "mov rax, cr4",
    "and eax, 0x60",
    "or eax, 0x20",
    "mov cr4, rax",
    "mov eax, 0x80010033",
    "mov cr0, rax",
    "mov cr3, rdi",
    "lea rax, [rip + 2f]",
    "mov r9, {hhdm}",
    "add rax, r9",
    "jmp rax",
    "2:",
    "mov cr3, rsi",
    "mov rsp, rcx",
    "lgdt [rdx]",
    "lea rax, [rip + 3f]",
    "push 0x28",
    "push rax",
    "retfq",
    "3:",
    "mov eax, 0x30",
    "mov ds, eax",
    "mov es, eax",
    "mov fs, eax",
    "mov gs, eax",
    "mov ss, eax",
    "push 2",
    "popfq",
    // The return address 0 that the protocol promises, and below it the entry, which `ret` takes.
    "push 0",
    "push r8",
    "xor eax, eax",
    "xor ebx, ebx",
    "xor ecx, ecx",
    "xor edx, edx",
    "xor esi, esi",
    "xor edi, edi",
    "xor ebp, ebp",
    "xor r8d, r8d",
    "xor r9d, r9d",
    "xor r10d, r10d",
    "xor r11d, r11d",
    "xor r12d, r12d",
    "xor r13d, r13d",
    "xor r14d, r14d",
    "xor r15d, r15d",
    "ret",
    hhdm = const HHDM,
);
