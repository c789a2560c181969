//! Runs smokes: makes their disks, boots them, and keeps everything a verdict rests on.
//!
//! Invariant: never gives guests more CPUs than the machine has, so that each runs as if it were alone.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::beside::{self, side_by_side};
use crate::build::{Code, Flavour};
use crate::image::contents::{Contents, Loader};
use crate::image::{CLOUD_WORDS, cloud, cloudboot};
use crate::package::Guest;
use crate::project::Project;
use crate::qemu::{self, Accel, Drive, Firmware, Machine, Medium, escape};
use crate::session::{Echo, End, Session};
use crate::smoke::Planned;
use crate::smoke::case::{Boot, Smoke, Step, perform};
use crate::smoke::decided::{AfterFailure, Awaited};
use crate::smoke::media::{disks, tampered};
use crate::smoke::models::Served;
use crate::smoke::sabotage::{Break, Sabotage};
use crate::smoke::snapshot::{self, Difference};
use crate::smoke::tally::Tally;
use crate::smoke::verdict::{Heard, Verdict, complaints, judge, judge_sabotage, snapshot_text};
use crate::toolchain::Toolchain;

/// How smokes are run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How QEMU executes the guest.
    pub accel: Accel,
    /// Which loader boot media carry.
    pub loader: Loader,
    /// Waits for a debugger.
    pub gdb: bool,
    /// Keeps disks and other work files of passes too.
    pub keep: bool,
}

/// Which kernel a smoke runs on, and what is demanded of it.
#[derive(Clone, Copy)]
pub enum Trial {
    /// The kernel as it ships.
    Plain,
    /// The sabotage kernel with no point chosen, which must pass.
    Unbitten,
    /// The sabotage kernel with this point, which must break its fact.
    Bitten(&'static Sabotage),
}

/// Where a trial is kept, and how its boots end.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// What is kept.
    folder: &'a Path,
    /// What goes with a pass.
    work: &'a Path,
    end: AfterFailure,
    /// What ends a guest early.
    awaited: Option<&'a Awaited>,
}

/// What one boot of a guest said, or several, one after the other.
struct Said {
    end: End,
    failed_step: Option<String>,
    /// The smoke itself ended QEMU.
    was_cut: bool,
    /// What was awaited came, and the guest was ended.
    decided: bool,
    lines: Vec<String>,
    bytes: Vec<u8>,
    errors: String,
}

impl Said {
    /// Whether the boot went as it was to, so that another one may follow.
    fn is_good(&self) -> bool {
        self.failed_step.is_none() && (self.was_cut || self.end == End::Code(0))
    }
}

/// Runs smokes on guests that are built when first needed.
pub struct Runner<'a> {
    project: &'a Project,
    toolchain: &'a Toolchain,
    options: Options,
    version: String,
    plain: OnceLock<Guest<'a>>,
    debug: OnceLock<Guest<'a>>,
    sabotaged: OnceLock<Guest<'a>>,
}

impl Trial {
    /// What the run is called, also the name of its folder.
    fn title(self, smoke: &Smoke) -> String {
        match self {
            Self::Plain => smoke.name.to_owned(),
            Self::Unbitten => format!("{}+sabotage-none", smoke.name),
            Self::Bitten(sabotage) => format!("{}+{}", smoke.name, sabotage.point),
        }
    }

