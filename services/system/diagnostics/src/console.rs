//! The line: from a prompt to a command and back.

use core::fmt::Write as _;

use sdk::{
    Env, EnvError, Refusal,
    alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    },
    fact,
};
use shell_lang::{
    CommandHelp,
    complete::{self, Action},
    diagnostics::{COMMANDS, Command, Topic, parse},
    show::{Align, Table},
};
use terminal::{Failure, Input, Prompt, Terminal, held, tail};

use crate::held::{Held, Refused};
use crate::output::{Outcome, Output};
use crate::{audit, charges, claims, firmware, machine, processes};

const PROMPT: &str = "diagnostics> ";
/// Bytes of a line: the longest command has twenty.
const LINE_BYTES: usize = 256;
/// Lines that are remembered.
const HISTORY_LINES: usize = 16;

/// What a person is told first.
const GREETING: &str = "\ncapOS diagnostics; help lists the commands\n";

/// Whose the line is that the console reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// Its own, for as long as the machine runs.
    Own,
    /// Lent by whoever called; a person can give it back.
    Lent,
}

/// Why the console gave the line back.
pub enum Ending {
    /// A person said so.
    Exit,
    /// There is no line any more.
    Lost(Refusal),
}

/// The console.
pub struct Console<'a> {
    env: &'a Env,
    terminal: Terminal,
    prompt: Prompt<LINE_BYTES, HISTORY_LINES>,
    held: Held,
    refused: Refused,
}

impl<'a> Console<'a> {
    /// Uses what was granted.
    ///
    /// # Errors
    /// Without a console there is nobody to talk to.
    pub fn new(env: &'a Env) -> Result<Self, EnvError> {
        Ok(Self {
            env,
            terminal: Terminal::new(
                terminal::Line::Serial(env.get("console")?),
                env.get("timer").ok(),
            ),
            prompt: Prompt::new(PROMPT),
            held: Held::new(env),
            refused: Refused::default(),
        })
    }

    /// Reads and does commands until a person gives the line back, which only one who lent it can.
    pub fn run(&mut self, line: Line) -> Ending {
        let _ = self.terminal.write_str(GREETING);
        fact!("diagnostics.ready", called = line == Line::Lent);
        loop {
            match self.prompt.read(&mut self.terminal, &mut completion) {
                Input::Line(words) => {
                    if self.line(&words, line) {
                        return Ending::Exit;
                    }
                }
                Input::Cut => {
                    let most = self.prompt.line_bytes();
                    let _ = writeln!(
                        self.terminal,
                        "the line is longer than {most} bytes and was not run; no command is that long"
                    );
                    self.refused.too_long += 1;
                }
                Input::End if line == Line::Lent => return Ending::Exit,
                Input::End => {}
                Input::Lost(refusal) => return Ending::Lost(refusal),
            }
        }
    }

    /// Does one line. `true`: the line is to be given back.
    fn line(&mut self, words: &str, line: Line) -> bool {
        let command = match parse(words) {
            Ok(Command::Nothing) => return false,
            Ok(Command::Exit) if line == Line::Lent => return true,
            Ok(command) => command,
            Err(error) => {
                let _ = writeln!(self.terminal, "{error}");
                self.refused.unknown += 1;
                let _ = self.terminal.flush();
                return false;
            }
        };
        // The grammar has found it: the first word is a command's name, whatever quotes it was written with.
        let name = shell_lang::words::split(words)
            .ok()
            .and_then(|words| words.into_iter().next())
            .unwrap_or_default();
        let mut output = Output::new(&mut self.terminal, &name);
        let outcome = run(self.env, &self.held, self.refused, command, &mut output);
        let (lines, cut) = output.shown();
        let word = match &outcome {
            Ok(()) => "shown",
            Err(Failure::Interrupted) => "interrupted",
            Err(_) => "refused",
        };
        if let Err(failure) = outcome {
            let _ = match failure {
                Failure::Interrupted => writeln!(self.terminal, "^C"),
                failure => writeln!(self.terminal, "{name}: {failure}"),
            };
        }
        let _ = self.terminal.flush();
        fact!("diagnostics.command", name = name.as_str(), outcome = word, lines ~ lines, cut ~ cut);
        false
    }
}

