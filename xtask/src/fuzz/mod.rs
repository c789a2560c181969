//! `cargo xtask fuzz-guest`: the production kernel under a program that attacks it, and an auditor that looks at the
//! machine from outside.
//!
//! Invariant: never calls a run clean at whose stops the auditor saw nothing, and never throws away what broke one.

mod case;
mod cd;
mod devices;
mod play;
mod qmp;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::build::Flavour;
use crate::fuzz::case::Case;
use crate::fuzz::play::{Boot, Played, play};
use crate::package::Guest;
use crate::project::Project;
use crate::toolchain::Toolchain;

const SYSTEM: &str = "fuzz-guest";
/// Where cases are kept that once broke something, from the workspace root.
const KEPT: &str = "fuzz/guest";
/// The seed of the gate's run, and its rounds.
const GATE: (u64, u64) = (20_261_128, 3);
/// Rounds of one boot of a long run.
const ROUNDS: u64 = 12;
/// No boot takes longer.
const BOOT_PATIENCE: Duration = Duration::from_secs(300);
/// How long a case is made smaller.
const SHRINK_PATIENCE: Duration = Duration::from_secs(300);
/// How often a smaller case may fail to show it before it counts as clean: threads race.
const TRIES: u32 = 2;

/// What `cargo xtask fuzz-guest` takes.
#[derive(Args, Debug)]
pub struct FuzzArgs {
    /// How long; one boot after the other, each with the next seed
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// The first seed; without it, the time
    #[arg(long)]
    seed: Option<u64>,
    /// One CPU after the other, by a clock that counts instructions, and only the teaching device
    #[arg(long)]
    icount: bool,
    /// Play this kept case once
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "icount"])]
    case: Option<PathBuf>,
    /// Boot this system instead, and only audit it until it ends
    #[arg(long, value_name = "MANIFEST", conflicts_with_all = ["case", "seed"])]
    system: Option<String>,
    /// Audit what an earlier run kept, and boot nothing
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["case", "seed", "system"])]
    audit: Option<PathBuf>,
    /// Run on the sabotage kernel with this point, or with `none`
    #[arg(long, value_name = "POINT")]
    point: Option<String>,
    /// Do what the gate does
    #[arg(long, conflicts_with_all = ["case", "seed", "system", "audit"])]
    gate: bool,
    /// Keep what broke something as it is, and do not look for a smaller case
    #[arg(long)]
    no_shrink: bool,
    /// Show what the guest says
    #[arg(long)]
    echo: bool,
}

impl FuzzArgs {
    /// Whether no guest is needed.
    pub fn kept(&self) -> Option<&Path> {
        self.audit.as_deref()
    }
}

