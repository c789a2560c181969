//! Reads a line of evidence.

use core::fmt;

use crate::{is_name, is_topic, is_word_byte};

/// A fact: a line whose every pair has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fact<'a> {
    topic: &'a str,
    pairs: &'a str,
}

/// One `key=value` or `key~value`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair<'a> {
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: Value<'a>,
    /// The value as it stands in the line, quotes and escapes included.
    pub raw: &'a str,
    /// Whether the value is the same in every run (`=`, not `~`).
    pub stable: bool,
}

/// A typed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Decimal digits, with a sign or without.
    Integer(i128),
    /// `0x` and hexadecimal digits.
    Hex(u128),
    /// Characters that need no quotes.
    Word(&'a str),
    /// What stood between quotes, escapes still in it; compare with [`Value::is_text`].
    Quoted(&'a str),
}

/// Why a line that begins like evidence is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// The topic is not dotted lower case.
    Topic,
    /// A pair has no key, or one that is not lower case.
    Key,
    /// A pair has neither `=` nor `~`.
    Mark,
    /// A value is empty, or holds a character that needs quotes.
    Value,
    /// A number does not fit 128 bits.
    Range,
    /// A quoted string does not end, or holds an unknown escape.
    Quote,
    /// Pairs are not separated by exactly one space.
    Space,
    /// A key stands in the line twice.
    Duplicate,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Topic => "the topic is not dotted lower case",
            Self::Key => "a key is missing or not lower case",
            Self::Mark => "a pair has neither = nor ~",
            Self::Value => "a value is empty or needs quotes",
            Self::Range => "a number does not fit 128 bits",
            Self::Quote => "a quoted string does not end or holds an unknown escape",
            Self::Space => "pairs are not separated by one space",
            Self::Duplicate => "a key stands twice",
        })
    }
}

impl core::error::Error for ParseError {}

impl<'a> Fact<'a> {
    /// Reads `line` (without its line end); `None` if it is ordinary text.
    ///
    /// # Errors
    /// The line begins with `@` and a lower-case letter but breaks the grammar.
    pub fn parse(line: &'a str) -> Result<Option<Self>, ParseError> {
        let Some(body) = line.strip_prefix('@') else {
            return Ok(None);
        };
        if !body
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_lowercase())
        {
            return Ok(None);
        }
        let (topic, pairs) = body.split_once(' ').unwrap_or((body, ""));
        if !is_topic(topic) {
            return Err(ParseError::Topic);
        }
        if pairs.is_empty() && body.len() > topic.len() {
            return Err(ParseError::Space);
        }
        let fact = Self { topic, pairs };
        let mut rest = pairs;
        while !rest.is_empty() {
            let (pair, tail) = split_pair(rest)?;
            // The pairs before this one are already known to be good.
            let seen = pairs
                .get(..pairs.len().saturating_sub(rest.len()))
                .unwrap_or("")
                .trim_end_matches(' ');
            if (Pairs { rest: seen }).any(|before| before.key == pair.key) {
                return Err(ParseError::Duplicate);
            }
            rest = tail;
        }
        Ok(Some(fact))
    }

    /// The topic, without `@`.
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// The pairs, in the order of the line.
    pub fn pairs(&self) -> Pairs<'a> {
        Pairs { rest: self.pairs }
    }

    /// The pair with this key.
    pub fn get(&self, key: &str) -> Option<Pair<'a>> {
        self.pairs().find(|pair| pair.key == key)
    }

    /// Writes the line as a snapshot keeps it: without its volatile pairs and without a line end.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn write_stable(&self, sink: &mut dyn fmt::Write) -> fmt::Result {
        write!(sink, "@{}", self.topic)?;
        for pair in self.pairs().filter(|pair| pair.stable) {
            write!(sink, " {}={}", pair.key, pair.raw)?;
        }
        Ok(())
    }
}

/// The pairs of one fact.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        let (pair, rest) = split_pair(self.rest).ok()?;
        self.rest = rest;
        Some(pair)
    }
}

impl Value<'_> {
    /// Whether the value is this text, as a word, a number or a quoted string.
    pub fn is_text(&self, text: &str) -> bool {
        match *self {
            Self::Word(word) => word == text,
            Self::Quoted(quoted) => unescape(quoted).eq(text.chars().map(Some)),
            Self::Integer(_) | Self::Hex(_) => read_value(text).is_ok_and(|value| value == *self),
        }
    }

    /// The value as an unsigned number, if it is one that fits.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::Integer(number) => u64::try_from(number).ok(),
            Self::Hex(number) => u64::try_from(number).ok(),
            Self::Word(_) | Self::Quoted(_) => None,
        }
    }
}

/// Splits the first pair off `text`, and the space behind it.
pub(crate) fn split_pair(text: &str) -> Result<(Pair<'_>, &str), ParseError> {
    let mark = text.find(['=', '~', ' ', '"']).ok_or(ParseError::Mark)?;
    let (key, rest) = text.split_at_checked(mark).ok_or(ParseError::Mark)?;
    if !is_name(key) {
        return Err(if text.starts_with(' ') {
            ParseError::Space
        } else {
            ParseError::Key
        });
    }
    let stable = rest.starts_with('=');
    if !stable && !rest.starts_with('~') {
        return Err(ParseError::Mark);
    }
    let rest = rest.get(1..).unwrap_or("");
    let len = if rest.starts_with('"') {
        quoted_len(rest).ok_or(ParseError::Quote)?
    } else {
        rest.find(' ').unwrap_or(rest.len())
    };
    let (raw, tail) = rest.split_at_checked(len).ok_or(ParseError::Quote)?;
    let value = read_value(raw)?;
    let tail = match tail.strip_prefix(' ') {
        Some("") => return Err(ParseError::Space),
        Some(next) => next,
        None if tail.is_empty() => tail,
        None => return Err(ParseError::Space),
    };
    Ok((
        Pair {
            key,
            value,
            raw,
            stable,
        },
        tail,
    ))
}

