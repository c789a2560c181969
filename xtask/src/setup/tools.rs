//! The command-line tools of clouds: the one in the search path, or one in a folder of its own below the target folder.
//!
//! Invariant: installs only where told to or run unattended, only into that folder, and only what a registry has.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::project::Project;
use crate::setup::{Consent, is_installed};

/// Amazon's tool as PyPI has it, the version that was tried.
const AWS: &str = "awscli==1.45.11";

/// Amazon's tool, fetched from PyPI where it is missing and that is agreed to.
///
/// # Errors
///
/// There is none, which leaves whatever needs it untested; or PyPI is not reached.
pub fn aws(project: &Project, consent: Consent) -> Result<PathBuf> {
    match is_installed("aws") {
        true => Ok("aws".into()),
        false => own_aws(project, consent),
    }
}

/// Google's tool. It is in no registry, so that it is never fetched.
///
/// # Errors
///
/// There is none, which leaves whatever needs it untested.
pub fn gcloud() -> Result<PathBuf> {
    ensure!(
        is_installed("gcloud"),
        "untested: no gcloud; its maker has it: https://cloud.google.com/sdk/docs/install"
    );
    Ok("gcloud".into())
}

/// Where the tools lie that nobody else has.
pub fn folder(project: &Project) -> PathBuf {
    project.target.join("cli")
}

/// Makes sure that a Python has the tool's code, which tests call: another version of the tool may come without.
///
/// # Errors
///
/// PyPI is not reached.
pub fn ensure_aws_code(project: &Project) -> Result<()> {
    let has_it = Command::new("python3")
        .args(["-c", "import awscli"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    match has_it {
        true => Ok(()),
        false => own_aws(project, Consent::Given).map(drop),
    }
}

/// The tool in its own folder.
fn own_aws(project: &Project, consent: Consent) -> Result<PathBuf> {
    let folder = folder(project).join("aws");
    // What is in the folder is written last, so one that was left half made is made again.
    let list = folder.join("installed");
    let program = folder.join("bin/aws");
    if std::fs::read_to_string(&list).is_ok_and(|found| found == AWS) && program.is_file() {
        return Ok(program);
    }
    ensure!(
        consent == Consent::Given,
        "untested: no aws; --yes fetches {AWS} from PyPI into {} (100 MB), or: python3 -m pip install awscli",
        project.show(&folder)
    );
    eprintln!("installing {AWS} into {}", project.show(&folder));
    let make = ["-m", "venv", "--clear"];
    carry_out(Command::new("python3").args(make).arg(&folder))
        .context("python3 makes no folder of its own; apt-get install python3-venv")?;
    let pip = ["install", "--quiet", "--disable-pip-version-check", AWS];
    carry_out(Command::new(folder.join("bin/pip")).args(pip))
        .context("PyPI is not reached, or has this no more (what pip says is above)")?;
    std::fs::write(&list, AWS)?;
    Ok(program)
}

fn carry_out(command: &mut Command) -> Result<()> {
    // Standard output belongs to the verdict.
    let status = command
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}
