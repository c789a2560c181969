//! Ways into the kernel with flags that it must not run with, and the registers that a thread begins with.

use core::arch::{asm, naked_asm};
use core::mem::offset_of;

use ring_abi::{opcode, syscall};

/// AC and DF: a program may set them, and an interrupt leaves both as they are.
pub const FLAGS: u64 = 1 << 18 | 1 << 10;

/// These and NT, which an interrupt clears and a call does not: IRETQ refuses to return with it.
const WALKING: u64 = FLAGS | 1 << 14;
/// TF: the processor traps behind each instruction.
const STEPPING: u64 = 1 << 8;

/// Enters the kernel 64 times with the flags set; which of them were still set afterwards.
pub fn flags_and_walk() -> u64 {
    let mut flags = WALKING;
    // SAFETY: NOPs; the flags that the compiler relies on are restored.
    unsafe {
        asm!(
            "pushfq",
            "or qword ptr [rsp], {mask}",
            "popfq",
            "mov r15d, 64",
            "2:",
            "mov eax, {enter}",
            "mov edi, {nop}",
            "xor esi, esi",
            "xor edx, edx",
            "syscall",
            "dec r15d",
            "jnz 2b",
            "pushfq",
            "and {flags}, [rsp]",
            "push 0x202",
            "popfq",
            "add rsp, 8",
            mask = const WALKING as u32,
            enter = const syscall::ENTER as u32,
            nop = const opcode::NOP as u32,
            flags = inout(reg) flags,
            out("rax") _, out("rdi") _, out("rsi") _, out("rdx") _, out("rcx") _, out("r8") _,
            out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("r15") _,
        );
    }
    flags
}

/// Enters the kernel with the first instruction that the processor would trap behind. What comes after the call traps.
pub fn step_into_kernel() -> ! {
    // SAFETY: it ends the process.
    unsafe {
        asm!(
            "mov eax, {enter}",
            "mov edi, {nop}",
            "xor esi, esi",
            "xor edx, edx",
            "pushfq",
            "or qword ptr [rsp], {mask}",
            "popfq",
            "syscall",
            "nop",
            "nop",
            "ud2",
            mask = const STEPPING as u32,
            enter = const syscall::ENTER as u32,
            nop = const opcode::NOP as u32,
            options(noreturn),
        );
    }
}

/// Spins for a while with the flags set; which of them were still set afterwards.
pub fn flags_and_spin() -> u64 {
    let mut flags = FLAGS;
    // SAFETY: touches no memory but the stack; the flags that the compiler relies on are restored.
    unsafe {
        asm!(
            "pushfq",
            "or qword ptr [rsp], {mask}",
            "popfq",
            "2:",
            "pause",
            "dec {count}",
            "jnz 2b",
            "pushfq",
            "and {flags}, [rsp]",
            "push 0x202",
            "popfq",
            "add rsp, 8",
            mask = const FLAGS as u32,
            count = inout(reg) 2_000_000_u64 => _,
            flags = inout(reg) flags,
        );
    }
    flags
}

/// Faults with the flags set: on memory at `address`, which is not there, or at an instruction that is none.
pub fn flags_and_fault(address: Option<u64>) -> ! {
    let address = address.unwrap_or(0);
    // SAFETY: it ends the process.
    unsafe {
        asm!(
            "pushfq",
            "or qword ptr [rsp], {mask}",
            "popfq",
            "test {address}, {address}",
            "jz 2f",
            "mov {address}, [{address}]",
            "2:",
            "ud2",
            mask = const FLAGS as u32,
            address = in(reg) address,
            options(noreturn),
        );
    }
}

/// Takes its time, for which an emulator asks its host for random numbers, then returns far: to `target`, or behind the return when
/// that is 0.
///
/// An emulator does not look where a far return leads, and takes interrupts before it fetches there: what interrupted in the
/// meantime finds the program at `target`.
pub fn return_late(target: u64) {
    // SAFETY: random numbers that nobody looks at, and a far return into the code segment that it runs in. With another target
    // than the place behind the return the process ends.
    unsafe {
        asm!(
            "lea rdi, [rip + 4f]",
            "test rsi, rsi",
            "cmovz rsi, rdi",
            "mov edi, cs",
            "push rdi",
            "push rsi",
            "jmp 3f",
            // What the emulator runs in one go ends with its page, too.
            ".p2align 11",
            "3:",
            ".rept 400",
            "rdrand rax",
            ".endr",
            "retfq",
            "4:",
            inout("rsi") target => _,
            out("rdi") _, out("rax") _,
        );
    }
}

/// What a new thread found in its registers.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Begun {
    /// This record's address, for a look through GS.
    pub base: u64,
    /// RAX, RBX, RCX, RDX, RSI, RBP, R8 to R15: those that hold nothing for it.
    pub others: [u64; 14],
    /// Its argument.
    pub rdi: u64,
    /// Its stack.
    pub rsp: u64,
    /// Its flags.
    pub rflags: u64,
    /// The first word at the base of FS.
    pub fs_first: u64,
    /// The word that lies at this record's address from the base of GS.
    pub through_gs: u64,
    /// CS, SS, DS, ES, GS; FS is the area's.
    pub selectors: [u16; 5],
}

/// Where a thread begins whose argument is a [`Begun`]: it notes what it finds, and ends.
///
/// # Safety
/// Nothing calls it: the kernel starts a thread here, with the address of a [`Begun`] that outlives it in RDI.
#[unsafe(naked)]
pub unsafe extern "C" fn begin() -> ! {
    naked_asm!(
        "mov [rdi + {others}], rax",
        "mov [rdi + {others} + 8], rbx",
        "mov [rdi + {others} + 16], rcx",
        "mov [rdi + {others} + 24], rdx",
        "mov [rdi + {others} + 32], rsi",
        "mov [rdi + {others} + 40], rbp",
        "mov [rdi + {others} + 48], r8",
        "mov [rdi + {others} + 56], r9",
        "mov [rdi + {others} + 64], r10",
        "mov [rdi + {others} + 72], r11",
        "mov [rdi + {others} + 80], r12",
        "mov [rdi + {others} + 88], r13",
        "mov [rdi + {others} + 96], r14",
        "mov [rdi + {others} + 104], r15",
        "mov [rdi + {rdi}], rdi",
        "mov [rdi + {rsp}], rsp",
        "pushfq",
        "pop qword ptr [rdi + {rflags}]",
        "mov rax, fs:[0]",
        "mov [rdi + {fs}], rax",
        "mov rax, gs:[rdi]",
        "mov [rdi + {gs}], rax",
        "mov word ptr [rdi + {selectors}], cs",
        "mov word ptr [rdi + {selectors} + 2], ss",
        "mov word ptr [rdi + {selectors} + 4], ds",
        "mov word ptr [rdi + {selectors} + 6], es",
        "mov word ptr [rdi + {selectors} + 8], gs",
        "mov eax, {exit}",
        "xor edi, edi",
        "xor esi, esi",
        "syscall",
        "ud2",
        others = const offset_of!(Begun, others),
        rdi = const offset_of!(Begun, rdi),
        rsp = const offset_of!(Begun, rsp),
        rflags = const offset_of!(Begun, rflags),
        fs = const offset_of!(Begun, fs_first),
        gs = const offset_of!(Begun, through_gs),
        selectors = const offset_of!(Begun, selectors),
        exit = const (syscall::EXIT | syscall::EXIT_THREAD) as u32,
    )
}
