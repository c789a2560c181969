//! How commands are used: their help, their arguments, and what is said of those that are wrong.

use alloc::{string::String, vec::Vec};
use core::fmt;

use crate::text::Safe;
use crate::words::{WordError, split};

/// Which process to end or to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessName {
    /// By its number.
    Id(u64),
    /// By its name, if only one has it.
    Name(String),
}

/// How one command is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandHelp {
    /// Its name.
    pub name: &'static str,
    /// What follows the name.
    pub arguments: &'static str,
    /// What it does, in one line.
    pub does: &'static str,
}

pub(crate) const fn help(
    name: &'static str,
    arguments: &'static str,
    does: &'static str,
) -> CommandHelp {
    CommandHelp {
        name,
        arguments,
        does,
    }
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// It cannot be split into words.
    Words(WordError),
    /// There is no such command.
    Unknown(String),
    /// The command exists, and this is not how it is used.
    Usage(&'static CommandHelp, Misuse),
}

/// How a command is used wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// An argument is missing.
    Missing,
    /// There is an argument more than it takes.
    TooMany(String),
    /// It has no such option.
    Option(String),
    /// The argument is not a number from the first to the second.
    Number(String, u64, u64),
    /// The words are no date.
    Date(String),
    /// The argument is no address of the web.
    Url(String),
    /// `help` was asked about a command that does not exist.
    NoSuchCommand(String),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(error) => write!(f, "{error}"),
            Self::Unknown(name) => {
                write!(
                    f,
                    "no command is named \"{}\"; help lists them all",
                    Safe(name)
                )
            }
            Self::Usage(command, misuse) => {
                write!(f, "{}: ", command.name)?;
                match misuse {
                    Misuse::Missing => f.write_str("an argument is missing")?,
                    Misuse::TooMany(word) => {
                        write!(f, "\"{}\" is one argument too many", Safe(word))?
                    }
                    Misuse::Option(word) => write!(f, "there is no option \"{}\"", Safe(word))?,
                    Misuse::Number(word, least, most) => {
                        write!(
                            f,
                            "\"{}\" is not a number from {least} to {most}",
                            Safe(word)
                        )?;
                    }
                    Misuse::Date(words) => {
                        write!(f, "\"{}\" is no date and time of day", Safe(words))?;
                    }
                    Misuse::Url(word) => {
                        write!(f, "\"{}\" is not http://HOST[:PORT]/PATH", Safe(word))?;
                    }
                    Misuse::NoSuchCommand(word) => {
                        return write!(
                            f,
                            "no command is named \"{}\"; help alone lists them all",
                            Safe(word)
                        );
                    }
                }
                write!(f, "; usage: {command}")
            }
        }
    }
}

impl fmt::Display for CommandHelp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)?;
        if self.arguments.is_empty() {
            Ok(())
        } else {
            write!(f, " {}", self.arguments)
        }
    }
}

/// Finds a command of `list` by its name.
pub(crate) fn find_in(list: &'static [CommandHelp], name: &str) -> Option<&'static CommandHelp> {
    list.iter().find(|c| c.name == name)
}

/// The arguments of one command, taken off one by one.
pub(crate) struct Arguments {
    pub(crate) command: &'static CommandHelp,
    pub(crate) words: alloc::vec::IntoIter<String>,
}

impl Arguments {
    pub(crate) fn wrong<T>(&self, misuse: Misuse) -> Result<T, ParseError> {
        Err(ParseError::Usage(self.command, misuse))
    }

    fn end(mut self) -> Result<(), ParseError> {
        match self.words.next() {
            Some(word) => self.wrong(Misuse::TooMany(word)),
            None => Ok(()),
        }
    }

    pub(crate) fn none<C>(self, command: C) -> Result<C, ParseError> {
        self.end().map(|()| command)
    }

    pub(crate) fn optional(mut self) -> Result<Option<String>, ParseError> {
        let word = self.words.next();
        self.end().map(|()| word)
    }

    pub(crate) fn one(self) -> Result<String, ParseError> {
        let command = self.command;
        self.optional()?
            .ok_or(ParseError::Usage(command, Misuse::Missing))
    }

    /// A number from `least` to `most`.
    pub(crate) fn number(self, least: u64, most: u64) -> Result<Option<u64>, ParseError> {
        let command = self.command;
        let Some(word) = self.optional()? else {
            return Ok(None);
        };
        match word.parse() {
            Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err(ParseError::Usage(
                command,
                Misuse::Number(word, least, most),
            )),
        }
    }

    /// At least one path. `--` ends the options; anything else that begins with `-` is one.
    pub(crate) fn paths(self, options: &[&str]) -> Result<(Vec<String>, Vec<String>), ParseError> {
        let command = self.command;
        let (found, paths) = self.options(options)?;
        if paths.is_empty() {
            return Err(ParseError::Usage(command, Misuse::Missing));
        }
        Ok((found, paths))
    }

    /// Options and one path at most, by the same rule.
    pub(crate) fn at_most_one_path(
        self,
        options: &[&str],
    ) -> Result<(Vec<String>, Option<String>), ParseError> {
        let command = self.command;
        let (found, paths) = self.options(options)?;
        let words = paths.into_iter();
        let path = Arguments { command, words }.optional()?;
        Ok((found, path))
    }

    /// Options and words, by the same rule.
    pub(crate) fn options(
        self,
        options: &[&str],
    ) -> Result<(Vec<String>, Vec<String>), ParseError> {
        let command = self.command;
        let (mut found, mut paths, mut ended) = (Vec::new(), Vec::new(), false);
        for word in self.words {
            if ended || !word.starts_with('-') || word == "-" {
                paths.push(word);
            } else if word == "--" {
                ended = true;
            } else if options.contains(&word.as_str()) {
                found.push(word);
            } else {
                return Err(ParseError::Usage(command, Misuse::Option(word)));
            }
        }
        Ok((found, paths))
    }
}

/// Splits a line into a command of `list` and its arguments. `None` for a line that asks for nothing.
pub(crate) fn begin(
    list: &'static [CommandHelp],
    line: &str,
) -> Result<Option<Arguments>, ParseError> {
    // A script may say what it is about.
    if line.trim_start().starts_with('#') {
        return Ok(None);
    }
    let mut words = split(line).map_err(ParseError::Words)?.into_iter();
    let Some(name) = words.next() else {
        return Ok(None);
    };
    match find_in(list, &name) {
        Some(command) => Ok(Some(Arguments { command, words })),
        None => Err(ParseError::Unknown(name)),
    }
}

pub(crate) fn target(word: String) -> ProcessName {
    match word.parse() {
        Ok(id) => ProcessName::Id(id),
        Err(_) => ProcessName::Name(word),
    }
}
