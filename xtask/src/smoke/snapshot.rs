//! The snapshot part of a verdict: insta compares, in a process of its own because it reports by panicking.
//!
//! Invariant: never accepts a snapshot; that is for `cargo insta review` and a person.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result};
use clap::Args;

use crate::project::{Project, is_ci};

/// Arguments of the hidden verb by which xtask starts itself for one comparison.
#[derive(Args, Debug)]
pub struct SnapshotArgs {
    #[arg(long)]
    name: String,
    #[arg(long)]
    question: String,
}

/// What becomes of text that differs from the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// insta leaves a pending snapshot to review, except in unattended runs (`CI`).
    LeftForReview,
    /// Nothing is left: there is nothing to accept.
    OnlyTold,
}

/// Compares `text` with the accepted snapshot; `Err` is what insta says about the difference.
///
/// What the environment says to insta counts for nothing: there is no way to accept what nobody has read.
pub fn compare(
    project: &Project,
    name: &str,
    question: &str,
    text: &str,
    difference: Difference,
) -> Result<std::result::Result<(), String>> {
    // By this name the program is found even after a build has replaced its file.
    let own = Path::new("/proc/self/exe");
    let own = if own.exists() {
        own.to_path_buf()
    } else {
        std::env::current_exe().context("this program does not know its own file")?
    };
    let mut command = Command::new(own);
    command
        .args(["snapshot-compare", "--name", name, "--question", question])
        .env("INSTA_WORKSPACE_ROOT", &project.root)
        .env("INSTA_FORCE_PASS", "0")
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let update = match difference {
        Difference::LeftForReview if !is_ci() => "new",
        _ => "no",
    };
    command.env("INSTA_UPDATE", update);
    let mut child = command.spawn().context("cannot start the comparison")?;
    child
        .stdin
        .take()
        .context("the comparison has no input")?
        .write_all(without_line_numbers(text).as_bytes())?;
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    // What insta advises besides is about its own test runner.
    let is_advice =
        |line: &&str| line.starts_with("Stopped on the first failure") || line.contains("INSTA_");
    let told: Vec<&str> = said.lines().filter(|line| !is_advice(line)).collect();
    Ok(Err(told.join("\n").trim_end().to_owned()))
}

/// The text with files of source, and not the lines in them, which any edit above moves.
fn without_line_numbers(text: &str) -> String {
    let mut parts = text.split(".rs:");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        kept.push_str(match rest.len() < part.len() {
            true => ".rs",
            false => ".rs:",
        });
        kept.push_str(rest);
    }
    kept
}

/// What a person is told of a comparison that did not come out equal.
pub fn headline(project: &Project, name: &str) -> String {
    let accepted = project.root.join("snapshots").join(format!("{name}.snap"));
    if accepted.exists() {
        "the snapshot differs (cargo insta review)".into()
    } else {
        format!(
            "there is no snapshot of it yet: read target/smoke/{name}/evidence, then accept it (cargo insta review)"
        )
    }
}

/// The other side of [`compare`]: the text comes on standard input, the answer is the exit status.
pub fn compare_here(project: &Project, args: &SnapshotArgs) -> Result<ExitCode> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    // insta has told the difference by the time it panics.
    std::panic::set_hook(Box::new(|_| std::process::exit(1)));
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(project.root.join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_description(args.question.as_str());
    settings.bind(|| insta::assert_snapshot!(args.name.as_str(), text));
    Ok(ExitCode::SUCCESS)
}

/// What is wrong with the folder of snapshots: pending ones, and those no smoke refers to.
pub fn problems(dir: &Path, names: &[&str]) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    for entry in fs::read_dir(dir)?.flatten() {
        let file = entry.file_name().to_string_lossy().into_owned();
        if file.ends_with(".snap.new") || file.ends_with(".pending-snap") {
            problems.push(format!("pending snapshot {file}: cargo insta review"));
        } else if let Some(name) = file.strip_suffix(".snap")
            && !names.contains(&name)
        {
            problems.push(format!("snapshot {file} belongs to no smoke"));
        }
    }
    problems.sort();
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::{problems, without_line_numbers};

    #[test]
    fn a_line_of_source_is_no_difference() {
        for (said, compared) in [
            ("gone (a/b.rs:75)", "gone (a/b.rs)"),
            ("a.rs:1: b.rs:22", "a.rs: b.rs"),
            ("a.rs: no line", "a.rs: no line"),
            ("ends in a.rs:", "ends in a.rs:"),
        ] {
            assert_eq!(without_line_numbers(said), compared);
        }
    }

    #[test]
    fn pending_and_unreferenced_snapshots_are_named() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["boot.snap", "old.snap", "smp.snap.new", "Cargo.toml"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = problems(dir.path(), &["boot", "smp"]).unwrap();
        assert_eq!(found.len(), 2);
        assert!(
            found[0].contains("smp.snap.new") && found[1].contains("old.snap"),
            "{found:?}"
        );
    }
}
