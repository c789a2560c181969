//! Registers that are loaded with a pattern, held while something happens, and stored again.

use core::arch::{global_asm, naked_asm};
use core::mem::offset_of;

use ring_abi::syscall;
use rt::sys::Operation;

/// The sixteen vector registers, 32 bytes each; without AVX the upper half stays as it is.
type Bank = [[u64; 4]; 16];

/// Marks a word of a pattern: what no program computes by chance.
const MARK: u64 = 0x5afe << 48;
/// MXCSR and the x87 control word at the start: all exceptions masked, rounding to nearest.
pub const START: (u32, u16) = (0x1f80, 0x037f);

/// What is loaded, what happens then, and what is stored afterwards.
#[repr(C, align(32))]
pub struct Hold {
    load: Bank,
    store: Bank,
    /// MXCSR: loaded, stored.
    mxcsr: [u32; 2],
    /// The x87 control word: loaded, stored.
    control: [u16; 2],
    has_avx: u32,
    /// Two numbers on the x87 stack: loaded, stored.
    x87: [[f64; 2]; 2],
    /// How often it counts down.
    spins: u64,
    /// What goes into the system call, and comes back: RDI, RSI, RDX, R10, R8, R9, R12, and RAX.
    words: [u64; 8],
}

unsafe extern "C" {
    /// Loads, counts down, performs a system call unless RDI is to be zero, and stores.
    fn fpu_hold(hold: *mut Hold);
}

global_asm!(
    ".pushsection .text.fpu_hold, \"ax\", @progbits",
    ".globl fpu_hold",
    ".type fpu_hold, @function",
    "fpu_hold:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov r15, rdi",
    "fninit",
    "fldcw [r15 + {control}]",
    "ldmxcsr [r15 + {mxcsr}]",
    "fld qword ptr [r15 + {x87}]",
    "fld qword ptr [r15 + {x87} + 8]",
    "cmp dword ptr [r15 + {avx}], 0",
    "jne 2f",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "movdqu xmm\\n, [r15 + {load} + 32 * \\n]",
    ".endr",
    "jmp 3f",
    "2:",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "vmovdqu ymm\\n, [r15 + {load} + 32 * \\n]",
    ".endr",
    "3:",
    "mov rcx, [r15 + {spins}]",
    "4:",
    "dec rcx",
    "jns 4b",
    "mov rdi, [r15 + {words}]",
    "test rdi, rdi",
    "jz 5f",
    "mov eax, {enter}",
    "mov rsi, [r15 + {words} + 8]",
    "mov rdx, [r15 + {words} + 16]",
    "mov r10, [r15 + {words} + 24]",
    "mov r8, [r15 + {words} + 32]",
    "mov r9, [r15 + {words} + 40]",
    "mov r12, [r15 + {words} + 48]",
    "xor r13d, r13d",
    "xor r14d, r14d",
    "syscall",
    "mov [r15 + {words} + 24], r10",
    "mov [r15 + {words} + 56], rax",
    "5:",
    "cmp dword ptr [r15 + {avx}], 0",
    "jne 6f",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "movdqu [r15 + {store} + 32 * \\n], xmm\\n",
    ".endr",
    "jmp 7f",
    "6:",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "vmovdqu [r15 + {store} + 32 * \\n], ymm\\n",
    ".endr",
    "vzeroupper",
    "7:",
    "stmxcsr [r15 + {mxcsr} + 4]",
    "fnstcw [r15 + {control} + 2]",
    "fstp qword ptr [r15 + {x87} + 24]",
    "fstp qword ptr [r15 + {x87} + 16]",
    // What compiled code counts on.
    "fninit",
    "mov dword ptr [r15 + {mxcsr}], 0x1f80",
    "ldmxcsr [r15 + {mxcsr}]",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    ".popsection",
    load = const offset_of!(Hold, load),
    store = const offset_of!(Hold, store),
    mxcsr = const offset_of!(Hold, mxcsr),
    control = const offset_of!(Hold, control),
    avx = const offset_of!(Hold, has_avx),
    x87 = const offset_of!(Hold, x87),
    spins = const offset_of!(Hold, spins),
    words = const offset_of!(Hold, words),
    enter = const syscall::ENTER as u32,
);

/// Whether this process may use AVX: by CPUID, and by what the kernel turned on (Intel SDM vol. 1, 14.3).
pub fn has_avx() -> bool {
    const OSXSAVE_AVX: u32 = 1 << 27 | 1 << 28;
    if core::arch::x86_64::__cpuid(1).ecx & OSXSAVE_AVX != OSXSAVE_AVX {
        return false;
    }
    let parts: u32;
    // SAFETY: OSXSAVE says that the instruction is there; it reads a register.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") parts, out("edx") _, options(nomem, nostack));
    }
    parts & 6 == 6
}

