//! The system call and ring layout shared by the kernel and programs: numbers, records and refusal codes.
//!
//! Owns every constant that crosses the user/kernel boundary. Invariant: it never holds behaviour; the kernel
//! and `rt` both read this one description, and neither writes a number of its own.
//!
//! There are two system calls. `rax` carries the number ([`syscall`]); the registers of [`syscall::ENTER`] are:
//!
//! | register | in | out |
//! |---|---|---|
//! | `rax` | number | status word ([`StatusWord`]), or in ring mode the count of completions available |
//! | `rdi` | control word ([`Control`]) | preserved |
//! | `rsi` | handle of the operation | cookie of a received call |
//! | `rdx` | deadline of the wait, absolute nanoseconds, [`NEVER`] for none | reply handle of a received call |
//! | `r10 r8 r9 r12` | four payload words, or a [`MessageWords`] description | four result words when inline |
//! | `r13` | endpoint to receive on, for return+receive | preserved |
//! | `r14` | reply buffer in the message area: offset, capacity ([`span`]) | preserved |
//!
//! `rcx` and `r11` are clobbered; every other register is preserved.
#![no_std]
#![forbid(unsafe_code)]

mod completion;
mod direction;
mod refusal;
mod startup;
mod submission;

pub use completion::{COMPLETION_BYTES, Completion, StatusWord, completion_flags};
pub use direction::Direction;
pub use refusal::{Refusal, narrow};
pub use startup::{
    AREA_MAGIC, AreaHeader, AreaLayout, FIRST_AREA, FIRST_STACK, PageRange, STARTUP_MAGIC,
    StartupEntry, StartupHeader, area_layout, first_area,
};
pub use submission::{
    Control, MessageWords, SUBMISSION_BYTES, Submission, TRANSFER_BYTES, Transfer, opcode, span,
    span_parts, submission_flags,
};

/// System call numbers.
pub mod syscall {
    /// `exit(code, text span)`: ends the calling process. Text lies in the message area, at most 256 bytes;
    /// bit 63 of `rsi` marks it as a panic message.
    pub const EXIT: u64 = 0;
    /// `enter`: performs the operation in registers, or takes submissions from the ring, and waits.
    pub const ENTER: u64 = 1;
    /// `exit_thread(code)`: `EXIT` with this bit set in `rax` ends the calling thread alone.
    pub const EXIT_THREAD: u64 = 1 << 8;
    /// Marks the text of `EXIT` as a panic message (bit 63 of `rsi`).
    pub const EXIT_PANIC: u64 = 1 << 63;
}

/// The deadline that never comes.
pub const NEVER: u64 = u64::MAX;
/// Bytes of a page.
pub const PAGE_BYTES: usize = 4096;
/// The most capabilities that travel with one message.
pub const MAX_TRANSFERS: usize = 24;
/// The longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024 - 8;
/// The longest exit or panic text, in bytes.
pub const MAX_EXIT_TEXT: usize = 256;

/// What stands in the text of a fault or panic before its callers: ` at ADDRESS` for each, the innermost first.
pub const CALLERS: &str = "\nbacktrace:";
/// A handle that names nothing: generation 0 is never live.
pub const NO_HANDLE: u64 = 0;
