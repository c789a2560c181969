//! `cargo xtask gdb`: a debugger with the right symbols, for a guest that waits with `run --gdb` or `smoke --gdb`.
//!
//! Invariant: never builds anything else than what that guest was built from: the same kinds, flags and folders.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::build::{Builder, Code, Kind};
use crate::project::Project;
use crate::setup::is_installed;
use crate::toolchain::Toolchain;

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
            Some(program.path)
        }
    };
    let mut command = Command::new("gdb");
    command
        .args(arguments(&kernel, service.as_deref()))
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

/// Programs of services all lie at the same addresses, so only one of them has its symbols loaded. A breakpoint in it is
/// one of the processor's, which needs no writing into pages that may not be there yet, and stops whichever process runs there.
fn arguments(kernel: &Path, service: Option<&Path>) -> Vec<String> {
    let mut words = vec!["-q".to_owned(), kernel.display().to_string()];
    let mut then = |command: String| words.extend(["-ex".to_owned(), command]);
    then("set confirm off".into());
    then("set pagination off".into());
    then("target remote :1234".into());
    match service {
        Some(service) => {
            then(format!("add-symbol-file {}", service.display()));
            then("hbreak capos_rt_main".into());
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
        let words = arguments(Path::new("k"), Some(Path::new("s"))).join(" ");
        assert!(words.starts_with("-q k -ex") && words.contains("-ex add-symbol-file s"));
        assert!(
            !arguments(Path::new("k"), None)
                .join(" ")
                .contains("add-symbol-file")
        );
    }
}
