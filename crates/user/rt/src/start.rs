//! How a program begins and ends.

use core::fmt::{self, Write as _};

#[cfg(any(target_os = "none", guest))]
use schema::process::virtual_memory;
#[cfg(any(target_os = "none", guest))]
use stub::{Interface, Object};

use crate::area::Scratch;
#[cfg(any(target_os = "none", guest))]
use crate::{Cap, heap, thread};
use crate::{Env, sys};

#[cfg(any(target_os = "none", guest))]
core::arch::global_asm!(
    ".pushsection .text._start, \"ax\", @progbits",
    ".globl _start",
    ".type _start, @function",
    "_start:",
    // rdi is the startup page. A zero frame pointer ends every backtrace.
    "xor ebp, ebp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    ".popsection",
    main = sym call_main,
);

#[cfg(any(target_os = "none", guest))]
unsafe extern "Rust" {
    /// The program's own, made by `entry!`.
    #[link_name = "capos_rt_main"]
    safe fn program_main(env: &Env) -> i64;
}

#[cfg(any(target_os = "none", guest))]
extern "C" fn call_main(page: *const u8) -> ! {
    // SAFETY: the kernel starts the first thread with the address of its startup pages.
    let Some(env) = (unsafe { Env::new(page) }) else {
        sys::exit(-1, 0, 0, sys::Ending::Exit)
    };
    if let Ok(vm) = env.get::<virtual_memory::Client<Cap>>("vm") {
        heap::set_virtual_memory(vm.object().handle());
    }
    thread::set_spawner(&env);
    sys::exit(program_main(&env), 0, 0, sys::Ending::Exit)
}

/// Runs `main` and gives the exit code. `entry!` calls this.
pub fn start<R: Exit>(env: &Env, main: fn(&Env) -> R) -> i64 {
    main(env).code()
}

/// Names the function that a program begins with: `fn main(env: &rt::Env) -> R`, where `R` is an [`Exit`].
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[unsafe(export_name = "capos_rt_main")]
        fn __capos_rt_main(env: &$crate::Env) -> i64 {
            $crate::start(env, $main)
        }
        // On the host a program can be checked, tested and linked, but not run.
        #[cfg(all(not(test), not(any(target_os = "none", guest))))]
        #[unsafe(export_name = "main")]
        extern "C" fn __capos_host_main() -> i32 {
            $crate::host::explain()
        }
    };
}

/// What a program's `main` may return.
pub trait Exit {
    /// The exit code. An error ends the process here, with its text.
    fn code(self) -> i64;
}

impl Exit for () {
    fn code(self) -> i64 {
        0
    }
}

impl Exit for i64 {
    fn code(self) -> i64 {
        self
    }
}

impl<T: Exit, E: fmt::Display> Exit for Result<T, E> {
    fn code(self) -> i64 {
        match self {
            Ok(value) => value.code(),
            Err(error) => exit(1, format_args!("{error}")),
        }
    }
}

/// Ends the process with a text, of which the first 256 bytes count.
pub fn exit(code: i64, text: fmt::Arguments<'_>) -> ! {
    end(code, text, sys::Ending::Exit)
}

fn end(code: i64, text: fmt::Arguments<'_>, ending: sys::Ending) -> ! {
    let mut scratch = Scratch::take(ring_abi::MAX_EXIT_TEXT as u32);
    if (scratch.len() as usize) < ring_abi::MAX_EXIT_TEXT {
        // Whatever lies in the message area is of no use to a process that ends.
        drop(scratch);
        scratch = Scratch::front(ring_abi::MAX_EXIT_TEXT as u32);
    }
    let mut line = Line {
        to: scratch.bytes_mut(),
        len: 0,
    };
    // A text that is too long is cut off.
    let _ = line.write_fmt(text);
    let len = line.len as u32;
    sys::exit(code, scratch.offset(), len, ending)
}

/// A text in a buffer that ends where the buffer does.
struct Line<'b> {
    to: &'b mut [u8],
    len: usize,
}

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.to.len() - self.len;
        let mut take = text.len().min(room);
        while !text.is_char_boundary(take) {
            take -= 1;
        }
        if let Some(to) = self.to.get_mut(self.len..self.len + take) {
            to.copy_from_slice(&text.as_bytes()[..take]);
            self.len += take;
        }
        if take < text.len() {
            Err(fmt::Error)
        } else {
            Ok(())
        }
    }
}

#[cfg(any(target_os = "none", guest))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    // Where the allocator's error handler stands, which knows how much was asked for and not why it was not there.
    let of_memory =
        |place: &core::panic::Location<'_>| place.file().ends_with("alloc/src/alloc.rs");
    let refusal = heap::last_refusal().filter(|_| info.location().is_some_and(of_memory));
    match refusal {
        Some(refusal) => end(
            101,
            format_args!(
                "{info}: {}; `memoryPages` in the limits of the service says how much it may have",
                refusal.name()
            ),
            sys::Ending::Panic,
        ),
        None => end(101, format_args!("{info}"), sys::Ending::Panic),
    }
}
