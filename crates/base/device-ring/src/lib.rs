//! The page that a provider and the kernel share for one device queue: commands in, completions out.
//!
//! Owns what lies where in that page, and how a command and a completion are written. Each half is a `session-queue`: the
//! provider makes commands and takes completions, the kernel the other way round. Nobody sleeps at either; a call, the *kick*,
//! has the kernel look.
//!
//! ```text
//! word 0    64 commands of four words   cookie | opcode, slot, unit, generation | block | offset, length
//! word 272  64 completions of two words   cookie | status, refusal, result
//! ```
//!
//! Invariant: an entry is read once, word by word, into the reader's registers; what the other end writes afterwards changes
//! nothing. Every 256 bits are a command that the kernel can judge, and every 128 bits a completion: reading never fails.
#![no_std]
#![forbid(unsafe_code)]

mod ends;
mod entry;

pub use ends::{KernelEnd, ProviderEnd};
pub use entry::{Binding, Command, Completion, Opcode};
pub use session_queue::{Broken, Full, Memory, Unfit};

/// Commands and completions that the page has places for.
pub const ENTRIES: u32 = 64;

/// Words of 8 bytes in the page.
pub const WORDS: usize = ring_abi::PAGE_BYTES / 8;
