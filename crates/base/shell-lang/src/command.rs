//! The commands.

use alloc::{string::String, vec::Vec};
use core::fmt;

pub use crate::list::COMMANDS;
use crate::{
    change::{self, Change},
    log, network,
    text::Safe,
    words::{WordError, split},
};

/// What a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing: a blank line, or one that begins with `#`.
    Nothing,
    /// All commands, or one of them in full.
    Help(Option<&'static CommandHelp>),
    /// The processes.
    Ps,
    /// What the shell holds.
    Caps,
    /// The PCI functions.
    Lspci,
    /// The disks.
    Lsblk,
    /// A directory, or one file.
    Ls(Option<String>),
    /// Goes to a directory; the root without one.
    Cd(Option<String>),
    /// Where the shell is.
    Pwd,
    /// Files, one after the other.
    Cat {
        /// Their paths.
        paths: Vec<String>,
        /// Whether bytes that are not text go out as they are.
        raw: bool,
    },
    /// What is known about files.
    Stat(Vec<String>),
    /// Checksums of files.
    Sha256(Vec<String>),
    /// What changes a volume, or is about what changed.
    Change(Change),
    /// The system log, or its last lines.
    Log(LogRange),
    /// Shows who uses the processors, this often; without a number until it is interrupted.
    Top(Option<u32>),
    /// Shows what a process calls.
    Trace {
        /// Which process.
        whom: ProcessName,
        /// For how long; without a number until it is interrupted.
        seconds: Option<u32>,
    },
    /// Ends a process.
    Kill(ProcessName),
    /// Resets the machine.
    Reboot,
    /// Powers the machine off with this exit code.
    Halt(u8),
    /// Says the words.
    Echo(Vec<String>),
    /// How much memory there is.
    Mem,
    /// How long the system has been up.
    Uptime,
    /// Lends the line to the diagnostics console.
    Diagnostics,
    /// Something about the network.
    Network(network::Command),
}

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

/// Finds a command by its name.
pub fn find(name: &str) -> Option<&'static CommandHelp> {
    find_in(COMMANDS, name)
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

/// Seconds for which `trace` may be asked to look, at most.
const MOST_SECONDS: u64 = 86_400;

pub(crate) fn target(word: String) -> ProcessName {
    match word.parse() {
        Ok(id) => ProcessName::Id(id),
        Err(_) => ProcessName::Name(word),
    }
}

/// Understands one line.
///
/// # Errors
/// [`ParseError`], whose sentence says what is wrong and what to do.
pub fn parse(line: &str) -> Result<Command, ParseError> {
    let Some(arguments) = begin(COMMANDS, line)? else {
        return Ok(Command::Nothing);
    };
    let command = arguments.command;
    match command.name {
        "help" => help_for(arguments),
        "ps" => arguments.none(Command::Ps),
        "caps" => arguments.none(Command::Caps),
        "lspci" => arguments.none(Command::Lspci),
        "lsblk" => arguments.none(Command::Lsblk),
        "ls" => Ok(Command::Ls(arguments.optional()?)),
        "cd" => Ok(Command::Cd(arguments.optional()?)),
        "pwd" => arguments.none(Command::Pwd),
        "cat" => {
            let (options, paths) = arguments.paths(&["-r"])?;
            Ok(Command::Cat {
                paths,
                raw: !options.is_empty(),
            })
        }
        "stat" => Ok(Command::Stat(arguments.paths(&[])?.1)),
        "sha256" => Ok(Command::Sha256(arguments.paths(&[])?.1)),
        name if change::NAMES.contains(&name) => change::parse(arguments).map(Command::Change),
        "log" => log::parse(arguments),
        "top" => {
            let rounds = arguments.number(1, u64::from(u32::MAX))?;
            Ok(Command::Top(
                rounds.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
            ))
        }
        "trace" => {
            let mut words = arguments.words;
            let word = words.next();
            let word = word.ok_or(ParseError::Usage(command, Misuse::Missing))?;
            let rest = Arguments { command, words };
            let seconds = rest.number(1, MOST_SECONDS)?;
            Ok(Command::Trace {
                whom: target(word),
                seconds: seconds.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
            })
        }
        "kill" => Ok(Command::Kill(target(arguments.one()?))),
        "reboot" => arguments.none(Command::Reboot),
        "halt" => {
            let code = arguments.number(0, 255)?.unwrap_or(0);
            Ok(Command::Halt(u8::try_from(code).unwrap_or(u8::MAX)))
        }
        "echo" => Ok(Command::Echo(arguments.words.collect())),
        "mem" => arguments.none(Command::Mem),
        "uptime" => arguments.none(Command::Uptime),
        "diagnostics" => arguments.none(Command::Diagnostics),
        _ => network::parse(arguments),
    }
}

