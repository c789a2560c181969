//! What the shell understands and how it speaks: words, commands, paths, tables, terminal-safe text.
//!
//! Owns the shell's language without its effects, so that all of it runs on the host.
//!
//! Invariant: this crate never calls anybody and holds no capability. Nothing it returns for display holds a byte that
//! commands a terminal, whatever a file, a file name or another process put in; only [`text::TextFilter`] in raw mode, which
//! a person asks for by name, lets such bytes through. No input makes it panic.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod change;
pub mod command;
pub mod complete;
pub mod diagnostics;
pub mod keep;
mod list;
mod log;
pub mod network;
pub mod page;
pub mod path;
pub mod refusal;
pub mod show;
mod usage;
pub mod words;

pub use command::{COMMANDS, Command, CommandHelp, LogRange, ParseError, ProcessName, parse};
pub use path::Path;
pub use plain_text as text;
