//! Text that is safe to show on a terminal.

use core::fmt;

use crate::Shown;

/// Shows a text with every character that could command a terminal or mislead a reader written as an escape.
pub struct Safe<'a>(pub &'a str);

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        let mut shown = Shown::new();
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| !shown.takes(*c)) {
            f.write_str(rest.get(..at).unwrap_or_default())?;
            match u32::from(c) {
                code @ 0..=0xff => write!(f, "\\x{code:02x}")?,
                code => write!(f, "\\u{{{code:x}}}")?,
            }
            rest = rest.get(at + c.len_utf8()..).unwrap_or_default();
        }
        f.write_str(rest)
    }
}

/// What goes out for bytes that are not text.
const REPLACEMENT: u8 = b'.';

/// How a [`TextFilter`] treats bytes that are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterMode {
    /// Shows each as a dot, and gives line ends their carriage return.
    Text,
    /// Lets every byte through as it is.
    Raw,
}

/// Makes a stream of bytes fit for a serial terminal, chunk by chunk; a character may lie across chunks.
#[derive(Debug)]
pub struct TextFilter {
    mode: FilterMode,
    /// The beginning of a character whose end has not come yet; before it, or alone, a carriage return whose successor has not.
    pending: [u8; 5],
    pending_bytes: usize,
    last: u8,
    /// What the last character may still carry.
    shown: Shown,
    replaced: u64,
}

impl TextFilter {
    /// Starts a stream.
    pub const fn new(mode: FilterMode) -> Self {
        Self {
            mode,
            pending: [0; 5],
            pending_bytes: 0,
            last: b'\n',
            shown: Shown::new(),
            replaced: 0,
        }
    }

    /// Takes a chunk and hands out what it shows as, in pieces.
    ///
    /// # Errors
    /// The first error of `out`; the rest of the chunk is lost then.
    pub fn write<E>(
        &mut self,
        chunk: &[u8],
        mut out: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if let (FilterMode::Raw, Some(last)) = (self.mode, chunk.last()) {
            self.last = *last;
            return out(chunk);
        }
        let mut rest = chunk;
        while self.pending_bytes > 0 {
            let Some((first, after)) = rest.split_first() else {
                return Ok(());
            };
            let mut candidate = self.pending;
            let Some(place) = candidate.get_mut(self.pending_bytes) else {
                break;
            };
            *place = *first;
            let length = self.pending_bytes + 1;
            match core::str::from_utf8(candidate.get(..length).unwrap_or_default()) {
                Ok(text) => {
                    rest = after;
                    self.pending_bytes = 0;
                    self.text(text, &mut out)?;
                }
                Err(error) if error.error_len().is_none() => {
                    rest = after;
                    self.pending = candidate;
                    self.pending_bytes = length;
                }
                // The byte does not go on with the character: what was kept is no text, the byte starts afresh.
                Err(_) => self.give_up(&mut out)?,
            }
        }
        for piece in rest.utf8_chunks() {
            self.text(piece.valid(), &mut out)?;
            let invalid = piece.invalid();
            if !invalid.is_empty() {
                self.give_up(&mut out)?;
            }
            let at_end = core::ptr::eq(invalid.as_ptr_range().end, rest.as_ptr_range().end);
            let unfinished = core::str::from_utf8(invalid)
                .err()
                .is_some_and(|e| e.error_len().is_none());
            if !invalid.is_empty() && at_end && unfinished {
                for (to, from) in self.pending.iter_mut().zip(invalid) {
                    *to = *from;
                }
                self.pending_bytes = invalid.len();
            } else {
                self.replace(invalid.len(), &mut out)?;
            }
        }
        Ok(())
    }

    /// Ends the stream: what is left of a character is no text, nor is a carriage return without its line's end.
    ///
    /// # Errors
    /// The error of `out`.
    pub fn finish<E>(&mut self, mut out: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.give_up(&mut out)
    }

    /// How many bytes were shown as dots.
    pub const fn replaced(&self) -> u64 {
        self.replaced
    }

    /// Whether the next byte begins a line.
    pub const fn at_line_start(&self) -> bool {
        self.last == b'\n'
    }

    fn give_up<E>(&mut self, out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let count = core::mem::take(&mut self.pending_bytes);
        self.replace(count, out)
    }

    fn replace<E>(
        &mut self,
        count: usize,
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for _ in 0..count {
            self.replaced = self.replaced.saturating_add(1);
            self.last = REPLACEMENT;
            self.shown = Shown::new();
            out(&[REPLACEMENT])?;
        }
        Ok(())
    }

