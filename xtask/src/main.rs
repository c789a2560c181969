//! The one tool a person types: sets the machine up, builds the guest, runs it, and checks what it says.
//!
//! Invariant: never changes a source file on its own, and never decides a verdict from QEMU's own exit status.

mod audit;
mod bench;
mod beside;
mod build;
mod child;
mod codegen;
mod complaints;
mod cpus;
mod crash;
mod debugger;
mod disk;
mod disk_file;
mod drivers;
mod examples;
mod fail_alloc;
mod fuzz;
mod graph;
mod host_tests;
mod image;
mod image_format;
mod image_whole;
mod kvm;
mod manifests;
mod network;
mod new;
mod newer;
mod oracle;
mod package;
mod precheck;
mod printing;
mod project;
mod prove;
mod qemu;
mod raw_terminal;
mod replay;
mod run;
mod saving;
mod script;
mod serial;
mod session;
mod setup;
mod smoke;
mod stopped;
mod store;
mod symbols;
mod talk;
mod test;
mod tidy;
mod toolchain;
mod volume;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::audit::AuditVerb;
use crate::bench::BenchArgs;
use crate::build::{Builder, Code, Kind};
use crate::fail_alloc::FailArgs;
use crate::fuzz::FuzzArgs;
use crate::image::ImageArgs;
use crate::image::cloudboot::{self, CloudbootArgs};
use crate::project::{Project, is_ci};
use crate::run::RunArgs;
use crate::setup::{Consent, Needs, models};
use crate::smoke::SmokeArgs;
use crate::smoke::snapshot::{self, SnapshotArgs};
use crate::test::TestArgs;
use crate::toolchain::Toolchain;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds, runs and proves capOS")]
struct Cli {
    /// Install missing packages without asking
    #[arg(long, global = true, conflicts_with = "no_install")]
    yes: bool,
    /// Install nothing: say what is missing, and the command that installs it
    #[arg(long, global = true)]
    no_install: bool,
    /// Start this QEMU instead of the one in the search path; 10 or 11 means the one that `setup --device-models` fetched
    #[arg(long, global = true, env = "QEMU", value_name = "PROGRAM")]
    qemu: Option<std::ffi::OsString>,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what is missing
    Setup {
        /// Fetch newer QEMUs too, into a folder of their own: for device models and `--qemu 10`, `--qemu 11`
        #[arg(long)]
        device_models: bool,
    },
    /// Build and boot to the shell
    Run(RunArgs),
    /// Boot smokes and judge what they say
    Smoke(SmokeArgs),
    /// Count the instructions of fixed workloads
    Bench(BenchArgs),
    /// A debugger with the right symbols, for a guest that waits with `run --gdb` or `smoke --gdb`
    Gdb(debugger::GdbArgs),
    /// Record a smoke, and run the same instructions again under a debugger, which can step backwards
    Replay(replay::ReplayArgs),
    /// Build everything that runs in the guest
    Build(BuildArgs),
    /// Make a boot medium as a file
    Image(ImageArgs),
    /// Boot a cloud's package and check its evidence
    Cloudboot(CloudbootArgs),
    /// Generate the typed stubs from schema/
    Codegen {
        /// Change nothing; fail where the committed stubs differ
        #[arg(long)]
        check: bool,
    },
    /// Attack the kernel from programs, and audit its memory from outside
    FuzzGuest(FuzzArgs),
    /// Refuse one charge or allocation after the other, of the boot and of a program's work
    FailAlloc(FailArgs),
    /// Boot every processor that QEMU can play, or see it refused in one line
    Cpus(cpus::CpusArgs),
    /// Run saving's cases on real servers, through a proxy that fails
    SaveConformance(saving::SaveArgs),
    /// Build and judge every state that a power cut can leave a volume in
    Crash(crash::CrashArgs),
    /// Show properties of the rules of authority, over every state that few and narrow things have, and at random
    Prove(prove::ProveArgs),
    /// Boot the vendor's own driver, in Debian's cloud kernel, on a device model
    Model(oracle::ModelArgs),
    /// Check everything: format, lints, host tests, tidy, smokes, sabotages
    Test(TestArgs),
    /// Read hardware audit logs off disk images
    Audit {
        #[command(subcommand)]
        verb: AuditVerb,
    },
    /// Check the rules of the tree that no compiler checks
    Tidy,
    /// Show the crates by tier
    Graph {
        /// For Graphviz
        #[arg(long)]
        dot: bool,
    },
    /// Make a service: crate, interface, client, manifest, smoke and pages
    NewService(new::ServiceArgs),
    /// Make a driver: broker, provider, interface, client, manifest, smoke and pages
    NewDriver(new::DriverArgs),
    /// Serve saves and die in the middle (smokes call this themselves)
    #[command(hide = true)]
    MortalBridge { folder: PathBuf, address: String },
    /// Compare one snapshot (xtask calls this itself)
    #[command(hide = true)]
    SnapshotCompare(SnapshotArgs),
}

