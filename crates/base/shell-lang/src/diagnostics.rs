//! The commands of the diagnostics console.

use alloc::string::ToString;

use crate::usage::{
    Arguments, CommandHelp, Misuse, ParseError, ProcessName, begin, find_in, help, target,
};

/// Lines of a page, at most: with what is said about the other pages it fits on a terminal of 24 rows.
pub const PAGE_LINES: usize = 22;
/// Lines of the log that may be asked for, at most.
pub const MOST_LOG_LINES: u64 = 200;
/// Lines of the log without a number.
pub const LOG_LINES: u64 = 20;
/// Pages that may be asked for, at most.
const MOST_PAGES: u64 = 999;

/// What a list is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The processors.
    Cpu,
    /// The processes, and the processor time of each.
    Ps,
    /// Memory, and what each process holds of it.
    Mem,
    /// The firmware tables.
    Acpi,
    /// The PCI functions.
    Pci,
    /// Vectors and who raises them.
    Irq,
    /// Clock and timers.
    Timers,
    /// The device ledger, one line for each function with a driver.
    Devices,
    /// The device ledger's pools and queues.
    Dma,
    /// Translation of device addresses.
    Iommu,
    /// Handle tables, and what the console holds.
    Caps,
}

/// What a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Nothing: a blank line, or one that begins with `#`.
    Nothing,
    /// All commands, or one of them in full.
    Help(Option<&'static CommandHelp>),
    /// The machine in a few lines.
    Status,
    /// One page, from 1, of a list.
    List(Topic, u32),
    /// The last lines of the record of what was done at devices.
    Audit(u32),
    /// The last lines of the log.
    Logs(u32),
    /// Ends a process.
    End(ProcessName),
    /// Stops every device and resets the machine.
    Reboot,
    /// Powers the machine off with this exit code.
    Halt(u8),
    /// Gives the line back.
    Exit,
}

/// Every command, in the order in which `help` shows them.
pub const COMMANDS: &[CommandHelp] = &[
    help("help", "[COMMAND]", "shows the commands, or one of them"),
    help("status", "", "says how the machine is, in a few lines"),
    help("cpu", "[PAGE]", "lists the processors and what they did"),
    help(
        "ps",
        "[PAGE]",
        "lists the processes and their processor time",
    ),
    help("mem", "[PAGE]", "says where memory is, and who holds it"),
    help(
        "acpi",
        "[PAGE]",
        "lists the firmware tables and what became of them",
    ),
    help(
        "pci",
        "[PAGE]",
        "lists PCI functions with BARs and capabilities",
    ),
    help(
        "irq",
        "[PAGE]",
        "lists interrupt vectors and who raises them",
    ),
    help(
        "timers",
        "[PAGE]",
        "says what the clock is, and when each processor's timer fires",
    ),
    help(
        "devices",
        "[PAGE]",
        "lists the ledger's record of each function with a driver",
    ),
    help(
        "dma",
        "[PAGE]",
        "lists device memory and queues of each claim",
    ),
    help(
        "iommu",
        "[PAGE]",
        "says how devices reach memory, and why not otherwise",
    ),
    help(
        "audit",
        "[LINES]",
        "shows what was done at devices; at most 200 lines",
    ),
    help(
        "logs",
        "[LINES]",
        "shows the end of the log; at most 200 lines",
    ),
    help(
        "caps",
        "[PAGE]",
        "lists handle tables, and what this console holds",
    ),
    help("end", "PROCESS", "ends a process, by its number or name"),
    help("reboot", "", "stops every device, then resets the machine"),
    help(
        "halt",
        "[CODE]",
        "powers the machine off; CODE is 0 to 255, 0 without it",
    ),
    help(
        "exit",
        "",
        "gives the line back to the shell that asked for this console",
    ),
];

/// Finds a command by its name.
pub fn find(name: &str) -> Option<&'static CommandHelp> {
    find_in(COMMANDS, name)
}

fn lines(arguments: Arguments) -> Result<u32, ParseError> {
    let asked = arguments.number(1, MOST_LOG_LINES)?.unwrap_or(LOG_LINES);
    Ok(u32::try_from(asked).unwrap_or(u32::MAX))
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
    let topic = match command.name {
        "help" => {
            return match arguments.optional()? {
                None => Ok(Command::Help(None)),
                Some(word) => match find(&word) {
                    Some(found) => Ok(Command::Help(Some(found))),
                    None => Err(ParseError::Usage(command, Misuse::NoSuchCommand(word))),
                },
            };
        }
        "status" => return arguments.none(Command::Status),
        "reboot" => return arguments.none(Command::Reboot),
        "exit" => return arguments.none(Command::Exit),
        "end" => return Ok(Command::End(target(arguments.one()?))),
        "halt" => {
            let code = arguments.number(0, 255)?.unwrap_or(0);
            return Ok(Command::Halt(u8::try_from(code).unwrap_or(u8::MAX)));
        }
        "audit" => return Ok(Command::Audit(lines(arguments)?)),
        "logs" => return Ok(Command::Logs(lines(arguments)?)),
        "cpu" => Topic::Cpu,
        "ps" => Topic::Ps,
        "mem" => Topic::Mem,
        "acpi" => Topic::Acpi,
        "pci" => Topic::Pci,
        "irq" => Topic::Irq,
        "timers" => Topic::Timers,
        "devices" => Topic::Devices,
        "dma" => Topic::Dma,
        "iommu" => Topic::Iommu,
        "caps" => Topic::Caps,
        other => return Err(ParseError::Unknown(other.to_string())),
    };
    let page = arguments.number(1, MOST_PAGES)?.unwrap_or(1);
    Ok(Command::List(
        topic,
        u32::try_from(page).unwrap_or(u32::MAX),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::String;
    use proptest::prelude::*;

    fn message(line: &str) -> String {
        parse(line).unwrap_err().to_string()
    }

    #[test]
    fn every_listed_command_is_understood() {
        for command in COMMANDS {
            let line = match command.name {
                "end" => "end 3",
                name => name,
            };
            parse(line).unwrap_or_else(|e| panic!("{}: {e}", command.name));
        }
        assert_eq!(parse("pci 3").unwrap(), Command::List(Topic::Pci, 3));
        assert_eq!(parse("logs").unwrap(), Command::Logs(20));
        assert_eq!(parse(" # nothing").unwrap(), Command::Nothing);
        assert_eq!(parse("halt 7").unwrap(), Command::Halt(7));
        assert_eq!(
            parse("end fat").unwrap(),
            Command::End(ProcessName::Name("fat".into()))
        );
    }

    #[test]
    fn mistakes_are_named_with_a_way_out() {
        assert_eq!(
            message("upload kernel"),
            "no command is named \"upload\"; help lists them all"
        );
        assert_eq!(
            message("logs 201"),
            "logs: \"201\" is not a number from 1 to 200; usage: logs [LINES]"
        );
        assert_eq!(
            message("pci 0"),
            "pci: \"0\" is not a number from 1 to 999; usage: pci [PAGE]"
        );
        assert_eq!(
            message("status now"),
            "status: \"now\" is one argument too many; usage: status"
        );
    }

    proptest! {
        #[test]
        fn every_message_is_safe_to_show_and_names_a_way_out(line in any::<String>()) {
            if let Err(error) = parse(&line) {
                prop_assert!(!error.to_string().chars().any(char::is_control));
            }
        }
    }
}
