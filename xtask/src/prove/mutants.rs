//! `cargo xtask prove --mutants`: one place after the other is changed in a copy of the tree, and the proofs must notice.
//!
//! Invariant: never writes to the tree itself; a mutant counts as noticed only if it was built and the tests of its subject
//! failed, and the tests pass without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use super::{Chosen, cargo_test};
use crate::child::Guarded;
use crate::project::Project;

/// The table, in the tree.
const TABLE: &str = "crates/host/prove/mutants.toml";
/// Each subject has at least so many.
const LEAST: usize = 5;
/// Tests that take longer than this do not end: something goes round for ever, which is noticed too.
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    mutant: Vec<Mutant>,
}

/// One change of one place.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    subject: String,
    name: String,
    file: PathBuf,
    old: String,
    new: String,
}

/// What became of a mutant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Died,
    Hung,
    Survived,
    DoesNotBuild,
}

impl Mutant {
    /// The changed text.
    fn apply(&self, text: &str) -> Result<String> {
        let count = text.matches(&self.old).count();
        ensure!(
            count == 1 && !self.old.is_empty(),
            "{TABLE} is out of date: of {:?}, `old` stands {count} times in {}",
            self.name,
            self.file.display()
        );
        ensure!(
            self.old != self.new,
            "{TABLE}: {:?} changes nothing",
            self.name
        );
        Ok(text.replacen(&self.old, &self.new, 1))
    }
}

/// The table, each of whose entries fits the tree.
fn read(project: &Project) -> Result<Vec<Mutant>> {
    let text = fs::read_to_string(project.root.join(TABLE))
        .with_context(|| format!("cannot read {TABLE}"))?;
    let table: Table =
        toml::from_str(&text).with_context(|| format!("{TABLE} is no table of mutants"))?;
    for mutant in &table.mutant {
        let file = project.root.join(&mutant.file);
        let text =
            fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        mutant.apply(&text)?;
    }
    for (subject, _) in super::SUBJECTS {
        let count = table
            .mutant
            .iter()
            .filter(|mutant| mutant.subject == subject)
            .count();
        ensure!(
            count >= LEAST,
            "{TABLE} has {count} mutants of {subject}, and needs {LEAST}"
        );
    }
    if let Some(strange) = table
        .mutant
        .iter()
        .find(|m| !super::SUBJECTS.iter().any(|(name, _)| *name == m.subject))
    {
        bail!(
            "{TABLE} has a mutant of {:?}, which is no subject",
            strange.subject
        );
    }
    Ok(table.mutant)
}