/// What `cargo xtask build` takes.
#[derive(Args)]
struct BuildArgs {
    /// Only this package; prints the path of each program
    #[arg(long)]
    package: Option<String>,
    /// With debug assertions and without optimisation
    #[arg(long)]
    debug_guest: bool,
    /// The kernel with its sabotage points compiled in
    #[arg(long)]
    sabotage: bool,
}

/// What a shell says of a program that SIGPIPE ended.
const READER_GONE: i32 = 128 + 13;

fn main() -> ExitCode {
    end_without_a_reader();
    match dispatch(Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ends quietly where nobody reads what is printed any more, as in `... | head`: the library panics then.
fn end_without_a_reader() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if said.starts_with("failed printing to ") && said.contains("Broken pipe") {
            std::process::exit(READER_GONE);
        }
        before(panic);
    }));
}

fn dispatch(cli: Cli) -> Result<ExitCode> {
    let project = Project::load()?;
    let consent = consent(&cli);
    models::choose(&project, cli.qemu.as_deref())?;
    let ready = |needs| prepare(&project, consent, needs);
    match cli.verb {
        Verb::MortalBridge { folder, address } => save_lab::mortal::serve(&folder, &address)?,
        Verb::SnapshotCompare(args) => return snapshot::compare_here(&project, &args),
        Verb::Smoke(args) if args.is_list() => smoke::list(),
        Verb::Smoke(args) => return smoke::run(&project, &ready(args.needs()?)?, &args),
        Verb::Bench(args) if args.is_list() => return bench::list(),
        Verb::Bench(args) => return bench::run(&project, &ready(Needs::Guest)?, &args),
        Verb::Run(args) => return run::run(&project, &ready(args.needs())?, args),
        Verb::Cpus(args) => return cpus::run(&project, &ready(Needs::Guest)?, &args),
        Verb::FailAlloc(args) => return fail_alloc::run(&project, &ready(Needs::Guest)?, &args),
        Verb::Test(args) => return test::run(&project, &ready(Needs::Cloud)?, &args),
        Verb::FuzzGuest(args) => {
            return match args.kept() {
                Some(folder) => fuzz::audit_kept(folder),
                None => fuzz::run(&project, &ready(Needs::Guest)?, &args),
            };
        }
        Verb::Image(args) => image::run(&project, &ready(args.needs())?, &args)?,
        Verb::Cloudboot(args) => {
            args.check()?;
            return cloudboot::run(&project, &ready(Needs::Cloud)?, &args, consent);
        }
        Verb::Setup { device_models } => {
            // Whoever may install nothing gets at least those.
            if device_models {
                models::install(&project)?;
            }
            ready(Needs::Cloud)?;
        }
        Verb::NewService(args) => new::service(&project, &args, || for_stubs(&project, consent))?,
        Verb::NewDriver(args) => new::driver(&project, &args, || for_stubs(&project, consent))?,
        Verb::Replay(args) => return replay::run(&project, &ready(Needs::Cloud)?, &args),
        Verb::Gdb(args) => return debugger::run(&project, &ready(Needs::Guest)?, &args),
        Verb::SaveConformance(args) => return saving::run(&project, &args),
        Verb::Audit { verb } => return audit::run(&verb),
        Verb::Crash(args) => return crash::run(&project, &args, || ready(Needs::Guest)),
        Verb::Prove(args) => return prove::run(&project, &args),
        Verb::Model(args) => return oracle::run(&project, &args),
        Verb::Tidy => tidy::run(&project)?,
        Verb::Graph { dot: true } => print!("{}", graph::dot(&project)),
        Verb::Graph { dot: false } => print!("{}", graph::text(&project)),
        Verb::Codegen { check } => {
            for_stubs(&project, consent)?;
            let mode = match check {
                true => codegen::Mode::Check,
                false => codegen::Mode::Write,
            };
            codegen::run(&project.root, mode)?;
        }
        Verb::Build(args) => build(&project, &ready(Needs::Build)?, &args)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What generating stubs needs: found out before anything is written.
fn for_stubs(project: &Project, consent: Consent) -> Result<()> {
    setup::ensure(project, consent, Needs::Build)
}

/// What the person said about installing.
fn consent(cli: &Cli) -> Consent {
    match (cli.no_install, cli.yes || is_ci()) {
        (true, _) => Consent::Refused,
        (false, true) => Consent::Given,
        (false, false) => Consent::Open,
    }
}

/// Builds for the guest and prints where the programs lie.
fn build(project: &Project, toolchain: &Toolchain, args: &BuildArgs) -> Result<()> {
    let kernel = match args.sabotage {
        true => Kind::SabotageKernel,
        false => Kind::Kernel,
    };
    let code = match args.debug_guest {
        true => Code::Debug,
        false => Code::Release,
    };
    let builder = Builder::new(project, toolchain, code);
    for program in builder.build_named(args.package.as_deref(), kernel)? {
        println!("{}", program.path.display());
    }
    Ok(())
}

/// What everything that touches the guest needs: the packages and a compiler.
fn prepare(project: &Project, consent: Consent, needs: Needs) -> Result<Toolchain> {
    project.check_writable()?;
    setup::ensure(project, consent, needs)?;
    let toolchain = Toolchain::find(project)?;
    eprintln!("{}", toolchain.story);
    Ok(toolchain)
}
