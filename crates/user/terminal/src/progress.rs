//! How far a long command has come.

use core::fmt::Write as _;

use sdk::alloc::string::String;
use shell_lang::text::Safe;

use crate::Terminal;

/// A command that takes no longer than this says nothing.
const QUIET_NS: u64 = 1_000_000_000;
/// The time between two looks.
const STEP_NS: u64 = 250_000_000;

/// A line that is written over itself, on a terminal alone.
pub struct Progress {
    next_ns: Option<u64>,
    shown: bool,
}

impl Progress {
    /// A command begins.
    pub fn new(terminal: &Terminal) -> Self {
        Self {
            next_ns: terminal.now_ns().map(|now| now.saturating_add(QUIET_NS)),
            shown: false,
        }
    }

    /// Shows how far it is, if it is time to.
    pub fn show(&mut self, terminal: &mut Terminal, text: impl FnOnce() -> String) {
        let Some(next) = self.next_ns.filter(|_| terminal.is_interactive()) else {
            return;
        };
        let Some(now) = terminal.now_ns().filter(|now| *now >= next) else {
            return;
        };
        self.next_ns = Some(now.saturating_add(STEP_NS));
        self.shown = true;
        let _ = write!(terminal, "\r{}\x1b[K", Safe(&text()));
        let _ = terminal.flush();
    }

    /// Takes the line away.
    pub fn clear(&mut self, terminal: &mut Terminal) {
        if core::mem::take(&mut self.shown) {
            let _ = terminal.write(b"\r\x1b[K");
        }
    }
}
