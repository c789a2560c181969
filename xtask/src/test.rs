//! `cargo xtask test`: everything that must hold, on one command.
//!
//! Invariant: never stops at the first failure, and never ends well if one stage did not.

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};

use crate::build::{Builder, Code, Kind};
use crate::image::cloudboot::launch;
use crate::image::contents::Loader;
use crate::project::{Member, Project, is_ci};
use crate::qemu::{self, Accel};
use crate::setup::tools;
use crate::smoke::runner::{Options, Runner, Trial};
use crate::smoke::tally::Tally;
use crate::toolchain::Toolchain;
use crate::{
    bench, codegen, cpus, crash, examples, fail_alloc, fuzz, host_tests, kvm, new, newer, oracle,
    replay, saving, smoke, tidy,
};

/// What `cargo xtask test` takes.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// Only what needs no guest: formatting, lints, host tests, tidy
    #[arg(long)]
    host: bool,
    /// Only the smokes and sabotages
    #[arg(long, conflicts_with = "host")]
    smokes: bool,
    /// Also what takes long: the fuzzer against the guest, services and drivers made by `new-service` and `new-driver`, vendors' drivers on the device models, and launches through clouds' own tools
    #[arg(long, conflicts_with = "host")]
    long: bool,
    /// Only these stages, one after the other
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with_all = ["host", "smokes", "long"])]
    only: Vec<Stage>,
    /// How QEMU executes the guest, TCG without it
    #[arg(long, value_enum)]
    accel: Option<Accel>,
}

/// The parts of the gate, by the names that `--only` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Stage {
    Format,
    Lints,
    GuestLints,
    HostTests,
    Models,
    SabotagedHostTests,
    /// Saving on real servers: those that are installed, with `CI=1` all that registries have
    Saving,
    /// States that a power cut can leave a volume in
    Crash,
    Documentation,
    GeneratedCode,
    /// What `new-service` and `new-driver` make, on the host
    Made,
    Tidy,
    /// Smokes and sabotages
    Guest,
    /// Those that the QEMU in use cannot show, on a newer one
    NewerQemu,
    /// A recorded smoke that is run again, forwards and backwards
    Replay,
    /// Instruction counts, against those of docs/benchmarks.md
    Bench,
    /// Every processor that QEMU can play
    Cpus,
    /// Charges and allocations of the boot that are refused
    FailAlloc,
    /// The fuzzer against the guest
    Fuzzer,
    /// The book's commands and manifests
    Examples,
    /// Launches through Amazon's and Google's own tools, on stand-ins for their clouds; with `CI=1` Amazon's is fetched, Google's is in no registry
    Launch,
    /// What `new-service` and `new-driver` make, in the guest
    New,
    /// Vendors' own drivers, in Debian's cloud kernels, on the device models
    DeviceModels,
}

impl Stage {
    /// Whether it boots nothing.
    fn is_of_host(self) -> bool {
        !matches!(
            self,
            Self::Guest
                | Self::NewerQemu
                | Self::Replay
                | Self::Bench
                | Self::Cpus
                | Self::FailAlloc
                | Self::Fuzzer
                | Self::Examples
                | Self::Launch
                | Self::New
                | Self::DeviceModels
        )
    }

    /// Whether the gate leaves it to `--long`.
    fn is_long(self) -> bool {
        matches!(
            self,
            Self::Fuzzer | Self::Launch | Self::New | Self::DeviceModels
        )
    }

    /// Whether `args` ask for it.
    fn is_asked(self, args: &TestArgs) -> bool {
        if !args.only.is_empty() {
            return args.only.contains(&self);
        }
        match self.is_of_host() {
            true => !args.smokes,
            false => !args.host && (args.long || !self.is_long()),
        }
    }
}

/// Free space that everything needs in a fresh checkout, and in one that was built before: builds, and disks of smokes.
const FRESH_GIB: u64 = 14;
const BUILT_GIB: u64 = 4;

/// Whether what is built and booted has a place, before half an hour is spent on finding out.
fn ensure_room(project: &Project) -> Result<()> {
    let found = nix::sys::statvfs::statvfs(&project.root).context("cannot ask for free space")?;
    // Their types are not the same on every system.
    let bytes = found.blocks_available() as f64 * found.fragment_size() as f64;
    let free = (bytes / f64::from(1 << 30)) as u64;
    let need = match project.target.join("debug").is_dir() {
        true => BUILT_GIB,
        false => FRESH_GIB,
    };
    ensure!(
        free >= need,
        "{free} GiB are free where {} lies, and this needs {need}: nothing was started",
        project.root.display()
    );
    Ok(())
}

