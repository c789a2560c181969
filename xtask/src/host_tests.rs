//! The host's tests, in as many processes at once as the machine has CPUs.
//!
//! cargo builds them, and would run one program of tests after the other: where one of them waits for a single long test, the
//! other CPUs idle.
//!
//! Invariant: every program of tests that cargo built is run, and one that did not end well is never a pass.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::beside::{self, side_by_side};

/// What cargo says of a file that it made, as far as it is of interest here.
#[derive(Deserialize)]
struct Artifact {
    manifest_path: PathBuf,
    executable: Option<PathBuf>,
    profile: Profile,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// Something that ends well or not.
struct Job {
    /// What a person would call it.
    title: String,
    program: PathBuf,
    arguments: Vec<OsString>,
    folder: PathBuf,
    /// The folder of the package whose tests these are, which cargo would name to them.
    package: Option<PathBuf>,
}

impl Job {
    /// The tests in a program that cargo built; `None` for a line that tells of anything else.
    fn of_artifact(line: &str) -> Option<Self> {
        let artifact: Artifact = serde_json::from_str(line).ok()?;
        let program = artifact.executable.filter(|_| artifact.profile.test)?;
        let package = artifact.manifest_path.parent()?.to_owned();
        let name = program.file_stem()?.to_string_lossy().into_owned();
        // What follows the last hyphen is cargo's own hash.
        let name = name.rsplit_once('-').map_or(&*name, |(name, _)| name);
        let of = package.file_name()?.to_string_lossy();
        Some(Self {
            title: format!("{name} of {of}"),
            program,
            arguments: vec!["--quiet".into()],
            folder: package.clone(),
            package: Some(package),
        })
    }

    /// Runs it with what `cargo` is told in its environment.
    fn run(&self, cargo: &Command) -> Result<Output> {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.folder);
        let told = cargo.get_envs();
        command.envs(told.filter_map(|(name, value)| Some((name, value?))));
        if let Some(package) = &self.package {
            command.env("CARGO_MANIFEST_DIR", package);
        }
        command
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot start {}", self.program.display()))
    }
}

/// Builds the tests with `command`, which is cargo without a word yet, and runs them: those in programs, and those in the
/// documentation. `options` choose packages and how they are built.
///
/// # Errors
///
/// A build that failed, and tests that did, which are printed with what they said.
pub fn run(cargo: impl Fn() -> Command, options: &[OsString]) -> Result<()> {
    let mut build = cargo();
    build.args(["test", "--quiet", "--no-run"]);
    build.args(["--message-format", "json-render-diagnostics"]);
    build
        .args(options)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let built = build.output().context("cannot start cargo")?;
    ensure!(built.status.success(), "the tests do not build");
    let said = String::from_utf8_lossy(&built.stdout);
    let programs: Vec<Job> = said.lines().filter_map(Job::of_artifact).collect();
    ensure!(!programs.is_empty(), "cargo built no tests");

    let mut failed = Vec::new();
    let mut documentation = cargo();
    documentation
        .args(["test", "--quiet", "--doc"])
        .args(options);
    run_beside(documentation, &programs, &mut failed)?;
    if !failed.is_empty() {
        bail!("tests failed: {}", failed.join(", "));
    }
    eprintln!("{} programs of tests passed", programs.len());
    Ok(())
}

/// Runs `programs`, and beside them `cargo`, with the tests in the documentation, which are one process after the other to it.
fn run_beside(mut cargo: Command, programs: &[Job], failed: &mut Vec<String>) -> Result<()> {
    let documentation = cargo
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let mut lost = None;
    side_by_side(
        programs,
        beside::cpus(),
        |_| 1,
        |job| job.run(&cargo),
        |job, output| match output {
            Ok(output) => see(&job.title, &output, failed),
            Err(error) => lost = Some(error),
        },
    );
    see("documentation", &documentation.wait_with_output()?, failed);
    lost.map_or(Ok(()), Err)
}

/// Shows what a job said where it did not end well, and takes its name down.
fn see(title: &str, output: &Output, failed: &mut Vec<String>) {
    if output.status.success() {
        return;
    }
    let said = |bytes| String::from_utf8_lossy(bytes).into_owned();
    eprintln!("-- {title}: {}", output.status);
    eprint!("{}{}", said(&output.stdout), said(&output.stderr));
    failed.push(title.to_owned());
}

#[cfg(test)]
mod tests {
    use super::{Job, run_beside};
    use std::process::Command;

    #[test]
    fn only_programs_of_tests_are_taken_from_what_cargo_says() {
        let line = |executable: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/w/a/Cargo.toml","target":{{"name":"a"}},
                "profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let of = |text: String| Job::of_artifact(&text.replace('\n', " "));
        let job = of(line(r#""/t/some-tests-0123abcd""#, true)).unwrap();
        assert_eq!(job.title, "some-tests of a");
        assert_eq!(job.package.unwrap(), std::path::Path::new("/w/a"));
        assert!(of(line(r#""/t/xtask""#, false)).is_none(), "a program");
        assert!(of(line("null", true)).is_none(), "a library");
        assert!(Job::of_artifact("warning: no JSON").is_none());
    }

    #[test]
    fn who_does_not_end_well_is_named_and_the_others_are_run_all_the_same() {
        let job = |title: &str, script: &str| Job {
            title: title.to_owned(),
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            folder: "/".into(),
            package: None,
        };
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("ran");
        let jobs = [
            job("bad", "exit 3"),
            job("killed", "kill -9 $$"),
            job("good", &format!("touch {}", mark.display())),
        ];
        let mut failed = Vec::new();
        run_beside(Command::new("false"), &jobs, &mut failed).unwrap();
        failed.sort();
        assert_eq!(failed, ["bad", "documentation", "killed"]);
        assert!(mark.exists());
        let nothing = [Job {
            program: "/nowhere/tests".into(),
            ..job("absent", "")
        }];
        assert!(run_beside(Command::new("true"), &nothing, &mut failed).is_err());
    }
}
