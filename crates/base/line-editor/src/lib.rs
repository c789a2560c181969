//! A line editor for a serial terminal, as a pure state machine: bytes in, an [`Event`] and bytes to echo out.
//!
//! Owns: the line being edited, the prompt, the history, and the knowledge of what stands on the terminal's last row.
//!
//! Invariant: this crate never blocks, allocates or reads a device, never keeps a line that is not UTF-8 or that holds
//! a control character, and never writes in the last column, so that the terminal never wraps: a line that is longer
//! than the row is shown through a window that follows the cursor. No input keeps it from seeing the next line end.
//!
//! Source for the sequences in both directions: ECMA-48, and the cursor and editing keys of xterm and the VT220.
#![no_std]
#![forbid(unsafe_code)]

mod buffer;
mod editor;
mod history;
mod keys;
mod width;

pub use editor::{Event, LineEditor, MAX_PROMPT_BYTES};
pub use width::char_cells;

/// Where the echo goes.
pub trait Sink {
    /// Takes bytes for the terminal.
    fn write(&mut self, bytes: &[u8]);
}

impl<F: FnMut(&[u8])> Sink for F {
    fn write(&mut self, bytes: &[u8]) {
        self(bytes);
    }
}
