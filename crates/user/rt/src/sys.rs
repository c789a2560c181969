//! The two system calls.

#[cfg(any(target_os = "none", guest))]
use core::arch::asm;

#[cfg(any(target_os = "none", guest))]
use ring_abi::{Control, span, syscall};
use ring_abi::{StatusWord, opcode, submission_flags};
use stub::{Refusal, Words};

/// What goes into one operation in registers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Operation {
    /// An [`opcode`].
    pub opcode: u8,
    /// [`submission_flags`].
    pub flags: u8,
    /// The method of a call.
    pub method: u16,
    /// The handle that the operation is about.
    pub handle: u64,
    /// Absolute deadline in nanoseconds.
    pub deadline_ns: u64,
    /// Payload words; of a message: its span, two zeroes, and the count of transfers.
    pub words: Words,
    /// The endpoint of a return+receive.
    pub second: u64,
    /// The reply buffer: a span.
    pub reply: u64,
}

/// What comes back.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// How it went.
    pub status: StatusWord,
    /// The cookie of the facet that a received call came through.
    pub cookie: u64,
    /// The reply handle of a received call.
    pub reply: u64,
    /// Result words, when the status says that they are inline.
    pub words: Words,
}

impl Outcome {
    /// The refusal, if it is one.
    #[inline]
    pub fn refused(&self) -> Option<Refusal> {
        match self.status.status {
            0 => None,
            code => Refusal::from_code(code),
        }
    }
}

/// Performs one operation and waits for it.
#[cfg(any(target_os = "none", guest))]
pub fn operate(operation: &Operation) -> Outcome {
    let control = Control {
        opcode: operation.opcode,
        flags: operation.flags,
        method: operation.method,
        min_complete: 0,
    };
    let [mut a, mut b, mut c, mut d] = operation.words;
    let (mut rax, mut rsi, mut rdx) = (syscall::ENTER, operation.handle, operation.deadline_ns);
    // SAFETY: the kernel preserves every register but those named here (ring-abi), and writes to this process' memory
    // only inside the reply buffer, which the callers in this crate take from the message area.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") rax,
            in("rdi") control.pack(),
            inlateout("rsi") rsi,
            inlateout("rdx") rdx,
            inlateout("r10") a,
            inlateout("r8") b,
            inlateout("r9") c,
            inlateout("r12") d,
            in("r13") operation.second,
            in("r14") operation.reply,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    Outcome {
        status: StatusWord::unpack(rax),
        cookie: rsi,
        reply: rdx,
        words: [a, b, c, d],
    }
}

/// Performs one operation with the host's stand-in for the kernel.
#[cfg(not(any(target_os = "none", guest)))]
pub fn operate(operation: &Operation) -> Outcome {
    crate::host::operate(operation)
}

/// Takes submissions from the ring and waits until `min_complete` completions are there or `deadline_ns` comes.
/// Returns how many are there.
#[cfg(any(target_os = "none", guest))]
pub fn enter_ring(min_complete: u16, deadline_ns: u64) -> u64 {
    let control = Control {
        opcode: opcode::RING,
        flags: 0,
        method: 0,
        min_complete,
    };
    let mut rax = syscall::ENTER;
    // SAFETY: as in `operate`; the kernel writes only completions and the reply buffers of the ring's submissions.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") rax,
            in("rdi") control.pack(),
            inlateout("rsi") 0_u64 => _,
            inlateout("rdx") deadline_ns => _,
            inlateout("r10") 0_u64 => _,
            inlateout("r8") 0_u64 => _,
            inlateout("r9") 0_u64 => _,
            inlateout("r12") 0_u64 => _,
            in("r13") 0_u64,
            in("r14") 0_u64,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    rax
}

/// There is no ring on the host, so there is nothing to wait for.
#[cfg(not(any(target_os = "none", guest)))]
pub fn enter_ring(_: u16, _: u64) -> u64 {
    0
}

/// How a process ends itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is done.
    Exit,
    /// It panicked, on the host as in the guest.
    Panic,
}

/// Ends the process. The text is `bytes` long, at `offset` in the message area.
#[cfg(any(target_os = "none", guest))]
pub fn exit(code: i64, offset: u32, bytes: u32, ending: Ending) -> ! {
    let mark = match ending {
        Ending::Exit => 0,
        Ending::Panic => syscall::EXIT_PANIC,
    };
    // SAFETY: does not return.
    unsafe {
        asm!(
            // Where the kernel finds who called whom.
            "mov rdx, rbp",
            "syscall",
            "ud2",
            in("rax") syscall::EXIT,
            in("rdi") code,
            in("rsi") span(offset, bytes) | mark,
            options(noreturn, nostack),
        );
    }
}

/// Ends the test that runs the program on the host.
#[cfg(not(any(target_os = "none", guest)))]
pub fn exit(code: i64, offset: u32, bytes: u32, _: Ending) -> ! {
    crate::host::exit(code, offset, bytes)
}

/// Ends the calling thread.
#[cfg(any(target_os = "none", guest))]
pub fn exit_thread(code: i64) -> ! {
    // SAFETY: does not return.
    unsafe {
        asm!(
            "syscall",
            "ud2",
            in("rax") syscall::EXIT | syscall::EXIT_THREAD,
            in("rdi") code,
            in("rsi") 0_u64,
            options(noreturn, nostack),
        );
    }
}

/// No thread of a program runs on the host.
#[cfg(not(any(target_os = "none", guest)))]
pub fn exit_thread(code: i64) -> ! {
    panic!("a thread ended with code {code}")
}

/// Drops a handle.
pub fn release(handle: u64) {
    operate(&Operation {
        opcode: opcode::RELEASE,
        handle,
        deadline_ns: ring_abi::NEVER,
        ..Operation::default()
    });
}

/// Waits until the word at `address` is no longer `value`, somebody unparks it, or `deadline_ns` comes. May also
/// return for no reason.
pub fn park(address: *const u32, value: u32, deadline_ns: u64) {
    operate(&Operation {
        opcode: opcode::PARK,
        handle: address as u64,
        deadline_ns,
        words: [u64::from(value), 0, 0, 0],
        ..Operation::default()
    });
}

/// Wakes up to `count` threads of this process that are parked on `address`.
pub fn unpark(address: *const u32, count: u32) {
    operate(&Operation {
        opcode: opcode::UNPARK,
        handle: address as u64,
        deadline_ns: ring_abi::NEVER,
        words: [u64::from(count), 0, 0, 0],
        ..Operation::default()
    });
}

/// Refuses the call that a reply handle stands for.
pub fn refuse(reply: u64, refusal: Refusal) {
    operate(&Operation {
        opcode: opcode::REFUSE,
        handle: reply,
        deadline_ns: ring_abi::NEVER,
        words: [u64::from(refusal.code()), 0, 0, 0],
        ..Operation::default()
    });
}

/// The flags of an operation whose payload is `plain`.
#[expect(
    clippy::fn_params_excessive_bools,
    reason = "a property of the payload, read and not chosen"
)]
pub(crate) fn flags(plain: bool) -> u8 {
    if plain { submission_flags::INLINE } else { 0 }
}
