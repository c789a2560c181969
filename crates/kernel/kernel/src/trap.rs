//! Exceptions, interrupts and system calls: who handles which.

use core::fmt::Write;

use apic::vector;
use cpu::{Handlers, SyscallFrame, TrapFrame};
use ipc::End;
use ring_abi::{MAX_EXIT_TEXT, span_parts, syscall};

use crate::arrivals::count;
use crate::line::Line;

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
    #[cfg(sabotage)]
    cpu::assert_entry_flags();
    match frame.rax {
        syscall::ENTER => return ipc::enter(frame),
        rax if rax & 0xff == syscall::EXIT => on_exit(frame),
        _ => ipc::current()
            .process
            .end(End::Faulted, -1, "system-call: no such number"),
    }
    sched::preempt_if_needed();
    ipc::settle(frame);
}

#[cold]
#[inline(never)]
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
    let code = frame.rdi as i64;
    if panicked {
        let mut line = Line::new();
        let _ = line.write_str(text);
        add_callers(&mut line, frame.rdx);
        me.process.end(End::Panicked, code, line.text());
    } else {
        me.process.end(End::Exited, code, text);
    }
}

/// Adds the program's callers to the text of its end, as a line of their own.
fn add_callers(line: &mut Line, rbp: u64) {
    let vm = &ipc::current().process.vm;
    let half = |address| vm.read_word(address).ok().map(u64::from);
    let word = |address: u64| Some(half(address)? | half(address.checked_add(4)?)? << 32);
    let _ = line.write_str(ring_abi::CALLERS);
    crate::backtrace::add(line, rbp, word);
}

/// Whether a page fault of a program is the overflow of a stack: nothing is mapped there, the stack pointer points there or a page
/// beside it, and the next page is memory. Every mapping has an unmapped page below it unless the program chose its place.
fn is_stack_overflow(frame: &TrapFrame, address: u64) -> bool {
    let present = frame.error & 1 != 0;
    let Some(above) = (address | 0xfff).checked_add(1) else {
        return false;
    };
    !present
        && address.abs_diff(frame.rsp) <= 4096
        && ipc::current().process.vm.read_word(above).is_ok()
}

extern "C" fn on_trap(frame: &mut TrapFrame) {
    #[cfg(sabotage)]
    cpu::assert_entry_flags();
    match frame.vector {
        0..32 => on_exception(frame),
        _ => on_arrival(frame),
    }
    if frame.from_user() {
        if frame.rip >> 47 != 0 && !sabotage::sabotage!(RETURN_ANYWHERE) {
            // A jump out of the lower half that has not been fetched yet: IRETQ would fault in kernel mode.
            ipc::current().process.end(
                End::Faulted,
                -1,
                "general-protection: non-canonical return",
            );
        }
        sched::preempt_if_needed();
        if sabotage::sabotage!(LEAVE_LOOPING) {
            return;
        }
        ipc::leave_if_dying();
    }
}

/// Handles an interrupt, in one go: it may have come in a look in the middle of somebody's long work.
fn on_arrival(frame: &TrapFrame) {
    let _whole = sched::unbroken();
    let number = frame.vector as u8;
    match number {
        vector::TIMER => {
            // What comes due is not the doing of what runs here.
            let _kernel =
                (!sabotage::sabotage!(INTERRUPT_AT_ANY_COST)).then(frames::paid_by_kernel);
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
            count(|counts| &counts.spurious);
        }
        vector::DRAIN => {
            if crate::devices::drain_vectors() {
                // What is pending has a higher vector, so it is taken first.
                apic::send_ipi(apic::local_id(), vector::DRAIN);
            }
            apic::end_of_interrupt();
        }
        _ => {
            let _kernel =
                (!sabotage::sabotage!(INTERRUPT_AT_ANY_COST)).then(frames::paid_by_kernel);
            if crate::objects::on_interrupt(cpu::index() as u16, number) {
                count(|counts| &counts.device);
            } else {
                count(|counts| &counts.unowned);
            }
            apic::end_of_interrupt();
        }
    }
}

/// Whether a fault of a program is the use of the FPU by a process that may not use it.
fn is_for_fpu(frame: &TrapFrame) -> bool {
    let me = ipc::current();
    if me.process.has_fpu || !matches!(frame.vector, 6 | 7) {
        return false;
    }
    // Whole words: what lies before the instruction in the first one is skipped.
    let mut code = [0; 16];
    let start = frame.rip & !3;
    for (at, word) in (start..).step_by(4).zip(code.chunks_exact_mut(4)) {
        let Ok(read) = me.process.vm.read_word(at) else {
            break;
        };
        word.copy_from_slice(&read.to_le_bytes());
    }
    fpu_state::needs_fpu(&code[(frame.rip - start) as usize..])
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
    let in_kernel = !frame.from_user() || matches!(frame.vector, 2 | 8 | 18);
    let mut line = Line::new();
    let overflow = match (in_kernel, frame.vector) {
        // The page fault of an overflow finds no stack to be told on, which makes it a double fault.
        (true, 8 | 14) => paging::is_below_kernel_stack(cpu::fault_address()),
        (false, 14) => is_stack_overflow(frame, cpu::fault_address()),
        _ => false,
    };
    let name = if overflow {
        "stack-overflow"
    } else {
        name(frame.vector)
    };
    let _ = write!(line, "{name}: ");
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
    if !in_kernel && is_for_fpu(frame) {
        let _ = line.write_str(
            ": an instruction of the floating-point and vector unit, for which its starter must say fpu",
        );
    }
    if in_kernel {
        let what = format_args!("{} in kernel mode, stack {:#x}", line.text(), frame.rsp);
        crate::panic::stop_at(what, frame.rbp);
    }
    add_callers(&mut line, frame.rbp);
    ipc::current().process.end(End::Faulted, -1, line.text());
}
