//! The ways into the kernel and back.

use core::arch::{global_asm, naked_asm};
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};

use sabotage::sabotage;

use crate::descriptors::{USER_CODE, USER_DATA};
use crate::percpu::{KERNEL_STACK, USER_STACK};

/// The user registers of a system call. The handler changes result fields in place.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[allow(missing_docs)] // each field is the register of that name
pub struct SyscallFrame {
    pub rax: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub r10: u64,
    pub r8: u64,
    pub r9: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    /// User return address (from RCX).
    pub rip: u64,
    /// User flags (from R11).
    pub rflags: u64,
    /// User stack pointer.
    pub rsp: u64,
    /// Keeps the stack aligned to 16 bytes.
    pub padding: u64,
}

/// Every register at an exception or interrupt.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
#[allow(missing_docs)] // each field is the register of that name
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

impl TrapFrame {
    /// Whether user mode was interrupted.
    pub const fn from_user(&self) -> bool {
        self.cs & 3 == 3
    }
}

/// What the kernel registers: the only two ways in.
#[derive(Clone, Copy, Debug)]
pub struct Handlers {
    /// Handles a system call.
    pub syscall: extern "C" fn(&mut SyscallFrame),
    /// Handles an exception or interrupt.
    pub trap: extern "C" fn(&mut TrapFrame),
}

#[unsafe(no_mangle)]
static CPU_SYSCALL_HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
#[unsafe(no_mangle)]
static CPU_TRAP_HANDLER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Whether CLAC is an instruction here.
#[unsafe(no_mangle)]
static CPU_HAS_SMAP: AtomicBool = AtomicBool::new(false);

#[expect(clippy::fn_params_excessive_bools, reason = "what the processor has")]
pub(crate) fn set_smap(present: bool) {
    CPU_HAS_SMAP.store(present, Ordering::Relaxed);
}

/// Whether VERW precedes each way back to a program. With MD_CLEAR or FB_CLEAR it overwrites the buffers that a program could
/// look into (Intel, "Microarchitectural Data Sampling", 3.1); it takes the selector of writable data, in memory.
#[unsafe(no_mangle)]
static CPU_VERW: AtomicBool = AtomicBool::new(false);
#[unsafe(no_mangle)]
static CPU_VERW_SELECTOR: u16 = USER_DATA;

/// Makes VERW precede each way back to a program, on each CPU whose system calls are installed afterwards. It is never
/// taken back.
pub fn always_verw() {
    CPU_VERW.store(true, Ordering::Relaxed);
}

/// Whether VERW precedes each way back to a program.
pub fn does_verw() -> bool {
    CPU_VERW.load(Ordering::Relaxed)
}

/// Whether IA32_SPEC_CTRL is written on each way into the kernel and on each way back to a program, and what then: its low half.
/// IBRS keeps what programs trained before it was set from steering the kernel (Intel, "Branch Target Injection", 2.3).
#[unsafe(no_mangle)]
static CPU_IBRS: AtomicBool = AtomicBool::new(false);
#[unsafe(no_mangle)]
static CPU_IBRS_INSIDE: AtomicU32 = AtomicU32::new(0);
#[unsafe(no_mangle)]
static CPU_IBRS_OUTSIDE: AtomicU32 = AtomicU32::new(0);

/// Makes IBRS be set on each way into the kernel and cleared on each way back to a program, on each CPU whose system calls are
/// installed afterwards; the other bits of the register stay `kept`. It is never taken back.
pub(crate) fn always_ibrs(kept: u32) {
    CPU_IBRS_INSIDE.store(kept | 1, Ordering::Relaxed);
    CPU_IBRS_OUTSIDE.store(kept, Ordering::Relaxed);
    CPU_IBRS.store(true, Ordering::Relaxed);
}

