//! What programs leave in the processor's registers and flags.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

/// What the sabotage kernel does when it finds itself with such a flag.
const PANIC: &str = "@kernel.panic";
const CALLS: &str = "@entry.flags program=calls kind=exited said=\"flags=0x44400\"";
const SPINS: &str = "@entry.flags program=spins kind=exited said=\"flags=0x40400\"";
const SELECTORS: &str =
    "@entry.selectors set=\"[27, 27, 0, 27]\" next_process=\"ds=0 es=0 fs=0 gs=0\"";
const THREAD: &str = "@entry.thread registers_set=0 argument=true stack=true flags=\"0x202\" cs=35 ss=27 data=\"[0, 0, 0]\" fs_names_area=true gs_base_is_zero=true";
/// An interrupt between a return out of the lower half and the fetch there. Without the check the emulator takes the kernel's
/// return to it, and the fetch faults in the program; a processor faults at the kernel's return.
const RETURN: &str = "@entry.return said=\"general-protection: non-canonical return\"";

/// What a program sees that tries all of it.
pub const ALL: &[&str] = &[
    SELECTORS,
    THREAD,
    CALLS,
    SPINS,
    "@entry.flags program=undefined kind=faulted said=invalid-opcode",
    "@entry.flags program=unmapped kind=faulted said=page-fault",
    "@entry.selector alone=ds set=\"[27, 0, 0, 0]\" next_process=\"ds=0 es=0 fs=0 gs=0\"",
    "@entry.selector alone=es set=\"[0, 27, 0, 0]\" next_process=\"ds=0 es=0 fs=0 gs=0\"",
    "@entry.selector alone=gs set=\"[0, 0, 0, 27]\" next_process=\"ds=0 es=0 fs=0 gs=0\"",
    "@entry.flags program=steps kind=faulted said=debug",
];

// That the kernel runs without the flags is asserted by the sabotage kernel at each entry: it has no right to show
// itself otherwise.
inventory::submit! {
    Smoke {
        name: "entry",
        question: "Does nothing that a program left in the processor reach the kernel, another process or a new thread?",
        rows: &["CF-10"],
        manifest: "smoke/entry",
        required: ALL,
        forbidden: &[PANIC],
        ..PROGRAM
    }
}

// QEMU reads the stack of a far return as a kernel does, which SMAP forbids; and a processor looks where it leads.
inventory::submit! {
    Smoke {
        name: "entry-return",
        question: "Is a program ended that is interrupted where no program can be?",
        rows: &["CF-10"],
        manifest: "smoke/entry-return",
        smp: 2,
        extra: &["-cpu", "max,-erms,-fsrm,-smap"],
        required: &[RETURN],
        forbidden: &[PANIC],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::RETURN_ANYWHERE,
        smoke: "entry-return",
        breaks: Break::Missing(RETURN),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_AC_ON_CALL,
        smoke: "entry",
        breaks: Break::Appears {
            fact: PANIC,
            after: THREAD,
        },
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_AC_ON_TRAP,
        smoke: "entry",
        breaks: Break::Appears {
            fact: PANIC,
            after: CALLS,
        },
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_SELECTORS,
        smoke: "entry",
        breaks: Break::Missing(SELECTORS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_REGISTERS,
        smoke: "entry",
        breaks: Break::Missing(THREAD),
    }
}