/// Runs all stages and prints the closing line.
pub fn run(project: &Project, toolchain: &Toolchain, args: &TestArgs) -> Result<ExitCode> {
    if args.only.is_empty() {
        ensure_room(project)?;
    }
    let mut stages = Stages {
        args,
        failed: Vec::new(),
    };
    host_stages(project, toolchain, &mut stages);
    let mut tally = Tally::default();
    stages.run(Stage::Guest, || {
        smokes(project, toolchain, args, &mut tally)
    });
    stages.run(Stage::NewerQemu, || {
        newer::run(project, kvm::for_proof(project, args.accel)?)
    });
    stages.run(Stage::Replay, || replay::gate(project, toolchain));
    stages.run(Stage::Bench, || bench::gate(project, toolchain));
    stages.run(Stage::Cpus, || cpus::gate(project, toolchain));
    stages.run(Stage::FailAlloc, || fail_alloc::gate(project, toolchain));
    stages.run(Stage::Fuzzer, || fuzz::gate(project, toolchain));
    stages.run(Stage::Examples, || examples::run(project));
    stages.run(Stage::Launch, || {
        let package = words(&["--package", "cloud-launch", "--", "--ignored"]);
        cargo(project, &["test", "--quiet"], &[&package])?;
        launch::gate(project, toolchain)
    });
    stages.run(Stage::New, || new::trial::in_guest(project));
    stages.run(Stage::DeviceModels, || oracle::gate(project));
    // A stage that failed counts, so that the closing line never looks better than the end.
    tally.failed.extend(stages.failed);
    Ok(smoke::close(&tally))
}

struct Stages<'a> {
    args: &'a TestArgs,
    failed: Vec<String>,
}

impl Stages<'_> {
    /// Runs a stage if it was asked for, and says how long it took.
    fn run(&mut self, stage: Stage, work: impl FnOnce() -> Result<()>) {
        if !stage.is_asked(self.args) {
            return;
        }
        let name = stage.to_possible_value();
        let name = name.as_ref().map_or("?", |value| value.get_name());
        eprintln!("== {name}");
        let started = Instant::now();
        let end = work();
        eprintln!("== {name}: {} s", started.elapsed().as_secs());
        if let Err(error) = end {
            let error = format!("{error:#}");
            eprintln!("{name}: {error}");
            let reason = error.lines().next().unwrap_or("no reason");
            self.failed.push(format!("{name}: {reason}"));
        }
    }
}

fn host_stages(project: &Project, toolchain: &Toolchain, stages: &mut Stages<'_>) {
    let of_host = |member: &&Member| !member.guest;
    let host: Vec<&Member> = project.members.iter().filter(of_host).collect();
    let guest: Vec<&Member> = project
        .members
        .iter()
        .filter(|member| member.guest)
        .collect();
    stages.run(Stage::Format, || {
        cargo(project, &["fmt", "--all", "--", "--check"], &[])
    });
    let deny = ["--", "--deny", "warnings"];
    stages.run(Stage::Lints, || {
        let packages = select(&host);
        cargo(
            project,
            &["clippy", "--quiet", "--all-targets"],
            &[&packages, &words(&deny)],
        )
    });
    stages.run(Stage::GuestLints, || {
        guest_lints(project, toolchain, &guest)
    });
    stages.run(Stage::HostTests, || {
        // Programs too: on the host something stands in for the kernel. What is the kernel's or a loader's is a part of a
        // machine, and its libraries are tested instead.
        let programs = guest
            .iter()
            .filter(|member| member.tier.starts_with(['S', 'U']));
        let tested: Vec<&Member> = host.iter().chain(programs).copied().collect();
        // Unattended, nothing that the tests of launches need is missing.
        if is_ci() {
            tools::ensure_aws_code(project)?;
        }
        host_tests::run(|| prepared_cargo(project), &locked(&select(&tested)))
    });
    // Loom puts its own atomics in the place of the real ones.
    stages.run(Stage::Models, || tests_with(project, "loom", "races"));
    stages.run(Stage::SabotagedHostTests, || {
        tests_with(project, "sabotage", "sabotaged")
    });
    stages.run(Stage::Saving, || saving::gate(project));
    stages.run(Stage::Crash, || crash::gate(project));
    stages.run(Stage::Documentation, || {
        let packages = select(&host);
        let deny = [("RUSTDOCFLAGS", "--deny warnings")];
        cargo_with(
            project,
            &["doc", "--quiet", "--no-deps"],
            &[&packages],
            &deny,
        )
    });
    stages.run(Stage::GeneratedCode, || {
        codegen::run(&project.root, codegen::Mode::Check)
    });
    stages.run(Stage::Made, || new::trial::on_host(project));
    stages.run(Stage::Tidy, || tidy::run(project));
}