fn run(env: &Env, held: &Held, refused: Refused, command: Command, to: &mut Output<'_>) -> Outcome {
    match command {
        Command::Nothing => Ok(()),
        Command::Help(which) => help(which, to),
        Command::Status => machine::status(held, refused, to),
        Command::List(topic, page) => {
            to.choose_page(page);
            match topic {
                Topic::Cpu => machine::cpu(held, to),
                Topic::Ps => processes::list(held, to),
                Topic::Mem => machine::mem(held, to),
                Topic::Timers => machine::timers(held, to),
                Topic::Irq => machine::irq(held, to),
                Topic::Pci => claims::pci(held, to),
                Topic::Devices => claims::devices(held, to),
                Topic::Dma => claims::dma(held, to),
                Topic::Acpi => firmware::acpi(held, to),
                Topic::Iommu => firmware::iommu(held, to),
                Topic::Caps => caps(env, held, to),
            }
        }
        Command::Audit(lines) => audit::show(held.audit.as_ref(), lines, to),
        Command::Logs(lines) => logs(held, lines, to),
        Command::End(whom) => processes::end(held, &whom, to),
        Command::Reboot => {
            to.line("every device is stopped, then the machine resets");
            to.flush();
            let control = held.control.as_ref();
            let control = control.ok_or_else(|| Failure::not_held("SystemControl"))?;
            control.reboot().map_err(Failure::about("the machine"))
        }
        Command::Halt(code) => {
            to.flush();
            let control = held.control.as_ref();
            let control = control.ok_or_else(|| Failure::not_held("SystemControl"))?;
            control.halt(code).map_err(Failure::about("the machine"))
        }
        Command::Exit => Err(Failure::Said(String::from(
            "nobody waits for this line; halt or reboot ends the machine",
        ))),
    }
}

fn completion(before: &str) -> Action {
    let target = complete::target(before);
    let names = COMMANDS.iter().map(|c| c.name.to_string());
    if target.is_command {
        complete::complete(&target, names)
    } else {
        Action::Beep
    }
}

fn help(which: Option<&CommandHelp>, to: &mut Output<'_>) -> Outcome {
    let mut table = Table::bare(&[Align::Left, Align::Left]);
    for command in COMMANDS
        .iter()
        .filter(|c| which.is_none_or(|w| w.name == c.name))
    {
        table.row([command.to_string(), command.does.to_string()]);
    }
    to.listing(table.lines(), 0)
}

fn logs(held: &Held, lines: u32, to: &mut Output<'_>) -> Outcome {
    let reader = held
        .log
        .as_ref()
        .ok_or_else(|| Failure::not_held("LogReader"))?;
    let tail = tail(reader, lines as usize).map_err(Failure::about("log"))?;
    let shown = tail.lines.len();
    let older = tail.held.saturating_sub(shown as u64);
    for line in tail.lines {
        to.one(&line)?;
    }
    to.line(&format!(
        "{shown} lines; {older} older ones are held, {} are lost",
        tail.lost
    ));
    fact!("diagnostics.logs", asked = lines, shown = shown, older ~ older, lost ~ tail.lost);
    Ok(())
}

/// The handle tables of all processes, then what the console itself holds.
fn caps(env: &Env, held: &Held, to: &mut Output<'_>) -> Outcome {
    let mut table = Table::new(&[
        ("PROCESS", Align::Left),
        ("HANDLES", Align::Right),
        ("LIMIT", Align::Right),
        ("SET ASIDE", Align::Right),
        ("WORN OUT", Align::Right),
    ]);
    let charges = charges::charges(held)?;
    for c in &charges {
        table.row([
            format!("{} {}", c.id, c.name),
            c.handles.to_string(),
            c.handles_limit.to_string(),
            c.handles_reserved.to_string(),
            c.handles_retired.to_string(),
        ]);
    }
    let mut lines: Vec<String> = table.lines().collect();
    lines.push(String::from("this console holds:"));
    let own = terminal_lines(env);
    let count = own.len().saturating_sub(1);
    lines.extend(own);
    fact!("diagnostics.caps", processes = charges.len(), held = count);
    to.listing(lines, 1)
}

fn terminal_lines(env: &Env) -> Vec<String> {
    held(env).lines().collect()
}
