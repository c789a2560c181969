//! `cargo xtask crash`: tries the suites on all processors, and names the workload that lost something.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use clap::Parser;
use crash_lab::crash::Report;
use crash_lab::suites::{Depth, SUITES, Suite, suite};

/// Builds and judges every state that a power cut can leave a volume in.
#[derive(Parser)]
struct Cli {
    /// Only these suites; `NAME:NUMBER` is one workload of a suite
    suites: Vec<String>,
    /// Every workload, every subset of up to 12 writes, every torn root: hours
    #[arg(long)]
    deep: bool,
    /// Name the suites, and do nothing
    #[arg(long)]
    list: bool,
    /// Threads; as many as there are processors if not given
    #[arg(long)]
    jobs: Option<usize>,
}

/// Workloads of a suite.
struct Job {
    suite: Suite,
    /// Only the one with this number.
    only: Option<usize>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let depth = if cli.deep { Depth::Deep } else { Depth::Gate };
    if cli.list {
        for suite in SUITES {
            println!(
                "{:<9} {:>6} workloads  {}",
                suite.name,
                (suite.count)(depth),
                suite.what
            );
        }
        return ExitCode::SUCCESS;
    }
    let jobs = match chosen(&cli.suites, depth) {
        Ok(jobs) => jobs,
        Err(complaint) => {
            eprintln!("error: {complaint}");
            return ExitCode::FAILURE;
        }
    };
    let threads = cli
        .jobs
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let bad: Vec<String> = jobs
        .iter()
        .flat_map(|job| run(job, depth, threads.max(1)))
        .collect();
    for complaint in &bad {
        println!("BAD {complaint}");
    }
    if bad.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn chosen(names: &[String], depth: Depth) -> Result<Vec<Job>, String> {
    if names.is_empty() {
        let all = SUITES.iter().map(|suite| Job {
            suite: *suite,
            only: None,
        });
        return Ok(all.collect());
    }
    let parse = |name: &String| {
        let (name, number) = match name.split_once(':') {
            Some((name, number)) => (name, Some(number)),
            None => (name.as_str(), None),
        };
        let suite =
            suite(name).ok_or_else(|| format!("there is no suite {name:?}; --list names them"))?;
        let count = (suite.count)(depth);
        let only = number.map(str::parse::<usize>).transpose();
        match only {
            Ok(only) if only.is_none_or(|only| only < count) => Ok(Job { suite, only }),
            _ => Err(format!("{name} has the workloads 0 to {}", count - 1)),
        }
    };
    names.iter().map(parse).collect()
}

/// Tries a suite; what was bad.
fn run(job: &Job, depth: Depth, threads: usize) -> Vec<String> {
    let started = Instant::now();
    let numbers = match job.only {
        Some(only) => only..only + 1,
        None => 0..(job.suite.count)(depth),
    };
    let next = AtomicUsize::new(numbers.start);
    let total = Mutex::new((Report::default(), Vec::new(), Instant::now()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end {
                        return;
                    }
                    let report = attempt(&job.suite, number, depth);
                    let mut total = total
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    let (sum, bad, said) = &mut *total;
                    bad.extend(
                        report
                            .bad
                            .iter()
                            .map(|text| format!("{}:{number}: {text}", job.suite.name)),
                    );
                    sum.add(report);
                    if said.elapsed().as_secs() >= 10 {
                        *said = Instant::now();
                        eprintln!(
                            "{}: {number} of {}, {} states",
                            job.suite.name, numbers.end, sum.states
                        );
                    }
                }
            });
        }
    });
    let total = total.into_inner();
    let (sum, bad, _) = total.unwrap_or_else(std::sync::PoisonError::into_inner);
    println!(
        "{:<9} {:>6} workloads {:>9} states {:>9} left out {:>6} recoveries cut {:>6} groups cut {:>3} bad  {:.1} s",
        job.suite.name,
        numbers.len(),
        sum.states,
        sum.left_out,
        sum.recoveries,
        sum.cuts,
        bad.len(),
        started.elapsed().as_secs_f64()
    );
    bad
}

/// One workload. A volume that panics has lost something, too.
fn attempt(suite: &Suite, number: usize, depth: Depth) -> Report {
    std::panic::catch_unwind(|| (suite.run)(number, depth)).unwrap_or_else(|_| Report {
        bad: vec!["it panicked, or differs from its model".into()],
        ..Report::default()
    })
}
