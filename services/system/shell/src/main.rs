//! The serial shell.
//!
//! Owns the serial line's input and the commands of `shell-lang`. Invariant: it never does what its grants do not say, each
//! command names the grant it lacks, and nothing that a file, a file name or a service says reaches the terminal unfiltered,
//! unless `cat -r` asks for it.
#![no_std]
#![cfg_attr(not(test), no_main)]

mod change;
mod changes;
mod clock;
mod disks;
mod files;
mod history;
mod keep;
mod net;
mod packets;
mod system;
mod top;
mod trace;

use core::fmt::Write as _;

use sdk::{
    ConsoleListener, Env, Error,
    alloc::{
        format,
        string::{String, ToString},
        vec::Vec,
    },
    storage::directory::Kind,
};
use shell_lang::{
    COMMANDS, Command, CommandHelp, Path,
    complete::{self, Action},
    show::{Align, Table},
    text::{FilterMode, Safe},
};
use terminal::{Failure, Input, Line, Terminal, held, print};

use clock::Clock;
use disks::Disks;
use files::Detail;
use history::History;
use net::Network;
use system::System;

sdk::entry!(main);

const PROMPT: &str = "capos> ";

/// Bytes of a line: the longest name that FAT can hold, in a deep directory.
const LINE_BYTES: usize = 2048;
/// Lines that are remembered.
const HISTORY_LINES: usize = 16;
type Prompt = terminal::Prompt<LINE_BYTES, HISTORY_LINES>;

/// Names of a directory that completion looks at.
const MOST_NAMES: usize = 4096;

struct Shell<'a> {
    env: &'a Env,
    terminal: Terminal,
    disks: Disks,
    system: System,
    network: Network,
    clock: Clock,
    here: Path,
}

fn main(env: &Env) -> Result<(), Error> {
    let mut shell = Shell {
        env,
        terminal: Terminal::new(line(env)?, env.get("timer").ok()),
        disks: Disks::find(env),
        system: System {
            info: env.get("systemInfo").ok(),
            processes: env.get("processControl").ok(),
            control: env.get("systemControl").ok(),
            tracer: env.get("processTracer").ok(),
            devices: env.get("deviceRegistry").ok(),
            log: env.get("logReader").ok(),
            console: env.get("diagnostics").ok(),
        },
        network: Network::find(env),
        clock: Clock::find(env),
        here: Path::root(),
    };
    let mut prompt = Prompt::new(PROMPT);
    let mut history = History::find(&mut shell.disks, &mut prompt);
    let _ = shell.terminal.write(b"\r\n");
    loop {
        let Shell {
            terminal,
            disks,
            here,
            ..
        } = &mut shell;
        match prompt.read(terminal, &mut |before| completion(disks, here, before)) {
            Input::Line(line) => {
                history.keep(&line, &prompt, disks, terminal);
                shell.run(&line);
            }
            Input::Cut => {
                let _ = writeln!(
                    shell.terminal,
                    "the line is longer than {LINE_BYTES} bytes and was not run; say it in shorter ones (cd shortens paths)"
                );
            }
            Input::End | Input::Lost(_) => return Ok(()),
        }
    }
}

/// The serial line; where none is granted, the next person who comes over the network.
fn line(env: &Env) -> Result<Line, Error> {
    match env.get::<ConsoleListener>("people") {
        Ok(people) => Ok(Line::Person(people.retrying().accept()?.console)),
        Err(_) => Ok(Line::Serial(env.get("console")?)),
    }
}

