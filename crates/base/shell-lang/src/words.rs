//! Splitting a line into words.

use alloc::{string::String, vec::Vec};
use core::{fmt, str::Chars};

/// Why a line cannot be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordError {
    /// A quotation mark of this kind is not closed.
    OpenQuote(char),
    /// The line ends in a backslash.
    LoneBackslash,
}

impl fmt::Display for WordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenQuote(quote) => write!(
                f,
                "a {quote} is not closed; close it, or put a \\ before it"
            ),
            Self::LoneBackslash => {
                f.write_str("the line ends in a \\; write \\\\ for the character itself")
            }
        }
    }
}

/// What a `\` stands for together with what follows: `\u{…}` is the character with that number, in the way in which
/// [`crate::text::Safe`] shows it; anything else is itself.
pub(crate) fn escaped(chars: &mut Chars<'_>) -> Option<char> {
    let first = chars.next()?;
    let mut rest = chars.clone();
    let digits = match first {
        'u' if rest.next() == Some('{') => rest.as_str().split_once('}'),
        'x' => chars.as_str().split_at_checked(2),
        _ => None,
    };
    let named = digits.and_then(|(digits, after)| {
        let is_number =
            (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_number)?;
        Some((char::from_u32(code)?, after))
    });
    let Some((c, after)) = named else {
        return Some(first);
    };
    *chars = after.chars();
    Some(c)
}

/// Whether a character parts words: the blanks that a keyboard has. Others belong to names.
pub(crate) const fn is_blank(c: char) -> bool {
    c.is_ascii_whitespace()
}

/// Splits a line at blanks. `'…'` and `"…"` keep blanks in a word; `\` takes the next character as it is, but not
/// inside `'…'`, and `\u{…}` and `\x…` are the character with that number. A word may be put together of several such
/// parts, and may be empty if it was quoted.
///
/// # Errors
/// [`WordError`] when a quotation mark or an escape is left open.
pub fn split(line: &str) -> Result<Vec<String>, WordError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (c, quote) {
            (_, Some(open)) if c == open => quote = None,
            ('\\', None | Some('"')) => {
                let next = escaped(&mut chars).ok_or(WordError::LoneBackslash)?;
                word.get_or_insert_default().push(next);
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (_, None) if is_blank(c) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    if let Some(open) = quote {
        return Err(WordError::OpenQuote(open));
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blanks_part_words_and_quotes_keep_them() {
        assert_eq!(split("").unwrap(), [""; 0]);
        assert_eq!(split("  cat\t a  ").unwrap(), ["cat", "a"]);
        assert_eq!(
            split(r#"cat "two words" 'x "y"' a\ b"#).unwrap(),
            ["cat", "two words", "x \"y\"", "a b"]
        );
        assert_eq!(
            split(r#"pre"fix 1"post '' \"#).unwrap_err(),
            WordError::LoneBackslash
        );
        assert_eq!(split("echo '' x").unwrap(), ["echo", "", "x"]);
        assert_eq!(
            split("cat Größe.txt 日本.txt").unwrap(),
            ["cat", "Größe.txt", "日本.txt"]
        );
        assert_eq!(split("a 'b").unwrap_err(), WordError::OpenQuote('\''));
        assert_eq!(split(r#"a "b\"#).unwrap_err(), WordError::LoneBackslash);
        assert_eq!(split(r"'a\b'").unwrap(), [r"a\b"]);
        assert_eq!(
            split("a\u{3000}b c\u{a0}d").unwrap(),
            ["a\u{3000}b", "c\u{a0}d"]
        );
    }

    #[test]
    fn a_character_may_be_named_by_its_number() {
        assert_eq!(
            split(r#"one-\u{202e}txt "\u{AD}" \x1bx \x41"#).unwrap(),
            ["one-\u{202e}txt", "\u{ad}", "\u{1b}x", "A"]
        );
        for itself in [
            r"\u{}",
            r"\u{d800}",
            r"\u{110000}",
            r"\u{+41}",
            r"\u{41",
            r"\uä",
            r"\xä",
            r"\x4",
            r"\xg1",
        ] {
            let rest = itself.get(1..).unwrap();
            assert_eq!(split(itself).unwrap(), [rest], "{itself}");
        }
        assert_eq!(split(r"'\u{41}'").unwrap(), [r"\u{41}"]);
    }

    proptest! {
        #[test]
        fn a_quoted_word_comes_back(word in any::<String>()) {
            let mut line = String::from("\"");
            for c in word.chars() {
                if matches!(c, '"' | '\\') { line.push('\\'); }
                line.push(c);
            }
            line.push('"');
            prop_assert_eq!(split(&line).unwrap(), [word]);
        }

        #[test]
        fn no_line_panics(line in any::<String>()) { let _ = split(&line); }
    }
}
