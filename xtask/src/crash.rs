//! `cargo xtask crash`: every state that a power cut can leave a volume in, built and judged by `crash-lab`.
//!
//! Invariant: judges nothing itself.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::build::say_if_host_builds;
use crate::project::{Project, is_ci};
use crate::smoke;
use crate::toolchain::Toolchain;

/// What `cargo xtask crash` takes.
#[derive(Args, Debug)]
pub struct CrashArgs {
    /// Only these suites; `NAME:NUMBER` is one workload of a suite
    #[arg(value_name = "SUITE")]
    suites: Vec<String>,
    /// Every workload, every subset of up to 12 writes, every torn root: hours; then the smokes that kill drivers at many
    /// moments
    #[arg(long)]
    deep: bool,
    /// Name the suites, and do nothing
    #[arg(long)]
    list: bool,
}

impl CrashArgs {
    /// Whether smokes follow.
    fn has_smokes(&self) -> bool {
        self.deep && !self.list && self.suites.is_empty()
    }
}

/// Tries what is asked for.
pub fn run(
    project: &Project,
    args: &CrashArgs,
    ready: impl FnOnce() -> Result<Toolchain>,
) -> Result<ExitCode> {
    let mut words = args.suites.clone();
    words.extend(args.deep.then(|| "--deep".to_owned()));
    words.extend(args.list.then(|| "--list".to_owned()));
    let is_good = laboratory(project, &words)?;
    match is_good {
        true if args.has_smokes() => smoke::run_deep(project, &ready()?),
        true => Ok(ExitCode::SUCCESS),
        false => Ok(ExitCode::FAILURE),
    }
}

/// What the gate tries.
pub fn gate(project: &Project) -> Result<()> {
    ensure!(
        laboratory(project, &[])?,
        "a power cut or a fault loses something; `cargo xtask crash SUITE:NUMBER` tries that workload again"
    );
    Ok(())
}

fn laboratory(project: &Project, words: &[String]) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&project.root).args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "crash-lab",
    ]);
    if is_ci() {
        command.arg("--locked");
    }
    say_if_host_builds(project);
    let status = command.arg("--").args(words).status();
    Ok(status.context("cannot start cargo")?.success())
}
