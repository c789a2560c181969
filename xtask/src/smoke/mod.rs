//! `cargo xtask smoke`: boots that answer one question each, and sabotages that show each answer can be no.

mod browser;
pub mod case;
mod cases;
mod decided;
mod media;
pub mod models;
pub mod namespace;
pub mod pattern;
pub mod qtest;
pub mod relay;
pub mod runner;
pub mod sabotage;
pub mod snapshot;
pub mod strangers;
mod tables;
pub mod tally;
pub mod verdict;

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

use crate::build::Code;
use crate::image::contents::Loader;
use crate::kvm;
use crate::project::Project;
use crate::qemu::Accel;
use crate::setup::Needs;
use crate::smoke::case::{Runs, Smoke};
use crate::smoke::runner::{Options, Runner, Trial};
use crate::smoke::tally::Tally;
use crate::toolchain::Toolchain;

/// What `cargo xtask smoke` takes.
#[derive(Args, Debug)]
pub struct SmokeArgs {
    /// Names, globs, or `all`
    #[arg(required_unless_present_any = ["list", "sabotage"])]
    names: Vec<String>,
    /// Say what there is, and run nothing
    #[arg(long)]
    list: bool,
    /// Run on the sabotage kernel: a point, a glob of points, `all`, or `none` (no point chosen: every smoke must pass)
    #[arg(long, visible_alias = "point", value_name = "POINT")]
    sabotage: Option<String>,
    /// How QEMU executes the guest, TCG without it
    #[arg(long, value_enum)]
    accel: Option<Accel>,
    /// Which loader the boot media of smokes carry
    #[arg(long, value_enum, default_value_t)]
    loader: Loader,
    /// Wait for a debugger on port 1234
    #[arg(long)]
    gdb: bool,
    /// Keep disks and other work files
    #[arg(long)]
    keep: bool,
}

/// A smoke and what is demanded of its run.
pub type Planned = (&'static Smoke, Trial);

impl SmokeArgs {
    /// What the machine needs for these.
    pub fn needs(&self) -> Result<Needs> {
        let images = plan(self)?.iter().any(|(smoke, _)| smoke.makes_medium());
        Ok(if images { Needs::Images } else { Needs::Guest })
    }

    /// Whether only a list is wanted.
    pub fn is_list(&self) -> bool {
        self.list
    }
}

/// Prints what there is.
pub fn list() {
    for smoke in case::all() {
        println!("{:24} {}", smoke.name, smoke.question);
    }
    for sabotage in sabotage::all() {
        println!(
            "{:24} {} ({})",
            sabotage.point,
            sabotage.point.sentence(),
            sabotage.smoke
        );
    }
}

/// Runs what `args` name.
pub fn run(project: &Project, toolchain: &Toolchain, args: &SmokeArgs) -> Result<ExitCode> {
    args.loader.check_installed()?;
    let planned = plan(args)?;
    let options = Options {
        loader: args.loader,
        accel: kvm::for_proof(project, args.accel)?,
        gdb: args.gdb,
        keep: args.keep,
    };
    let runner = Runner::new(project, toolchain, options)?;
    let tally = runner.run_all(&planned)?;
    Ok(close(&tally))
}

/// Prints what failed, once more where the end of a log is all that is kept, and the closing line.
pub fn close(tally: &Tally) -> ExitCode {
    for failure in &tally.failed {
        eprintln!("failed: {failure}");
    }
    let skipped = match tally.untested {
        0 => String::new(),
        count => format!(", {count} skipped"),
    };
    println!(
        "{} passed, {} failed{skipped}",
        tally.passed,
        tally.failed.len()
    );
    if tally.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn plan(args: &SmokeArgs) -> Result<Vec<Planned>> {
    let names = if args.names.is_empty() {
        vec!["all".to_owned()]
    } else {
        args.names.clone()
    };
    let smokes = case::select(&names)?;
    match args.sabotage.as_deref() {
        None => Ok(smokes
            .into_iter()
            .map(|smoke| (smoke, Trial::Plain))
            .collect()),
        Some("none") => Ok(smokes
            .into_iter()
            .map(|smoke| (smoke, Trial::Unbitten))
            .collect()),
        Some(pattern) => {
            let mut planned = Vec::new();
            for sabotage in sabotage::select(pattern)? {
                match smokes.iter().find(|smoke| smoke.name == sabotage.smoke) {
                    Some(smoke) => planned.push((*smoke, Trial::Bitten(sabotage))),
                    None if args.names.is_empty() => {
                        bail!(
                            "sabotage {} names no smoke {}",
                            sabotage.point,
                            sabotage.smoke
                        )
                    }
                    None => {}
                }
            }
            Ok(planned)
        }
    }
}

/// Runs the smokes that the gate leaves out.
pub fn run_deep(project: &Project, toolchain: &Toolchain) -> Result<ExitCode> {
    let smokes = case::all().into_iter();
    let deep = smokes.filter(|smoke| smoke.runs == Runs::Deep);
    let planned: Vec<Planned> = deep.map(|smoke| (smoke, Trial::Plain)).collect();
    let options = Options {
        loader: Loader::default(),
        accel: kvm::for_proof(project, None)?,
        gdb: false,
        keep: false,
    };
    let tally = Runner::new(project, toolchain, options)?.run_all(&planned)?;
    Ok(close(&tally))
}

/// All that `cargo xtask test` runs: smokes, the sabotage kernel with no point, and every point.
pub fn everything() -> Result<Vec<Planned>> {
    let mut smokes = case::all();
    smokes.retain(|smoke| smoke.runs == Runs::Gate);
    let mut planned: Vec<Planned> = smokes.iter().map(|smoke| (*smoke, Trial::Plain)).collect();
    // On a boot medium lies the same kernel; what it is without its points is asked without firmware. Nothing of the sabotage
    // kernel is built for debugging.
    let direct = smokes
        .iter()
        .filter(|smoke| !smoke.makes_medium() && smoke.code == Code::Release);
    planned.extend(direct.map(|smoke| (*smoke, Trial::Unbitten)));
    for sabotage in sabotage::all() {
        let Some(smoke) = smokes.iter().find(|smoke| smoke.name == sabotage.smoke) else {
            bail!(
                "sabotage {} names no smoke {}",
                sabotage.point,
                sabotage.smoke
            );
        };
        planned.push((*smoke, Trial::Bitten(sabotage)));
    }
    Ok(planned)
}
