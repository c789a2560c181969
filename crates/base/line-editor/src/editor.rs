//! The editor: what keys do to the line, and how the terminal follows.

use crate::Sink;
use crate::buffer::Buffer;
use crate::history::History;
use crate::keys::{Decoder, Key};
use crate::width::{char_cells, text_cells};
use plain_text::is_unsafe;

/// Most bytes of a prompt; the rest is cut off.
pub const MAX_PROMPT_BYTES: usize = 128;
/// Columns that a terminal is taken to have until [`LineEditor::set_columns`] says otherwise.
const DEFAULT_COLUMNS: u16 = 80;
/// Cells that the line always gets, however long the prompt is.
const MIN_WINDOW_CELLS: usize = 16;

/// What a byte led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing for the caller to do.
    Pending,
    /// The line is complete: [`LineEditor::line`] has it. The cursor stands on a fresh row.
    Line,
    /// Ctrl-C: the line was dropped. The cursor stands on a fresh row.
    Interrupted,
    /// Ctrl-D on an empty line. Nothing was written.
    EndOfInput,
    /// Tab: the caller may complete the word before [`LineEditor::cursor`] with [`LineEditor::insert`], or
    /// [`beep`](LineEditor::beep).
    Complete,
}

/// A line editor with lines of at most `LINE` bytes and the last `HISTORY` of them (about 17 KiB by default).
///
/// Call [`begin`](Self::begin), [`feed`](Self::feed) bytes until an event other than `Pending`, and begin again.
#[derive(Clone)]
pub struct LineEditor<const LINE: usize = 512, const HISTORY: usize = 32> {
    decoder: Decoder,
    prompt: Buffer<MAX_PROMPT_BYTES>,
    line: Buffer<LINE>,
    /// Where the visible part of the line begins.
    view: usize,
    columns: u16,
    history: History<LINE, HISTORY>,
    /// Age of the history line that is shown; 0 for the line being written.
    age: usize,
    /// The line being written, while the history is shown.
    draft: Buffer<LINE>,
    /// The line has been handed out and goes with the next byte.
    is_done: bool,
    /// Something did not fit, and nothing has been taken away since.
    is_cut: bool,
}

impl<const LINE: usize, const HISTORY: usize> LineEditor<LINE, HISTORY> {
    /// Makes an editor with an empty line and no history.
    pub const fn new() -> Self {
        Self {
            decoder: Decoder::new(),
            prompt: Buffer::new(),
            line: Buffer::new(),
            view: 0,
            columns: DEFAULT_COLUMNS,
            history: History::new(),
            age: 0,
            draft: Buffer::new(),
            is_done: false,
            is_cut: false,
        }
    }

    /// Says how many columns the terminal has. It may have more, but not fewer.
    pub fn set_columns(&mut self, columns: u16) {
        self.columns = columns;
    }

    /// Begins a new line: writes `prompt` where the cursor is, at the beginning of a row. Control characters of the
    /// prompt are left out.
    pub fn begin(&mut self, prompt: &str, sink: &mut impl Sink) {
        self.prompt.clear();
        for c in prompt.chars().filter(|c| !is_unsafe(*c)) {
            if !self.prompt.insert(c.encode_utf8(&mut [0; 4])) {
                break;
            }
        }
        self.clear_line();
        sink.write(self.prompt.as_str().as_bytes());
    }

    /// Returns the line: the one being edited, or the complete one after [`Event::Line`].
    pub fn line(&self) -> &str {
        self.line.as_str()
    }

    /// Returns whether something typed is missing because the line is full. Such a line is not what its writer meant; it
    /// should be refused. Taking something away clears this.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Returns the cursor's place in the line, in bytes.
    pub fn cursor(&self) -> usize {
        self.line.cursor()
    }

    /// Returns a line of the history by its age: 1 is the latest.
    pub fn history(&self, age: usize) -> Option<&str> {
        self.history.get(age)
    }

    /// Puts a line into the history as if it had been entered; for before the first one is. Returns false for one that is too long,
    /// holds a control character, or begins with a mark that has nothing to stand on.
    pub fn remember(&mut self, line: &str) -> bool {
        self.clear_line();
        let fits = !line.contains(is_unsafe) && self.line.insert(line);
        if fits {
            self.history.push(self.line.as_str());
        }
        self.clear_line();
        fits
    }

    /// Writes prompt and line again, at the beginning of an empty row; for use after other output came between.
    pub fn redraw(&self, sink: &mut impl Sink) {
        sink.write(self.prompt.as_str().as_bytes());
        sink.write(self.visible().as_bytes());
        self.move_back(self.cells_to(self.visible_end()), sink);
    }

