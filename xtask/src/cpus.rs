//! `cargo xtask cpus`: every processor that QEMU can play either boots the guest or is refused in one clear line, at once.
//!
//! Invariant: never counts a silent end, a reset or a panic as a refusal.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::build::Flavour;
use crate::complaints::reason;
use crate::package::Guest;
use crate::project::Project;
use crate::qemu::{self, Accel, Firmware, Machine};
use crate::session::{Echo, End, Session};
use crate::smoke::pattern::is_match;
use crate::toolchain::Toolchain;

/// The system that each boots: one program that says a word.
const SYSTEM: &str = "smoke/boot";
/// What that program says when it is done.
const DONE: &str = "@hello.done";
/// What stands before the reason not to boot: the kernel's, and a loader's.
const REFUSED: [&str; 2] = ["cannot boot: ", "loader: error: "];
/// A boot takes a few seconds; a refusal takes less. The rest is for a machine that does other things, too.
const PATIENCE: Duration = Duration::from_secs(90);
/// Processors without something that many take for granted; QEMU's list does not have them.
const LACKING: [&str; 8] = [
    "qemu64,-apic",
    "qemu64,-nx",
    "qemu64,-tsc",
    "qemu64,-syscall",
    "qemu64,-lm",
    "qemu64,-pae",
    "qemu64,-msr",
    "qemu64,-cx8",
];

/// What `cargo xtask cpus` takes.
#[derive(Args, Debug)]
pub struct CpusArgs {
    /// Only these models, by name or glob; without one, all that QEMU lists, and some that lack a thing
    #[arg(value_name = "MODEL")]
    models: Vec<String>,
    /// How QEMU executes the guest
    #[arg(long, value_enum, default_value = "tcg")]
    accel: Accel,
    /// Number of CPUs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
}

/// How a model did.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Boots,
    /// By the guest, or by QEMU; with the line.
    Refused(String),
    Failed(String),
}

/// Boots every model and says how each did.
pub fn run(project: &Project, toolchain: &Toolchain, args: &CpusArgs) -> Result<ExitCode> {
    let failed = boot_all(project, toolchain, args)?;
    Ok(ExitCode::from(u8::from(failed != 0)))
}

/// The gate's part: every model, on one CPU. A boot takes less than a second.
pub fn gate(project: &Project, toolchain: &Toolchain) -> Result<()> {
    let args = CpusArgs {
        models: Vec::new(),
        accel: Accel::Tcg,
        smp: 1,
    };
    let failed = boot_all(project, toolchain, &args)?;
    ensure!(
        failed == 0,
        "{failed} processors neither boot nor say why not"
    );
    Ok(())
}

/// Boots the models; how many failed.
fn boot_all(project: &Project, toolchain: &Toolchain, args: &CpusArgs) -> Result<usize> {
    let models = chosen(&args.models)?;
    let guest = Guest::build(project, toolchain, Flavour::Release, &[SYSTEM])?;
    let (mut boots, mut refused, mut failed) = (0, 0, 0);
    for model in &models {
        let started = Instant::now();
        let outcome = boot(project, &guest, args, model)?;
        let seconds = started.elapsed().as_secs_f32();
        match outcome {
            Outcome::Boots => {
                boots += 1;
                println!("{model}: boots ({seconds:.1} s)");
            }
            Outcome::Refused(line) => {
                refused += 1;
                println!("{model}: refused ({seconds:.1} s): {line}");
            }
            Outcome::Failed(why) => {
                failed += 1;
                println!("{model}: FAIL ({seconds:.1} s): {why}");
            }
        }
    }
    println!("{boots} boot, {refused} refused, {failed} failed");
    Ok(failed)
}

/// The models that the patterns name.
fn chosen(patterns: &[String]) -> Result<Vec<String>> {
    let listed = listed()?;
    let all = || {
        let lacking = LACKING.iter().map(|name| (*name).to_owned());
        listed.iter().cloned().chain(lacking)
    };
    if patterns.is_empty() {
        return Ok(all().collect());
    }
    let mut models = Vec::new();
    for pattern in patterns {
        let before = models.len();
        models.extend(all().filter(|name| is_match(pattern, name)));
        if models.len() == before {
            // A model with features of one's own.
            let base = pattern.split(',').next().unwrap_or_default();
            ensure!(
                listed.iter().any(|name| name == base),
                "QEMU knows no CPU {pattern:?}; it knows: {}",
                listed.join(" ")
            );
            models.push(pattern.clone());
        }
    }
    Ok(models)
}

