//! Exceptions, interrupts and system calls: who handles which.

use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};

use apic::vector;
use cpu::{Handlers, SyscallFrame, TrapFrame};
use ipc::End;
use ring_abi::{MAX_EXIT_TEXT, span_parts, syscall};

/// Interrupts that no source of ours raised.
pub static SPURIOUS: AtomicU64 = AtomicU64::new(0);

/// Registers the two ways in.
pub fn initialise() {
    cpu::set_handlers(Handlers {
        syscall: on_syscall,
        trap: on_trap,
    });
    // SAFETY: descriptors are loaded and the handlers are registered.
    unsafe { cpu::install_syscall() };
}

extern "C" fn on_syscall(frame: &mut SyscallFrame) {
    match frame.rax {
        syscall::ENTER => ipc::enter(frame),
        rax if rax & 0xff == syscall::EXIT => on_exit(frame),
        _ => ipc::current()
            .process
            .end(End::Faulted, -1, "system-call: no such number"),
    }
    sched::preempt_if_needed();
    ipc::leave_if_dying();
}

fn on_exit(frame: &SyscallFrame) {
    if frame.rax & syscall::EXIT_THREAD != 0 {
        ipc::exit_thread(frame.rdi as i64);
    }
    let me = ipc::current();
    let panicked = frame.rsi & syscall::EXIT_PANIC != 0;
    let (offset, bytes) = span_parts(frame.rsi & !syscall::EXIT_PANIC);
    let mut buffer = [0; MAX_EXIT_TEXT];
    let n = me.exit_text(offset, bytes, &mut buffer);
    let text = core::str::from_utf8(&buffer[..n])
        .unwrap_or_else(|e| core::str::from_utf8(&buffer[..e.valid_up_to()]).unwrap_or(""));
    let kind = if panicked { End::Panicked } else { End::Exited };
    me.process.end(kind, frame.rdi as i64, text);
}

extern "C" fn on_trap(frame: &mut TrapFrame) {
    let number = frame.vector as u8;
    match number {
        0..32 => on_exception(frame),
        vector::TIMER => {
            apic::end_of_interrupt();
            sched::on_timer_interrupt();
        }
        vector::SHOOTDOWN => {
            paging::answer_shootdown();
            apic::end_of_interrupt();
        }
        vector::RESCHEDULE => apic::end_of_interrupt(),
        vector::STOP => cpu::halt_forever(),
        vector::SPURIOUS => {
            SPURIOUS.fetch_add(1, Ordering::Relaxed);
        }
        _ => {
            if !crate::objects::on_interrupt(number) {
                SPURIOUS.fetch_add(1, Ordering::Relaxed);
            }
            apic::end_of_interrupt();
        }
    }
    if frame.from_user() {
        if frame.rip >> 47 != 0 {
            // A jump out of the lower half that has not been fetched yet: IRETQ would fault in kernel mode.
            ipc::current().process.end(
                End::Faulted,
                -1,
                "general-protection: non-canonical return",
            );
        }
        sched::preempt_if_needed();
        ipc::leave_if_dying();
    }
}

const fn name(number: u64) -> &'static str {
    match number {
        0 => "divide-error",
        1 => "debug",
        2 => "nmi",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound-range",
        6 => "invalid-opcode",
        7 => "device-not-available",
        8 => "double-fault",
        10 => "invalid-tss",
        11 => "segment-not-present",
        12 => "stack-fault",
        13 => "general-protection",
        14 => "page-fault",
        16 => "x87-fault",
        17 => "alignment-check",
        18 => "machine-check",
        19 => "simd-fault",
        21 => "control-protection",
        _ => "exception",
    }
}

fn on_exception(frame: &TrapFrame) {
    let mut line = crate::log::Line::new();
    let _ = write!(line, "{}: ", name(frame.vector));
    if frame.vector == 14 {
        let what = match frame.error & 0b1_0010 {
            0 => "reading",
            0b10 => "writing",
            _ => "executing",
        };
        let _ = write!(
            line,
            "{what} {:#x} at {:#x}",
            cpu::fault_address(),
            frame.rip
        );
    } else {
        let _ = write!(line, "at {:#x}, error {:#x}", frame.rip, frame.error);
    }
    if !frame.from_user() || matches!(frame.vector, 2 | 8 | 18) {
        crate::panic::stop(format_args!(
            "{} in kernel mode, stack {:#x}",
            line.text(),
            frame.rsp
        ));
    }
    ipc::current().process.end(End::Faulted, -1, line.text());
}
