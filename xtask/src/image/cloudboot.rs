//! `cargo xtask cloudboot`: boots a cloud's package, checks its evidence, and writes down what was seen.
//!
//! Invariant: never calls a local boot a launch on a cloud: `provider.json` says which it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::build::Flavour;
use crate::image::cloud::{self, Provider};
use crate::image::{CLOUD_WORDS, SystemArgs};
use crate::kvm;
use crate::package::Guest;
use crate::project::Project;
use crate::qemu::{self, Accel, Drive, FirmwareKind, Machine, Medium};
use crate::serial::Serial;
use crate::session::{Echo, End, Session, Waited};
use crate::smoke::pattern;
use crate::toolchain::Toolchain;

/// How long a boot and its end may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// What the kernel puts before a fact on a cloud.
const MARK: &str = "cloudboot-evidence: ";
/// Facts that must be there: who loaded the kernel, its CPUs, its functions on the bus, and how devices reach memory.
const WANTED: [&str; 4] = [
    "boot.loader base_revision=2",
    "boot.cpus",
    "pci.scan",
    "dma.backend",
];

/// What `cargo xtask cloudboot` takes.
#[derive(Args, Debug)]
pub struct CloudbootArgs {
    /// Whose package, and on which cloud
    #[arg(long, value_enum)]
    provider: Provider,
    /// Boot on this machine, on the closest shape QEMU has, instead of on the cloud
    #[arg(long)]
    local: bool,
    /// Which firmware boots it locally
    #[arg(long, value_enum, default_value = "uefi")]
    firmware: FirmwareKind,
    /// How QEMU executes the guest; without it, KVM where it works
    #[arg(long, value_enum)]
    accel: Option<Accel>,
    /// The folder for the package and what is seen; without it, one in the target folder
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    #[command(flatten)]
    system: SystemArgs,
}

impl CloudbootArgs {
    /// Refuses what cannot be done, before anything is built.
    pub fn check(&self) -> Result<()> {
        if self.local {
            return self.system.loader.check_installed();
        }
        let missing: Vec<String> = credentials(self.provider)
            .iter()
            .filter(|(variable, _)| std::env::var_os(variable).is_none_or(|value| value.is_empty()))
            .map(|(variable, what)| format!("{variable} ({what})"))
            .collect();
        let name = self.provider.name();
        ensure!(
            missing.is_empty(),
            "a launch on {name} lacks: {}; with --local the package boots on this machine",
            missing.join(", ")
        );
        bail!(
            "launching on {name} is not built yet; with --local the package boots on this machine"
        )
    }
}

/// What a launch needs to be told, by environment variable.
fn credentials(provider: Provider) -> &'static [(&'static str, &'static str)] {
    match provider {
        Provider::Gcp => &[
            ("GOOGLE_APPLICATION_CREDENTIALS", "a key file"),
            ("CAPOS_GCP_PROJECT", "the project to bill"),
            ("CAPOS_GCP_ZONE", "where to launch"),
            ("CAPOS_GCP_BUCKET", "where to upload"),
        ],
        Provider::Aws => &[
            ("AWS_ACCESS_KEY_ID", "the key's name"),
            ("AWS_SECRET_ACCESS_KEY", "the key"),
            ("AWS_REGION", "where to launch"),
            ("CAPOS_AWS_BUCKET", "where to upload"),
        ],
        Provider::Azure => &[
            ("AZURE_TENANT_ID", "the directory"),
            ("AZURE_CLIENT_ID", "who launches"),
            ("AZURE_CLIENT_SECRET", "the secret"),
            ("CAPOS_AZURE_GROUP", "the resource group"),
        ],
        Provider::Generic => &[("CAPOS_CLOUD", "which cloud; there is none called generic")],
    }
}