    /// Sounds the bell.
    pub fn beep(&self, sink: &mut impl Sink) {
        sink.write(b"\x07");
    }

    /// Inserts text at the cursor, as if it were typed. Returns false and beeps, with nothing changed, where it does
    /// not fit, holds a control character, or begins with a mark that has nothing to stand on.
    pub fn insert(&mut self, text: &str, sink: &mut impl Sink) -> bool {
        let at = self.line.cursor();
        let before = self.shown();
        let fits = !text.contains(is_unsafe) && self.line.insert(text);
        if fits {
            self.update(at, before, sink)
        } else {
            self.is_cut |= self.line.len() + text.len() > LINE;
            self.beep(sink)
        }
        fits
    }

    /// Takes one byte of input.
    #[must_use]
    pub fn feed(&mut self, byte: u8, sink: &mut impl Sink) -> Event {
        let Some(key) = self.decoder.feed(byte) else {
            return Event::Pending;
        };
        if self.is_done {
            self.clear_line();
        }
        let (cursor, len) = (self.line.cursor(), self.line.len());
        match key {
            Key::Char(c) => {
                self.insert(c.encode_utf8(&mut [0; 4]), sink);
            }
            Key::Enter => {
                self.leave("", sink);
                self.history.push(self.line.as_str());
                return Event::Line;
            }
            Key::Interrupt => {
                self.leave("^C", sink);
                self.clear_line();
                return Event::Interrupted;
            }
            Key::DeleteOrEnd if len == 0 => return Event::EndOfInput,
            Key::Tab => return Event::Complete,
            Key::Backspace => self.kill(self.line.before(cursor), cursor, sink),
            Key::Delete | Key::DeleteOrEnd => self.kill(cursor, self.line.after(cursor), sink),
            Key::KillToEnd => self.kill(cursor, len, sink),
            Key::KillToStart => self.kill(0, cursor, sink),
            Key::KillWord => self.kill(self.line.word_before(), cursor, sink),
            Key::Left => self.go_to(self.line.before(cursor), sink),
            Key::Right => self.go_to(self.line.after(cursor), sink),
            Key::WordLeft => self.go_to(self.line.word_before(), sink),
            Key::WordRight => self.go_to(self.line.word_after(), sink),
            Key::Home => self.go_to(0, sink),
            Key::End => self.go_to(len, sink),
            Key::Up => self.recall(self.age + 1, sink),
            Key::Down => match self.age.checked_sub(1) {
                Some(age) => self.recall(age, sink),
                None => self.beep(sink),
            },
            Key::ClearScreen => {
                sink.write(b"\x1b[H\x1b[2J");
                self.redraw(sink);
            }
        }
        Event::Pending
    }

    fn clear_line(&mut self) {
        self.line.clear();
        (self.view, self.age) = (0, 0);
        (self.is_done, self.is_cut) = (false, false);
    }

    /// Ends the row, behind the visible text and a `note` if it fits.
    fn leave(&mut self, note: &str, sink: &mut impl Sink) {
        let (cursor, end) = self.shown();
        move_cursor(cursor, end, sink);
        if end + text_cells(note) <= self.window() {
            sink.write(note.as_bytes());
        }
        sink.write(b"\r\n");
        self.is_done = true;
    }

    fn kill(&mut self, from: usize, to: usize, sink: &mut impl Sink) {
        if from == to {
            return self.beep(sink);
        }
        let before = self.shown();
        self.line.remove(from, to);
        self.is_cut = false;
        self.update(from, before, sink);
    }

    fn go_to(&mut self, at: usize, sink: &mut impl Sink) {
        if at == self.line.cursor() {
            return self.beep(sink);
        }
        let before = self.shown();
        self.line.set_cursor(at);
        self.update(self.line.len(), before, sink);
    }

    /// Shows the history line of this age, or the line being written for 0.
    fn recall(&mut self, age: usize, sink: &mut impl Sink) {
        if age > self.history.count() {
            return self.beep(sink);
        }
        let before = self.shown();
        if self.age == 0 {
            self.draft.clone_from(&self.line);
        }
        match self.history.get(age) {
            Some(line) => self.line.set(line),
            None => self.line.clone_from(&self.draft),
        }
        self.age = age;
        self.is_cut = false;
        self.update(0, before, sink);
    }

    /// Returns the cells that the line has on the row. The last column stays free for the cursor.
    fn window(&self) -> usize {
        let prompt = text_cells(self.prompt.as_str());
        usize::from(self.columns)
            .saturating_sub(prompt + 1)
            .max(MIN_WINDOW_CELLS)
    }

