//! From bytes to keys: control characters, UTF-8 and escape sequences.

/// What one or more bytes mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A printable character.
    Char(char),
    Enter,
    Tab,
    Backspace,
    Delete,
    Left,
    Right,
    WordLeft,
    WordRight,
    Home,
    End,
    Up,
    Down,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D: delete, or the end of the input on an empty line.
    DeleteOrEnd,
    /// Ctrl-K.
    KillToEnd,
    /// Ctrl-U.
    KillToStart,
    /// Ctrl-W.
    KillWord,
    /// Ctrl-L.
    ClearScreen,
}

/// Parameter bytes after which a sequence is taken for garbage.
const MAX_PARAMETERS: u8 = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Ground,
    /// After ESC.
    Escape,
    /// After ESC [ and its parameters so far.
    Csi {
        first: u16,
        second: u16,
        separators: u8,
        len: u8,
    },
    /// After ESC O.
    Ss3,
    /// One more byte belongs to the sequence and means nothing.
    SkipOne,
    /// In a string that BEL or ESC \ ends (ESC ], ESC P, ESC X, ESC ^, ESC _).
    Text,
    /// After ESC in such a string.
    TextEscape,
}

/// The decoder. Every state is left at a control character at the latest, so a line end is always seen.
#[derive(Clone)]
pub(crate) struct Decoder {
    state: State,
    utf8: [u8; 4],
    /// Bytes of a character so far, and bytes that it needs.
    have: usize,
    need: usize,
    after_cr: bool,
}

impl Decoder {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Ground,
            utf8: [0; 4],
            have: 0,
            need: 0,
            after_cr: false,
        }
    }

    /// Takes a byte and returns the key that it completes.
    pub(crate) fn feed(&mut self, byte: u8) -> Option<Key> {
        let after_cr = core::mem::replace(&mut self.after_cr, false);
        if byte < 0x20 || byte == 0x7f {
            self.have = 0;
            // The second half of a line's end that has two is no key.
            let is_rest = after_cr && byte == b'\n';
            return self.control(byte).filter(|_| !is_rest);
        }
        match self.state {
            State::Ground => self.text(byte),
            State::Escape => {
                self.state = match byte {
                    b'[' => State::Csi {
                        first: 0,
                        second: 0,
                        separators: 0,
                        len: 0,
                    },
                    b'O' => State::Ss3,
                    b']' | b'P' | b'X' | b'^' | b'_' => State::Text,
                    // Intermediate bytes, as of a character set selection.
                    0x20..=0x2f => State::SkipOne,
                    _ => State::Ground,
                };
                None
            }
            State::Csi {
                first,
                second,
                separators,
                len,
            } => self.csi(byte, first, second, separators, len),
            State::Ss3 => {
                self.state = State::Ground;
                cursor_key(byte, 0)
            }
            State::SkipOne => {
                self.state = State::Ground;
                None
            }
            State::Text => None,
            State::TextEscape => {
                self.state = if byte == b'\\' {
                    State::Ground
                } else {
                    State::Text
                };
                None
            }
        }
    }

    fn control(&mut self, byte: u8) -> Option<Key> {
        let in_text = matches!(self.state, State::Text | State::TextEscape);
        self.state = match byte {
            0x1b if in_text => State::TextEscape,
            0x1b => State::Escape,
            _ => State::Ground,
        };
        Some(match byte {
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::DeleteOrEnd,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 | 0x7f => Key::Backspace,
            b'\t' => Key::Tab,
            b'\n' => Key::Enter,
            0x0b => Key::KillToEnd,
            0x0c => Key::ClearScreen,
            b'\r' => {
                self.after_cr = true;
                Key::Enter
            }
            0x0e => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::KillToStart,
            0x17 => Key::KillWord,
            _ => return None,
        })
    }

    fn csi(&mut self, byte: u8, first: u16, second: u16, separators: u8, len: u8) -> Option<Key> {
        self.state = State::Ground;
        let digit = |value: u16| {
            value
                .saturating_mul(10)
                .saturating_add(u16::from(byte & 0x0f))
        };
        let (first, second, separators) = match (byte, separators) {
            (b'0'..=b'9', 0) => (digit(first), second, 0),
            (b'0'..=b'9', 1) => (first, digit(second), 1),
            (b';', n) => (first, second, n.saturating_add(1)),
            // Other parameter and intermediate bytes do not change which key it is.
            (0x20..=0x3f, n) => (first, second, n),
            // The function keys of the Linux console: ESC [ [ and one byte.
            (b'[', 0) if len == 0 => {
                self.state = State::SkipOne;
                return None;
            }
            (b'~', _) => {
                return match first {
                    1 | 7 => Some(Key::Home),
                    4 | 8 => Some(Key::End),
                    3 => Some(Key::Delete),
                    _ => None,
                };
            }
            (0x40..=0x7e, _) => return cursor_key(byte, second),
            _ => return None,
        };
        if len < MAX_PARAMETERS {
            self.state = State::Csi {
                first,
                second,
                separators,
                len: len + 1,
            };
        }
        None
    }

    fn text(&mut self, byte: u8) -> Option<Key> {
        if byte < 0x80 {
            self.have = 0;
            return Some(Key::Char(char::from(byte)));
        }
        if byte >= 0xc0 || self.have == 0 {
            // A new character begins; what was there is incomplete and dropped.
            self.need = match byte {
                0xc2..=0xdf => 2,
                0xe0..=0xef => 3,
                0xf0..=0xf4 => 4,
                _ => 0,
            };
            self.have = 0;
            if self.need == 0 {
                return None;
            }
        }
        *self.utf8.get_mut(self.have)? = byte;
        self.have += 1;
        if self.have < self.need {
            return None;
        }
        self.have = 0;
        let bytes = self.utf8.get(..self.need)?;
        let c = core::str::from_utf8(bytes).ok()?.chars().next()?;
        (!plain_text::is_unsafe(c)).then_some(Key::Char(c))
    }
}

/// Returns the cursor key of a final byte; a modifier makes left and right move by words.
fn cursor_key(byte: u8, modifier: u16) -> Option<Key> {
    Some(match byte {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'C' if modifier > 1 => Key::WordRight,
        b'D' if modifier > 1 => Key::WordLeft,
        b'C' => Key::Right,
        b'D' => Key::Left,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => return None,
    })
}