/// Packages, unpacks, boots, and judges.
pub fn run(project: &Project, toolchain: &Toolchain, args: &CloudbootArgs) -> Result<ExitCode> {
    let guest = Guest::build(
        project,
        toolchain,
        Flavour::Release,
        &[&args.system.manifest],
    )?;
    let contents = args.system.contents(&guest, CLOUD_WORDS)?;
    let name = args.provider.name();
    let dir = match &args.out {
        Some(dir) => std::path::absolute(dir)?,
        None => project.target.join("cloudboot").join(name),
    };
    let files = cloud::write(&dir, args.provider, &contents)?;
    let package = files.last().context("a package has a file")?;
    // What boots is what the package gives back, not what went in.
    let disk = dir.join("unpacked.raw");
    cloud::unpack(package, args.provider, &disk)?;

    let machine = shape(project, args, disk.clone(), &dir)?;
    let command = machine.command(project)?;
    let told = format!("{command:?}");
    let heard = boot(command, &dir)?;
    let judged = &heard.judged;
    let firmware = args.firmware.to_possible_value();
    let record = json!({
        "provider": name,
        "launched": "local",
        "package": files.iter().map(|file| described(file)).collect::<Result<Vec<_>>>()?,
        "unpacked": { "bytes": disk.metadata()?.len(), "sha256": cloud::sha256(&disk)? },
        "system": {
            "manifest": args.system.manifest,
            "commit": commit(project),
            "toolchain": toolchain.story,
        },
        "machine": {
            "qemu": qemu::version()?,
            "model": machine.model,
            "cpus": machine.smp,
            "memory": machine.memory,
            "accelerator": format!("{:?}", machine.accel).to_lowercase(),
            "firmware": firmware.map(|value| value.get_name().to_owned()),
            "command": told,
        },
        "seconds_to_evidence": heard.evidence_s,
        "seconds_to_prompt": heard.prompt_s,
        "evidence": judged.evidence,
        "wanted": WANTED,
        "missing": judged.missing,
        "end": format!("{:?}", heard.end),
        "passed": judged.is_pass(),
    });
    let path = dir.join("provider.json");
    fs::write(&path, serde_json::to_string_pretty(&record)? + "\n")?;
    fs::remove_file(&disk)?;
    Ok(tell(project, &dir, &path, &heard))
}

/// Says what came of it.
fn tell(project: &Project, dir: &Path, record: &Path, heard: &Booted) -> ExitCode {
    let judged = &heard.judged;
    for line in &judged.evidence {
        println!("{MARK}{line}");
    }
    println!("{}", project.show(record));
    if judged.is_pass() {
        return ExitCode::SUCCESS;
    }
    for fact in &judged.missing {
        eprintln!("missing: {MARK}{fact}");
    }
    eprintln!(
        "the guest ended with {:?}; see {}",
        heard.end,
        project.show(dir)
    );
    ExitCode::FAILURE
}

/// What one boot of a package said. A wait that came to its end without what it waited for has no time.
struct Booted {
    judged: Judged,
    end: End,
    evidence_s: Option<f64>,
    prompt_s: Option<f64>,
}

/// Boots, waits for the evidence and the prompt, and ends the guest there. Its serial output goes into `dir`.
fn boot(command: Command, dir: &Path) -> Result<Booted> {
    let start = Instant::now();
    let deadline = start + PATIENCE;
    let mut session = Session::start(command, Echo::Kept, std::io::stderr())?;
    let first = session.wait(deadline, |serial| {
        serial.lines().iter().any(|line| line.contains(MARK)) || serial.exit().is_some()
    });
    let evidence_s = start.elapsed().as_secs_f64();
    let ready = session.wait(deadline, |serial| {
        serial.is_prompt_ready() || serial.exit().is_some()
    });
    let prompt_s = start.elapsed().as_secs_f64();
    if ready == Waited::Seen && session.serial().is_prompt_ready() {
        session.answer_prompt("halt 0", deadline)?;
    }
    let (end, transcript) = session.finish(deadline);
    fs::write(
        dir.join("serial.txt"),
        transcript.serial.lines().join("\n") + "\n",
    )?;
    Ok(Booted {
        judged: judge(&transcript.serial, end),
        end,
        evidence_s: (first == Waited::Seen).then_some(evidence_s),
        prompt_s: (ready == Waited::Seen).then_some(prompt_s),
    })
}

