//! The system log: a bounded ring of lines, kept for `LogReader`; facts also go to the serial line.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use arrayvec::ArrayString;
use cpu::Lock;
use frames::Grow;

use crate::line::{LINE_BYTES, Line, beginning};

/// The source of the kernel's own records; the spawner refuses it as the name of a process.
pub const KERNEL: &str = "kernel";
const RECORDS: usize = 1024;
/// Longest name of a process.
const SOURCE_BYTES: usize = 32;

/// One record.
#[derive(Clone, Debug)]
pub struct Record {
    /// When, in nanoseconds.
    pub ns: u64,
    /// 0 error to 3 debug.
    pub level: u16,
    /// Who.
    pub source: ArrayString<SOURCE_BYTES>,
    /// What.
    pub line: ArrayString<LINE_BYTES>,
}

/// All of its memory is the kernel's, from the first record on: whose line it holds has no part in it.
#[derive(Default)]
struct Ring {
    first: u64,
    /// The record of sequence number `n` is at place `n % RECORDS`.
    records: Vec<Record>,
}

impl Ring {
    fn next(&self) -> u64 {
        self.first + self.records.len() as u64
    }
}

/// As much of a text as fits.
fn cut<const N: usize>(text: &str) -> ArrayString<N> {
    // It fits: that is what `beginning` gives.
    ArrayString::from(beginning(text, N)).unwrap_or_default()
}

static RING: Lock<Option<Ring>> = Lock::new(None);
static SHOWN: AtomicU8 = AtomicU8::new(Shown::Facts as u8);

/// What of the log goes to the serial line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Shown {
    /// Facts.
    Facts,
    /// Nothing.
    Nothing,
    /// Facts, and every line of a program.
    All,
    /// Facts, marked as a cloud's evidence.
    Cloud,
}

fn shows(what: Shown) -> bool {
    SHOWN.load(Ordering::Relaxed) == what as u8
}

/// Chooses what goes to the serial line, by a word of the command line.
pub fn choose(word: Option<&str>) {
    let shown = match word {
        Some("quiet") => Shown::Nothing,
        Some("all") => Shown::All,
        Some("cloudboot") => Shown::Cloud,
        _ => Shown::Facts,
    };
    SHOWN.store(shown as u8, Ordering::Relaxed);
}

/// What marks a fact on the serial console of a cloud, in place of `@`.
const CLOUD_MARK: &str = "cloudboot-evidence: ";

/// Whether every line of the log goes to the serial line.
pub fn all() -> bool {
    shows(Shown::All)
}

/// Shows a line of a process on the serial line; where there is no room it is dropped and counted.
pub fn show(level: u16, source: &str, line: &str) {
    let level = match level {
        0 => "error",
        1 => "warn",
        2 => "info",
        _ => "debug",
    };
    let mut text = ArrayString::<{ LINE_BYTES + 128 }>::new();
    // What does not fit is cut.
    let _ = fmt::write(&mut text, format_args!("{level} {source}: {line}"));
    crate::serial::log(text.as_bytes());
}

/// Whether facts stay off the serial line.
pub fn quiet() -> bool {
    shows(Shown::Nothing)
}

/// Appends a record.
pub fn append(level: u16, source: &str, line: &str) {
    let record = Record {
        ns: sched::now_ns(),
        level,
        source: cut(source),
        line: cut(line),
    };
    let mut ring = RING.lock();
    let ring = ring.get_or_insert_default();
    // Once, for the first line of the boot.
    if ring.records.len() < RECORDS {
        if ring.records.grow(RECORDS - ring.records.len()).is_ok() {
            let _ = ring.records.put(record);
        }
    } else if let Some(oldest) = ring.records.get_mut(ring.first as usize % RECORDS) {
        *oldest = record;
        ring.first += 1;
    }
}

/// A line with the longest mark.
pub type Marked = ArrayString<{ LINE_BYTES + SOURCE_BYTES + 32 }>;

/// A fact as a cloud's serial line shows it; `None` elsewhere, and for what is no fact. A process's has its name in front,
/// which no program chooses, so that nobody states another's evidence.
pub fn marked(process: Option<&str>, text: &str) -> Option<Marked> {
    let fact = text.strip_prefix('@').filter(|_| shows(Shown::Cloud))?;
    let mut marked = Marked::new();
    // All parts fit.
    let _ = match process {
        None => fmt::write(&mut marked, format_args!("{CLOUD_MARK}{fact}")),
        Some(name) => fmt::write(&mut marked, format_args!("{CLOUD_MARK}by={name} {fact}")),
    };
    Some(marked)
}

/// Records a fact of the kernel.
pub fn fact(line: &Line) {
    let text = line.text().trim_end();
    if !quiet() {
        let marked = marked(None, text);
        let shown = marked.as_ref().map_or(text, |marked| marked.as_str());
        crate::serial::fact(shown.as_bytes());
    }
    append(2, KERNEL, text);
}

/// Visits records from sequence number `from` on while `f` says so. Returns where to go on, and how many records
/// between `from` and the first one held are gone.
pub fn visit(from: u64, mut f: impl FnMut(u64, &Record) -> bool) -> (u64, u64) {
    let mut guard = RING.lock();
    let ring = guard.get_or_insert_default();
    let start = from.max(ring.first);
    let dropped = start - from.min(start);
    let mut next = start;
    while next < ring.next()
        && let Some(record) = ring.records.get(next as usize % RECORDS)
        && f(next, record)
    {
        next += 1;
    }
    (next, dropped)
}

/// Records what is evidence on a cloud, and is shown on no other serial line.
pub fn evidence(write: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result) {
    if shows(Shown::Cloud) {
        return state(write);
    }
    let mut line = Line::new();
    let _ = write(&mut line);
    append(2, KERNEL, line.text().trim_end());
}

/// States a fact that somebody else words.
pub fn state(write: &dyn Fn(&mut dyn fmt::Write) -> fmt::Result) {
    let mut line = Line::new();
    // What does not fit is cut, and whoever reads the line refuses it.
    let _ = write(&mut line);
    fact(&line);
}