/// Runs the tests of one name, wherever there are some, in a build of its own with this `cfg`.
fn tests_with(project: &Project, cfg: &str, test: &str) -> Result<()> {
    let members = project.members.iter().filter(|member| {
        let tests = member.dir.join(format!("tests/{test}.rs"));
        tests.is_file()
    });
    let packages = select(&members.collect::<Vec<_>>());
    let target = project.target.join(cfg).into_os_string();
    let place = ["--target-dir".into(), target];
    let flags = format!("--cfg {cfg}");
    cargo_with(
        project,
        &["test", "--quiet", "--test", test],
        &[&packages, &place],
        &[("RUSTFLAGS", flags.as_str())],
    )
}

fn smokes(
    project: &Project,
    toolchain: &Toolchain,
    args: &TestArgs,
    tally: &mut Tally,
) -> Result<()> {
    let options = Options {
        accel: kvm::for_proof(project, args.accel)?,
        loader: Loader::default(),
        gdb: false,
        keep: false,
    };
    let runner = Runner::new(project, toolchain, options)?;
    let planned = smoke::everything()?;
    ensure!(!planned.is_empty(), "there is no smoke");
    runner.build_for(&planned)?;
    let production = runner.guest(Trial::Plain)?.kernel_path();
    let sabotage = runner.guest(Trial::Unbitten)?.kernel_path();
    Builder::new(project, toolchain, Code::Release).build(Kind::LoaderUefi, &["loader-uefi"])?;
    let clean = tidy::check_kernel(production, sabotage);
    tally.add(runner.run_all(&planned)?);
    clean
}

/// Lints what runs in the guest, for the guest where the toolchain at hand can.
///
/// A distribution's compiler comes without clippy. Then the host's looks at them, with the host's stand-in for the kernel.
fn guest_lints(project: &Project, toolchain: &Toolchain, guest: &[&Member]) -> Result<()> {
    let prebuilt = toolchain.is_prebuilt();
    let (bare, host): (Vec<&Member>, Vec<&Member>) = guest
        .iter()
        .copied()
        // UEFI programs are linted for the host either way: their crate brings what they need.
        .partition(|member| prebuilt && member.name != "loader-uefi");
    let deny = words(&["--", "--deny", "warnings"]);
    if !prebuilt {
        tidy::see_growth_refused(&project.root)?;
    }
    if !bare.is_empty() {
        let for_guest = words(&["--target", "x86_64-unknown-none"]);
        let packages = select(&bare);
        cargo(
            project,
            &["clippy", "--quiet"],
            &[&for_guest, &packages, &deny],
        )?;
    }
    cargo(project, &["clippy", "--quiet"], &[&select(&host), &deny])
}

fn select(members: &[&Member]) -> Vec<OsString> {
    members
        .iter()
        .flat_map(|member| ["--package".into(), member.name.clone().into()])
        .collect()
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(Into::into).collect()
}

/// `words`, and that nothing new is fetched where nobody is asked.
fn locked(words: &[OsString]) -> Vec<OsString> {
    let locked = is_ci().then(|| "--locked".into());
    words.iter().cloned().chain(locked).collect()
}

/// cargo without a word yet, with what host tests are told.
fn prepared_cargo(project: &Project) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(&project.root);
    // Host tests start the QEMU that everything else starts.
    command.env("QEMU", qemu::program());
    command.env("CAPOS_CLI", tools::folder(project));
    command
}

fn cargo(project: &Project, arguments: &[&str], more: &[&[OsString]]) -> Result<()> {
    cargo_with(project, arguments, more, &[])
}

fn cargo_with(
    project: &Project,
    arguments: &[&str],
    more: &[&[OsString]],
    environment: &[(&str, &str)],
) -> Result<()> {
    let mut command = prepared_cargo(project);
    command.args(arguments).envs(environment.iter().copied());
    if is_ci() && arguments.first() != Some(&"fmt") {
        command.arg("--locked");
    }
    for words in more {
        command.args(*words);
    }
    let status = command.status().context("cannot start cargo")?;
    ensure!(
        status.success(),
        "cargo {} found something",
        arguments.first().unwrap_or(&"")
    );
    Ok(())
}
