//! The processor: what it can do, the state the protocol wants at entry, and the way into the kernel.

use core::arch::x86_64::__cpuid;
use core::arch::{asm, global_asm};

use loader::{Cpu, HHDM, Start};

use crate::port::out;
use crate::serial::fail;

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

/// CR4: five-level paging.
const CR4_LA57: u64 = 1 << 12;
const FOUR_GIB: u64 = 4 << 30;

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
/// `start` comes from a successful [`loader::build`] over this machine's memory; interrupts are off; code and stack are
/// mapped to themselves and lie in memory of the direct map.
pub unsafe fn jump(start: &Start, cpu: Cpu) -> ! {
    if cpu.no_execute {
        // SAFETY: the bit exists, and no table in use has its top bits set by accident (they were reserved until now).
        unsafe { wrmsr(EFER, rdmsr(EFER) | EFER_NXE) };
    }
    if __cpuid(1).edx & CPUID_PAT != 0 {
        // SAFETY: the register exists; entries 0 to 3 are what they are after reset, so present mappings keep their meaning.
        unsafe { wrmsr(PAT, PAT_LAYOUT) };
    }
    let code = (loader_jump as unsafe extern "sysv64" fn(_, _, _, _, _) -> _ as usize) as u64;
    let stack = (&raw const *start).addr() as u64;
    if cr4() & CR4_LA57 != 0 && code.max(stack) >= FOUR_GIB {
        fail(&"the firmware uses five-level paging and has the loader above 4 GiB");
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

fn cr4() -> u64 {
    let value;
    // SAFETY: reading the register changes nothing, and the loader runs in ring 0.
    unsafe { asm!("mov {}, cr4", out(reg) value, options(nomem, nostack, preserves_flags)) };
    value
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
//
// Firmware may run five-level paging, which can be left only with paging off (Intel SDM volume 3A, 4.1.2), so in 32-bit mode,
// and with the kernel's descriptor table at its physical address. The upper halves of registers do not survive that.
global_asm!(
    r#"
    .section .text
    .global loader_jump
loader_jump:
    cli
    mov r9, {hhdm}
    mov rax, cr4
    test eax, {la57}
    jz 2f

    push r8
    push rcx
    push rdx
    push rsi
    push rdi
    sub rdx, r9
    mov rax, [rdx + 2]
    sub rax, r9
    sub rsp, 16
    movzx r10d, word ptr [rdx]
    mov [rsp], r10w
    mov [rsp + 2], rax
    lgdt [rsp]
    add rsp, 16
    sub rsp, 8
    lea rax, [rip + 4f]
    mov [rsp], eax
    mov dword ptr [rsp + 4], 0x28
    push 0x18
    lea rax, [rip + 3f]
    push rax
    retfq
    .code32
3:
    mov eax, 0x20
    mov ds, eax
    mov ss, eax
    mov eax, 0x00010033
    mov cr0, eax
    mov eax, 0x20
    mov cr4, eax
    mov cr3, edi
    mov eax, 0x80010033
    mov cr0, eax
    retf
    .code64
4:
    mov esp, esp
    pop rdi
    pop rsi
    pop rdx
    pop rcx
    pop r8
    mov r9, {hhdm}

2:
    mov rax, cr4
    and eax, 0x60
    or eax, 0x20
    mov cr4, rax
    mov eax, 0x80010033
    mov cr0, rax
    mov cr3, rdi
    lea rax, [rip + 5f]
    add rax, r9
    jmp rax
5:
    mov cr3, rsi
    mov rsp, rcx
    lgdt [rdx]
    push 0x28
    lea rax, [rip + 6f]
    push rax
    retfq
6:
    mov eax, 0x30
    mov ds, eax
    mov es, eax
    mov fs, eax
    mov gs, eax
    mov ss, eax
    push 2
    popfq
    // The return address 0 that the protocol promises, and below it the entry, which `ret` takes.
    push 0
    push r8
    xor eax, eax
    xor ebx, ebx
    xor ecx, ecx
    xor edx, edx
    xor esi, esi
    xor edi, edi
    xor ebp, ebp
    xor r8d, r8d
    xor r9d, r9d
    xor r10d, r10d
    xor r11d, r11d
    xor r12d, r12d
    xor r13d, r13d
    xor r14d, r14d
    xor r15d, r15d
    ret
    "#,
    hhdm = const HHDM,
    la57 = const CR4_LA57,
);
