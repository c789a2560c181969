//! Places that are none, and rings that cannot be.

use core::arch::asm;
use core::sync::atomic::Ordering;

use ring_abi::{Submission, opcode, span, syscall};
use rt::sys::{self, Operation};
use sdk::{Endpoint, EndpointFactory, Env, Interface, Object};
use smoke::raw;

use super::{MESSAGE, REPLY, SURVIVED, granted, operate};

fn area_bytes() -> u32 {
    // SAFETY: the kernel wrote the header before the thread ran.
    unsafe { (*raw::header()).message_bytes }
}

/// A call of VirtualMemory with its message at `message`.
fn call(env: &Env, message: u64) -> &'static str {
    operate(Operation {
        opcode: opcode::CALL,
        handle: granted(env, "vm"),
        words: [message, 0, 0, 0],
        reply: REPLY,
        ..Operation::default()
    });
    SURVIVED
}

pub fn beyond(env: &Env) -> &'static str {
    call(env, span(area_bytes(), 8))
}

pub fn too_long(env: &Env) -> &'static str {
    call(env, span(0, area_bytes() + 8))
}

pub fn wraps(env: &Env) -> &'static str {
    call(env, span(u32::MAX - 7, 16))
}

pub fn in_kernel(env: &Env) -> &'static str {
    call(env, 0xffff_8000_0000_0000)
}

pub fn misaligned(env: &Env) -> &'static str {
    call(env, span(MESSAGE + 4, 16))
}

pub fn odd_length(env: &Env) -> &'static str {
    call(env, span(MESSAGE, 12))
}

pub fn of_reply(env: &Env) -> &'static str {
    operate(Operation {
        opcode: opcode::CALL,
        handle: granted(env, "vm"),
        words: [span(MESSAGE, 16), 0, 0, 0],
        reply: 0xffff_ffff_8000_0000,
        ..Operation::default()
    });
    SURVIVED
}

pub fn of_receive(env: &Env) -> &'static str {
    let factory = env.get::<EndpointFactory>("endpointFactory");
    let endpoint: Option<Endpoint> = factory
        .ok()
        .and_then(|factory| Some(factory.create().ok()?.endpoint));
    operate(Operation {
        opcode: opcode::RECEIVE,
        handle: endpoint.map_or(u64::MAX, |endpoint| endpoint.into_object().into_handle()),
        reply: span(area_bytes(), 4096),
        deadline_ns: 1,
        ..Operation::default()
    });
    SURVIVED
}

pub fn of_return(_: &Env) -> &'static str {
    operate(Operation {
        opcode: opcode::RETURN,
        handle: 1 << 24,
        words: [span(area_bytes() - 8, 16), 0, 0, 0],
        ..Operation::default()
    });
    SURVIVED
}

/// A message that ends where the area does, with descriptors behind it.
pub fn of_transfers(env: &Env) -> &'static str {
    operate(Operation {
        opcode: opcode::CALL,
        handle: granted(env, "probe"),
        words: [span(area_bytes() - 16, 16), 0, 0, 1],
        reply: REPLY,
        deadline_ns: 1,
        ..Operation::default()
    });
    SURVIVED
}

pub fn in_ring(env: &Env) -> &'static str {
    raw::submit(Submission {
        opcode: opcode::CALL,
        handle: granted(env, "vm"),
        words: [span(area_bytes(), 64), REPLY, 0, 0],
        deadline_ns: 1,
        ..Submission::default()
    });
    raw::enter(1, 1);
    SURVIVED
}

/// The end of a process is granted whatever the text; one that lies nowhere is empty.
pub fn of_exit_text(_: &Env) -> &'static str {
    sys::exit(7, u32::MAX - 100, 256, sys::Ending::Exit)
}

pub fn control_bits(_: &Env) -> &'static str {
    // SAFETY: the kernel ends the process, or leaves its memory alone.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") syscall::ENTER => _,
            inlateout("rdi") 1_u64 << 48 => _,
            inlateout("rsi") 0_u64 => _, inlateout("rdx") 0_u64 => _,
            lateout("rcx") _, lateout("r8") _, lateout("r9") _, lateout("r10") _,
            lateout("r11") _, lateout("r12") _,
            options(nostack)
        );
    }
    SURVIVED
}

pub fn system_call(_: &Env) -> &'static str {
    // SAFETY: as above.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") 0x1234_5678_9abc_def0_u64 => _,
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    SURVIVED
}

pub fn ring_tail(_: &Env) -> &'static str {
    let tail = raw::submission_tail();
    tail.store(
        tail.load(Ordering::Relaxed).wrapping_add(4096),
        Ordering::Relaxed,
    );
    raw::enter(0, 1);
    SURVIVED
}

pub fn ring_head(_: &Env) -> &'static str {
    let head = raw::completion_head();
    head.store(
        head.load(Ordering::Relaxed).wrapping_add(1),
        Ordering::Relaxed,
    );
    raw::enter(0, 1);
    SURVIVED
}

/// Everything that the header says is overwritten; the kernel goes by its own copy.
pub fn ring_header(_: &Env) -> &'static str {
    let header = raw::header().cast::<u64>();
    for at in 0..16 {
        // SAFETY: the header of this thread's own area, 128 bytes, which nothing reads afterwards but the kernel.
        unsafe { header.add(at).write_volatile(u64::MAX) };
    }
    sys::enter_ring(0, 1);
    SURVIVED
}
