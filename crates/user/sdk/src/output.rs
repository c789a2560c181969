//! Text and facts, through the first Console and the first LogSink that the program was given.
//!
//! Nothing here allocates, and a line goes out in one call, so that lines of several programs do not mix. Without the
//! capability, output goes nowhere.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use rt::{Cap, Env};
use schema::process::{console, log_sink};
use stub::Interface;

pub use schema::process::log_sink::Level;

/// The longest line, in bytes. More of it is cut off.
pub const LINE_BYTES: usize = 1024;
/// The longest line that the system log takes.
const LOG_BYTES: usize = 512;

static CONSOLE: AtomicU64 = AtomicU64::new(ring_abi::NO_HANDLE);
static LOG: AtomicU64 = AtomicU64::new(ring_abi::NO_HANDLE);

/// Finds the Console and the LogSink.
pub(crate) fn begin(env: &Env) {
    for (index, (_, interface, handle)) in env.entries().enumerate() {
        let place = match interface {
            console::INTERFACE_ID => &CONSOLE,
            log_sink::INTERFACE_ID => &LOG,
            _ => continue,
        };
        let empty = ring_abi::NO_HANDLE;
        if place
            .compare_exchange(empty, handle, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            rt::note_asked(index);
        }
    }
}

fn given(place: &AtomicU64) -> Option<Cap> {
    let handle = place.load(Ordering::Relaxed);
    (handle != ring_abi::NO_HANDLE).then(|| Cap::borrowed(handle))
}

/// A line in the making.
pub struct Line {
    bytes: [u8; LINE_BYTES],
    len: usize,
}

impl Line {
    /// An empty line.
    pub const fn new() -> Self {
        Self {
            bytes: [0; LINE_BYTES],
            len: 0,
        }
    }

    /// What is in it.
    pub fn text(&self) -> &str {
        let text = self.bytes.get(..self.len).unwrap_or_default();
        match str::from_utf8(text) {
            Ok(text) => text,
            // The line's end replaced the end of a character.
            Err(error) => str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default(),
        }
    }

    /// Sends it to the console as it is; where there is none, to the system log.
    pub fn print(&self) {
        let Some(console) = given(&CONSOLE) else {
            return self.log(Level::Info);
        };
        let console: console::Client<Cap> = Interface::from_object(console);
        let mut rest = self.text().as_bytes();
        while !rest.is_empty() {
            let Ok(done) = console.write(rest) else {
                return;
            };
            // A console that takes nothing will not take the rest either.
            match rest.split_at_checked(done.written as usize) {
                Some((taken, left)) if !taken.is_empty() => rest = left,
                _ => return,
            }
        }
    }

    /// Sends a fact to the system log; where there is none, to the console.
    pub fn state(&self) {
        match given(&LOG) {
            Some(_) => self.log(Level::Info),
            None => self.print(),
        }
    }

    /// Sends it to the system log.
    pub fn log(&self, level: Level) {
        let Some(log) = given(&LOG) else { return };
        let log: log_sink::Client<Cap> = Interface::from_object(log);
        let text = self.text().trim_end_matches('\n');
        // A program that cannot log goes on.
        let _ = log.write(
            level,
            text.get(..text.floor_char_boundary(LOG_BYTES))
                .unwrap_or(text),
        );
    }
}

impl Default for Line {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let take = text.floor_char_boundary(LINE_BYTES - self.len);
        let end = self.len + take;
        if let (Some(to), Some(from)) = (
            self.bytes.get_mut(self.len..end),
            text.as_bytes().get(..take),
        ) {
            to.copy_from_slice(from);
            self.len = end;
        }
        if take < text.len() {
            return Err(fmt::Error);
        }
        Ok(())
    }
}

/// Prints to the console.
pub fn print(text: fmt::Arguments<'_>) {
    let mut line = Line::new();
    // What does not fit is cut off.
    let _ = fmt::write(&mut line, text);
    line.print();
}

/// Prints a line to the console.
pub fn print_line(text: fmt::Arguments<'_>) {
    let mut line = Line::new();
    // What does not fit is cut off, but never the line's end.
    let _ = fmt::write(&mut line, text);
    line.len = line.len.min(LINE_BYTES - 1);
    if let Some(end) = line.bytes.get_mut(line.len) {
        *end = b'\n';
        line.len += 1;
    }
    line.print();
}

/// Writes a line to the system log.
pub fn log(level: Level, text: fmt::Arguments<'_>) {
    let mut line = Line::new();
    // What does not fit is cut off.
    let _ = fmt::write(&mut line, text);
    line.log(level);
}

/// Writes a warning to the system log; where there is none, to the console.
pub(crate) fn warn(text: fmt::Arguments<'_>) {
    match given(&LOG) {
        Some(_) => log(Level::Warn, text),
        None => print_line(format_args!("warning: {text}")),
    }
}

/// Prints to the console.
#[macro_export]
macro_rules! print {
    ($($text:tt)*) => { $crate::output::print(::core::format_args!($($text)*)) };
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    ($($text:tt)*) => { $crate::output::print_line(::core::format_args!($($text)*)) };
}

/// Writes a line of the given level to the system log.
#[macro_export]
macro_rules! log {
    ($level:ident, $($text:tt)*) => {
        $crate::output::log($crate::output::Level::$level, ::core::format_args!($($text)*))
    };
}

/// Writes an error line to the system log.
#[macro_export]
macro_rules! error {
    ($($text:tt)*) => { $crate::log!(Error, $($text)*) };
}

/// Writes a warning line to the system log.
#[macro_export]
macro_rules! warn {
    ($($text:tt)*) => { $crate::log!(Warn, $($text)*) };
}

/// Writes an information line to the system log.
#[macro_export]
macro_rules! info {
    ($($text:tt)*) => { $crate::log!(Info, $($text)*) };
}

/// Writes a debugging line to the system log.
#[macro_export]
macro_rules! debug {
    ($($text:tt)*) => { $crate::log!(Debug, $($text)*) };
}

/// States a fact in the grammar of evidence: `fact!("fat.mounted", clusters = 4, took_ns ~ ns)`. It goes to the system
/// log, which shows facts on the serial line unless the machine was booted quiet; without a log, to the console.
#[macro_export]
macro_rules! fact {
    ($($fact:tt)*) => {{
        let mut line = $crate::output::Line::new();
        // A fact that does not fit is cut off, and the reader refuses it.
        let _ = $crate::evidence::fact!(&mut line, $($fact)*);
        line.state();
    }};
}
