//! `cargo xtask save-conformance`: saving on real servers, and the companion's page in a browser.
//!
//! Invariant: installs nothing unless told to or run unattended, and never counts a server that is missing as passed.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::build::say_if_host_builds;
use crate::project::{Project, is_ci};
use crate::setup::{self, Consent};

/// What `cargo xtask save-conformance` takes.
#[derive(Args, Debug)]
pub struct SaveArgs {
    /// Install a browser, and below the target folder the servers that PyPI and crates.io have, first
    #[arg(long)]
    install: bool,
    /// The browser, and each server that PyPI or crates.io has, must be there: none may be untested
    #[arg(long)]
    all: bool,
    /// Only this server, or `companion`: the page that carries capsules, in a browser
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
    if args.install {
        let consent = if is_ci() {
            Consent::Given
        } else {
            Consent::Open
        };
        setup::ensure_peers(project, consent)?;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(&project.root)
        .args(["run", "--quiet", "--package", "save-lab"]);
    if is_ci() {
        command.arg("--locked");
    }
    say_if_host_builds(project);
    command.arg("--").arg(project.target.join("servers"));
    for (flag, is_set) in [
        ("--install", args.install),
        ("--all", args.all),
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

/// The gate's part: the short suite. Unattended it installs what registries have, and then none of that may be missing.
pub fn gate(project: &Project) -> Result<()> {
    let args = SaveArgs {
        install: is_ci(),
        all: is_ci(),
        server: None,
        short: true,
        verbose: false,
    };
    ensure!(
        run(project, &args)? == ExitCode::SUCCESS,
        "a server is missing or was not served as it should; above stands which, and cargo xtask save-conformance asks again"
    );
    Ok(())
}