/// A file of the package, as the record has it.
fn described(file: &Path) -> Result<serde_json::Value> {
    Ok(json!({
        "file": file.file_name().map(|name| name.to_string_lossy()),
        "bytes": file.metadata()?.len(),
        "sha256": cloud::sha256(file)?,
    }))
}

/// The commit the package was made of, with a mark for changes since; empty outside a repository.
fn commit(project: &Project) -> String {
    Command::new("git")
        .current_dir(&project.root)
        .args(["describe", "--always", "--dirty"])
        .output()
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default()
}

/// The closest machine and boot disk: Google's have the older chipset and a SCSI disk, Amazon's and the rest a newer one.
pub fn closest(provider: Provider) -> (&'static str, Drive) {
    match provider {
        Provider::Gcp => ("pc", Drive::Scsi),
        Provider::Aws | Provider::Azure | Provider::Generic => ("q35", Drive::Disk),
    }
}

/// The machine of a local boot.
fn shape(project: &Project, args: &CloudbootArgs, disk: PathBuf, work: &Path) -> Result<Machine> {
    let (model, drive) = closest(args.provider);
    let medium = Medium::new(disk, drive);
    Ok(Machine {
        model: model.to_owned(),
        smp: 2,
        memory: "2G".to_owned(),
        accel: kvm::for_proof(project, args.accel)?,
        firmware: args.firmware.boots(medium, work),
        disks: Vec::new(),
        gdb: false,
        reboots: false,
        extra: Vec::new(),
    })
}

/// What the serial console showed.
struct Judged {
    evidence: Vec<String>,
    missing: Vec<&'static str>,
    ended_well: bool,
}

impl Judged {
    fn is_pass(&self) -> bool {
        self.missing.is_empty() && self.ended_well
    }
}

fn judge(serial: &Serial, end: End) -> Judged {
    let evidence: Vec<String> = serial
        .lines()
        .iter()
        .filter_map(|line| Some(line.split_once(MARK)?.1.trim_end().to_owned()))
        .collect();
    let missing = WANTED
        .into_iter()
        .filter(|wanted| !evidence.iter().any(|line| shows(line, wanted)))
        .collect();
    Judged {
        evidence,
        missing,
        ended_well: end == End::Code(0),
    }
}

/// Whether a fact, without the mark in front of it, is one that is wanted.
fn shows(line: &str, wanted: &str) -> bool {
    pattern::shows(&format!("@{line}"), &format!("@{wanted}"))
}

#[cfg(test)]
mod tests {
    use super::{judge, shows};
    use crate::serial::Serial;
    use crate::session::End;

    const GOOD: &str = "cloudboot-evidence: boot.loader name~\"x\" base_revision=2\n\
        cloudboot-evidence: boot.cpus online=2 listed=2\n\
        noise\n\
        cloudboot-evidence: pci.scan buses=1 functions=4\n\
        cloudboot-evidence: dma.backend chosen=bounce reason=none\nexit code=0\n";

    fn judged(text: &str, end: End) -> super::Judged {
        let mut serial = Serial::default();
        serial.feed(text.as_bytes());
        judge(&serial, end)
    }

    #[test]
    fn all_evidence_and_a_good_end_are_a_pass() {
        let good = judged(GOOD, End::Code(0));
        assert!(good.is_pass());
        assert_eq!(good.evidence.len(), 4);
        assert!(!judged(GOOD, End::Code(1)).is_pass());
        assert!(!judged(GOOD, End::Silent).is_pass());
    }

    #[test]
    fn a_missing_fact_is_named_and_a_plain_fact_is_no_evidence() {
        let text = GOOD.replace("cloudboot-evidence: dma.backend", "@dma.backend");
        let judged = judged(&text, End::Code(0));
        assert_eq!(judged.missing, ["dma.backend"]);
        assert!(!shows(
            "boot.loader base_revision=3",
            "boot.loader base_revision=2"
        ));
    }
}
