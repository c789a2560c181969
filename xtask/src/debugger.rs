//! `cargo xtask gdb`: a debugger with the right symbols, for a guest that waits with `run --gdb`, `smoke --gdb` or `replay`.
//! In a replay it can go backwards.
//!
//! Invariant: never builds anything else than what that guest was built from: the same kinds, flags and folders.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use object::{Object, ObjectSection, ObjectSymbol};

use crate::build::{Builder, Code, Kind};
use crate::project::Project;
use crate::setup::is_installed;
use crate::toolchain::Toolchain;

/// Where every program begins, after a few instructions.
const ENTRY: &str = "capos_rt_main";
/// The commands that go backwards.
const BACKWARDS: &str = include_str!("backwards.py");
/// Goes forward and back, and says where that led: to the breakpoint, then to the instruction before it, then to the start.
const THERE_AND_BACK: [&str; 9] = [
    "hbreak kernel_start",
    "continue",
    "set $there = $rip",
    "stepi 40",
    "reverse-continue",
    "printf \"breakpoint %d\\n\", $rip == $there",
    "reverse-stepi",
    "stepi",
    "printf \"step %d\\n\", $rip == $there",
];
/// Bytes of a page, and between two words of it that are compared.
const PAGE: u64 = 4096;
const STEP: u64 = 256;

/// What `cargo xtask gdb` takes.
#[derive(Args, Debug)]
pub struct GdbArgs {
    /// The program to look at, as manifests call its binary; without it, the kernel
    program: Option<String>,
    /// The guest was built with --debug-guest
    #[arg(long)]
    debug_guest: bool,
    /// Only say which command it is
    #[arg(long)]
    print: bool,
    /// Further arguments for the debugger
    #[arg(last = true)]
    extra: Vec<String>,
}

/// Starts the debugger and stays until it ends.
pub fn run(project: &Project, toolchain: &Toolchain, args: &GdbArgs) -> Result<ExitCode> {
    let code = if args.debug_guest {
        Code::Debug
    } else {
        Code::Release
    };
    let builder = Builder::new(project, toolchain, code);
    let kernel = builder.build_one(Kind::Kernel, "kernel")?.path;
    let service = match &args.program {
        None => None,
        Some(name) => {
            let wanted = BTreeSet::from([name.clone()]);
            let programs = builder.build_programs(Kind::Service, &wanted)?;
            let found = programs.into_iter().find(|program| program.name == *name);
            let program = found.with_context(|| {
                format!("there is no program {name}; binaries of manifests are meant, for example nvme-provider")
            })?;
            let own = own_words(&program.path).unwrap_or_default();
            Some((program.path, own))
        }
    };
    let mut command = Command::new("gdb");
    command
        .args(arguments(&kernel, &backwards(project)?, service.as_ref()))
        .args(&args.extra);
    if args.print {
        println!("{command:?}");
        return Ok(ExitCode::SUCCESS);
    }
    if !is_installed("gdb") {
        bail!("gdb is not installed (package gdb); the command would be: {command:?}");
    }
    let status = command.status().context("cannot start gdb")?;
    Ok(ExitCode::from(
        u8::try_from(status.code().unwrap_or(1)).unwrap_or(1),
    ))
}

/// The file with the commands that go backwards. They are there only where the guest is a replay.
fn backwards(project: &Project) -> Result<PathBuf> {
    let path = project.target.join("tmp").join("backwards.py");
    fs::create_dir_all(path.parent().unwrap_or(&project.target))?;
    fs::write(&path, BACKWARDS).with_context(|| format!("cannot write {}", project.show(&path)))?;
    Ok(path)
}

/// Goes forward and back in a replay that waits for a debugger at `socket`.
///
/// # Errors
/// When it did not arrive where it had been.
pub fn go_there_and_back(project: &Project, toolchain: &Toolchain, socket: &Path) -> Result<()> {
    let kernel =
        Builder::new(project, toolchain, Code::Release).build_one(Kind::Kernel, "kernel")?;
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "120", "gdb", "-q", "-nx", "-batch"]);
    command.arg(&kernel.path);
    command.args(["-ex", "set pagination off", "-ex"]);
    command.arg(format!("target remote {}", socket.display()));
    command.arg("-ex");
    command.arg(format!("source {}", backwards(project)?.display()));
    for one in THERE_AND_BACK {
        command.args(["-ex", one]);
    }
    let output = command.output().context("cannot start gdb")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let arrived = |line: &str| said.lines().any(|one| one == line);
    ensure!(
        arrived("breakpoint 1") && arrived("step 1"),
        "the debugger did not come back to where it had been:\n{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// Words of a program's code, by their addresses, from the page of its entry. All programs lie at the same addresses, and
/// this tells them apart; the page is there in every one of them, however short it is.
fn own_words(program: &Path) -> Option<Vec<(u64, u64)>> {
    let bytes = fs::read(program).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    let entry = file
        .symbols()
        .find(|symbol| symbol.name() == Ok(ENTRY))?
        .address();
    let mut sections = file.sections();
    let text = sections.find(|section| section.name() == Ok(".text"))?;
    let page = (entry & !(PAGE - 1)).max(text.address());
    let data = text.data().ok()?;
    let word = |at: u64| {
        let from = usize::try_from(at.checked_sub(text.address())?).ok()?;
        let word = data.get(from..from.checked_add(8)?)?;
        Some((at, u64::from_le_bytes(word.try_into().ok()?)))
    };
    let end = (entry & !(PAGE - 1)) + PAGE;
    Some((page..end).step_by(STEP as usize).map_while(word).collect())
}

/// Only one program has its symbols loaded, so the first stop is in that one: where its words stand. The breakpoint is one of the
/// processor's, which needs no writing into pages that may not be there yet.
fn arguments(
    kernel: &Path,
    backwards: &Path,
    service: Option<&(PathBuf, Vec<(u64, u64)>)>,
) -> Vec<String> {
    let mut words = vec!["-q".to_owned(), kernel.display().to_string()];
    let mut then = |command: String| words.extend(["-ex".to_owned(), command]);
    then("set confirm off".into());
    then("set pagination off".into());
    then("target remote 127.0.0.1:1234".into());
    then(format!("source {}", backwards.display()));
    match service {
        Some((program, own)) => {
            then(format!("add-symbol-file {}", program.display()));
            let same: Vec<String> = own
                .iter()
                .map(|(at, word)| format!("*({at:#x} as *const u64) == {word:#x}"))
                .collect();
            let only = if same.is_empty() {
                String::new()
            } else {
                format!(" if {}", same.join(" && "))
            };
            then(format!("hbreak {ENTRY}{only}"));
        }
        None => then("hbreak kernel_start".into()),
    }
    words
}

#[cfg(test)]
mod tests {
    use super::arguments;
    use std::path::Path;

    #[test]
    fn a_service_brings_its_own_symbols() {
        let of =
            |own| arguments(Path::new("k"), Path::new("b"), Some(&("s".into(), own))).join(" ");
        let words = of(vec![(0x1000, 7), (0x1100, 8)]);
        assert!(words.starts_with("-q k -ex") && words.contains("-ex add-symbol-file s"));
        assert!(words.ends_with(
            "hbreak capos_rt_main if *(0x1000 as *const u64) == 0x7 && *(0x1100 as *const u64) == 0x8"
        ));
        assert!(of(Vec::new()).ends_with("hbreak capos_rt_main"));
        assert!(
            !arguments(Path::new("k"), Path::new("b"), None)
                .join(" ")
                .contains("add-symbol-file")
        );
    }
}