impl Shell<'_> {
    fn run(&mut self, line: &str) {
        let result = match shell_lang::parse(line) {
            Ok(command) => {
                let name = line.split_whitespace().next().unwrap_or_default();
                self.command(command).map_err(|failure| match failure {
                    Failure::Interrupted => String::from("^C"),
                    failure => format!("{name}: {failure}"),
                })
            }
            Err(error) => Err(error.to_string()),
        };
        if let Err(text) = result {
            let _ = writeln!(self.terminal, "{text}");
        }
        let _ = self.terminal.flush();
    }

    fn command(&mut self, command: Command) -> Result<(), Failure> {
        let Self {
            env,
            terminal,
            disks,
            system,
            network,
            clock,
            here,
        } = self;
        match command {
            Command::Nothing => Ok(()),
            Command::Help(which) => {
                help(which, terminal);
                Ok(())
            }
            Command::Ps => system.ps(terminal),
            Command::Caps => {
                print(terminal, &held(env));
                Ok(())
            }
            Command::Lspci => system.lspci(terminal),
            Command::Lsblk => files::lsblk(disks, terminal),
            Command::Ls { path, long } => {
                let path = here.resolve(path.as_deref().unwrap_or_default());
                let detail = if long { Detail::Sources } else { Detail::Plain };
                files::ls(disks, &path, detail, terminal)
            }
            Command::Cd(path) => change_to(here, path.as_deref().unwrap_or("/"), disks),
            Command::Pwd => said(terminal, here),
            Command::Cat { paths, raw } => {
                let mode = if raw {
                    FilterMode::Raw
                } else {
                    FilterMode::Text
                };
                each("cat", &paths, here, terminal, |path, to| {
                    files::cat(disks, path, mode, to)
                })
            }
            Command::Stat(paths) => each("stat", &paths, here, terminal, |path, to| {
                files::stat(disks, path, to)
            }),
            Command::Sha256(paths) => each("sha256", &paths, here, terminal, |path, to| {
                files::sha256(disks, path, to)
            }),
            Command::Log(range) => system.log(&range, terminal),
            Command::Top(rounds) => top::top(system, rounds, terminal),
            Command::Trace { whom, seconds } => trace::trace(system, &whom, seconds, terminal),
            Command::Kill(target) => system.kill(&target, terminal),
            Command::Keep(what) => keep::run(what, disks, terminal),
            Command::Change(change) => changes::run(change, disks, here, terminal),
            Command::Reboot => synced(disks, terminal, || system.reboot()),
            Command::Halt(code) => synced(disks, terminal, || system.halt(code)),
            Command::Echo(words) => said(terminal, &Safe(&words.join(" "))),
            Command::Mem => system.mem(terminal),
            Command::Uptime => system.uptime(terminal),
            Command::Date(set) => clock.date(set, terminal),
            Command::Diagnostics => flushed(terminal, || system.diagnostics()),
            Command::Network(command) => network.run(&command, terminal),
        }
    }
}

/// Writes a line.
fn said(to: &mut Terminal, line: &impl core::fmt::Display) -> Result<(), Failure> {
    let _ = writeln!(to, "{line}");
    Ok(())
}

fn change_to(here: &mut Path, path: &str, disks: &mut Disks) -> Result<(), Failure> {
    let there = here.resolve(path);
    if disks.stat(&there)?.kind != Kind::Directory {
        return Err(Failure::Said(format!(
            "{there} is a file; cd takes a directory"
        )));
    }
    *here = there;
    Ok(())
}

/// Does something after which nothing may be left to show.
fn flushed(
    terminal: &mut Terminal,
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    let _ = terminal.flush();
    work()
}

/// Does what ends the machine, after what was written is on its disks.
fn synced(
    disks: &mut Disks,
    terminal: &mut Terminal,
    end: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    changes::sync_before_end(disks, terminal);
    flushed(terminal, end)
}

/// Looks for what the word before the cursor may become.
fn completion(disks: &mut Disks, here: &Path, before: &str) -> Action {
    let target = complete::target(before);
    if target.is_command {
        return complete::complete(&target, COMMANDS.iter().map(|c| c.name.to_string()));
    }
    let directory = here.resolve(&target.directory);
    let mut names: Vec<String> = Vec::new();
    if directory.is_root() {
        disks.find_parts();
        names.extend(
            disks
                .list
                .iter()
                .filter(|d| d.volume.is_some())
                .map(|d| format!("{}/", d.name)),
        );
    } else if let Ok(mut lister) = disks.lister(&directory) {
        while let Ok(Some(entries)) = disks.list(&mut lister, &directory)
            && names.len() < MOST_NAMES
        {
            names.extend(entries.into_iter().map(|(name, stat)| match stat.kind {
                Kind::Directory => format!("{name}/"),
                Kind::File => name,
            }));
        }
    }
    complete::complete(&target, names.into_iter())
}

/// Does something with each path. One that fails is reported and does not keep the others from their turn; Ctrl-C does.
fn each(
    name: &str,
    paths: &[String],
    here: &Path,
    to: &mut Terminal,
    mut work: impl FnMut(&Path, &mut Terminal) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for path in paths {
        match work(&here.resolve(path), to) {
            Ok(()) => {}
            Err(Failure::Interrupted) => return Err(Failure::Interrupted),
            Err(failure) => {
                let _ = writeln!(to, "{name}: {failure}");
            }
        }
    }
    Ok(())
}

fn help(which: Option<&CommandHelp>, to: &mut Terminal) {
    let mut table = Table::bare(&[Align::Left, Align::Left]);
    for command in COMMANDS
        .iter()
        .filter(|c| which.is_none_or(|w| w.name == c.name))
    {
        table.row([command.to_string(), command.does.to_string()]);
    }
    print(to, &table);
    if which.is_none() {
        let _ = writeln!(
            to,
            "Names with blanks go in quotes. Disks are directories of /. Ctrl-C ends a command, arrow keys edit the line, Tab completes it."
        );
    }
}
