//! The smokes that the QEMU in use cannot show, on one that can: a stage of the gate.
//!
//! Invariant: fetches nothing unless it runs unattended; where nothing was fetched it says what to do, and passes nothing.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::project::{Project, is_ci};
use crate::qemu::Accel;
use crate::setup::models;
use crate::smoke::case;
use crate::smoke::sabotage;

/// The newest QEMU that `setup --device-models` fetches.
const MAJOR: &str = "11";

/// Runs each smoke that asks for what the QEMU in use does not offer, with its sabotages, in a process of its own: one process
/// starts one QEMU.
///
/// # Errors
///
/// A smoke or a sabotage fails; the newer one cannot be fetched.
pub fn run(project: &Project, accel: Accel) -> Result<()> {
    let lacking: Vec<&str> = case::all()
        .iter()
        .filter(|smoke| smoke.needs.is_some_and(|one| !one.is_offered(accel)))
        .map(|smoke| smoke.name)
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    if is_ci() {
        models::fetch(project, MAJOR)?;
    } else if !models::is_here(project, MAJOR) {
        eprintln!(
            "untested: {}; a QEMU that shows them: cargo xtask setup --device-models",
            lacking.join(" ")
        );
        return Ok(());
    }
    smoke(project, &lacking, None)?;
    let has_sabotage = |name: &&str| sabotage::all().iter().any(|one| one.smoke == *name);
    let sabotaged: Vec<&str> = lacking.into_iter().filter(has_sabotage).collect();
    match sabotaged.is_empty() {
        true => Ok(()),
        false => smoke(project, &sabotaged, Some("*")),
    }
}

fn smoke(project: &Project, names: &[&str], sabotage: Option<&str>) -> Result<()> {
    let mut this = std::env::current_exe().context("cannot tell where this program lies")?;
    // The tests of this program have it built, and put in its place, again.
    if !this.exists() {
        this = project.target.join("debug").join(env!("CARGO_BIN_NAME"));
    }
    let mut command = Command::new(this);
    command.current_dir(&project.root).arg("smoke").args(names);
    command.args(["--qemu", MAJOR]).env_remove("QEMU");
    if let Some(points) = sabotage {
        command.args(["--sabotage", points]);
    }
    let status = command.status().context("cannot start a run of smokes")?;
    ensure!(status.success(), "a smoke failed on QEMU {MAJOR}");
    Ok(())
}