/// Runs what `args` ask for.
pub fn run(project: &Project, toolchain: &Toolchain, args: &FuzzArgs) -> Result<ExitCode> {
    let system = args.system.as_deref().unwrap_or(SYSTEM);
    let flavour = match args.point {
        Some(_) => Flavour::Sabotage,
        None => Flavour::Release,
    };
    let guest = Guest::build(project, toolchain, flavour, &[system])?;
    let fuzzer = Fuzzer {
        project,
        guest: &guest,
        echo: args.echo,
        point: args.point.as_deref().filter(|point| *point != "none"),
        patience: if args.no_shrink {
            Duration::ZERO
        } else {
            SHRINK_PATIENCE
        },
        work: project.target.join("fuzz-guest"),
    };
    let clean = if args.gate {
        fuzzer.gate()?
    } else if let Some(name) = &args.system {
        fuzzer.watch(name)?
    } else if let Some(path) = &args.case {
        fuzzer.attempt(&Case::read(path)?)?.is_some()
    } else {
        let until = Instant::now() + Duration::from_secs(args.minutes * 60);
        let now = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(1, |at| at.as_secs())
        };
        let seed = args.seed.unwrap_or_else(now);
        let first = Case {
            icount: args.icount,
            ..Case::new(seed, ROUNDS)
        };
        fuzzer.go_on(first, until)?
    };
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Audits an image that was kept, once more.
pub fn audit_kept(folder: &Path) -> Result<ExitCode> {
    let kernel = auditor::Kernel::read(&fs::read(folder.join("kernel.elf"))?)?;
    let image = File::open(folder.join("memory"))?;
    let cpus = auditor::parse_registers(&fs::read_to_string(folder.join("registers"))?)?;
    let audit = auditor::audit(&image, &cpus, &kernel, &[])?;
    for found in audit.broken.iter().chain(&audit.suspected) {
        println!("{found}");
    }
    println!("{:?}, at rest: {}", audit.counts, audit.at_rest);
    Ok(if audit.broken.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The gate's part: the kept cases, and one seed on both kinds of machine.
pub fn gate(project: &Project, toolchain: &Toolchain) -> Result<()> {
    let guest = Guest::build(project, toolchain, Flavour::Release, &[SYSTEM])?;
    let fuzzer = Fuzzer {
        project,
        guest: &guest,
        echo: false,
        point: None,
        patience: SHRINK_PATIENCE,
        work: project.target.join("fuzz-guest"),
    };
    ensure!(fuzzer.gate()?, "the guest did not stand the fuzzer");
    Ok(())
}

struct Fuzzer<'a> {
    project: &'a Project,
    guest: &'a Guest<'a>,
    echo: bool,
    point: Option<&'a str>,
    /// How long a case is made smaller.
    patience: Duration,
    work: PathBuf,
}

impl Fuzzer<'_> {
    fn gate(&self) -> Result<bool> {
        let mut clean = true;
        for path in self.kept_cases()? {
            println!("kept case {}", self.project.show(&path));
            clean &= self.attempt(&Case::read(&path)?)?.is_some();
        }
        // One with every instruction counted, and one as races want it: processors and devices of their own time.
        for icount in [true, false] {
            clean &= self
                .attempt(&Case {
                    icount,
                    ..Case::new(GATE.0, GATE.1)
                })?
                .is_some();
        }
        Ok(clean)
    }

    fn kept_cases(&self) -> Result<Vec<PathBuf>> {
        let folder = self.project.root.join(KEPT);
        let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
            .with_context(|| format!("no folder {}", folder.display()))?
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "toml"))
            .collect();
        paths.sort();
        Ok(paths)
    }

    /// One boot after the other until the time is up or something breaks.
    fn go_on(&self, mut case: Case, until: Instant) -> Result<bool> {
        while Instant::now() < until {
            if self.attempt(&case)?.is_none() {
                return Ok(false);
            }
            case.seed += 1;
        }
        Ok(true)
    }

    /// Plays a case. `None`: it broke something, which is told, made smaller and kept.
    fn attempt(&self, case: &Case) -> Result<Option<Played>> {
        let started = Instant::now();
        let played = self.play(case)?;
        let summary = self.summary(&played, started);
        if played.wrong.is_empty() {
            println!("seed {}: clean; {summary}", case.seed);
            return Ok(Some(played));
        }
        println!(
            "seed {}: BROKEN after round {:?}; {summary}",
            case.seed,
            played.last_round()
        );
        played.wrong.iter().for_each(|wrong| println!("  {wrong}"));
        let folder = self.keep(case, &played)?;
        println!("kept in {}", self.project.show(&folder));
        let small = self.shrink(case, &played)?;
        fs::write(folder.join("case.toml"), toml::to_string(&small)?)?;
        println!("made smaller: {small:?}");
        Ok(None)
    }

    fn summary(&self, played: &Played, started: Instant) -> String {
        let end = played
            .lines
            .iter()
            .rev()
            .find_map(|line| line.strip_prefix("@fuzz.end "));
        format!(
            "{} s, {} audits ({} at rest, {} pieces devices were told of), {:?}; {}",
            started.elapsed().as_secs(),
            played.audits,
            played.at_rest,
            played.told,
            played.most,
            end.unwrap_or("no end")
        )
    }

    fn play(&self, case: &Case) -> Result<Played> {
        fs::create_dir_all(&self.work)?;
        let source = self
            .project
            .root
            .join("manifests")
            .join(format!("{SYSTEM}.capnp"));
        let text = fs::read_to_string(&source)?;
        let own = text.replace("[\"conduct\"]", &case.arguments());
        ensure!(
            own != text,
            "{} does not start the conductor",
            self.project.show(&source)
        );
        let manifest = self.project.write_manifest(&self.work, &own)?;
        let archive = self.guest.archive_of(SYSTEM, &manifest)?;
        let boot = self.boot(archive, case.cpus, case.icount.then_some(case.seed));
        // The answers of a drive come when the host likes.
        let cd = match case.seed % 2 == 1 && !case.icount {
            true => Some(cd::write(&self.work)?),
            false => None,
        };
        let played = play(
            &Boot {
                last: Some("@fuzz.end "),
                cd,
                ..boot
            },
            &self.work,
        )?;
        ensure!(
            played.audits > 0 && played.most.mappings > 0 || !played.wrong.is_empty(),
            "the auditor saw nothing: no stop came while the kernel was up"
        );
        Ok(played)
    }

    fn boot(&self, archive: PathBuf, cpus: u64, icount: Option<u64>) -> Boot<'_> {
        Boot {
            project: self.project,
            kernel: self.guest.kernel_path(),
            loader: &self.guest.loader,
            archive,
            cpus,
            icount,
            cd: None,
            point: self.point,
            deadline: Instant::now() + BOOT_PATIENCE,
            last: None,
            echo: self.echo,
        }
    }

    /// Boots another system and audits it until it ends.
    fn watch(&self, name: &str) -> Result<bool> {
        let archive = self.guest.archive(name)?;
        let started = Instant::now();
        let played = play(&self.boot(archive, 2, None), &self.work)?;
        println!("{name}: {}", self.summary(&played, started));
        if played.audits == 0 {
            bail!("the auditor saw nothing: no stop came while the kernel was up");
        }
        played.wrong.iter().for_each(|wrong| println!("  {wrong}"));
        if !played.wrong.is_empty() {
            let folder = self.keep(&Case::new(0, 0), &played)?;
            println!("kept in {}", self.project.show(&folder));
        }
        Ok(played.wrong.is_empty())
    }

    /// Keeps everything that a person needs to look at it.
    fn keep(&self, case: &Case, played: &Played) -> Result<PathBuf> {
        let folder = self.work.join(format!("broken-{}", case.seed));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("whole.toml"), toml::to_string(case)?)?;
        fs::write(folder.join("wrong"), played.wrong.join("\n"))?;
        fs::write(folder.join("transcript.txt"), played.lines.join("\n"))?;
        fs::write(folder.join("registers"), &played.registers)?;
        fs::copy(self.guest.kernel_path(), folder.join("kernel.elf"))?;
        fs::copy(&played.memory, folder.join("memory"))?;
        Ok(folder)
    }

    /// The smallest case found in time that breaks the same.
    fn shrink(&self, case: &Case, played: &Played) -> Result<Case> {
        let until = Instant::now() + self.patience;
        let kind = played.kind();
        let shows = |case: &Case| -> Result<bool> {
            for _ in 0..TRIES {
                if Instant::now() > until {
                    return Ok(false);
                }
                if self.play(case)?.kind() == kind {
                    return Ok(true);
                }
                if case.icount {
                    break;
                }
            }
            Ok(false)
        };
        let mut best = Case {
            found: played.wrong.first().cloned().unwrap_or_default(),
            ..case.clone()
        };
        let round = played.last_round().map_or(case.from, |round| round + 1);
        let alone = Case {
            from: round,
            rounds: 1,
            ..best.clone()
        };
        if shows(&alone)? {
            best = alone;
        }
        'again: while Instant::now() < until {
            for smaller in best.smaller() {
                if shows(&smaller)? {
                    best = smaller;
                    continue 'again;
                }
            }
            break;
        }
        Ok(best)
    }
}
