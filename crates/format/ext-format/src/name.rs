//! Names: bytes on the volume, shown as UTF-8.

use core::fmt;

/// Bytes of a name as it is shown: 255, each of which may be shown by three.
pub const MAX_NAME_BYTES: usize = 3 * 255;

/// A name in UTF-8, without '/', NUL or control characters.
#[derive(Clone, Copy)]
pub struct Name {
    bytes: [u8; MAX_NAME_BYTES],
    len: u16,
}

impl Name {
    /// Shows a name. What is no UTF-8, and what could leave a directory or steer a terminal, becomes U+FFFD.
    pub(crate) fn new(raw: &[u8]) -> Self {
        let mut name = Self {
            bytes: [0; MAX_NAME_BYTES],
            len: 0,
        };
        for chunk in raw.utf8_chunks() {
            chunk.valid().chars().for_each(|c| name.push(c));
            if !chunk.invalid().is_empty() {
                name.push(char::REPLACEMENT_CHARACTER);
            }
        }
        name
    }

    fn push(&mut self, c: char) {
        let c = match c.is_control() || c == '/' {
            true => char::REPLACEMENT_CHARACTER,
            false => c,
        };
        let at = usize::from(self.len);
        if let Some(room) = self.bytes.get_mut(at..at + c.len_utf8()) {
            c.encode_utf8(room);
            self.len += c.len_utf8() as u16;
        }
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        self.bytes
            .get(..usize::from(self.len))
            .and_then(|bytes| core::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
