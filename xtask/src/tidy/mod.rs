//! `cargo xtask tidy`: the rules of the tree that no compiler checks.
//!
//! Invariant: never changes a file, and never reports a rule without the place that breaks it.

mod entry_code;
mod growth;
mod kernel;
mod lists;
mod rows;
mod sources;
mod tiers;
mod versions;

use std::path::Path;

use anyhow::{Result, bail};

use crate::examples;
use crate::project::Project;
use crate::smoke::{case, snapshot};

pub use growth::see_them_bite as see_growth_refused;
pub use kernel::check as check_kernel;
pub use tiers::RANKS;

/// A snapshot longer than this is no longer read by those who accept it.
const MAX_SNAPSHOT_LINES: usize = 60;

/// Checks every rule and prints what breaks one.
pub fn run(project: &Project) -> Result<()> {
    let mut problems = Vec::new();
    problems.extend(tiers::check(project));
    problems.extend(tiers::check_folders(project));
    problems.extend(sources::check(project)?);
    problems.extend(growth::check(project)?);
    problems.extend(versions::check(project)?);
    problems.extend(rows::check(project)?);
    problems.extend(snapshots(&project.root.join("snapshots"))?);
    problems.extend(cases(&project.root.join("xtask/src/smoke/cases"))?);
    problems.extend(lists::check(project)?);
    problems.extend(examples::problems(project)?);
    for problem in &problems {
        eprintln!("tidy: {problem}");
    }
    if problems.is_empty() {
        eprintln!("{}", examples::story(project)?);
        return Ok(());
    }
    bail!("{} rules are broken", problems.len());
}

fn snapshots(dir: &Path) -> Result<Vec<String>> {
    let names: Vec<&str> = case::all().iter().map(|smoke| smoke.name).collect();
    let mut problems = snapshot::problems(dir, &names)?;
    for entry in std::fs::read_dir(dir)?.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "snap") {
            let lines = std::fs::read_to_string(&path)?.lines().count();
            if lines > MAX_SNAPSHOT_LINES {
                problems.push(format!(
                    "{} has {lines} lines, too many to review",
                    path.display()
                ));
            }
        }
    }
    Ok(problems)
}

/// A case that its module list forgets would never run and never be missed.
fn cases(dir: &Path) -> Result<Vec<String>> {
    let list = std::fs::read_to_string(dir.join("mod.rs"))?;
    let mut problems = Vec::new();
    for entry in std::fs::read_dir(dir)?.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if let Some(stem) = file.strip_suffix(".rs")
            && stem != "mod"
            && !list
                .lines()
                .any(|line| line.trim() == format!("mod {stem};"))
        {
            problems.push(format!("smoke case {file} is not listed in cases/mod.rs"));
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_forgotten_case_is_found() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("mod.rs", "mod boot;\n"), ("boot.rs", ""), ("lost.rs", "")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let problems = super::cases(dir.path()).unwrap();
        assert!(
            problems.len() == 1 && problems[0].contains("lost.rs"),
            "{problems:?}"
        );
    }

    #[test]
    fn an_unreadably_long_snapshot_is_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("boot.snap"), "x\n".repeat(61)).unwrap();
        let problems = super::snapshots(dir.path()).unwrap();
        assert!(
            problems.iter().any(|problem| problem.contains("61 lines")),
            "{problems:?}"
        );
    }
}
