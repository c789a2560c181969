//! How `log` is used.

use alloc::string::String;

use crate::usage::{Arguments, Misuse, ParseError};

/// What `log` shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogRange {
    /// How many lines, the last ones; without a number all.
    pub lines: Option<u32>,
    /// Only lines that hold this text.
    pub text: Option<String>,
    /// Whether it goes on with what comes, until it is interrupted.
    pub follow: bool,
}

/// `log [-f] [LINES] [TEXT]`.
pub(crate) fn parse(arguments: Arguments) -> Result<LogRange, ParseError> {
    let command = arguments.command;
    let (options, words) = arguments.options(&["-f"])?;
    let mut words = words.into_iter().peekable();
    let lines = words.peek().and_then(|word| word.parse().ok());
    if lines.is_some() {
        words.next();
    }
    let text = words.next();
    if let Some(word) = words.next() {
        return Err(ParseError::Usage(command, Misuse::TooMany(word)));
    }
    Ok(LogRange {
        lines,
        text,
        follow: !options.is_empty(),
    })
}
