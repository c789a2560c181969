//! `cargo xtask bench`: counts the instructions of fixed workloads and sets them beside their budgets.
//!
//! Invariant: never measures time. A measurement never fails for a figure, only for one that could not be had; the gate
//! refuses a figure that is not the one that `docs/benchmarks.md` gives.

mod derived;
mod figures;
mod group;
mod guest;
mod linux;
mod lookup;
mod number;
mod page;
mod plugin;
mod profile;
mod report;
mod row;
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::bench::guest::{Bench, Harvest};
use crate::bench::profile::Programs;
use crate::bench::report::Results;
use crate::bench::rows::{Group, ROWS, Row};
use crate::project::Project;
use crate::qemu;
use crate::toolchain::Toolchain;

/// Boots of a group whose workload does not repeat itself.
const BOOTS: u32 = 3;

/// What `cargo xtask bench` takes.
#[derive(clap::Args, Debug)]
pub struct BenchArgs {
    /// Only these rows, all when none is named
    rows: Vec<String>,
    /// Name the rows and their budgets, and do nothing
    #[arg(long)]
    list: bool,
    /// Compare with this CSV file instead of the last run's
    #[arg(long, value_name = "FILE")]
    compare: Option<PathBuf>,
    /// Show where the instructions of the named rows go instead of measuring them
    #[arg(long, requires = "rows", conflicts_with_all = ["write", "report"])]
    r#where: bool,
    /// Write the figures, and where the instructions go, into docs/benchmarks.md
    #[arg(long)]
    write: bool,
    /// Write a page with every row as bars: beside Linux, its budget and earlier runs, and where the instructions go
    #[arg(long)]
    report: bool,
}

impl BenchArgs {
    /// Whether nothing is to be measured.
    pub fn is_list(&self) -> bool {
        self.list
    }
}