/// Registers the handlers, before any CPU can enter.
pub fn set_handlers(h: Handlers) {
    CPU_SYSCALL_HANDLER.store(h.syscall as *mut (), Ordering::Release);
    CPU_TRAP_HANDLER.store(h.trap as *mut (), Ordering::Release);
}

/// Points SYSCALL at the entry path of this CPU.
///
/// # Safety
/// Descriptors are loaded on this CPU and the handlers are registered.
pub unsafe fn install_syscall() {
    use x86_64::registers::model_specific::Msr;
    // STAR: kernel CS 0x08 (SS 0x10); user base 0x10, so SYSRET uses SS 0x1b and CS 0x23 (AMD APM vol. 2, 6.1.1).
    let star = (0x10u64 << 48) | (0x08u64 << 32);
    // IF, DF, TF, AC, NT and IOPL are cleared at entry.
    let mask = (1u64 << 9) | (1 << 10) | (1 << 8) | (1 << 18) | (1 << 14) | (3 << 12);
    let mask = mask & !(u64::from(sabotage!(LEAVE_AC_ON_CALL)) << 18);
    let entry = match (CPU_IBRS.load(Ordering::Relaxed), does_verw()) {
        (false, false) => syscall_entry as *const (),
        (false, true) => syscall_entry_verw as *const (),
        (true, false) => syscall_entry_ibrs as *const (),
        (true, true) => syscall_entry_ibrs_verw as *const (),
    };
    // SAFETY: architectural MSRs with the values the entry path below is written for. A null SYSENTER_CS makes SYSENTER
    // fault.
    unsafe {
        Msr::new(0x174).write(0);
        Msr::new(0xc000_0081).write(star);
        Msr::new(0xc000_0082).write(entry as usize as u64);
        Msr::new(0xc000_0083).write(0);
        Msr::new(0xc000_0084).write(mask);
    }
}

/// Writes IA32_SPEC_CTRL (MSR 48H) from the static of this name; RAX, RCX and RDX are lost.
macro_rules! set_ibrs {
    ($value:literal) => {
        concat!(
            "mov ecx, 0x48\n",
            "mov eax, dword ptr [rip + ",
            $value,
            "]\n",
            "xor edx, edx\n",
            "wrmsr"
        )
    };
}

/// The entry of a system call; `$inside` is done when the registers of the program are on the kernel's stack, `$outside` before
/// they are taken from there, `$last` when every one but its stack is back.
macro_rules! syscall_entry {
    ($name:ident, [$($inside:expr),*], [$($outside:expr),*], [$($last:literal),*]) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
        "swapgs",
        "mov gs:[{user}], rsp",
        "mov rsp, gs:[{kernel}]",
        "sub rsp, 8",
        "push qword ptr gs:[{user}]",
        "push r11",
        "push rcx",
        "push r14",
        "push r13",
        "push r12",
        "push r9",
        "push r8",
        "push r10",
        "push rdx",
        "push rsi",
        "push rdi",
        "push rax",
        $($inside,)*
        "mov rdi, rsp",
        "cld",
        "call qword ptr [rip + CPU_SYSCALL_HANDLER]",
        $($outside,)*
        "pop rax",
        "pop rdi",
        "pop rsi",
        "pop rdx",
        "pop r10",
        "pop r8",
        "pop r9",
        "pop r12",
        "pop r13",
        "pop r14",
        "pop rcx",
        "pop r11",
        // A return address outside the lower half would fault in SYSRET with the user's stack in kernel mode.
        "bt rcx, 47",
        "jc 2f",
        $($last,)*
        "pop rsp",
        "swapgs",
        "sysretq",
        // RCX came from the SYSCALL instruction and is never changed, so only an instruction that ends exactly at
        // the canonical boundary gets here; no page is ever mapped there.
        "2: ud2",
        user = const USER_STACK,
        kernel = const KERNEL_STACK,
            )
        }
    };
}

