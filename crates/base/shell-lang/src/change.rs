//! The commands that change a volume.

use alloc::{string::String, vec::Vec};

use crate::usage::{Arguments, Misuse, ParseError};

/// What is to be changed, or said of what was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Makes a file of words.
    Write {
        /// The file.
        path: String,
        /// The words.
        words: Vec<String>,
        /// What becomes of what it held.
        over: Over,
    },
    /// Makes directories.
    Mkdir(Vec<String>),
    /// Copies a file.
    Copy {
        /// The file.
        from: String,
        /// The other file, or the directory.
        to: String,
    },
    /// Gives something another name.
    Move {
        /// What.
        from: String,
        /// The name, or the directory.
        to: String,
    },
    /// Removes files and empty directories.
    Remove(Vec<String>),
    /// Makes everything durable.
    Sync,
    /// Says how much room there is.
    Space,
}

/// What becomes of what a file held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// It goes.
    Replace,
    /// It stays, and what is written comes behind it.
    Append,
}

/// What these commands are called.
pub(crate) const NAMES: [&str; 7] = ["write", "mkdir", "cp", "mv", "rm", "sync", "df"];

/// Understands one of them.
pub(crate) fn parse(arguments: Arguments) -> Result<Change, ParseError> {
    match arguments.command.name {
        "write" => {
            let (options, mut words) = arguments.paths(&["-a"])?;
            let path = words.remove(0);
            let over = match options.is_empty() {
                true => Over::Replace,
                false => Over::Append,
            };
            Ok(Change::Write { path, words, over })
        }
        "mkdir" => Ok(Change::Mkdir(arguments.paths(&[])?.1)),
        "rm" => Ok(Change::Remove(arguments.paths(&[])?.1)),
        "cp" => two(arguments).map(|(from, to)| Change::Copy { from, to }),
        "mv" => two(arguments).map(|(from, to)| Change::Move { from, to }),
        "sync" => arguments.none(Change::Sync),
        _ => arguments.none(Change::Space),
    }
}

fn two(arguments: Arguments) -> Result<(String, String), ParseError> {
    let command = arguments.command;
    let wrong = |misuse| ParseError::Usage(command, misuse);
    let mut paths = arguments.paths(&[])?.1.into_iter();
    let missing = || wrong(Misuse::Missing);
    let from = paths.next().ok_or_else(missing)?;
    let to = paths.next().ok_or_else(missing)?;
    match paths.next() {
        Some(word) => Err(wrong(Misuse::TooMany(word))),
        None => Ok((from, to)),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;
    use crate::command::{Command, parse};

    #[test]
    fn changes_are_understood() {
        let change = |line: &str| match parse(line).unwrap() {
            Command::Change(change) => change,
            other => panic!("{other:?}"),
        };
        let write = |over, words| Change::Write {
            path: "a".into(),
            words,
            over,
        };
        assert_eq!(change("write a"), write(Over::Replace, vec![]));
        assert_eq!(
            change("write -a a 'b  c' d"),
            write(Over::Append, vec!["b  c".into(), "d".into()])
        );
        assert_eq!(
            change("write a -- -d"),
            write(Over::Replace, vec!["-d".into()])
        );
        let (from, to) = (String::from("-a"), String::from("b"));
        assert_eq!(change("mv -- -a b"), Change::Move { from, to });
        assert_eq!(
            change("rm a b"),
            Change::Remove(vec!["a".into(), "b".into()])
        );
        assert_eq!(change("df"), Change::Space);
        let message = |line| parse(line).unwrap_err().to_string();
        assert_eq!(
            message("cp a"),
            "cp: an argument is missing; usage: cp FROM TO"
        );
        assert_eq!(
            message("mv a b c"),
            "mv: \"c\" is one argument too many; usage: mv FROM TO"
        );
        assert_eq!(
            message("sync now"),
            "sync: \"now\" is one argument too many; usage: sync"
        );
    }
}