/// The length of the quoted string at the start of `text`, both quotes included.
fn quoted_len(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at.checked_add(1),
            _ => {}
        }
    }
    None
}

fn read_value(raw: &str) -> Result<Value<'_>, ParseError> {
    if let Some(inner) = raw
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        return if unescape(inner).all(|char| char.is_some()) {
            Ok(Value::Quoted(inner))
        } else {
            Err(ParseError::Quote)
        };
    }
    if raw.is_empty() || !raw.bytes().all(is_word_byte) {
        return Err(ParseError::Value);
    }
    if let Some(digits) = raw.strip_prefix("0x")
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return u128::from_str_radix(digits, 16)
            .map(Value::Hex)
            .map_err(|_| ParseError::Range);
    }
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return raw
            .parse()
            .map(Value::Integer)
            .map_err(|_| ParseError::Range);
    }
    Ok(Value::Word(raw))
}

/// The characters a quoted string stands for; `None` for an escape that does not exist.
fn unescape(quoted: &str) -> impl Iterator<Item = Option<char>> + '_ {
    let mut chars = quoted.chars();
    core::iter::from_fn(move || {
        Some(match chars.next()? {
            '\\' => match chars.next() {
                Some('n') => Some('\n'),
                Some('r') => Some('\r'),
                Some('t') => Some('\t'),
                Some(char @ ('\\' | '"')) => Some(char),
                Some('u') => unescape_unicode(&mut chars),
                _ => None,
            },
            char => Some(char),
        })
    })
}

/// The rest of `\u{HEX}`, behind the `u`.
fn unescape_unicode(chars: &mut core::str::Chars<'_>) -> Option<char> {
    if chars.next()? != '{' {
        return None;
    }
    let mut code: u32 = 0;
    for _ in 0..7 {
        match chars.next()? {
            '}' => return char::from_u32(code),
            digit => code = code.checked_mul(16)?.checked_add(digit.to_digit(16)?)?,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::{Fact, ParseError, Value};
    use std::string::String;

    fn error(line: &str) -> ParseError {
        Fact::parse(line).expect_err(line)
    }

    #[test]
    fn text_is_not_evidence() {
        for line in [
            "",
            "capos> ls",
            "@",
            "@ x=1",
            "@Boot x=1",
            "exit code=0",
            " @boot x=1",
        ] {
            assert_eq!(Fact::parse(line), Ok(None), "{line}");
        }
    }

    #[test]
    fn values_are_typed() {
        let fact = Fact::parse("@a n=-7 h=0x10 w=00:04.0 q=\"a \\\"b\\\"\" z~0xzz")
            .unwrap()
            .unwrap();
        let value = |key| fact.get(key).unwrap().value;
        assert_eq!(value("n"), Value::Integer(-7));
        assert_eq!(value("h"), Value::Hex(16));
        assert_eq!(value("h").as_u64(), Some(16));
        assert_eq!(value("w"), Value::Word("00:04.0"));
        assert!(value("q").is_text("a \"b\""));
        assert_eq!(value("z"), Value::Word("0xzz"));
    }

    #[test]
    fn each_way_to_break_the_grammar_has_its_error() {
        assert_eq!(error("@a..b x=1"), ParseError::Topic);
        assert_eq!(error("@a= x=1"), ParseError::Topic);
        assert_eq!(error("@a =1"), ParseError::Key);
        assert_eq!(error("@a X=1"), ParseError::Key);
        assert_eq!(error("@a x"), ParseError::Mark);
        assert_eq!(error("@a x y=1"), ParseError::Mark);
        assert_eq!(error("@a x="), ParseError::Value);
        assert_eq!(error("@a x=a\"b"), ParseError::Value);
        assert_eq!(error("@a x=\"b"), ParseError::Quote);
        assert_eq!(error("@a x=\"\\q\""), ParseError::Quote);
        assert_eq!(error("@a x=\"\\u{110000}\""), ParseError::Quote);
        assert_eq!(error("@a x=\"b\"y=1"), ParseError::Space);
        assert_eq!(error("@a  x=1"), ParseError::Space);
        assert_eq!(error("@a x=1  y=1"), ParseError::Space);
        assert_eq!(error("@a x=1 "), ParseError::Space);
        assert_eq!(error("@a "), ParseError::Space);
        assert_eq!(error("@a x=1 x~2"), ParseError::Duplicate);
        assert_eq!(
            error(&std::format!("@a x={}", "9".repeat(60))),
            ParseError::Range
        );
        assert_eq!(
            error(&std::format!("@a x=0x{}", "f".repeat(60))),
            ParseError::Range
        );
    }

    #[test]
    fn a_snapshot_line_drops_volatile_pairs_only() {
        let fact = Fact::parse("@irq.route gen~12 source=\"msi x\" vector~0x31 live=1")
            .unwrap()
            .unwrap();
        let mut line = String::new();
        fact.write_stable(&mut line).unwrap();
        assert_eq!(line, "@irq.route source=\"msi x\" live=1");
    }
}
