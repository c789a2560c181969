//! `cargo xtask fail-alloc`: one charge or allocation after the other is refused, of the boot and of a program's work, and
//! each time whoever asked must hear of it.
//!
//! Invariant: never counts a silent end, a reset or a panic as a refusal, and never says that all were refused where one
//! was not reached.

mod boot;
mod work;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::build::Flavour;
use crate::package::Guest;
use crate::project::Project;
use crate::qemu::{Accel, Firmware, Machine};
use crate::session::{Echo, End, Session};
use crate::toolchain::Toolchain;

/// Boots that the gate makes: the first charges each, then here and there.
const GATE_BOOTS: u64 = 20;
/// Rounds of one boot of the workload.
const SHARD: u64 = 150;

/// What `cargo xtask fail-alloc` takes.
#[derive(Args, Debug)]
pub struct FailArgs {
    /// Every one, of the boot and of the workload
    #[arg(long)]
    deep: bool,
    /// Of these alone
    #[arg(long, value_enum)]
    of: Option<Of>,
    /// The first that is refused
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from: u64,
    /// The last one; without it, the gate's choice, or the last there is with --deep
    #[arg(long)]
    to: Option<u64>,
    /// Only this one
    #[arg(long, value_name = "K", requires = "of", conflicts_with_all = ["deep", "from", "to"])]
    at: Option<u64>,
    /// Only what failed the last time
    #[arg(long, conflicts_with_all = ["deep", "of", "from", "to", "at"])]
    kept: bool,
    /// Begin nothing new after so long; what comes next is said
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// Show what the guest says
    #[arg(long)]
    echo: bool,
}

/// Whose charges and allocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Of {
    /// The kernel's until the first process runs, then those of the programs that it starts
    Boot,
    /// A program's that does something of everything that makes the kernel hold something
    Workload,
}

impl Of {
    const fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Workload => "workload",
        }
    }
}

/// Which ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    from: u64,
    /// `None`: until one is not reached any more.
    to: Option<u64>,
}

/// What came of some of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    /// There may be more.
    Yes,
    /// The last of them was not there to be refused.
    No,
}

/// Refuses what `args` name.
pub fn run(project: &Project, toolchain: &Toolchain, args: &FailArgs) -> Result<ExitCode> {
    let mut all = Trials::new(project, toolchain, args.minutes)?;
    all.echo = if args.echo { Echo::Shown } else { Echo::Kept };
    if args.kept {
        for (of, at) in all.kept()? {
            all.range(
                of,
                Range {
                    from: at,
                    to: Some(at),
                },
            )?;
        }
        return all.close();
    }
    for of in [Of::Boot, Of::Workload] {
        if args.of.is_some_and(|one| one != of) {
            continue;
        }
        match (args.at, args.to, args.deep) {
            (Some(at), ..) => all.range(
                of,
                Range {
                    from: at,
                    to: Some(at),
                },
            )?,
            (None, None, false) if of == Of::Boot => all.some_boots(args.from)?,
            (None, to, deep) => {
                let last = args.from + SHARD - 1;
                let to = to.or((!deep).then_some(last));
                all.range(
                    of,
                    Range {
                        from: args.from,
                        to,
                    },
                )?;
            }
        }
    }
    all.close()
}

/// The gate's part: some of the boot's. Those of the workload are a smoke's.
pub fn gate(project: &Project, toolchain: &Toolchain) -> Result<()> {
    let mut all = Trials::new(project, toolchain, 10)?;
    all.some_boots(1)?;
    ensure!(
        all.failed.is_empty(),
        "{} refusals had no answer",
        all.failed.len()
    );
    Ok(())
}

struct Trials<'a> {
    project: &'a Project,
    guest: Guest<'a>,
    work: PathBuf,
    until: Instant,
    echo: Echo,
    refused: u64,
    /// Those after which all went on.
    borne: u64,
    failed: Vec<(Of, u64)>,
    /// What there was no time for.
    left: Vec<String>,
}

