//! `cargo xtask prove`: properties of the rules of authority over the production code, and mutants that must die in them.
//!
//! Invariant: judges nothing itself; what the package `prove` does not say was not shown. What is not installed is untested.

mod mutants;

use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use evidence::Fact;

use crate::project::{Project, is_ci};

/// What `cargo xtask prove` takes.
#[derive(Args, Debug)]
pub struct ProveArgs {
    /// Only these subjects
    #[arg(value_name = "SUBJECT")]
    subjects: Vec<String>,
    /// Change one place after the other in a copy of the tree, and demand that the proofs notice
    #[arg(long)]
    mutants: bool,
    /// Demand the proofs by Kani too, instead of leaving them out where it is not installed
    #[arg(long, conflicts_with = "mutants")]
    kani: bool,
    /// Name the subjects, and do nothing
    #[arg(long)]
    list: bool,
}

/// The subjects, and the test targets of the package `prove` in which each is tried.
const SUBJECTS: [(&str, &[&str]); 10] = [
    ("account", &["account"]),
    ("bell-word", &["bell", "properties"]),
    ("call-state", &["call", "properties"]),
    ("device-ring", &["ring", "properties"]),
    ("dma-ledger", &["dma"]),
    ("domain-ledger", &["domain"]),
    ("handles", &["handles", "properties"]),
    ("mapping-ledger", &["mapping"]),
    ("prp", &["prp", "properties"]),
    ("session-queue", &["queue", "properties"]),
];

/// How Kani is got (it fetches its compiler by itself).
const KANI: &str = "cargo install --locked kani-verifier && cargo kani setup";

/// Tries what is asked for.
pub fn run(project: &Project, args: &ProveArgs) -> Result<ExitCode> {
    let chosen = chosen(&args.subjects)?;
    if args.list {
        chosen.iter().for_each(|(name, _)| println!("{name}"));
        return Ok(ExitCode::SUCCESS);
    }
    if args.mutants {
        return mutants::run(project, &chosen);
    }
    let is_good = tests(project, &chosen)? & kani(project, args)?;
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

type Chosen = Vec<(&'static str, &'static [&'static str])>;

fn chosen(names: &[String]) -> Result<Chosen> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !SUBJECTS.iter().any(|(known, _)| known == name))
    {
        let known: Vec<&str> = SUBJECTS.iter().map(|(name, _)| *name).collect();
        bail!(
            "there is no subject {unknown:?}: it is one of {}",
            known.join(", ")
        );
    }
    let is_asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    Ok(SUBJECTS
        .into_iter()
        .filter(|(name, _)| is_asked(name))
        .collect())
}

/// A test run of the package's targets for some subjects.
fn cargo_test(subjects: &[(&str, &[&str])]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["test", "--quiet", "--package", "prove"]);
    let mut targets: Vec<&str> = subjects
        .iter()
        .flat_map(|(_, targets)| *targets)
        .copied()
        .collect();
    targets.sort_unstable();
    targets.dedup();
    for target in targets {
        command.args(["--test", target]);
    }
    command
}

fn tests(project: &Project, chosen: &Chosen) -> Result<bool> {
    let mut command = cargo_test(chosen);
    command.current_dir(&project.root).env("PROVE", "deep");
    if is_ci() {
        command.arg("--locked");
    }
    command.args(["--no-fail-fast", "--", "--show-output"]);
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        print!("{text}");
        return Ok(false);
    }
    let mut lines: Vec<Line> = text.lines().filter_map(Line::read).collect();
    lines.sort_by(|a, b| (&a.subject, a.driver, &a.over).cmp(&(&b.subject, b.driver, &b.over)));
    println!(
        "{:24} {:10} {:58} {:>8} {:>12}  end",
        "subject", "driver", "widths", "states", "steps"
    );
    for Line {
        subject,
        driver,
        over,
        states,
        steps,
        end,
    } in &lines
    {
        println!("{subject:24} {driver:10} {over:58} {states:>8} {steps:>12}  {end}");
    }
    for (name, _) in chosen {
        let said = lines.iter().any(|line| line.subject == *name);
        ensure!(said, "nothing was said of {name}: nothing was shown");
    }
    Ok(true)
}

/// What a driver said.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    subject: String,
    driver: &'static str,
    over: String,
    states: String,
    steps: String,
    end: String,
}

impl Line {
    fn read(text: &str) -> Option<Self> {
        let fact = Fact::parse(text).ok()??;
        let driver = fact.topic().strip_prefix("prove.")?;
        let driver = ["exhaustive", "choices", "random"]
            .into_iter()
            .find(|name| *name == driver)?;
        let get = |names: &[&str]| {
            let found = names.iter().find_map(|name| fact.get(name));
            found
                .map(|pair| pair.raw.trim_matches('"').to_owned())
                .unwrap_or_default()
        };
        Some(Self {
            driver,
            subject: get(&["subject"]),
            over: get(&["widths"]),
            states: get(&["states"]),
            steps: get(&["transitions", "steps", "cases"]),
            end: get(&["end"]),
        })
    }
}

/// The properties without a history, by Kani. `true`: they hold, or Kani is not there and nobody demands it.
fn kani(project: &Project, args: &ProveArgs) -> Result<bool> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let version = Command::new(&cargo).args(["kani", "--version"]).output();
    let version = version.ok().filter(|output| output.status.success());
    let Some(version) = version else {
        let said = "untested: no cargo-kani";
        ensure!(!args.kani, "{said}; get it with: {KANI}");
        println!("kani: {said}; get it with: {KANI}");
        return Ok(true);
    };
    println!("kani: {}", String::from_utf8_lossy(&version.stdout).trim());
    let mut command = Command::new(cargo);
    command
        .current_dir(&project.root)
        .args(["kani", "--package", "prove"]);
    Ok(command
        .status()
        .context("cannot start cargo kani")?
        .success())
}
