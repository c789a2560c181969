//! Names: capitals, digits, `_`, and one dot (7.4.1, 7.5.1).

use core::fmt;

/// Longest name, the dot included, the version not.
pub const MAX_NAME: usize = 31;
/// Most characters of name and extension together (7.5.1); every file's name has a dot beside them, even where it is not seen.
const MAX_CHARACTERS: usize = 30;

/// A file's or directory's name on the volume, without version and without a dot that ends it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    bytes: [u8; MAX_NAME],
    len: u8,
}

impl Name {
    const EMPTY: Self = Self {
        bytes: [0; MAX_NAME],
        len: 0,
    };

    /// How the volume spells `name`: capitals, and `_` for whatever is no d-character, but for the last dot. `None` for an
    /// empty name and one that is too long: more than 30 characters beside that dot.
    #[must_use]
    pub fn plain(name: &str) -> Option<Self> {
        let dot = name.rfind('.');
        if name.chars().count() - usize::from(dot.is_some()) > MAX_CHARACTERS {
            return None;
        }
        let mut plain = Self::EMPTY;
        for (at, char) in name.char_indices() {
            let byte = match char.to_ascii_uppercase() {
                upper if is_d_character(upper) => upper as u8,
                '.' if Some(at) == dot => b'.',
                _ => b'_',
            };
            plain.push(byte)?;
        }
        plain.trimmed()
    }

    /// The name in a directory record; `None` if it is none.
    pub(crate) fn parse(identifier: &[u8]) -> Option<Self> {
        let version = identifier.iter().position(|byte| *byte == b';');
        let (name, version) = identifier.split_at(version.unwrap_or(identifier.len()));
        let digits = version.get(1..).unwrap_or_default();
        if !version.is_empty()
            && (digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit))
        {
            return None;
        }
        let mut parsed = Self::EMPTY;
        let mut dots = 0;
        for byte in name {
            dots += u32::from(*byte == b'.');
            if dots > 1 || !(is_d_character(char::from(*byte)) || *byte == b'.') {
                return None;
            }
            parsed.push(*byte)?;
        }
        parsed.trimmed()
    }

    fn push(&mut self, byte: u8) -> Option<()> {
        *self.bytes.get_mut(usize::from(self.len))? = byte;
        self.len += 1;
        Some(())
    }

    /// Without the dot at the end that files without an extension have.
    fn trimmed(mut self) -> Option<Self> {
        if self.as_str().ends_with('.') {
            self.len -= 1;
            self.bytes[usize::from(self.len)] = 0;
        }
        (self.len > 0).then_some(self)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.len)).unwrap_or_default();
        // Only ASCII is ever pushed.
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

const fn is_d_character(char: char) -> bool {
    char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_'
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
