//! A line of text that is being written, of bounded length.

use core::fmt;

use arrayvec::ArrayString;

/// Longest line.
pub const LINE_BYTES: usize = 512;

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
        for c in s.chars() {
            if self.0.try_push(c).is_err() {
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}