// One for each kind of processor, so that where something is not needed nobody asks whether it is.
syscall_entry!(syscall_entry, [], [], []);
syscall_entry!(
    syscall_entry_verw,
    [],
    [],
    ["verw word ptr [rip + CPU_VERW_SELECTOR]"]
);
syscall_entry!(
    syscall_entry_ibrs,
    [set_ibrs!("CPU_IBRS_INSIDE")],
    [set_ibrs!("CPU_IBRS_OUTSIDE")],
    []
);
syscall_entry!(
    syscall_entry_ibrs_verw,
    [set_ibrs!("CPU_IBRS_INSIDE")],
    [set_ibrs!("CPU_IBRS_OUTSIDE")],
    ["verw word ptr [rip + CPU_VERW_SELECTOR]"]
);

// One 16-byte stub a vector: pushes a zero error code where the CPU pushes none, then the vector.
global_asm!(
    ".balign 16",
    "cpu_vector_stubs:",
    ".set vector, 0",
    ".rept 256",
    ".balign 16",
    ".if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)",
    ".else",
    "push 0",
    ".endif",
    "push vector",
    ".if (vector == 2) || (vector == 8) || (vector == 18)",
    "jmp cpu_trap_paranoid",
    ".else",
    "jmp cpu_trap_common",
    ".endif",
    ".set vector, vector + 1",
    ".endr",
    ".macro CPU_PUSH_ALL",
    "push rax", "push rbx", "push rcx", "push rdx", "push rsi", "push rdi", "push rbp", "push r8",
    "push r9", "push r10", "push r11", "push r12", "push r13", "push r14", "push r15",
    ".endm",
    ".macro CPU_POP_ALL",
    "pop r15", "pop r14", "pop r13", "pop r12", "pop r11", "pop r10", "pop r9", "pop r8",
    "pop rbp", "pop rdi", "pop rsi", "pop rdx", "pop rcx", "pop rbx", "pop rax",
    ".endm",
    "cpu_trap_common:",
    "CPU_PUSH_ALL",
    "test byte ptr [rsp + {cs}], 3",
    "jz 2f",
    "swapgs",
    "cmp byte ptr [rip + CPU_IBRS], 0",
    "je 8f",
    set_ibrs!("CPU_IBRS_INSIDE"),
    "8:",
    // Unlike SYSCALL, an interrupt leaves AC as the program set it, which would switch SMAP off.
    "cmp byte ptr [rip + CPU_HAS_SMAP], 0",
    "je 2f",
    "clac",
    "2:",
    "mov rdi, rsp",
    "cld",
    // The frame is 22 words and the CPU aligned the stack before its five: 16-byte aligned here.
    "call qword ptr [rip + CPU_TRAP_HANDLER]",
    "test byte ptr [rsp + {cs}], 3",
    "jz 3f",
    "cmp byte ptr [rip + CPU_IBRS], 0",
    "je 9f",
    set_ibrs!("CPU_IBRS_OUTSIDE"),
    "9:",
    "cmp byte ptr [rip + CPU_VERW], 0",
    "je 7f",
    "verw word ptr [rip + CPU_VERW_SELECTOR]",
    "7:",
    "swapgs",
    "3:",
    "CPU_POP_ALL",
    "add rsp, 16",
    "iretq",
    // NMI, double fault and machine check may hit between SYSCALL and SWAPGS: look at the GS base itself.
    "cpu_trap_paranoid:",
    "CPU_PUSH_ALL",
    "cmp byte ptr [rip + CPU_HAS_SMAP], 0",
    "je 6f",
    "clac",
    "6:",
    "mov ecx, 0xc0000101",
    "rdmsr",
    "xor ebx, ebx",
    "test edx, edx",
    "js 4f",
    "swapgs",
    "mov ebx, 1",
    "4:",
    "mov rdi, rsp",
    "cld",
    "call qword ptr [rip + CPU_TRAP_HANDLER]",
    "test ebx, ebx",
    "jz 5f",
    "swapgs",
    "5:",
    "CPU_POP_ALL",
    "add rsp, 16",
    "iretq",
    cs = const offset_of!(TrapFrame, cs),
);