    /// Returns where the part of the line ends that fits into the window.
    fn visible_end(&self) -> usize {
        let mut room = self.window();
        let text = self.line.as_str().get(self.view..).unwrap_or_default();
        let hidden = text
            .char_indices()
            .find(|&(_, c)| match room.checked_sub(char_cells(c)) {
                Some(left) => {
                    room = left;
                    false
                }
                None => true,
            });
        hidden.map_or(self.line.len(), |(at, _)| self.view + at)
    }

    fn visible(&self) -> &str {
        self.line
            .as_str()
            .get(self.view..self.visible_end())
            .unwrap_or_default()
    }

    /// Returns the cells from the cursor to `end`, which is behind it.
    fn cells_to(&self, end: usize) -> usize {
        text_cells(
            self.line
                .as_str()
                .get(self.line.cursor()..end)
                .unwrap_or_default(),
        )
    }

    /// Returns the cells of the visible part before `at`.
    fn cell_of(&self, at: usize) -> usize {
        text_cells(self.line.as_str().get(self.view..at).unwrap_or_default())
    }

    /// Returns the cells before the cursor and the cells of all that is visible.
    fn shown(&self) -> (usize, usize) {
        (self.cell_of(self.line.cursor()), text_cells(self.visible()))
    }

    /// Makes the terminal show the line, which changed from byte `from` on; `before` is what [`shown`](Self::shown)
    /// said before the change. Writes only what differs, unless the window has to move.
    fn update(&mut self, from: usize, before: (usize, usize), sink: &mut impl Sink) {
        let (cell_before, end_before) = before;
        if self.scroll() {
            sink.write(b"\r");
            sink.write(self.prompt.as_str().as_bytes());
            sink.write(self.visible().as_bytes());
            sink.write(b"\x1b[K");
            return self.move_back(self.cells_to(self.visible_end()), sink);
        }
        let cursor = self.line.cursor();
        let end = self.visible_end();
        // Nothing before the window is drawn, and a mark is drawn together with what it stands on.
        let from = self.line.whole(from.clamp(self.view, end)).max(self.view);
        let text = self.line.as_str().get(from..end).unwrap_or_default();
        let end_cell = self.cell_of(end);
        // For a mere move of the cursor `from` is the end and nothing is drawn.
        let mut cell = cell_before;
        if !text.is_empty() || end_cell < end_before {
            let start = self.cell_of(from);
            move_cursor(cell, start, sink);
            sink.write(text.as_bytes());
            if end_cell < end_before {
                sink.write(b"\x1b[K");
            }
            cell = end_cell;
        }
        move_cursor(cell, self.cell_of(cursor), sink);
    }

    /// Moves the window so that the cursor is in it, and to the beginning for a line that fits; returns whether it
    /// moved.
    fn scroll(&mut self) -> bool {
        let text = self.line.as_str();
        let cursor = self.line.cursor();
        if text_cells(text) <= self.window() {
            return core::mem::take(&mut self.view) != 0;
        }
        if cursor >= self.view
            && self.line.whole(self.view) == self.view
            && self.cell_of(cursor) <= self.window()
        {
            return false;
        }
        // Half a window before the cursor, so that the next characters need no further move.
        let mut room = self.window() / 2;
        let mut view = cursor;
        while view > 0 {
            let before = self.line.before(view);
            let cells = text_cells(self.line.as_str().get(before..view).unwrap_or_default());
            match room.checked_sub(cells) {
                Some(left) => (room, view) = (left, before),
                None => break,
            }
        }
        self.view = view;
        true
    }

    fn move_back(&self, cells: usize, sink: &mut impl Sink) {
        move_cursor(cells, 0, sink);
    }
}

impl<const LINE: usize, const HISTORY: usize> Default for LineEditor<LINE, HISTORY> {
    fn default() -> Self {
        Self::new()
    }
}

/// Moves the terminal's cursor inside its row.
fn move_cursor(from: usize, to: usize, sink: &mut impl Sink) {
    match from.checked_sub(to) {
        None => move_right(to - from, sink),
        Some(0) => {}
        Some(cells @ 1..=3) => sink.write(b"\x08\x08\x08".get(..cells).unwrap_or_default()),
        Some(cells) => write_csi(cells, b'D', sink),
    }
}

fn move_right(cells: usize, sink: &mut impl Sink) {
    if cells > 0 {
        write_csi(cells, b'C', sink);
    }
}

/// Writes ESC [ n and a final byte.
fn write_csi(n: usize, last: u8, sink: &mut impl Sink) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = n;
    while let Some(digit) = at.checked_sub(1).and_then(|before| digits.get_mut(before)) {
        *digit = b'0' + (rest % 10) as u8;
        at -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    sink.write(b"\x1b[");
    sink.write(digits.get(at..).unwrap_or_default());
    sink.write(&[last]);
}
