//! `cargo xtask save-conformance`: saving on the real servers that are installed here.
//!
//! Invariant: never installs anything unless told to, and never counts a server that is missing as passed.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::project::{Project, is_ci};

/// What `cargo xtask save-conformance` takes.
#[derive(Args, Debug)]
pub struct SaveArgs {
    /// Install the servers that PyPI and crates.io have first, below the target folder
    #[arg(long)]
    install: bool,
    /// Only this server
    #[arg(long)]
    server: Option<String>,
    /// Each fault once, at the first requests of a call, as the gate does
    #[arg(long)]
    short: bool,
    /// Show every case
    #[arg(long)]
    verbose: bool,
}

/// Runs the suite.
pub fn run(project: &Project, args: &SaveArgs) -> Result<ExitCode> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(&project.root)
        .args(["run", "--quiet", "--package", "save-lab"]);
    if is_ci() {
        command.arg("--locked");
    }
    command.arg("--").arg(project.target.join("servers"));
    for (flag, is_set) in [
        ("--install", args.install),
        ("--short", args.short),
        ("--verbose", args.verbose),
    ] {
        command.args(is_set.then_some(flag));
    }
    if let Some(server) = &args.server {
        command.args(["--server", server]);
    }
    let status = command.status().context("cannot start cargo")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The gate's part: the short suite on what is here.
pub fn gate(project: &Project) -> Result<()> {
    let args = SaveArgs {
        install: false,
        server: None,
        short: true,
        verbose: false,
    };
    ensure!(
        run(project, &args)? == ExitCode::SUCCESS,
        "a server was not served as it should"
    );
    Ok(())
}
