//! A line of text that is being written, of bounded length.

use core::fmt;

use arrayvec::ArrayString;

/// Longest line.
pub const LINE_BYTES: usize = 512;

/// As many whole characters of a text as `room` bytes hold.
pub fn beginning(text: &str, room: usize) -> &str {
    text.get(..text.floor_char_boundary(room)).unwrap_or(text)
}

/// A line being written; what does not fit is cut.
pub struct Line(ArrayString<LINE_BYTES>);

impl Line {
    /// An empty line.
    pub fn new() -> Self {
        Self(ArrayString::new())
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let fits = beginning(s, self.0.remaining_capacity());
        self.0.try_push_str(fits).map_err(|_| fmt::Error)?;
        if fits.len() == s.len() {
            Ok(())
        } else {
            Err(fmt::Error)
        }
    }
}