impl Hold {
    /// A pattern that is `tag`'s alone.
    pub fn new(tag: u16) -> Self {
        let of = |register: usize, lane: usize| {
            MARK | u64::from(tag) << 32 | (register as u64) << 8 | lane as u64
        };
        let load = core::array::from_fn(|n| core::array::from_fn(|lane| of(n, lane)));
        Self {
            load,
            store: [[0; 4]; 16],
            // Flush to zero, and a rounding of its own; the same for x87.
            mxcsr: [0x9f80 | u32::from(tag & 3) << 13, 0],
            control: [0x037f | (tag & 3) << 10, 0],
            has_avx: u32::from(has_avx()),
            x87: [[f64::from(tag), 0.5], [0.0; 2]],
            spins: 0,
            words: [0; 8],
        }
    }

    /// Holds the pattern while the program counts down from `spins`. How much of what was stored is not what was loaded.
    pub fn spin(&mut self, spins: u64) -> u64 {
        self.spins = spins;
        self.words = [0; 8];
        self.run()
    }

    /// Holds the pattern through an operation in registers, of which it gives the status and the first result. The same.
    pub fn operate(&mut self, operation: &Operation) -> (u64, u64, u64) {
        let control = ring_abi::Control {
            opcode: operation.opcode,
            flags: operation.flags,
            method: operation.method,
            min_complete: 0,
        };
        let [a, b, c, d] = operation.words;
        let (handle, deadline) = (operation.handle, operation.deadline_ns);
        self.spins = 0;
        self.words = [control.pack(), handle, deadline, a, b, c, d, 0];
        let wrong = self.run();
        (wrong, self.words[7], self.words[3])
    }

    fn run(&mut self) -> u64 {
        let (mxcsr, control) = (self.mxcsr[0], self.control[0]);
        // SAFETY: the structure that the assembly is written for; it keeps the registers that the ABI says.
        unsafe { fpu_hold(self) };
        self.mxcsr[0] = mxcsr;
        let lanes = if self.has_avx == 1 { 4 } else { 2 };
        let pairs = self.load.iter().zip(&self.store);
        let words = pairs.flat_map(|(load, store)| load.iter().zip(store).take(lanes));
        let wrong = words.filter(|(load, store)| load != store).count();
        let control_is_kept =
            self.mxcsr[1] & 0xffc0 == mxcsr & 0xffc0 && self.control[1] == control;
        // Compared as they lie: a soft-float program calls no function for it.
        let bits = |pair: &[f64; 2]| pair.map(f64::to_bits);
        let x87_is_kept = bits(&self.x87[0]) == bits(&self.x87[1]);
        wrong as u64 + u64::from(!control_is_kept) + u64::from(!x87_is_kept)
    }
}

/// What a thread found in its registers when it began.
#[repr(C, align(32))]
#[derive(Clone, Copy)]
pub struct Begun {
    vectors: Bank,
    mxcsr: u32,
    control: u16,
    status: u16,
    has_avx: u32,
}

impl Begun {
    /// Nothing yet. `has_avx` is [`has_avx`].
    pub fn new() -> Self {
        Self {
            vectors: [[0; 4]; 16],
            mxcsr: 0,
            control: 0,
            status: 0,
            has_avx: u32::from(has_avx()),
        }
    }

    /// How many words of the vector registers were not zero, and whether the control words were as at the start.
    pub fn found(&self) -> (usize, bool) {
        let words = self.vectors.iter().flatten();
        let set = words.filter(|word| **word != 0).count();
        (set, (self.mxcsr, self.control) == START && self.status == 0)
    }
}

impl Default for Begun {
    fn default() -> Self {
        Self::new()
    }
}

/// The first code of a thread: writes what it finds to the [`Begun`] that RDI names, and ends the thread.
///
/// # Safety
/// It is the entry of a thread, and is never called.
#[unsafe(naked)]
pub unsafe extern "C" fn begin() {
    naked_asm!(
        "cmp dword ptr [rdi + {avx}], 0",
        "jne 2f",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "movdqu [rdi + 32 * \\n], xmm\\n",
        ".endr",
        "jmp 3f",
        "2:",
        ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
        "vmovdqu [rdi + 32 * \\n], ymm\\n",
        ".endr",
        "3:",
        "stmxcsr [rdi + {mxcsr}]",
        "fnstcw [rdi + {control}]",
        "fnstsw [rdi + {status}]",
        "mov eax, {exit}",
        "xor edi, edi",
        "xor esi, esi",
        "syscall",
        "ud2",
        mxcsr = const offset_of!(Begun, mxcsr),
        control = const offset_of!(Begun, control),
        status = const offset_of!(Begun, status),
        avx = const offset_of!(Begun, has_avx),
        exit = const (syscall::EXIT | syscall::EXIT_THREAD) as u32,
    )
}

/// Looks into the vector registers without the right to: how many words there carry the mark of a pattern, if it survives.
pub fn peek() -> usize {
    let mut vectors = [[0_u64; 2]; 16];
    // SAFETY: it ends the process, or writes what the array has room for.
    unsafe {
        core::arch::asm!(
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "movdqu [{0} + 16 * \\n], xmm\\n",
            ".endr",
            in(reg) vectors.as_mut_ptr(),
            options(nostack)
        );
    }
    let words = vectors.iter().flatten();
    words.filter(|word| *word >> 48 == MARK >> 48).count()
}
