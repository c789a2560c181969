//! The end of the system log, as lines for people.

use sdk::{
    LogReader, Refusal,
    alloc::{collections::VecDeque, format, string::String},
    output::Level,
};
use shell_lang::text::Safe;

/// The last lines of the log.
pub struct Tail {
    /// Oldest first.
    pub lines: VecDeque<String>,
    /// Records that the log has lost: it is a ring.
    pub lost: u64,
    /// Records that it still had, the lines among them.
    pub held: u64,
    /// Where to go on for what came since.
    pub next: u64,
}

/// Reads the log to its end and keeps the last `most` lines.
///
/// # Errors
/// The reader's.
pub fn tail(reader: &LogReader, most: usize) -> Result<Tail, Refusal> {
    tail_from(reader, 0, most, None)
}

/// Reads the log from `from` to its end and keeps the last `most` lines that hold `text`.
///
/// # Errors
/// The reader's.
pub fn tail_from(
    reader: &LogReader,
    mut from: u64,
    most: usize,
    text: Option<&str>,
) -> Result<Tail, Refusal> {
    let wanted = text.unwrap_or_default();
    let mut tail = Tail {
        lines: VecDeque::new(),
        lost: 0,
        held: 0,
        next: from,
    };
    loop {
        let (next, count) = reader
            .read(from, |results| {
                tail.lost = tail.lost.saturating_add(results.dropped());
                let records = results.records()?;
                for record in records.iter() {
                    let level = match record.level()? {
                        Level::Error => "error ",
                        Level::Warn => "warn ",
                        Level::Info => "",
                        Level::Debug => "debug ",
                    };
                    let ns = record.ns();
                    let (source, text) = (Safe(record.source()?), Safe(record.line()?));
                    tail.held += 1;
                    let line = format!(
                        "[{:5}.{:06}] {level}{source}: {text}",
                        ns / 1_000_000_000,
                        ns / 1000 % 1_000_000
                    );
                    if !line.contains(wanted) {
                        continue;
                    }
                    tail.lines.push_back(line);
                    if tail.lines.len() > most {
                        tail.lines.pop_front();
                    }
                }
                Ok((results.next(), records.len()))
            })
            .and_then(|r| r)?;
        if count == 0 || next <= from {
            return Ok(tail);
        }
        from = next;
        tail.next = next;
    }
}
