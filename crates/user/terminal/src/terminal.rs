//! The serial line: what goes out is gathered into large writes, what comes in waits until somebody asks.

use core::fmt;

use crate::announce::Announcement;
use sdk::{
    Console, Refusal, Timer,
    alloc::{collections::VecDeque, vec::Vec},
    process::console,
};

/// Bytes of one write; the console takes no more.
const WRITE_BYTES: usize = 4096;
/// Bytes typed ahead that are kept; more are dropped.
const AHEAD_BYTES: usize = 4096;
/// The byte that Ctrl-C sends.
const INTERRUPT: u8 = 3;

/// The terminal.
pub struct Terminal {
    console: Console,
    timer: Option<Timer>,
    out: Vec<u8>,
    ahead: VecDeque<u8>,
    announcement: Announcement,
}

impl Terminal {
    /// Uses this console. Without a timer no command can be interrupted.
    pub fn new(console: Console, timer: Option<Timer>) -> Self {
        Self {
            console,
            timer,
            out: Vec::new(),
            ahead: VecDeque::new(),
            announcement: Announcement::default(),
        }
    }

    /// Whether a person looks on: whoever connected the line has said that a terminal is there.
    pub const fn is_interactive(&self) -> bool {
        self.announcement.is_terminal()
    }

    /// The time, if there is a clock.
    pub fn now_ns(&self) -> Option<u64> {
        Some(self.timer.as_ref()?.now().ok()?.ns)
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// The console's.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), Refusal> {
        while !bytes.is_empty() {
            let room = WRITE_BYTES.saturating_sub(self.out.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.out.extend_from_slice(now);
            bytes = later;
            if self.out.len() >= WRITE_BYTES {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Sends what is gathered.
    ///
    /// # Errors
    /// The console's; what was gathered is lost then.
    pub fn flush(&mut self) -> Result<(), Refusal> {
        let mut at = 0;
        let result = loop {
            let Some(rest) = self.out.get(at..).filter(|r| !r.is_empty()) else {
                break Ok(());
            };
            match self.console.write(rest) {
                Ok(done) if done.written > 0 => at += done.written as usize,
                Ok(_) => break Err(Refusal::Failed),
                Err(refusal) => break Err(refusal),
            }
        };
        self.out.clear();
        result
    }

    /// Waits for input and returns the next byte.
    ///
    /// # Errors
    /// The console's: there will be no more input.
    pub fn read(&mut self) -> Result<u8, Refusal> {
        while self.ahead.is_empty() {
            // Only before waiting: what comes in a burst is echoed in as few writes as it was read.
            self.flush()?;
            let input = self.console.read()?;
            self.keep(&input);
        }
        self.ahead.pop_front().ok_or(Refusal::Failed)
    }

    /// Takes what has been typed meanwhile, and says whether Ctrl-C was among it. What else was typed is kept for the
    /// next line, but for what came before the Ctrl-C.
    pub fn interrupted(&mut self) -> bool {
        // A time that has come: what is there is taken, and nothing is waited for.
        self.interrupted_until(0)
    }

    /// The same, and waits until `ns` for a Ctrl-C.
    pub fn interrupted_until(&mut self, ns: u64) -> bool {
        let Some(now) = self.now_ns() else {
            return false;
        };
        let until = ns.max(now);
        while let Ok(input) = self.console.with_deadline(until).read() {
            self.keep(&input);
            if self.ahead.contains(&INTERRUPT) {
                break;
            }
        }
        match self.ahead.iter().rposition(|byte| *byte == INTERRUPT) {
            Some(at) => {
                self.ahead.drain(..=at);
                true
            }
            None => false,
        }
    }

    fn keep(&mut self, input: &console::ReadResults) {
        let words = [input.a, input.b, input.c];
        let bytes = words
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .take(usize::from(input.count));
        let Self {
            ahead,
            announcement,
            ..
        } = self;
        for byte in bytes {
            announcement.take(byte, |byte| {
                if ahead.len() < AHEAD_BYTES {
                    ahead.push_back(byte);
                }
            });
        }
    }
}

impl fmt::Write for Terminal {
    /// Writes text, each `\n` as a carriage return and a line feed.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut lines = text.split('\n');
        if let Some(first) = lines.next() {
            self.write(first.as_bytes()).map_err(|_| fmt::Error)?;
        }
        for line in lines {
            self.write(b"\r\n")
                .and_then(|()| self.write(line.as_bytes()))
                .map_err(|_| fmt::Error)?;
        }
        Ok(())
    }
}