fn help_for(arguments: Arguments) -> Result<Command, ParseError> {
    let command = arguments.command;
    match arguments.optional()? {
        None => Ok(Command::Help(None)),
        Some(word) => match find(&word) {
            Some(found) => Ok(Command::Help(Some(found))),
            None => Err(ParseError::Usage(command, Misuse::NoSuchCommand(word))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    fn message(line: &str) -> String {
        parse(line).unwrap_err().to_string()
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one case after the other")]
    fn lines_become_commands() {
        assert_eq!(parse("  ").unwrap(), Command::Nothing);
        assert_eq!(parse("  # it's a comment").unwrap(), Command::Nothing);
        assert_eq!(parse("halt").unwrap(), Command::Halt(0));
        assert_eq!(parse("halt 42").unwrap(), Command::Halt(42));
        assert_eq!(parse("kill 7").unwrap(), Command::Kill(ProcessName::Id(7)));
        assert_eq!(
            parse("kill nvme").unwrap(),
            Command::Kill(ProcessName::Name("nvme".into()))
        );
        assert_eq!(
            parse("cat -r 'a b' -- -c").unwrap(),
            Command::Cat {
                paths: vec!["a b".into(), "-c".into()],
                raw: true
            }
        );
        let range = |lines, text: Option<&str>, follow| {
            let text = text.map(String::from);
            Command::Log(LogRange {
                lines,
                text,
                follow,
            })
        };
        assert_eq!(parse("log").unwrap(), range(None, None, false));
        assert_eq!(parse("log 5").unwrap(), range(Some(5), None, false));
        assert_eq!(
            parse("log -f nvme").unwrap(),
            range(None, Some("nvme"), true)
        );
        assert_eq!(
            parse("log 5 -f 7").unwrap(),
            range(Some(5), Some("7"), true)
        );
        assert_eq!(
            message("log 5 a b"),
            "log: \"b\" is one argument too many; usage: log [-f] [LINES] [TEXT]"
        );
        assert_eq!(parse("top 3").unwrap(), Command::Top(Some(3)));
        let trace = |whom, seconds| Command::Trace { whom, seconds };
        assert_eq!(
            parse("trace fat").unwrap(),
            trace(ProcessName::Name("fat".into()), None)
        );
        assert_eq!(
            parse("trace 7 2").unwrap(),
            trace(ProcessName::Id(7), Some(2))
        );
        assert_eq!(
            message("trace"),
            "trace: an argument is missing; usage: trace ID|NAME [SECONDS]"
        );
        assert_eq!(
            message("trace fat 0"),
            "trace: \"0\" is not a number from 1 to 86400; usage: trace ID|NAME [SECONDS]"
        );
        assert_eq!(parse("help cat").unwrap(), Command::Help(find("cat")));
        assert_eq!(
            parse("echo  a  'b  c'").unwrap(),
            Command::Echo(vec!["a".into(), "b  c".into()])
        );
    }

    #[test]
    fn every_listed_command_is_understood() {
        for command in COMMANDS {
            let line = match command.arguments {
                "PATH..."
                | "[-r] PATH..."
                | "ID|NAME"
                | "ID|NAME [SECONDS]"
                | "[-a] PATH [WORD...]"
                | "HOST [COUNT]"
                | "NAME" => alloc::format!("{} x", command.name),
                "FROM TO" => alloc::format!("{} x y", command.name),
                "URL" => alloc::format!("{} http://x", command.name),
                "PORT" => alloc::format!("{} 1", command.name),
                _ => command.name.into(),
            };
            parse(&line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }

    #[test]
    fn mistakes_are_named_with_a_way_out() {
        assert_eq!(
            message("frobnicate x"),
            "no command is named \"frobnicate\"; help lists them all"
        );
        assert_eq!(
            message("cat"),
            "cat: an argument is missing; usage: cat [-r] PATH..."
        );
        assert_eq!(
            message("cat -x a"),
            "cat: there is no option \"-x\"; usage: cat [-r] PATH..."
        );
        assert_eq!(
            message("ps aux"),
            "ps: \"aux\" is one argument too many; usage: ps"
        );
        assert_eq!(
            message("halt 256"),
            "halt: \"256\" is not a number from 0 to 255; usage: halt [CODE]"
        );
        assert_eq!(
            message("help me"),
            "help: no command is named \"me\"; help alone lists them all"
        );
        assert_eq!(
            message("cat 'a"),
            "a ' is not closed; close it, or put a \\ before it"
        );
        assert_eq!(
            message("\u{1b}[2J"),
            "no command is named \"\\x1b[2J\"; help lists them all"
        );
    }

    proptest! {
        #[test]
        fn every_message_is_safe_to_show(line in any::<String>()) {
            if let Err(error) = parse(&line) {
                prop_assert!(!error.to_string().chars().any(char::is_control));
            }
        }
    }
}
