//! The attacks, by name. Each runs in a process of its own and is expected not to return, unless its words say so.

mod entering;
mod instructions;
mod memory;
mod races;
mod refusals;
mod spans;

use rt::sys::{Operation, Outcome};
use sdk::{Env, NEVER};
use smoke::raw;

pub use entering::{
    Begun, FLAGS, begin, flags_and_fault, flags_and_spin, flags_and_walk, return_late,
    step_into_kernel,
};
pub use refusals::{flood, operations, threads_and_memory};

/// One attack.
pub struct Attack {
    /// Its name: the process's role.
    pub name: &'static str,
    /// What it does. One that returns has survived; the text says what it saw.
    pub run: fn(&Env) -> &'static str,
}

const fn attack(name: &'static str, run: fn(&Env) -> &'static str) -> Attack {
    Attack { name, run }
}

/// What an attack that should have ended its process says when it did not.
pub const SURVIVED: &str = "survived";

/// Every attack, in the order in which they are made.
pub const ATTACKS: &[Attack] = &[
    attack("span-beyond", spans::beyond),
    attack("span-too-long", spans::too_long),
    attack("span-wraps", spans::wraps),
    attack("span-in-kernel", spans::in_kernel),
    attack("span-misaligned", spans::misaligned),
    attack("span-odd-length", spans::odd_length),
    attack("span-of-reply", spans::of_reply),
    attack("span-of-receive", spans::of_receive),
    attack("span-of-return", spans::of_return),
    attack("span-of-transfers", spans::of_transfers),
    attack("span-in-ring", spans::in_ring),
    attack("span-of-exit-text", spans::of_exit_text),
    attack("control-bits", spans::control_bits),
    attack("system-call", spans::system_call),
    attack("ring-head", spans::ring_head),
    attack("ring-tail", spans::ring_tail),
    attack("ring-header", spans::ring_header),
    attack("flip-tail", races::flip_tail),
    attack("flip-length", races::flip_length),
    attack("flip-words", races::flip_words),
    attack("flip-message", races::flip_message),
    attack("sse", instructions::sse),
    attack("undefined", instructions::undefined),
    attack("wrfsbase", instructions::wrfsbase),
    attack("x87", instructions::x87),
    attack("single-step", instructions::single_step),
    attack("hlt", instructions::hlt),
    attack("cli", instructions::cli),
    attack("mov-cr3", instructions::mov_cr3),
    attack("wrmsr", instructions::wrmsr),
    attack("lgdt", instructions::lgdt),
    attack("in", instructions::port_in),
    attack("out", instructions::port_out),
    attack("iopl", instructions::iopl),
    attack("int-0x80", instructions::int_80),
    attack("int-page-fault", instructions::int_14),
    attack("breakpoint", instructions::breakpoint),
    attack("far-jump", instructions::far_jump),
    attack("kernel-selector", instructions::kernel_selector),
    attack("non-canonical-read", memory::non_canonical_read),
    attack("non-canonical-jump", memory::non_canonical_jump),
    attack("flags", instructions::flags),
    attack("wild-stack", memory::wild_stack),
    attack("read-kernel", memory::read_kernel),
    attack("read-apic", memory::read_apic),
    attack("user-selector", instructions::user_selector),
    attack("unmap-area", memory::unmap_area),
    attack("unmap-stack", memory::unmap_stack),
    attack("unmap-startup", memory::unmap_startup),
    attack("write-kernel", memory::write_kernel),
    attack("stack-in-kernel", memory::stack_in_kernel),
    attack("write-text", memory::write_text),
    attack("write-startup", memory::write_startup),
    attack("execute-kernel", memory::execute_kernel),
    attack("execute-stack", memory::execute_stack),
    attack("unmap-text", memory::unmap_text),
];

/// A place in the message area that is good for a reply.
const REPLY: u64 = ring_abi::span(raw::SAFE_OFFSET, 256);
/// A place in the message area for a message.
const MESSAGE: u32 = raw::SAFE_OFFSET + 256;

/// The handle granted as `name`; one never issued where nothing was.
fn granted(env: &Env, name: &str) -> u64 {
    let found = env.entries().find(|(n, ..)| *n == name);
    found.map_or(u64::MAX, |(_, _, handle)| handle)
}

/// One operation in registers that waits a millisecond at most, so that nothing here waits for good.
fn operate(operation: Operation) -> Outcome {
    raw::operate(&Operation {
        deadline_ns: if operation.deadline_ns == 0 {
            NEVER
        } else {
            operation.deadline_ns
        },
        ..operation
    })
}