unsafe extern "C" {
    static cpu_vector_stubs: u8;
}

/// Address of the stub of a vector.
pub fn vector_stub(vector: usize) -> u64 {
    // SAFETY: only the address is taken; the stubs are 256 times 16 bytes of code.
    (&raw const cpu_vector_stubs) as u64 + (vector as u64 & 255) * 16
}

/// In the sabotage kernel every register that holds nothing of a new thread holds something of the kernel's, so that one which is
/// not cleared is noticed.
#[cfg(sabotage)]
macro_rules! stain {
    () => {
        "mov rax, rsp\nmov rbx, rsp\nmov rcx, rsp\nmov rdx, rsp\nmov rbp, rsp\nmov r8, rsp\nmov r9, rsp\nmov r10, rsp\n\
         mov r11, rsp\nmov r12, rsp\nmov r13, rsp\nmov r14, rsp\nmov r15, rsp"
    };
}
#[cfg(not(sabotage))]
macro_rules! stain {
    () => {
        ""
    };
}

/// The way to user mode of a new thread; `$clear` is done to the registers that hold nothing of it.
macro_rules! start_user {
    ($rip:expr, $rsp:expr, $rdi:expr, $rsi:expr $(, $clear:literal)*) => {
        core::arch::asm!(
            "push {ss}",
            "push {rsp_user}",
            "push 0x202",
            "push {cs}",
            "push {rip}",
            "cmp byte ptr [rip + CPU_IBRS], 0",
            "je 3f",
            set_ibrs!("CPU_IBRS_OUTSIDE"),
            "3:",
            stain!(),
            $($clear,)*
            "cmp byte ptr [rip + CPU_VERW], 0",
            "je 2f",
            "verw word ptr [rip + CPU_VERW_SELECTOR]",
            "2:",
            "swapgs",
            "iretq",
            ss = const USER_DATA as u64,
            cs = const USER_CODE as u64,
            rsp_user = in(reg) $rsp,
            rip = in(reg) $rip,
            in("rdi") $rdi,
            in("rsi") $rsi,
            options(noreturn)
        )
    };
}

/// Starts user mode for the first time on a thread: everything but the arguments is zero.
///
/// # Safety
/// The current page tables are the thread's own, its kernel stack is set for this CPU, and `rip` and `rsp` are
/// lower-half addresses.
pub unsafe fn enter_user(rip: u64, rsp: u64, rdi: u64, rsi: u64) -> ! {
    sabotage!(KEEP_REGISTERS => {
        // SAFETY: as below.
        unsafe { start_user!(rip, rsp, rdi, rsi) }
    });
    // SAFETY: the frame asks for user segments with interrupts on; the caller promises the rest.
    unsafe {
        start_user!(
            rip,
            rsp,
            rdi,
            rsi,
            "xor eax, eax",
            "xor ebx, ebx",
            "xor ecx, ecx",
            "xor edx, edx",
            "xor ebp, ebp",
            "xor r8d, r8d",
            "xor r9d, r9d",
            "xor r10d, r10d",
            "xor r11d, r11d",
            "xor r12d, r12d",
            "xor r13d, r13d",
            "xor r14d, r14d",
            "xor r15d, r15d"
        )
    }
}

/// Stops the kernel if it was entered with a flag that a program may set and the kernel must not run with: with AC, SMAP
/// is off; with DF, copies go backwards; with TF or IF it is interrupted where it holds locks.
#[cfg(sabotage)]
pub fn assert_entry_flags() {
    const STRAY: u64 = 1 << 8 | 1 << 9 | 1 << 10 | 1 << 14 | 1 << 18 | 3 << 12;
    let flags = x86_64::registers::rflags::read_raw();
    assert!(
        flags & STRAY == 0,
        "the kernel was entered with flags {flags:#x}"
    );
}
