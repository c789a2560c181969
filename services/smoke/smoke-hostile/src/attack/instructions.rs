//! Instructions that programs may not use, and flags they may not keep.

use core::arch::asm;

use ring_abi::{opcode, syscall};
use sdk::Env;

use super::SURVIVED;

/// Attacks that are one piece of assembly.
macro_rules! attacks {
    ($($(#[$doc:meta])* $name:ident = $($line:literal),+;)*) => { $(
        $(#[$doc])*
        pub fn $name(_: &Env) -> &'static str {
            // SAFETY: it ends the process; one that goes on says so and ends next, using nothing that was changed.
            unsafe { asm!($($line),+, out("rax") _, out("rcx") _, out("rdx") _) };
            SURVIVED
        }
    )* };
}

attacks! {
    sse = "xorps xmm0, xmm0";
    x87 = "fld1";
    undefined = "ud2";
    hlt = "hlt";
    cli = "cli";
    mov_cr3 = "mov rax, cr3", "mov cr3, rax";
    /// The address that SYSCALL jumps to.
    wrmsr = "mov ecx, 0xc0000082", "xor eax, eax", "xor edx, edx", "wrmsr";
    wrfsbase = "xor eax, eax", "wrfsbase rax";
    lgdt = "sub rsp, 16", "lgdt [rsp]", "add rsp, 16";
    port_in = "in al, 0x60";
    /// The port that resets the machine.
    port_out = "mov edx, 0xcf9", "mov al, 6", "out dx, al";
    /// POPF leaves IOPL as it is, without a word; so the port stays closed.
    iopl = "pushfq", "or qword ptr [rsp], 0x3000", "popfq", "in al, 0x60";
    int_80 = "int 0x80";
    int_14 = "int 14";
    breakpoint = "int3";
    /// Into the kernel's code segment.
    far_jump = "mov rax, 0x800000000", "push rax", ".byte 0xff, 0x2c, 0x24", "pop rax";
    kernel_selector = "mov eax, 0x10", "mov ds, eax";
    /// A selector that a program may load: it takes the FS base with it, and the thread its way to its area.
    user_selector = "mov eax, 0x1b", "mov fs, eax", "mov rax, fs:[0]";
}

/// TF set by the instruction before SYSCALL: the kernel runs without it, and the trap comes to the program.
pub fn single_step(_: &Env) -> &'static str {
    // SAFETY: the kernel ends the process, or performs a NOP.
    unsafe {
        asm!(
            "pushfq",
            "or qword ptr [rsp], 0x100",
            "popfq",
            "syscall",
            "nop",
            inlateout("rax") syscall::ENTER => _,
            inlateout("rdi") u64::from(opcode::NOP) => _,
            inlateout("rsi") 0_u64 => _, inlateout("rdx") 0_u64 => _,
            lateout("rcx") _, lateout("r8") _, lateout("r9") _, lateout("r10") _,
            lateout("r11") _, lateout("r12") _,
        );
    }
    SURVIVED
}

/// Calls with AC, NT, DF and IOPL set as far as they can be. It survives, with no more than it may have.
pub fn flags(_: &Env) -> &'static str {
    let mut flags: u64;
    // SAFETY: NOPs, 64 of them; the flags that the compiler relies on are restored.
    unsafe {
        asm!(
            "pushfq",
            "or qword ptr [rsp], 0x47400",
            "popfq",
            "mov r15d, 64",
            "2:",
            "mov eax, {enter:e}",
            "xor edi, edi",
            "xor esi, esi",
            "xor edx, edx",
            "syscall",
            "dec r15d",
            "jnz 2b",
            "pushfq",
            "pop {flags}",
            "push 0x202",
            "popfq",
            enter = in(reg) syscall::ENTER,
            flags = out(reg) flags,
            out("rax") _, out("rdi") _, out("rsi") _, out("rdx") _, out("rcx") _, out("r8") _,
            out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("r15") _,
        );
    }
    match flags & 0x47400 {
        // AC, NT and DF are the program's own business.
        0x44400 => "no iopl",
        0x47400 => "iopl kept",
        _ => "other flags",
    }
}