fn listed() -> Result<Vec<String>> {
    let output = Command::new(qemu::program())
        .args(["-cpu", "help"])
        .output()
        .context("cannot start QEMU")?;
    let models = models_of(&String::from_utf8_lossy(&output.stdout));
    ensure!(!models.is_empty(), "QEMU lists no CPU");
    Ok(models)
}

/// The names in what `-cpu help` says: those of this machine's type, not each of their versions again.
fn models_of(help: &str) -> Vec<String> {
    let lines = help.lines().take_while(|line| !line.starts_with("Recog"));
    let names = lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        // Older QEMUs write the architecture first.
        let name = match words.next()? {
            "x86" => words.next()?,
            name => name,
        };
        let version = name.rsplit_once("-v").map_or("", |(_, version)| version);
        let is_version = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        // What the accelerator at hand gives; it is not there without KVM.
        let is_host = matches!(name, "host" | "Available");
        (!is_version && !is_host).then(|| name.to_owned())
    });
    names.collect()
}

fn boot(project: &Project, guest: &Guest<'_>, args: &CpusArgs, model: &str) -> Result<Outcome> {
    let machine = Machine {
        model: "q35".into(),
        smp: args.smp,
        memory: "512M".into(),
        accel: args.accel,
        firmware: Firmware::Direct {
            loader: guest.loader.clone(),
            archive: guest.archive(SYSTEM)?,
            cmdline: "log=serial".into(),
        },
        disks: Vec::new(),
        gdb: false,
        reboots: false,
        // The last one counts.
        extra: vec!["-cpu".into(), model.into()],
    };
    let command = machine.command(project)?;
    // What QEMU says of features that it cannot emulate belongs to the model.
    let session = Session::start(command, Echo::Kept, std::io::sink())?;
    let (end, transcript) = session.finish(Instant::now() + PATIENCE);
    Ok(judge(end, transcript.serial.lines(), &transcript.errors))
}

fn judge(end: End, lines: &[String], errors: &str) -> Outcome {
    if lines.iter().any(|line| line.contains("@kernel.panic")) {
        let panic = lines.iter().find(|line| line.contains("kernel panic: "));
        return Outcome::Failed(panic.cloned().unwrap_or_default());
    }
    let done = lines.iter().any(|line| line.contains(DONE));
    let tells = |line: &&String| REFUSED.iter().any(|word| line.contains(word));
    let reason_of_guest = lines.iter().find(tells);
    match (end, reason_of_guest) {
        (End::Code(0), None) if done => Outcome::Boots,
        (End::Code(2), Some(line)) => Outcome::Refused(line.trim().to_owned()),
        (End::NoExitLine, None) if lines.is_empty() && !reason(errors).is_empty() => {
            Outcome::Refused(format!("QEMU says: {}", reason(errors)))
        }
        (end, _) => {
            let last = lines.last().map_or("nothing", String::as_str);
            Outcome::Failed(format!("{end:?}; it said last: {last}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, judge, models_of};
    use crate::session::End;

    #[test]
    fn each_model_is_listed_once() {
        let help = "Available CPUs:\nx86 Nehalem    (alias configured by machine type)\n\
                    x86 Nehalem-v1  Intel Core i7\n  qemu64     QEMU Virtual CPU\nx86 host  x\n\n\
                    Recognized CPUID flags:\n  3dnow\n";
        assert_eq!(models_of(help), ["Nehalem", "qemu64"]);
    }

    #[test]
    fn only_a_reason_is_a_refusal() {
        let lines = |text: &str| -> Vec<String> { text.lines().map(Into::into).collect() };
        let done = lines("@hello.done arguments=2\nexit code=0");
        assert_eq!(judge(End::Code(0), &done, ""), Outcome::Boots);
        let refused = lines("kernel: cannot boot: no NX\nexit code=2");
        assert!(matches!(
            judge(End::Code(2), &refused, ""),
            Outcome::Refused(_)
        ));
        for (end, said) in [
            (End::NoExitLine, ""),
            (End::Code(0), "exit code=0"),
            (End::Code(2), "exit code=2"),
            (End::Silent, "kernel: cannot boot: no NX"),
            (End::Code(101), "@kernel.panic cpu~0\nkernel panic: x"),
        ] {
            assert!(
                matches!(judge(end, &lines(said), ""), Outcome::Failed(_)),
                "{said}"
            );
        }
    }
}