/// Tries every mutant of some subjects.
pub fn run(project: &Project, chosen: &Chosen) -> Result<ExitCode> {
    let all = read(project)?;
    let copy = Copy::make(project)?;
    let mut tally = Vec::new();
    for subject in chosen {
        eprintln!("{}: without a mutant", subject.0);
        let fate = copy.test(subject)?;
        ensure!(
            fate == Fate::Survived,
            "the tests of {} fail without a mutant: {fate:?}",
            subject.0
        );
        let (mut died, mut wrong) = (0, Vec::new());
        for mutant in all.iter().filter(|mutant| mutant.subject == subject.0) {
            let started = Instant::now();
            let fate = copy.with(mutant, || copy.test(subject))?;
            let seconds = started.elapsed().as_secs();
            println!(
                "{:16} {:14} {seconds:>4} s  {}",
                subject.0,
                format!("{fate:?}"),
                mutant.name
            );
            match fate {
                Fate::Died | Fate::Hung => died += 1,
                Fate::Survived | Fate::DoesNotBuild => wrong.push(mutant.name.as_str()),
            }
        }
        tally.push((subject.0, died, wrong));
    }
    println!("{:16} {:>6} {:>9}", "subject", "died", "survived");
    for (subject, died, wrong) in &tally {
        println!(
            "{subject:16} {died:>6} {:>9}  {}",
            wrong.len(),
            wrong.join("; ")
        );
    }
    Ok(if tally.iter().all(|(_, _, wrong)| wrong.is_empty()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A copy of the tree, with a place for what is built of it.
struct Copy {
    tree: PathBuf,
    target: PathBuf,
}

impl Copy {
    fn make(project: &Project) -> Result<Self> {
        let place = project.target.join("mutants");
        let copy = Self {
            tree: place.join("tree"),
            target: place.join("build"),
        };
        let listed = Command::new("git")
            .current_dir(&project.root)
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .output()
            .context("cannot start git")?;
        ensure!(listed.status.success(), "git cannot list the tree's files");
        let mut wanted = Vec::new();
        for name in listed
            .stdout
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty())
        {
            let name = Path::new(std::str::from_utf8(name).context("a file's name is no text")?)
                .to_owned();
            let from = project.root.join(&name);
            // What was removed and is still listed.
            if from.is_file() {
                copy.take(&from, &name)?;
                wanted.push(copy.tree.join(name));
            }
        }
        copy.drop_others(&copy.tree, &wanted.into_iter().collect())?;
        Ok(copy)
    }

    /// Copies a file, unless the same is there: so that nothing is built again that has not changed.
    fn take(&self, from: &Path, name: &Path) -> Result<()> {
        let to = self.tree.join(name);
        let text = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        if fs::read(&to).is_ok_and(|there| there == text) {
            return Ok(());
        }
        fs::create_dir_all(to.parent().unwrap_or(&self.tree))?;
        fs::write(&to, text).with_context(|| format!("cannot write {}", to.display()))
    }

    /// Files that the tree does not have any more.
    fn drop_others(
        &self,
        folder: &Path,
        wanted: &std::collections::HashSet<PathBuf>,
    ) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                self.drop_others(&path, wanted)?;
            } else if !wanted.contains(&path) && !path.ends_with("Cargo.lock") {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Runs `f` while a mutant is in the copy.
    fn with<R>(&self, mutant: &Mutant, f: impl FnOnce() -> Result<R>) -> Result<R> {
        let file = self.tree.join(&mutant.file);
        let text = fs::read_to_string(&file)?;
        fs::write(&file, mutant.apply(&text)?)?;
        let result = f();
        fs::write(&file, text).with_context(|| format!("cannot restore {}", file.display()))?;
        result
    }

    /// What the tests of a subject say of the copy.
    fn test(&self, subject: &(&'static str, &'static [&'static str])) -> Result<Fate> {
        let start = |only_build: bool| {
            let mut command = cargo_test(&[*subject]);
            command
                .current_dir(&self.tree)
                .env("CARGO_TARGET_DIR", &self.target)
                .env("CARGO_PROFILE_DEV_DEBUG", "false")
                .env("RUST_BACKTRACE", "0")
                .env_remove("PROVE")
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            if only_build {
                command.arg("--no-run");
            }
            Guarded::spawn(&mut command)
        };
        let built = start(true)?.wait_for(PATIENCE * 4);
        if !built.is_some_and(|status| status.success()) {
            return Ok(Fate::DoesNotBuild);
        }
        Ok(match start(false)?.wait_for(PATIENCE) {
            None => Fate::Hung,
            Some(status) if status.success() => Fate::Survived,
            Some(_) => Fate::Died,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Mutant, read};
    use crate::project::Project;

    #[test]
    fn every_mutant_of_the_table_has_its_place_in_the_tree() {
        let table = read(&Project::load().unwrap()).unwrap();
        assert!(table.len() >= 50);
    }

    #[test]
    fn a_mutant_that_fits_no_place_or_two_is_an_error() {
        let mutant = |old: &str, new: &str| Mutant {
            subject: "handles".into(),
            name: "x".into(),
            file: "x".into(),
            old: old.into(),
            new: new.into(),
        };
        assert_eq!(mutant("b", "c").apply("abd").unwrap(), "acd");
        for (old, new) in [("z", "c"), ("a", "c"), ("", "c"), ("b", "b")] {
            assert!(mutant(old, new).apply("aba").is_err(), "{old:?} {new:?}");
        }
    }
}
