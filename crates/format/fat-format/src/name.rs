//! File names: long (UTF-16) and short (8.3 in a code page), both shown as UTF-8.

use core::fmt;

/// Most bytes a long name can have: 260 UTF-16 units of at most three bytes.
pub const MAX_NAME_BYTES: usize = 780;
const SHORT_NAME_BYTES: usize = 40;
/// UTF-16 units of a long name: 20 slots of 13.
pub(crate) const MAX_UNITS: usize = 260;

/// A UTF-8 string of at most `N` bytes, without '/', NUL or control characters.
#[derive(Clone, Copy)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: u16,
}

/// The name of a directory entry.
pub type Name = Text<MAX_NAME_BYTES>;
/// The 8.3 name of a directory entry, or a volume label.
pub type ShortName = Text<SHORT_NAME_BYTES>;

impl<const N: usize> Text<N> {
    /// Text without characters.
    pub(crate) const EMPTY: Self = Self {
        bytes: [0; N],
        len: 0,
    };

    /// Appends a character where there is room. What no name can hold becomes U+FFFD, so that a hostile name can
    /// neither leave its directory nor steer a terminal.
    fn push(&mut self, c: char) {
        let at = usize::from(self.len);
        // Most names are ASCII, and a large directory has thousands.
        if c.is_ascii() && !c.is_ascii_control() && c != '/' {
            if let Some(room) = self.bytes.get_mut(at) {
                *room = c as u8;
                self.len += 1;
            }
            return;
        }
        let c = if c.is_control() || c == '/' {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        };
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

    /// Copies text that fits; the rest is cut off at a character.
    fn assign(&mut self, text: &str) {
        self.len = 0;
        text.chars().for_each(|c| self.push(c));
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Compares names without regard to case: ASCII letters, and all others by their simple lower-case mapping.
pub fn eq_fold(a: &str, b: &str) -> bool {
    if a.is_ascii() && b.is_ascii() {
        return a.eq_ignore_ascii_case(b);
    }
    a.chars()
        .flat_map(char::to_lowercase)
        .eq(b.chars().flat_map(char::to_lowercase))
}

/// Sums a name so that all names that [`eq_fold`] takes for the same have the same sum (FNV-1a over the lower case).
pub fn hash_fold(name: &str) -> u32 {
    let step = |sum: u32, c: char| (sum ^ u32::from(c)).wrapping_mul(0x0100_0193);
    if name.is_ascii() {
        let bytes = name
            .bytes()
            .map(|byte| char::from(byte.to_ascii_lowercase()));
        return bytes.fold(0x811c_9dc5, step);
    }
    name.chars()
        .flat_map(char::to_lowercase)
        .fold(0x811c_9dc5, step)
}

impl Name {
    /// Decodes a long name. A name that is empty or that means a directory itself is none.
    pub(crate) fn decode_long(&mut self, units: &[u16]) -> bool {
        self.len = 0;
        let units = units.iter().copied().take_while(|&unit| unit != 0);
        for c in char::decode_utf16(units) {
            self.push(c.unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        !matches!(self.as_str(), "" | "." | "..")
    }

    /// Takes over the short name.
    pub(crate) fn decode_short(&mut self, short: &ShortName) {
        self.assign(short.as_str());
    }
}

impl ShortName {
    /// Decodes the eleven bytes of a short name. `case` is DIR_NTRes: bit 3 puts the base, bit 4 the extension in
    /// lower case.
    pub(crate) fn decode(raw: &[u8; 11], case: u8) -> Self {
        let mut name = Self::EMPTY;
        let (base, extension) = raw.split_at(8);
        // E5 marks a free slot, so a name that begins with it is stored with 05.
        let first = |at, byte| if at == 0 && byte == 0x05 { 0xe5 } else { byte };
        for (at, &byte) in trim(base).iter().enumerate() {
            name.push_oem(first(at, byte), case & 0x08);
        }
        let extension = trim(extension);
        if !extension.is_empty() {
            name.push('.');
            extension
                .iter()
                .for_each(|&byte| name.push_oem(byte, case & 0x10));
        }
        if name.len == 0 {
            name.push(char::REPLACEMENT_CHARACTER);
        }
        name
    }

    /// Decodes the eleven bytes of a volume label.
    pub(crate) fn decode_label(raw: &[u8; 11]) -> Self {
        let mut label = Self::EMPTY;
        // As with names, a label that begins with E5 is stored with 05.
        for (at, &byte) in trim(raw).iter().enumerate() {
            label.push(oem(if at == 0 && byte == 0x05 { 0xe5 } else { byte }));
        }
        label
    }

    /// Appends a character of the name, in lower case if `lower` has a bit set.
    fn push_oem(&mut self, byte: u8, lower: u8) {
        match oem(byte) {
            // A dot of the name itself would read as the one before the extension.
            '.' => self.push(char::REPLACEMENT_CHARACTER),
            c if lower != 0 => c.to_lowercase().for_each(|c| self.push(c)),
            c => self.push(c),
        }
    }
}

/// Sums a short name as each slot of its long name carries it (FATGEN, "ChkSum").
pub(crate) fn checksum(raw: &[u8; 11]) -> u8 {
    raw.iter()
        .fold(0u8, |sum, &byte| sum.rotate_right(1).wrapping_add(byte))
}

fn trim(bytes: &[u8]) -> &[u8] {
    let len = bytes
        .iter()
        .rposition(|&byte| byte != b' ')
        .map_or(0, |last| last + 1);
    bytes.get(..len).unwrap_or_default()
}

/// Decodes a byte in code page 850. A volume does not say which one it uses; mtools and western Windows use this one,
/// and its letters include nearly all of code page 437.
fn oem(byte: u8) -> char {
    match usize::from(byte)
        .checked_sub(128)
        .and_then(|at| CP850.get(at))
    {
        Some(&c) => c,
        None => char::from(byte),
    }
}

/// The upper half of code page 850.
#[rustfmt::skip]
const CP850: [char; 128] = [
    'Ç', 'ü', 'é', 'â', 'ä', 'à', 'å', 'ç', 'ê', 'ë', 'è', 'ï', 'î', 'ì', 'Ä', 'Å',
    'É', 'æ', 'Æ', 'ô', 'ö', 'ò', 'û', 'ù', 'ÿ', 'Ö', 'Ü', 'ø', '£', 'Ø', '×', 'ƒ',
    'á', 'í', 'ó', 'ú', 'ñ', 'Ñ', 'ª', 'º', '¿', '®', '¬', '½', '¼', '¡', '«', '»',
    '░', '▒', '▓', '│', '┤', 'Á', 'Â', 'À', '©', '╣', '║', '╗', '╝', '¢', '¥', '┐',
    '└', '┴', '┬', '├', '─', '┼', 'ã', 'Ã', '╚', '╔', '╩', '╦', '╠', '═', '╬', '¤',
    'ð', 'Ð', 'Ê', 'Ë', 'È', 'ı', 'Í', 'Î', 'Ï', '┘', '┌', '█', '▄', '¦', 'Ì', '▀',
    'Ó', 'ß', 'Ô', 'Ò', 'õ', 'Õ', 'µ', 'þ', 'Þ', 'Ú', 'Û', 'Ù', 'ý', 'Ý', '¯', '´',
    '\u{ad}', '±', '‗', '¾', '¶', '§', '÷', '¸', '°', '¨', '·', '¹', '³', '²', '■', '\u{a0}',
];

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn short(raw: &[u8; 11], case: u8) -> std::string::String {
        std::string::String::from(ShortName::decode(raw, case).as_str())
    }

    #[test]
    fn short_names() {
        assert_eq!(short(b"README  TXT", 0), "README.TXT");
        assert_eq!(short(b"README  TXT", 0x18), "readme.txt");
        assert_eq!(short(b"README  TXT", 0x08), "readme.TXT");
        assert_eq!(short(b"NOEXT      ", 0x10), "NOEXT");
        assert_eq!(short(b"A B     C  ", 0), "A B.C");
        assert_eq!(short(b"\x05\x8e\x9a\xe1    T\x94 ", 0), "ÕÄÜß.Tö");
        assert_eq!(short(b"\x8e       T  ", 0x08), "ä.T");
    }

    #[test]
    fn hostile_short_names_are_defused() {
        assert_eq!(
            short(b"A/B\x1b    ../", 0),
            "A\u{fffd}B\u{fffd}.\u{fffd}\u{fffd}\u{fffd}"
        );
        assert_eq!(short(b"           ", 0), "\u{fffd}");
        assert_eq!(short(b"        .  ", 0), ".\u{fffd}");
    }

    #[test]
    fn long_names() {
        let mut name = Name::EMPTY;
        let units: Vec<u16> = "Grüße 😀.txt".encode_utf16().chain([0, 0xffff]).collect();
        assert!(name.decode_long(&units));
        assert_eq!(name.as_str(), "Grüße 😀.txt");
        assert!(name.decode_long(&[0xd83d, 0x41, 0xde00, 0x2f, 0x1b]));
        assert_eq!(name.as_str(), "\u{fffd}A\u{fffd}\u{fffd}\u{fffd}");
        assert!(name.decode_long(&[0xffee; MAX_UNITS]));
        assert_eq!(name.as_str().len(), MAX_NAME_BYTES);
        assert!(!name.decode_long(&[0]));
        assert!(!name.decode_long(&[0x2e, 0x2e, 0]));
    }

    #[test]
    fn case_does_not_matter() {
        assert!(eq_fold("Readme.TXT", "rEADME.txt"));
        for (a, b) in [
            ("Readme.TXT", "rEADME.txt"),
            ("ÄÖÜ Ж", "äöü ж"),
            ("\u{212a}", "k"),
        ] {
            assert!(eq_fold(a, b) && hash_fold(a) == hash_fold(b), "{a}");
        }
        assert_ne!(hash_fold("ab"), hash_fold("ba"));
        assert!(eq_fold("ÄÖÜ Ж", "äöü ж"));
        assert!(!eq_fold("a", "ä"));
        assert!(!eq_fold("abc", "ab"));
    }

    #[test]
    fn checksum_is_the_one_that_the_format_spells_out() {
        // The same sum in shifts; the images of the tools test hold checksums that others computed.
        let sum = b"ALONGN~1TXT".iter().fold(0u32, |s, &b| {
            (((s & 1) << 7) + (s >> 1) + u32::from(b)) & 0xff
        });
        assert_eq!(u32::from(checksum(b"ALONGN~1TXT")), sum);
    }
}