impl<'a> Trials<'a> {
    fn new(project: &'a Project, toolchain: &'a Toolchain, minutes: u64) -> Result<Self> {
        let systems = [boot::SYSTEM, work::SYSTEM];
        let work = project.target.join("fail-alloc");
        fs::create_dir_all(&work)?;
        Ok(Self {
            project,
            guest: Guest::build(project, toolchain, Flavour::Sabotage, &systems)?,
            work,
            until: Instant::now() + Duration::from_secs(minutes * 60),
            echo: Echo::Kept,
            refused: 0,
            borne: 0,
            failed: Vec::new(),
            left: Vec::new(),
        })
    }

    /// Refuses one after the other.
    fn range(&mut self, of: Of, range: Range) -> Result<()> {
        let mut at = range.from;
        while range.to.is_none_or(|to| at <= to) {
            if Instant::now() >= self.until {
                let to = range
                    .to
                    .map_or(" --deep".to_owned(), |to| format!(" --to {to}"));
                self.left
                    .push(format!("--of {} --from {at}{to}", of.name()));
                break;
            }
            let reached = match of {
                Of::Boot => {
                    at += 1;
                    self.boot(at - 1)?
                }
                Of::Workload => {
                    let last = range.to.unwrap_or(u64::MAX).min(at + SHARD - 1);
                    let reached = self.shard(at, last)?;
                    at = last + 1;
                    reached
                }
            };
            if reached == Reached::No {
                println!("{}: no more from {} on", of.name(), at - 1);
                break;
            }
        }
        Ok(())
    }

    /// One boot of the guest with `cmdline` beside the point's name.
    fn hear(
        &self,
        archive: PathBuf,
        cmdline: &str,
        patience: Duration,
    ) -> Result<(End, Vec<String>)> {
        let machine = Machine {
            model: "q35".into(),
            smp: 1,
            memory: "256M".into(),
            accel: Accel::Tcg,
            firmware: Firmware::Direct {
                loader: self.guest.loader.clone(),
                archive,
                cmdline: format!("log=serial {cmdline}"),
            },
            disks: Vec::new(),
            gdb: false,
            reboots: false,
            extra: Vec::new(),
        };
        let command = machine.command(self.project)?;
        let session = Session::start(command, self.echo, std::io::sink())?;
        let (end, transcript) = session.finish(Instant::now() + patience);
        Ok((end, transcript.serial.lines().to_vec()))
    }

    /// Tells of one that had no answer, and keeps what was heard.
    fn fail(&mut self, of: Of, at: u64, why: &str, lines: &[String]) -> Result<()> {
        let name = of.name();
        let path = self.work.join(format!("{name}-{at}.txt"));
        fs::write(&path, lines.join("\n"))?;
        println!("{name} {at}: FAIL: {why}");
        println!("    see {}", self.project.show(&path));
        println!("    again: cargo xtask fail-alloc --of {name} --at {at}");
        self.failed.push((of, at));
        Ok(())
    }

    fn list(&self) -> PathBuf {
        self.work.join("failed")
    }

    /// What failed the last time.
    fn kept(&self) -> Result<Vec<(Of, u64)>> {
        let path = self.list();
        let text = fs::read_to_string(&path)
            .with_context(|| format!("nothing is kept in {}", self.project.show(&path)))?;
        let one = |line: &str| {
            let (name, at) = line.split_once(' ')?;
            Some((Of::from_str(name, false).ok()?, at.parse().ok()?))
        };
        Ok(text.lines().filter_map(one).collect())
    }

    /// Keeps what failed, and prints the closing lines.
    fn close(self) -> Result<ExitCode> {
        let failed = self.failed.iter();
        let lines: Vec<String> = failed
            .map(|(of, at)| format!("{} {at}", of.name()))
            .collect();
        fs::write(self.list(), lines.join("\n"))?;
        for left in &self.left {
            println!("no time was left: go on with cargo xtask fail-alloc {left}");
        }
        println!(
            "{} refused, {} borne, {} failed",
            self.refused,
            self.borne,
            self.failed.len()
        );
        Ok(if self.failed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