    fn text<E>(
        &mut self,
        text: &str,
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut from, mut at) = (0, 0);
        loop {
            // Most of most text: nothing of it is special.
            let left = text.as_bytes().get(at..).unwrap_or_default();
            let plain = left.iter().take_while(|b| matches!(b, b' '..=b'~'));
            let plain = plain.count();
            if let Some(last) = left.get(..plain).and_then(<[u8]>::last) {
                self.last = *last;
                self.shown.takes(char::from(*last));
            }
            at += plain;
            let Some(c) = text.get(at..).and_then(|left| left.chars().next()) else {
                break;
            };
            let after = at + c.len_utf8();
            let takes = self.shown.takes(c);
            let special = match c {
                '\t' => false,
                '\n' => self.last != b'\r',
                // A carriage return alone would let a line write over itself.
                '\r' => match text.as_bytes().get(after) {
                    Some(next) => *next != b'\n',
                    None => {
                        self.pending[0] = b'\r';
                        self.pending_bytes = 1;
                        return self.run(text.get(from..at).unwrap_or_default(), out);
                    }
                },
                _ => !takes,
            };
            if special {
                self.run(text.get(from..at).unwrap_or_default(), out)?;
                from = after;
                if c == '\n' {
                    out(b"\r\n")?;
                    self.last = b'\n';
                } else {
                    self.replace(c.len_utf8(), out)?;
                }
            } else if let Some(byte) = text.as_bytes().get(after - 1) {
                self.last = *byte;
            }
            at = after;
        }
        self.run(text.get(from..).unwrap_or_default(), out)
    }

    fn run<E>(
        &mut self,
        text: &str,
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match text.as_bytes().last() {
            Some(last) => {
                self.last = *last;
                out(text.as_bytes())
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{string::ToString, vec::Vec};
    use core::convert::Infallible;
    use proptest::prelude::*;

    fn filter(mode: FilterMode, chunks: &[&[u8]]) -> (Vec<u8>, TextFilter) {
        let mut shown = Vec::new();
        let mut filter = TextFilter::new(mode);
        for chunk in chunks {
            filter
                .write::<Infallible>(chunk, |b| {
                    shown.extend_from_slice(b);
                    Ok(())
                })
                .unwrap();
        }
        filter
            .finish::<Infallible>(|b| {
                shown.extend_from_slice(b);
                Ok(())
            })
            .unwrap();
        (shown, filter)
    }

    fn shown(chunks: &[&[u8]]) -> Vec<u8> {
        filter(FilterMode::Text, chunks).0
    }

    #[test]
    fn text_passes_and_lines_end_in_both() {
        assert_eq!(shown(&[b"a\nb\r\nc\td"]), b"a\r\nb\r\nc\td");
        assert_eq!(shown(&[b"a\r", b"\nb"]), b"a\r\nb");
        assert_eq!(shown(&[b"a\r", b"", b"\r", b"\n"]), b"a.\r\n");
        assert_eq!(
            shown(&["Größe ".as_bytes(), "日本".as_bytes()]),
            "Größe 日本".as_bytes()
        );
    }

    #[test]
    fn a_character_may_lie_across_chunks() {
        let bytes = "日".as_bytes();
        assert_eq!(shown(&[&bytes[..1], &bytes[1..2], &bytes[2..]]), bytes);
        assert_eq!(shown(&[&bytes[..2], b"x"]), b"..x");
        assert_eq!(shown(&[&bytes[..2]]), b"..");
        assert_eq!(shown(&[&bytes[..2], bytes]), [b"..", bytes].concat());
    }

    #[test]
    fn what_is_not_text_shows_as_dots() {
        let (out, filter) = filter(FilterMode::Text, &[b"\x1b[2J\0\xff\x80ok\rx"]);
        assert_eq!(out, b".[2J...ok.x");
        assert_eq!(filter.replaced(), 5);
        assert!(!filter.at_line_start());
    }

    #[test]
    fn a_carriage_return_at_a_cut_lets_no_line_write_over_itself() {
        assert_eq!(shown(&[b"true\r", b"fake"]), b"true.fake");
        assert_eq!(shown(&[b"true\r"]), b"true.");
        assert_eq!(
            shown(&[
                b"\r",
                &"\u{1f600}".as_bytes()[..2],
                &"\u{1f600}".as_bytes()[2..]
            ]),
            ".\u{1f600}".as_bytes()
        );
        assert_eq!(shown(&[b"\r\xf0", b"\n\r\xff"]), b"..\r\n..");
    }

    #[test]
    fn raw_lets_all_through() {
        assert_eq!(filter(FilterMode::Raw, &[b"\x1b\n\xff"]).0, b"\x1b\n\xff");
    }

    #[test]
    fn safe_escapes() {
        assert_eq!(
            Safe("a\x1bb\u{202e}c\u{9b}").to_string(),
            "a\\x1bb\\u{202e}c\\x9b"
        );
        assert_eq!(Safe("plain ä").to_string(), "plain ä");
        let flood = "\u{301}z\u{301}\u{301}\u{301}\u{301}\u{301}.";
        assert_eq!(
            Safe(flood).to_string(),
            "\\u{301}z\u{301}\u{301}\u{301}\u{301}\\u{301}."
        );
    }

    #[test]
    fn a_flood_of_marks_ends_in_dots() {
        let flood = "e\u{301}\n\u{301}z\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}x".as_bytes();
        let expected = "e\u{301}\r\n..z\u{301}\u{301}\u{301}\u{301}....x".as_bytes();
        assert_eq!(shown(&[flood]), expected);
        let (one, two) = flood.split_at(13);
        assert_eq!(shown(&[one, two]), expected);
    }

    /// Any byte, ends of lines often.
    fn bytes_of_lines() -> impl Strategy<Value = u8> {
        prop_oneof![3 => any::<u8>(), 1 => Just(b'\r'), 1 => Just(b'\n')]
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(bytes in prop::collection::vec(bytes_of_lines(), 0..64), cut in 0usize..64) {
            let cut = cut.min(bytes.len());
            prop_assert_eq!(shown(&[&bytes[..cut], &bytes[cut..]]), shown(&[&bytes]));
        }

        #[test]
        fn nothing_that_commands_a_terminal_gets_out(bytes in prop::collection::vec(bytes_of_lines(), 0..64), cut in 0usize..64) {
            let (one, two) = bytes.split_at(cut.min(bytes.len()));
            let out = shown(&[one, two]);
            let text = core::str::from_utf8(&out).unwrap();
            let mut seen = Shown::new();
            prop_assert!(text.chars().all(|c| seen.takes(c) || matches!(c, '\t' | '\n' | '\r')));
            let mut returns = out.iter().enumerate().filter(|(_, byte)| **byte == b'\r');
            prop_assert!(returns.all(|(at, _)| out.get(at + 1) == Some(&b'\n')));
        }
    }
}
