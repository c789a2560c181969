//! The one tool a person types: sets the machine up, builds the guest, runs it, and checks what it says.
//!
//! Invariant: never changes a source file on its own, and never decides a verdict from QEMU's own exit status.

mod build;
mod child;
mod disk;
mod package;
mod project;
mod qemu;
mod run;
mod serial;
mod session;
mod setup;
mod smoke;
mod toolchain;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::build::{Builder, Kind};
use crate::project::Project;
use crate::run::RunArgs;
use crate::smoke::SmokeArgs;
use crate::smoke::snapshot::{self, SnapshotArgs};
use crate::toolchain::Toolchain;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs and proves capOS")]
struct Cli {
    /// Install missing packages without asking
    #[arg(long, global = true)]
    yes: bool,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what is missing
    Setup,
    /// Build and boot to the shell
    Run(RunArgs),
    /// Boot smokes and judge what they say
    Smoke(SmokeArgs),
    /// Build everything that runs in the guest
    Build {
        /// Only this package; prints the path of each program
        #[arg(long)]
        package: Option<String>,
        /// With debug assertions and without optimisation
        #[arg(long)]
        debug_guest: bool,
        /// The kernel with its sabotage points compiled in
        #[arg(long)]
        sabotage: bool,
    },
    /// Compare one snapshot (xtask calls this itself)
    #[command(hide = true)]
    SnapshotCompare(SnapshotArgs),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode> {
    let project = Project::load()?;
    // These need nothing of the machine.
    match &cli.verb {
        Verb::SnapshotCompare(args) => return snapshot::compare_here(&project, args),
        Verb::Smoke(args) if args.is_list() => {
            smoke::list();
            return Ok(ExitCode::SUCCESS);
        }
        _ => {}
    }
    setup::ensure(&project, cli.yes)?;
    let toolchain = Toolchain::find(&project)?;
    eprintln!("{}", toolchain.story);
    match cli.verb {
        Verb::Setup | Verb::SnapshotCompare(_) => {}
        Verb::Smoke(args) => return smoke::run(&project, &toolchain, &args),
        Verb::Run(args) => return run::run(&project, &toolchain, args),
        Verb::Build {
            package,
            debug_guest,
            sabotage,
        } => {
            let builder = Builder::new(&project, &toolchain, debug_guest);
            let programs = match package {
                Some(name) => {
                    let kind = match Kind::of(&project, project.member(&name)?)? {
                        Kind::Kernel if sabotage => Kind::SabotageKernel,
                        kind => kind,
                    };
                    builder.build(kind, &[&name])?
                }
                None => {
                    let kernel = if sabotage {
                        Kind::SabotageKernel
                    } else {
                        Kind::Kernel
                    };
                    let mut programs = builder.build(kernel, &["kernel"])?;
                    programs.extend(builder.build(Kind::LoaderPvh, &["loader-pvh"])?);
                    programs.extend(builder.build(Kind::LoaderUefi, &["loader-uefi"])?);
                    programs.extend(builder.build_services()?);
                    programs
                }
            };
            for program in programs {
                println!("{}", program.path.display());
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
