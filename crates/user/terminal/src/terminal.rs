//! The serial line: what goes out is gathered into large writes, what comes in waits until somebody asks.

use core::fmt;

use crate::announce::{Announcement, Size};
use sdk::{
    Console, NEVER, PersonConsole, Refusal, Timer,
    alloc::{collections::VecDeque, vec::Vec},
};

/// Bytes of one write; the console takes no more.
const WRITE_BYTES: usize = 4096;
/// Bytes of one write to a person, whose console takes no more.
const PERSON_WRITE_BYTES: usize = 1024;
/// Bytes typed ahead that are kept; more are dropped.
const AHEAD_BYTES: usize = 4096;
/// The byte that Ctrl-C sends.
const INTERRUPT: u8 = 3;

/// What is at the other end.
pub enum Line {
    /// The serial line.
    Serial(Console),
    /// Somebody who came over the network.
    Person(PersonConsole),
}

impl Line {
    fn write(&self, bytes: &[u8]) -> Result<u32, Refusal> {
        match self {
            Self::Serial(console) => Ok(console.write(bytes)?.written),
            Self::Person(console) => {
                let piece = bytes.get(..PERSON_WRITE_BYTES).unwrap_or(bytes);
                Ok(console.write(piece)?.written)
            }
        }
    }

    /// Gives what has come, or what comes until then: how many octets of the words count.
    fn read(&self, until_ns: u64) -> Result<(u8, [u64; 3]), Refusal> {
        match self {
            Self::Serial(console) => {
                let input = console.with_deadline(until_ns).read()?;
                Ok((input.count, [input.a, input.b, input.c]))
            }
            // A call that were given up here could be answered there: what it brings would be lost.
            Self::Person(console) => {
                let input = console.read(until_ns)?;
                Ok((input.count, [input.a, input.b, input.c]))
            }
        }
    }
}

/// The terminal.
pub struct Terminal {
    line: Line,
    timer: Option<Timer>,
    out: Vec<u8>,
    ahead: VecDeque<u8>,
    announcement: Announcement,
}

impl Terminal {
    /// Uses this line. Without a timer no command can be interrupted.
    pub fn new(line: Line, timer: Option<Timer>) -> Self {
        Self {
            line,
            timer,
            out: Vec::new(),
            ahead: VecDeque::new(),
            announcement: Announcement::default(),
        }
    }

    /// Whether a person looks on: whoever connected the line has said that a terminal is there.
    pub const fn is_interactive(&self) -> bool {
        matches!(self.line, Line::Person(_)) || self.announcement.is_terminal()
    }

    /// How large the screen is, as far as somebody has said it.
    pub fn size(&self) -> Size {
        self.announcement.size()
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
            match self.line.write(rest) {
                Ok(written) if written > 0 => at += written as usize,
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
            let input = self.line.read(NEVER)?;
            self.keep(input);
        }
        self.ahead.pop_front().ok_or(Refusal::Failed)
    }

    /// Takes what has been typed meanwhile, and says whether Ctrl-C was among it. What else was typed is kept for the
    /// next line, but for what came before the Ctrl-C.
    pub fn interrupted(&mut self) -> bool {
        // A time that has come: what is there is taken, and nothing is waited for.
        self.interrupted_until(0)
    }

    /// The same, and waits until `ns` for a Ctrl-C; whoever has gone over the network has interrupted what they asked for.
    pub fn interrupted_until(&mut self, ns: u64) -> bool {
        let Some(now) = self.now_ns() else {
            return false;
        };
        let until = ns.max(now);
        loop {
            match self.line.read(until) {
                Ok(input) if input.0 > 0 => self.keep(input),
                Ok(_) => break,
                // Whoever asked has gone.
                Err(Refusal::Stale) => return true,
                Err(_) => break,
            }
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

    fn keep(&mut self, (count, words): (u8, [u64; 3])) {
        let bytes = words
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .take(usize::from(count));
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
