//! Text with a cursor in a fixed buffer.

use crate::width::char_cells;

/// A line of at most `N` bytes of UTF-8 and a cursor on one of its characters or behind the last one.
#[derive(Clone)]
pub(crate) struct Buffer<const N: usize> {
    bytes: [u8; N],
    len: usize,
    cursor: usize,
}

impl<const N: usize> Buffer<N> {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
            cursor: 0,
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        self.bytes
            .get(..self.len)
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn cursor(&self) -> usize {
        self.cursor
    }

    /// Puts the cursor at `at`, which must be a character boundary of the line.
    pub(crate) fn set_cursor(&mut self, at: usize) {
        if self.as_str().is_char_boundary(at) {
            self.cursor = at;
        }
    }

    pub(crate) fn clear(&mut self) {
        (self.len, self.cursor) = (0, 0);
    }

    /// Replaces the line by as much of `text` as fits and puts the cursor behind it.
    pub(crate) fn set(&mut self, text: &str) {
        self.clear();
        for c in text.chars() {
            if !self.insert(c.encode_utf8(&mut [0; 4])) {
                break;
            }
        }
    }

    /// Inserts `text` at the cursor and moves behind it. Returns false and changes nothing where it does not fit, or
    /// where a mark would have nothing to stand on.
    pub(crate) fn insert(&mut self, text: &str) -> bool {
        if self.cursor == 0 && starts_with_mark(text) {
            return false;
        }
        let (from, to, end) = (self.cursor, self.cursor + text.len(), self.len + text.len());
        if end > N {
            return false;
        }
        self.bytes.copy_within(from..self.len, to);
        if let Some(gap) = self.bytes.get_mut(from..to) {
            gap.copy_from_slice(text.as_bytes());
        }
        (self.len, self.cursor) = (end, to);
        true
    }

    /// Removes the bytes from `from` to `to`, both character boundaries, and puts the cursor there.
    pub(crate) fn remove(&mut self, from: usize, to: usize) {
        let text = self.as_str();
        if from <= to && text.is_char_boundary(from) && text.is_char_boundary(to) {
            self.bytes.copy_within(to..self.len, from);
            self.len -= to - from;
            self.cursor = from;
        }
    }

    /// Returns where the character before `at` begins, together with the marks that stand on it.
    pub(crate) fn before(&self, at: usize) -> usize {
        let text = self.as_str().get(..at).unwrap_or_default();
        let base = |&(_, c): &(usize, char)| char_cells(c) > 0;
        text.char_indices().rev().find(base).map_or(0, |(at, _)| at)
    }

    /// Returns where the character at `at` ends, together with the marks that stand on it.
    pub(crate) fn after(&self, at: usize) -> usize {
        let text = self.as_str().get(at..).unwrap_or_default();
        let next = text
            .char_indices()
            .skip(1)
            .find(|&(_, c)| char_cells(c) > 0);
        next.map_or(self.len, |(offset, _)| at + offset)
    }

    /// Returns where the word before the cursor begins.
    pub(crate) fn word_before(&self) -> usize {
        let text = self.as_str().get(..self.cursor).unwrap_or_default();
        let word = text.trim_end_matches(' ');
        self.whole(word.rfind(' ').map_or(0, |space| space + 1))
    }

    /// Returns where the word at or behind the cursor ends.
    pub(crate) fn word_after(&self) -> usize {
        let text = self.as_str().get(self.cursor..).unwrap_or_default();
        let spaces = text.len() - text.trim_start_matches(' ').len();
        let word = text.get(spaces..).unwrap_or_default();
        let at = self.cursor + spaces + word.find(' ').unwrap_or(word.len());
        if starts_with_mark(self.as_str().get(at..).unwrap_or_default()) {
            self.after(at)
        } else {
            at
        }
    }

    /// Returns `at`, or the beginning of the character whose marks it would cut off.
    ///
    /// For a place that is no character boundary or behind the line, returns 0.
    pub(crate) fn whole(&self, at: usize) -> usize {
        let Some(rest) = self.as_str().get(at..) else {
            return 0;
        };
        if starts_with_mark(rest) {
            self.before(at)
        } else {
            at
        }
    }
}

fn starts_with_mark(text: &str) -> bool {
    text.chars().next().is_some_and(|c| char_cells(c) == 0)
}