/// Names the rows.
pub fn list() -> Result<ExitCode> {
    for row in &ROWS {
        let budget = row.budget.map_or_else(|| "-".into(), number::figure);
        println!("{:<22} {budget:>10}  {}", row.name, row.what);
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures.
pub fn run(project: &Project, toolchain: &Toolchain, args: &BenchArgs) -> Result<ExitCode> {
    let rows = choose(&args.rows)?;
    // A file that cannot be read is reported before the work, not after.
    let before = match &args.compare {
        Some(path) => report::read(path)?,
        None => report::last(project)?,
    };
    let version = qemu::version()?;
    let number = qemu::parse_version(&version).context("QEMU's version was just read")?;
    let bench = Bench::new(project, toolchain, number)?;
    if args.r#where {
        return profile_rows(&bench, &rows);
    }
    let results = measure(&bench, &rows)?;
    print!("{}", report::table(&rows, &results, &before));
    let kept = report::keep(project, &version, &results)?;
    println!("kept in {}", project.show(&kept));
    if !args.write && !args.report {
        return Ok(ExitCode::SUCCESS);
    }
    let shares = shares(&bench, &rows)?;
    if args.write {
        figures::write(project, &version, &results, &shares)?;
        println!("written: {}", figures::PAGE);
    }
    if args.report {
        let page = page::write(project, &version, &rows, &results, &shares)?;
        println!("the page: {}", project.show(&page));
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures what takes seconds, and refuses what is not as `docs/benchmarks.md` has it.
pub fn gate(project: &Project, toolchain: &Toolchain) -> Result<()> {
    let rows: Vec<&Row> = ROWS.iter().filter(|row| row.is_in_gate()).collect();
    let version = qemu::version()?;
    let number = qemu::parse_version(&version).context("QEMU's version was just read")?;
    let bench = Bench::new(project, toolchain, number)?;
    let results = measure(&bench, &rows)?;
    for reason in &results.unavailable {
        eprintln!("unavailable: {reason}");
    }
    figures::compare(project, &rows, &results)
}

fn measure(bench: &Bench<'_>, rows: &[&Row]) -> Result<Results> {
    let mut results = Results::default();
    for group in groups(rows) {
        let boots = match group {
            Group::Boot | Group::BootUefi => BOOTS,
            // Firmware takes minutes under the plugin, and `-icount` lets it repeat.
            Group::Calls
            | Group::Block
            | Group::Device
            | Group::Domain
            | Group::Requests
            | Group::Hold
            | Group::HoldTwo
            | Group::HoldDomain
            | Group::Reset(_) => 1,
        };
        if let Some(reason) = missing(group) {
            eprintln!("[{group:?}] not measured: {reason}");
            continue;
        }
        for boot in 1..=boots {
            eprintln!("[{group:?} {boot}/{boots}]");
            take(&mut results, bench.run(group, guest::Record::Counts)?, rows);
        }
    }
    derived::derive(&mut results, rows);
    Ok(results)
}

fn choose(names: &[String]) -> Result<Vec<&'static Row>> {
    if names.is_empty() {
        return Ok(ROWS.iter().collect());
    }
    let unknown = names.iter().find(|name| rows::find(name).is_none());
    if let Some(name) = unknown {
        bail!("there is no row {name:?}; --list names them");
    }
    let named = |row: &&Row| names.iter().any(|name| name == row.name);
    let mut rows = ROWS.iter().filter(named).collect();
    derived::with_sources(&mut rows);
    Ok(rows)
}

fn groups(rows: &[&Row]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        if !groups.contains(&row.group) {
            groups.push(row.group);
        }
    }
    groups
}

/// What a group needs and is not there.
fn missing(group: Group) -> Option<String> {
    let Group::Reset(start) = group else {
        return None;
    };
    start
        .loader
        .check_installed()
        .err()
        .map(|error| error.to_string())
}

fn take(results: &mut Results, harvest: Harvest, rows: &[&Row]) {
    for (name, sample) in harvest.samples {
        if rows.iter().any(|row| row.name == name) {
            results.samples.entry(name).or_default().push(sample);
        }
    }
    results.unavailable.extend(harvest.unavailable);
}

fn profile_rows(bench: &Bench<'_>, rows: &[&Row]) -> Result<ExitCode> {
    let programs = Programs::load(&bench.programs()?)?;
    for group in groups(rows) {
        if !group.has_marks() {
            bail!("--where works for rows with marks, which the boot rows have not");
        }
        let harvest = bench.run(group, guest::Record::Instructions)?;
        let marked = |row: &&&Row| row.group == group && !derived::is_derived(row);
        for row in rows.iter().filter(marked) {
            let mark = mark_of(&harvest, row)
                .with_context(|| format!("the guest did not measure {}", row.name))?;
            println!("{}: {}", row.name, row.what);
            let (hot, operations) = (&harvest.log.hot, operations_of(&harvest, row));
            print!("{}", profile::show(&programs, hot, mark, operations)?);
        }
        let reasons: BTreeSet<&String> = harvest.unavailable.iter().collect();
        reasons
            .iter()
            .for_each(|reason| println!("unavailable: {reason}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// The functions that take most of each row that has marks, by row.
type Shares = BTreeMap<&'static str, Vec<(String, f64)>>;

fn shares(bench: &Bench<'_>, rows: &[&'static Row]) -> Result<Shares> {
    let programs = Programs::load(&bench.programs()?)?;
    let mut shares = Shares::new();
    for group in groups(rows).into_iter().filter(|group| group.has_marks()) {
        eprintln!("[{group:?}, where its instructions go]");
        let harvest = bench.run(group, guest::Record::Instructions)?;
        for row in rows.iter().filter(|row| row.group == group) {
            let Some(mark) = mark_of(&harvest, row) else {
                continue;
            };
            let (hot, operations) = (&harvest.log.hot, operations_of(&harvest, row));
            let functions = profile::hottest(&programs, hot, mark, operations)?;
            shares.insert(row.name, functions);
        }
    }
    Ok(shares)
}

/// Operations of a row, in all its repetitions.
fn operations_of(harvest: &Harvest, row: &Row) -> f64 {
    let of_row = harvest.samples.iter().filter(|(name, _)| name == row.name);
    of_row.map(|(_, sample)| sample.operations).sum::<u64>() as f64
}

fn mark_of(harvest: &Harvest, row: &Row) -> Option<u32> {
    let found = harvest.samples.iter().find(|(name, _)| name == row.name);
    found.map(|(_, sample)| sample.mark)
}
