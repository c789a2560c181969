//! How `log` is used.

use crate::command::{Arguments, Command, LogRange, Misuse, ParseError};

/// `log [-f] [LINES] [TEXT]`.
pub(crate) fn parse(arguments: Arguments) -> Result<Command, ParseError> {
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
    Ok(Command::Log(LogRange {
        lines,
        text,
        follow: !options.is_empty(),
    }))
}