    const fn sabotage(self) -> Option<&'static Sabotage> {
        match self {
            Self::Bitten(sabotage) => Some(sabotage),
            Self::Plain | Self::Unbitten => None,
        }
    }

    fn end_of_failed_step(self) -> AfterFailure {
        let step = |one: &Sabotage| matches!(one.breaks, Break::Step(_));
        match self.sabotage() {
            Some(one) if step(one) => AfterFailure::Cut,
            Some(_) => AfterFailure::Heard,
            None => AfterFailure::HeardBriefly,
        }
    }

    fn cmdline(self, smoke: &Smoke) -> String {
        let point = self.sabotage();
        let point = point.map_or_else(String::new, |one| format!("sabotage={}", one.point));
        let words = ["log=serial", smoke.cmdline, &point];
        words
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// CPUs of the host that a smoke wants: its guest's, and one for what it runs beside.
const fn cpus_of(smoke: &Smoke) -> u32 {
    let peers = smoke.namespace.is_some() || smoke.device_model.is_some();
    smoke.smp + peers as u32
}

/// The further arguments of QEMU.
fn extra(smoke: &Smoke, work: &Path) -> Vec<OsString> {
    let work = escape(work);
    let filled = smoke.extra.iter().map(|word| match *word {
        "{amd-iommu}" => crate::qemu::amd_iommu().to_owned(),
        word => word.replace("{work}", &work),
    });
    filled.map(Into::into).collect()
}

/// Adds what a device outside of QEMU did not report, and keeps what it did. With a sabotage the device gets what it must not
/// get, or nothing any more, so its reports are kept and not compared.
fn with_reports(verdict: Verdict, trial: Trial, served: Served, folder: &Path) -> Result<Verdict> {
    let (told, mut missing) = served.finish()?;
    if matches!(trial, Trial::Bitten(_)) {
        missing.clear();
    }
    fs::write(folder.join("device-model"), told.join("\n") + "\n")?;
    Ok(match verdict {
        Verdict::Pass if missing.is_empty() => Verdict::Pass,
        Verdict::Pass => Verdict::Fail(missing),
        Verdict::Fail(mut reasons) => {
            reasons.extend(missing);
            Verdict::Fail(reasons)
        }
        other => other,
    })
}

impl<'a> Runner<'a> {
    /// A runner; nothing is built yet.
    pub fn new(project: &'a Project, toolchain: &'a Toolchain, options: Options) -> Result<Self> {
        Ok(Self {
            project,
            toolchain,
            options,
            version: qemu::version()?,
            plain: OnceLock::new(),
            debug: OnceLock::new(),
            sabotaged: OnceLock::new(),
        })
    }

    /// The guest of a trial.
    pub fn guest(&self, trial: Trial) -> Result<&Guest<'a>> {
        self.guest_for(trial, Code::Release, &[])
    }

    /// The guest that a smoke boots.
    fn guest_of(&self, smoke: &Smoke, trial: Trial) -> Result<&Guest<'a>> {
        self.guest_for(trial, smoke.code, &[])
    }

    /// Builds what a smoke boots.
    pub fn prepare(&self, smoke: &Smoke) -> Result<()> {
        self.guest_for(Trial::Plain, smoke.code, &[smoke.manifest])
            .map(drop)
    }

    /// The guest of a trial; if it is not built yet, with the programs of `manifests` at once.
    fn guest_for(&self, trial: Trial, code: Code, manifests: &[&str]) -> Result<&Guest<'a>> {
        let (cell, flavour) = match (trial, code) {
            (Trial::Plain, Code::Release) => (&self.plain, Flavour::Release),
            (Trial::Plain, Code::Debug) => (&self.debug, Flavour::Debug),
            (Trial::Unbitten | Trial::Bitten(_), _) => (&self.sabotaged, Flavour::Sabotage),
        };
        if cell.get().is_none() {
            let guest = Guest::build(self.project, self.toolchain, flavour, manifests)?;
            // Whoever came first has built the same.
            let _ = cell.set(guest);
        }
        cell.get().context("the guest was just built")
    }

    /// Builds what the trials boot. A guest that does not build is one error, not one per smoke.
    pub fn build_for(&self, trials: &[Planned]) -> Result<()> {
        for code in [Code::Release, Code::Debug] {
            let of_code = || trials.iter().filter(|(smoke, _)| smoke.code == code);
            let manifests: Vec<&str> = of_code().map(|(smoke, _)| smoke.manifest).collect();
            for (_, trial) in of_code() {
                self.guest_for(*trial, code, &manifests)?;
            }
        }
        Ok(())
    }

    /// Runs each trial, one progress line per smoke, as many at once as the machine has CPUs for.
    pub fn run_all(&self, trials: &[Planned]) -> Result<Tally> {
        self.build_for(trials)?;
        let cpus = match self.options.gdb {
            // The debugger's port is one.
            true => 1,
            false => beside::cpus(),
        };
        let mut tally = Tally::default();
        let mut done = 0;
        side_by_side(
            trials,
            cpus,
            |(smoke, _)| cpus_of(smoke),
            |(smoke, trial)| {
                let start = Instant::now();
                let verdict = self
                    .run(smoke, *trial)
                    .unwrap_or_else(|error| Verdict::Unknown(format!("{error:#}")));
                (verdict, start.elapsed())
            },
            |(smoke, trial), (verdict, took)| {
                done += 1;
                let head = format!("[{done}/{}] {}", trials.len(), trial.title(smoke));
                self.tell(&mut tally, &head, &trial.title(smoke), &verdict, took);
            },
        );
        Ok(tally)
    }

    /// Says how a trial went, and counts it.
    fn tell(&self, tally: &mut Tally, head: &str, title: &str, verdict: &Verdict, took: Duration) {
        let (word, details) = match verdict {
            Verdict::Pass => ("pass", Vec::new()),
            Verdict::Fail(reasons) => ("FAIL", reasons.clone()),
            Verdict::Unknown(reason) => ("UNKNOWN", vec![reason.clone()]),
            Verdict::Untested(reason) => ("UNTESTED", vec![reason.clone()]),
        };
        eprintln!("{head}: {word} ({:.1} s)", took.as_secs_f32());
        for detail in details.iter().flat_map(|detail| detail.lines()) {
            eprintln!("    {detail}");
        }
        if matches!(verdict, Verdict::Fail(_) | Verdict::Unknown(_)) {
            eprintln!("    see {}", self.project.show(&self.folder(title)));
        }
        tally.count(title, verdict, &details);
    }

    fn folder(&self, title: &str) -> PathBuf {
        self.project.target.join("smoke").join(title)
    }

    fn run(&self, smoke: &'static Smoke, trial: Trial) -> Result<Verdict> {
        if let Some(reason) = self.cannot_run(smoke) {
            return Ok(Verdict::Untested(reason));
        }
        if let Some(lacking) = smoke.namespace.and_then(|namespace| namespace.lacks()) {
            return Ok(Verdict::Untested(lacking));
        }
        let folder = self.folder(&trial.title(smoke));
        let work = empty_work(&folder)?;
        let machine = self.machine(smoke, trial, &work)?;
        let command = self.command(smoke, &machine, &work)?;
        self.record(&folder, smoke, &command)?;
        if self.options.gdb {
            let kernel = self
                .project
                .show(self.guest_of(smoke, trial)?.kernel_path());
            eprintln!("waiting for a debugger: gdb {kernel} -ex 'target remote :1234'");
        }
        let model = smoke.device_model.as_ref();
        let served = model.map(|model| Served::start(model, &work)).transpose()?;
        let sabotage = trial.sabotage();
        let awaited = sabotage.and_then(|one| Awaited::of(self.project, smoke, one));
        let place = Place {
            folder: &folder,
            work: &work,
            end: trial.end_of_failed_step(),
            awaited: awaited.as_ref(),
        };
        let heard = self.boot_all(smoke, &machine, place, command)?;
        let heard = Heard {
            end: heard.end,
            lines: &heard.lines,
            errors: &heard.errors,
            failed_step: heard.failed_step.as_deref(),
            decided: heard.decided,
        };
        let verdict = self.judge(smoke, trial, &heard, &folder)?;
        let verdict = match served {
            Some(served) => with_reports(verdict, trial, served, &folder)?,
            None => verdict,
        };
        fs::write(folder.join("verdict"), format!("{verdict:#?}\n"))?;
        if matches!(verdict, Verdict::Fail(_) | Verdict::Unknown(_)) {
            for line in complaints(heard.lines) {
                eprintln!("    the guest says: {line}");
            }
            let symbols = self.guest_of(smoke, trial)?.symbols(smoke.manifest)?;
            let places = heard.lines.iter().flat_map(|line| symbols.explain(line));
            show_places(&folder, &places.collect::<Vec<_>>())?;
        }
        if verdict == Verdict::Pass && !self.options.keep {
            fs::remove_dir_all(&work)?;
        }
        Ok(verdict)
    }

    /// Why this QEMU cannot show what a smoke asks for.
    fn cannot_run(&self, smoke: &Smoke) -> Option<String> {
        let feature = smoke
            .needs
            .filter(|one| !one.is_offered(self.options.accel))?;
        let (name, version) = (feature.name(), &self.version);
        if !feature.is_emulated() {
            return Some(format!(
                "{name} is not here; `cargo xtask setup` says how to get it"
            ));
        }
        Some(format!(
            "{version} cannot emulate {name}; another QEMU: --qemu PROGRAM"
        ))
    }

    /// What starts QEMU, in the smoke's own network where it has one.
    fn command(&self, smoke: &Smoke, machine: &Machine, work: &Path) -> Result<Command> {
        let command = machine.command(self.project)?;
        Ok(match &smoke.namespace {
            Some(namespace) => namespace.enter(command, work),
            None => command,
        })
    }

    /// Every boot of a smoke, as long as each ends as it should, and what they said, into `folder` too.
    fn boot_all(
        &self,
        smoke: &Smoke,
        machine: &Machine,
        place: Place<'_>,
        first: Command,
    ) -> Result<Said> {
        let deadline = Instant::now() + self.limit(smoke);
        let Place { folder, work, .. } = place;
        let mut heard = self.boot(place, first, smoke.steps, deadline)?;
        for again in smoke.again {
            if !heard.is_good() {
                break;
            }
            (again.between)(work).context("cannot prepare the disks for the next boot")?;
            let command = self.command(smoke, machine, work)?;
            let next = self.boot(place, command, again.steps, deadline)?;
            heard.end = next.end;
            heard.failed_step = next.failed_step;
            heard.was_cut = next.was_cut;
            heard.lines.extend(next.lines);
            heard.bytes.extend(next.bytes);
            heard.errors = next.errors;
        }
        fs::write(folder.join("transcript.raw"), &heard.bytes)?;
        fs::write(folder.join("transcript.txt"), heard.lines.join("\n") + "\n")?;
        Ok(heard)
    }

    /// What the guest's own words are worth.
    fn judge(
        &self,
        smoke: &'static Smoke,
        trial: Trial,
        heard: &Heard<'_>,
        folder: &Path,
    ) -> Result<Verdict> {
        match trial {
            Trial::Bitten(sabotage) => Ok(judge_sabotage(sabotage, smoke, heard)),
            Trial::Plain | Trial::Unbitten => {
                let verdict = judge(smoke, heard);
                self.judge_snapshot(smoke, trial, heard, folder, verdict)
            }
        }
    }

    /// One boot of the guest, from its first step to its end.
    fn boot(
        &self,
        place: Place<'_>,
        command: Command,
        steps: &[Step],
        deadline: Instant,
    ) -> Result<Said> {
        let mut errors = fs::OpenOptions::new();
        let errors = errors.create(true).append(true);
        let errors = errors.open(place.folder.join("qemu-errors"))?;
        let mut session = Session::start(command, Echo::Kept, errors)?;
        if self.options.gdb {
            session.set_silence(deadline.saturating_duration_since(Instant::now()));
        }
        let failed_step = perform(steps, &mut session, place.work, deadline).err();
        if let Some(step) = &failed_step {
            place.end.apply(&mut session, step)?;
        }
        let awaited = place.awaited.filter(|_| !session.was_cut());
        let decided = awaited.map_or(Ok(false), |it| it.end_early(&mut session, deadline))?;
        let was_cut = session.was_cut();
        let (end, transcript) = session.finish(deadline);
        Ok(Said {
            end,
            failed_step: failed_step.map(|step| step.text().to_owned()),
            was_cut,
            decided,
            lines: transcript.serial.lines().to_vec(),
            bytes: transcript.bytes,
            errors: with_signal(transcript.errors, transcript.status.filter(|_| !was_cut)),
        })
    }

    /// Adds the snapshot's part. A guest that gave a wrong answer leaves no pending snapshot: there is nothing to accept.
    fn judge_snapshot(
        &self,
        smoke: &Smoke,
        trial: Trial,
        heard: &Heard<'_>,
        folder: &Path,
        verdict: Verdict,
    ) -> Result<Verdict> {
        let text = snapshot_text(smoke, heard);
        fs::write(folder.join("evidence"), format!("{text}\n"))?;
        if matches!(verdict, Verdict::Unknown(_)) {
            return Ok(verdict);
        }
        let difference = match (trial, &verdict) {
            (Trial::Plain, Verdict::Pass) => Difference::LeftForReview,
            _ => Difference::OnlyTold,
        };
        let compared =
            snapshot::compare(self.project, smoke.name, smoke.question, &text, difference)?;
        Ok(match (verdict, compared) {
            (verdict, Ok(())) => verdict,
            (Verdict::Fail(mut reasons), Err(difference)) => {
                reasons.push(difference);
                Verdict::Fail(reasons)
            }
            (_, Err(difference)) => Verdict::Fail(vec![
                snapshot::headline(self.project, smoke.name),
                difference,
            ]),
        })
    }

    fn limit(&self, smoke: &Smoke) -> Duration {
        // A person with a debugger takes time.
        if self.options.gdb {
            Duration::from_secs(24 * 3600)
        } else {
            Duration::from_secs(smoke.limit_s)
        }
    }

    /// The machine that a smoke asks for, with its disks and files made anew in `work`.
    pub fn machine(&self, smoke: &Smoke, trial: Trial, work: &Path) -> Result<Machine> {
        let guest = self.guest_of(smoke, trial)?;
        let cmdline = trial.cmdline(smoke);
        let firmware = match smoke.boot {
            Boot::Direct => Firmware::Direct {
                loader: guest.loader.clone(),
                archive: guest.archive(smoke.manifest)?,
                cmdline,
            },
            Boot::Uefi => Firmware::Uefi {
                medium: Medium::new(
                    guest.uefi_disk(work, smoke.manifest, &cmdline)?,
                    Drive::Disk,
                ),
                work: work.to_path_buf(),
            },
            Boot::Image {
                firmware,
                shape,
                drive,
                tamper,
            } => {
                let mut contents =
                    Contents::of(guest, smoke.manifest, &cmdline, self.options.loader)?;
                let path = work.join(format!("boot.{}", shape.ending()));
                let medium = tampered(Medium::new(path, drive), shape, &mut contents, tamper)?;
                firmware.boots(medium, work)
            }
            Boot::Cloud { provider, firmware } => {
                let words = format!("{cmdline} {CLOUD_WORDS}");
                let contents = Contents::of(guest, smoke.manifest, &words, self.options.loader)?;
                let files = cloud::write(work, provider, &contents)?;
                let disk = work.join("unpacked.raw");
                cloud::unpack(
                    files.last().context("a package has a file")?,
                    provider,
                    &disk,
                )?;
                firmware.boots(Medium::new(disk, cloudboot::closest(provider).1), work)
            }
        };
        let model = match smoke.boot {
            Boot::Cloud { provider, .. } => cloudboot::closest(provider).0,
            _ => smoke.model,
        };
        for file in smoke.files {
            fs::write(work.join(file.name), (file.bytes)())?;
        }
        Ok(Machine {
            model: model.into(),
            smp: smoke.smp,
            memory: format!("{}M", smoke.memory_mib),
            accel: self.options.accel,
            firmware,
            disks: disks(smoke, work)?,
            gdb: self.options.gdb,
            reboots: smoke.reboots,
            extra: extra(smoke, work),
        })
    }

    /// Writes down under what conditions the run takes place.
    fn record(&self, folder: &Path, smoke: &Smoke, command: &Command) -> Result<()> {
        let mut text = format!("question: {}\nqemu: {}\n", smoke.question, self.version);
        let commit = Command::new("git")
            .current_dir(&self.project.root)
            .args(["describe", "--always", "--dirty"])
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .unwrap_or_default();
        writeln!(text, "commit: {commit}")?;
        writeln!(text, "accel: {:?}", self.options.accel)?;
        writeln!(text, "{}", self.toolchain.story)?;
        writeln!(text, "command: {command:?}")?;
        fs::write(folder.join("conditions"), text)?;
        Ok(())
    }
}

/// What QEMU said, and what ended it where that was a signal: then it had no time to say anything.
fn with_signal(errors: String, status: Option<ExitStatus>) -> String {
    match status.filter(|status| status.signal().is_some()) {
        Some(status) => format!("{errors}\nQEMU was ended ({status})"),
        None => errors,
    }
}

/// The folder `work` below `folder`, which holds nothing else then.
fn empty_work(folder: &Path) -> Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    let work = folder.join("work");
    fs::create_dir_all(&work)?;
    Ok(work)
}

/// Says and keeps where a fault lies in the sources; nothing where nothing faulted.
fn show_places(folder: &Path, places: &[String]) -> Result<()> {
    fs::write(folder.join("symbols"), places.join("\n"))?;
    for line in places {
        eprintln!("{line}");
    }
    Ok(())
}
