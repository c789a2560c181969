//! The kernel's own end: stop every CPU, say what happened, print the exit line.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::line::Line;
use crate::refusal::say;

static PANICKING: AtomicBool = AtomicBool::new(false);

/// Exit code of a kernel panic.
const PANIC_CODE: u8 = 101;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    stop(format_args!("{info}"))
}

/// Stops the machine with a message, and says who called whoever asks.
pub fn stop(message: core::fmt::Arguments<'_>) -> ! {
    stop_at(message, cpu::frame_pointer())
}

/// Stops the machine with a message, and says to whom the frame pointers from `frame` on lead.
pub fn stop_at(message: core::fmt::Arguments<'_>, frame: u64) -> ! {
    if PANICKING.swap(true, Ordering::SeqCst) {
        cpu::halt_forever();
    }
    crate::smp::stop_others();
    // SAFETY: the other CPUs were told to stop; this one ends the machine.
    unsafe { crate::serial::seize() };
    say(format_args!("@kernel.panic cpu~{}", cpu::index()));
    say(format_args!("kernel panic: {message}"));
    let mut callers = Line::new();
    crate::backtrace::add(&mut callers, frame, paging::kernel_stack_word);
    say(format_args!("kernel backtrace:{}", callers.text()));
    crate::power::halt(PANIC_CODE)
}
