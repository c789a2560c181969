//! Splitting a line into words.

use alloc::{string::String, vec::Vec};
use core::fmt;

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

/// Splits a line at blanks. `'…'` and `"…"` keep blanks in a word; `\` takes the next character as it is, but not
/// inside `'…'`. A word may be put together of several such parts, and may be empty if it was quoted.
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
                let next = chars.next().ok_or(WordError::LoneBackslash)?;
                word.get_or_insert_default().push(next);
            }
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (_, None) if c.is_whitespace() => words.extend(word.take()),
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
