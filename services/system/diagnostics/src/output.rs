//! Output that is never longer than a page.

use core::fmt::Write as _;

use sdk::{
    Refusal,
    alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    },
};
use shell_lang::{
    diagnostics::PAGE_LINES,
    page::{LINE_CHARS, page},
};
use terminal::{Failure, Terminal};

/// How a command ended.
pub type Outcome = Result<(), Failure>;

/// Records of one answer, at most: what the schema promises.
const MOST_IN_ANSWER: usize = 16;
/// Records of one listing, at most: no kernel keeps this console busy for ever.
const MOST_RECORDS: usize = 4096;

/// Where one command writes.
pub struct Output<'a> {
    terminal: &'a mut Terminal,
    name: String,
    page: u32,
    lines: usize,
    cut: usize,
}

impl<'a> Output<'a> {
    /// For the command of this name.
    pub fn new(terminal: &'a mut Terminal, name: &str) -> Self {
        Self {
            terminal,
            name: name.to_string(),
            page: 1,
            lines: 0,
            cut: 0,
        }
    }

    /// Which page of its listing the command shows.
    pub const fn choose_page(&mut self, page: u32) {
        self.page = page;
    }

    /// Lines written, and lines of the listing that were not.
    pub const fn shown(&self) -> (usize, usize) {
        (self.lines, self.cut)
    }

    /// Writes one line that belongs to no listing.
    pub fn line(&mut self, text: &str) {
        let cut: String = text.chars().take(LINE_CHARS).collect();
        let _ = writeln!(self.terminal, "{}", shell_lang::text::Safe(&cut));
        self.lines += 1;
    }

    /// As [`Self::line`], and looks for Ctrl-C.
    ///
    /// # Errors
    /// [`Failure::Interrupted`].
    pub fn one(&mut self, text: &str) -> Outcome {
        self.line(text);
        if self.lines.is_multiple_of(16) && self.terminal.interrupted() {
            return Err(Failure::Interrupted);
        }
        Ok(())
    }

    /// The time, where there is a clock.
    pub fn now_ns(&self) -> Option<u64> {
        self.terminal.now_ns()
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// [`Failure::Interrupted`].
    pub fn pause(&mut self, ns: u64) -> Outcome {
        let until = self.now_ns().unwrap_or_default().saturating_add(ns);
        match self.terminal.interrupted_until(until) {
            true => Err(Failure::Interrupted),
            false => Ok(()),
        }
    }

    /// Sends what was written.
    pub fn flush(&mut self) {
        let _ = self.terminal.flush();
    }

    /// Writes the chosen page of a listing whose first `heading` lines are on every page, and says what is on others.
    ///
    /// # Errors
    /// When there is no such page.
    pub fn listing(&mut self, lines: impl IntoIterator<Item = String>, heading: usize) -> Outcome {
        let page = page(lines, heading, self.page, PAGE_LINES);
        self.cut = page.cut;
        if page.lines.is_empty() && page.cut > 0 {
            let s = if page.pages == 1 { "" } else { "s" };
            return Err(Failure::Said(format!(
                "there is no page {}; the listing has {} page{s}",
                self.page, page.pages
            )));
        }
        for line in &page.lines {
            self.line(line);
        }
        if page.cut > 0 {
            let (number, pages) = (self.page, page.pages);
            let name = self.name.clone();
            self.line(&format!(
                "page {number} of {pages}, {} lines are on others: {name} PAGE",
                page.cut
            ));
        }
        Ok(())
    }
}

/// Asks for page after page of records. `ask` gets the place to begin at and returns the next one, 0 at the end, and the
/// records.
///
/// # Errors
/// The kernel's, and an answer that is longer than the interface allows.
pub fn collect<R>(
    about: &str,
    mut ask: impl FnMut(u64) -> Result<(u64, Vec<R>), Refusal>,
) -> Result<Vec<R>, Failure> {
    let mut all: Vec<R> = Vec::new();
    let mut from = 0;
    loop {
        let (next, records) = ask(from).map_err(Failure::about(about))?;
        if records.len() > MOST_IN_ANSWER {
            return Err(Failure::Said(format!(
                "{about}: {} records came in one answer; {MOST_IN_ANSWER} are the most",
                records.len()
            )));
        }
        all.extend(records);
        if next <= from || all.len() >= MOST_RECORDS {
            return Ok(all);
        }
        from = next;
    }
}
