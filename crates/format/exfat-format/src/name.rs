//! Names: UTF-16 on the volume, shown as UTF-8.

use core::fmt;

/// UTF-16 units of a name (7.6.4).
pub(crate) const MAX_UNITS: usize = 255;
/// Bytes of a name as it is shown.
pub const MAX_NAME_BYTES: usize = 3 * MAX_UNITS;

/// A name in UTF-8, without '/', NUL or control characters.
#[derive(Clone, Copy)]
pub struct Name {
    bytes: [u8; MAX_NAME_BYTES],
    len: u16,
}

impl Name {
    /// Shows some units. What could leave a directory or steer a terminal becomes U+FFFD.
    pub(crate) fn new(units: &[u16]) -> Self {
        let mut name = Self {
            bytes: [0; MAX_NAME_BYTES],
            len: 0,
        };
        for c in char::decode_utf16(units.iter().copied()) {
            let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
            let c = match c.is_control() || c == '/' {
                true => char::REPLACEMENT_CHARACTER,
                false => c,
            };
            let at = usize::from(name.len);
            if let Some(room) = name.bytes.get_mut(at..at + c.len_utf8()) {
                c.encode_utf8(room);
                name.len += c.len_utf8() as u16;
            }
        }
        name
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

/// Compares names without regard to case: ASCII letters, and all others by their simple mapping. The volume's own table of
/// capitals (7.2) is not read; it differs only in letters that no case pairs in Unicode.
pub fn eq_fold(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars()
        .flat_map(char::to_lowercase)
        .eq(b.chars().flat_map(char::to_lowercase))
}
