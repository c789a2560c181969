//! The commands.

use alloc::{string::String, vec::Vec};

pub use crate::list::COMMANDS;
pub use crate::log::LogRange;
pub use crate::usage::{CommandHelp, Misuse, ParseError, ProcessName};
use crate::{
    change::{self, Change},
    keep::{self, Keep},
    log, network,
    usage::{Arguments, begin, find_in, target},
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
    Ls {
        /// Its path; the current directory without one.
        path: Option<String>,
        /// Whether it says where times come from.
        long: bool,
    },
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
    /// What looks after a volume.
    Keep(Keep),
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
    /// Says the time of day, or sets it to this many seconds since 1970.
    Date(Option<i64>),
    /// Lends the line to the diagnostics console.
    Diagnostics,
    /// Something about the network.
    Network(network::Command),
}

/// Finds a command by its name.
pub fn find(name: &str) -> Option<&'static CommandHelp> {
    find_in(COMMANDS, name)
}

/// Seconds for which `trace` may be asked to look, at most.
const MOST_SECONDS: u64 = 86_400;

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
        "ls" => {
            let (options, path) = arguments.at_most_one_path(&["-l"])?;
            Ok(Command::Ls {
                path,
                long: !options.is_empty(),
            })
        }
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
        name if keep::NAMES.contains(&name) => keep::parse(arguments).map(Command::Keep),
        "log" => log::parse(arguments).map(Command::Log),
        "top" => {
            let rounds = arguments.number(1, u64::from(u32::MAX))?;
            Ok(Command::Top(
                rounds.map(|n| u32::try_from(n).unwrap_or(u32::MAX)),
            ))
        }
        "trace" => trace(arguments),
        "kill" => Ok(Command::Kill(target(arguments.one()?))),
        "reboot" => arguments.none(Command::Reboot),
        "halt" => {
            let code = arguments.number(0, 255)?.unwrap_or(0);
            Ok(Command::Halt(u8::try_from(code).unwrap_or(u8::MAX)))
        }
        "echo" => Ok(Command::Echo(arguments.words.collect())),
        "mem" => arguments.none(Command::Mem),
        "uptime" => arguments.none(Command::Uptime),
        "date" => date(arguments),
        "diagnostics" => arguments.none(Command::Diagnostics),
        _ => network::parse(arguments).map(Command::Network),
    }
}

fn trace(arguments: Arguments) -> Result<Command, ParseError> {
    let command = arguments.command;
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

fn date(arguments: Arguments) -> Result<Command, ParseError> {
    let command = arguments.command;
    let words: Vec<String> = arguments.words.collect();
    if words.is_empty() {
        return Ok(Command::Date(None));
    }
    let text = words.join(" ");
    match calendar::Date::parse(&text) {
        Some(seconds) => Ok(Command::Date(Some(seconds))),
        None => Err(ParseError::Usage(command, Misuse::Date(text))),
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
        let ls = |path: Option<&str>, long| {
            let path = path.map(String::from);
            Command::Ls { path, long }
        };
        assert_eq!(parse("ls").unwrap(), ls(None, false));
        assert_eq!(parse("ls -l").unwrap(), ls(None, true));
        assert_eq!(parse("ls -l -- -a").unwrap(), ls(Some("-a"), true));
        assert_eq!(parse("date").unwrap(), Command::Date(None));
        assert_eq!(
            parse("date 2000-03-01 0:0:1").unwrap(),
            Command::Date(Some(951_868_801))
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
            message("date 2026-02-30"),
            "date: \"2026-02-30\" is no date and time of day; usage: date [YYYY-MM-DD [HH:MM[:SS]]]"
        );
        assert_eq!(
            message("ls a b"),
            "ls: \"b\" is one argument too many; usage: ls [-l] [PATH]"
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
