//! The commands that look after a volume.

use alloc::{string::String, vec::Vec};

use crate::usage::{Arguments, Misuse, ParseError};

/// What is to be looked after; each with the volume's name, which may be left out where there is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Lists snapshots.
    List(Option<String>),
    /// Makes a snapshot.
    New(Option<String>),
    /// Lets a snapshot go.
    Remove(u64, Option<String>),
    /// Reads everything.
    Scrub(Option<String>),
    /// Counts everything.
    Check(Option<String>),
}

/// What these commands are called.
pub(crate) const NAMES: [&str; 3] = ["snap", "scrub", "fsck"];

/// Understands one of them.
pub(crate) fn parse(arguments: Arguments) -> Result<Keep, ParseError> {
    match arguments.command.name {
        "scrub" => arguments.optional().map(Keep::Scrub),
        "fsck" => arguments.optional().map(Keep::Check),
        _ => snap(arguments),
    }
}

fn snap(arguments: Arguments) -> Result<Keep, ParseError> {
    let command = arguments.command;
    let wrong = |misuse| ParseError::Usage(command, misuse);
    let mut words = arguments.words.collect::<Vec<_>>().into_iter();
    let first = words.next();
    let rest = |words| Arguments { command, words }.optional();
    match first.as_deref() {
        Some("new") => rest(words).map(Keep::New),
        Some("rm") => {
            let number = words.next().ok_or_else(|| wrong(Misuse::Missing))?;
            match number.parse() {
                Ok(number) => rest(words).map(|volume| Keep::Remove(number, volume)),
                Err(_) => Err(wrong(Misuse::Number(number, 1, u64::MAX))),
            }
        }
        _ => match words.next() {
            Some(word) => Err(wrong(Misuse::TooMany(word))),
            None => Ok(Keep::List(first)),
        },
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;
    use crate::command::{Command, parse};

    #[test]
    fn what_is_to_be_kept_is_understood() {
        let keep = |line: &str| match parse(line).unwrap() {
            Command::Keep(keep) => keep,
            other => panic!("{other:?}"),
        };
        let volume = || Some(String::from("volume"));
        assert_eq!(keep("snap"), Keep::List(None));
        assert_eq!(keep("snap volume"), Keep::List(volume()));
        assert_eq!(keep("snap new"), Keep::New(None));
        assert_eq!(keep("snap new volume"), Keep::New(volume()));
        assert_eq!(keep("snap rm 12"), Keep::Remove(12, None));
        assert_eq!(keep("snap rm 12 volume"), Keep::Remove(12, volume()));
        assert_eq!(keep("scrub"), Keep::Scrub(None));
        assert_eq!(keep("fsck volume"), Keep::Check(volume()));
        let message = |line| parse(line).unwrap_err().to_string();
        assert_eq!(
            message("snap rm"),
            "snap: an argument is missing; usage: snap [new|rm NUMBER] [VOLUME]"
        );
        assert_eq!(
            message("snap volume x"),
            "snap: \"x\" is one argument too many; usage: snap [new|rm NUMBER] [VOLUME]"
        );
        assert_eq!(
            message("snap rm x"),
            "snap: \"x\" is not a number from 1 to 18446744073709551615; usage: snap [new|rm NUMBER] [VOLUME]"
        );
    }
}
