//! `cargo xtask cloudboot`: boots a cloud's package, checks its evidence, and writes down what was seen.
//!
//! Invariant: never calls a local boot a launch on a cloud: `provider.json` says which it was.

pub mod launch;
mod machines;
mod tool;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::build::Flavour;
use crate::image::cloud::{self, Provider};
use crate::image::probe;
use crate::image::{CLOUD_WORDS, SystemArgs};
use crate::kvm;
use crate::package::Guest;
use crate::project::Project;
use crate::qemu::{self, Accel, Drive, FirmwareKind, Machine, Medium};
use crate::serial::{Serial, without_prompt};
use crate::session::{Echo, End, Session, Waited};
use crate::setup::Consent;
use crate::smoke::pattern::{self, CLOUD_MARK as MARK};
use crate::toolchain::Toolchain;

/// How long a boot and its end may take.
const PATIENCE: Duration = Duration::from_secs(300);
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
    #[arg(long, conflicts_with_all = ["endpoint", "sweep", "serve", "fault"])]
    local: bool,
    /// Launch through the provider's own tool, not on its cloud but on a stand-in: `local` brings one along, a URL is one that runs
    #[arg(long, value_name = "local|URL", conflicts_with = "serve")]
    endpoint: Option<String>,
    /// Launch nothing: remove all that runs before this one left behind
    #[arg(long, conflicts_with = "serve")]
    sweep: bool,
    /// Launch nothing: run the stand-in at this port until Ctrl-C, and print the environment that leads the tool to it
    #[arg(long, value_name = "PORT")]
    serve: Option<u16>,
    /// What the stand-in does wrong
    #[arg(long)]
    fault: Option<String>,
    /// The most seconds that one step of a launch may take
    #[arg(long, default_value_t = 1800)]
    patience: u64,
    /// Attach an interface, and fail unless the kernel says exactly once that a provider's frames went both ways
    #[arg(long)]
    require_provider_nic_proof: bool,
    /// The same, with Linux beside the guest, who must see its echoes over IPv4 and IPv6 answered, and get the page
    #[arg(long)]
    require_private_icmp_proof: bool,
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
        match self.local {
            true => self.check_local(),
            false => self.check_launch(),
        }
    }

    /// What a launch on a cloud needs to be told.
    fn check_credentials(&self) -> Result<()> {
        let missing: Vec<String> = credentials(self.provider)
            .iter()
            .filter(|(variable, _)| std::env::var_os(variable).is_none_or(|value| value.is_empty()))
            .map(|(variable, what)| format!("{variable} ({what})"))
            .collect();
        ensure!(
            missing.is_empty(),
            "a launch on {} lacks: {}; with --endpoint local it goes to a stand-in on this machine",
            self.provider.name(),
            missing.join(", ")
        );
        Ok(())
    }
}

impl CloudbootArgs {
    /// What a local boot needs, before anything is built.
    fn check_local(&self) -> Result<()> {
        if self.proof() != Proof::None {
            let name = self.provider.name();
            ensure!(
                matches!(self.provider, Provider::Gcp | Provider::Generic),
                "the interfaces of {name} have no driver here yet: the proofs are for gcp and generic"
            );
        }
        if self.proof() == Proof::Echo {
            let lacking = probe::NAMESPACE.lacks();
            ensure!(
                lacking.is_none(),
                "untested: --require-private-icmp-proof needs a network of its own, and there is {}",
                lacking.unwrap_or_default()
            );
        }
        self.system.loader.check_installed()
    }

    fn proof(&self) -> Proof {
        match (
            self.require_private_icmp_proof,
            self.require_provider_nic_proof,
        ) {
            (true, _) => Proof::Echo,
            (false, true) => Proof::Bound,
            (false, false) => Proof::None,
        }
    }
}

/// What must be shown of the network.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Proof {
    None,
    /// That the interface is bound.
    Bound,
    /// That, and what a host beside it sees.
    Echo,
}

/// What the kernel alone says, once.
const BOUND: &str = "provider-nic-bound";

/// What a launch needs to be told, by environment variable.
fn credentials(provider: Provider) -> &'static [(&'static str, &'static str)] {
    match provider {
        Provider::Gcp => &[
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

/// Launches, or boots on this machine.
pub fn run(
    project: &Project,
    toolchain: &Toolchain,
    args: &CloudbootArgs,
    consent: Consent,
) -> Result<ExitCode> {
    match args.local {
        true => run_local(project, toolchain, args),
        false => launch::run(project, toolchain, args, consent),
    }
}

/// Packages, unpacks, boots, and judges.
fn run_local(project: &Project, toolchain: &Toolchain, args: &CloudbootArgs) -> Result<ExitCode> {
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
    let mut command = machine.command(project)?;
    if args.proof() == Proof::Echo {
        let _ = fs::remove_file(dir.join("go"));
        command = probe::NAMESPACE.enter(command, &dir);
    }
    let told = format!("{command:?}");
    let heard = boot(command, &dir, args.proof())?;
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
        "proof": format!("{:?}", args.proof()).to_lowercase(),
        "probe": heard.probe,
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
    for what in &judged.missing {
        eprintln!("{what}");
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
    /// What Linux saw, where it was asked.
    probe: Option<String>,
}

/// Boots, waits for the evidence and the prompt, and ends the guest there. Its serial output goes into `dir`.
fn boot(command: Command, dir: &Path, proof: Proof) -> Result<Booted> {
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
    let probe = prove(&mut session, dir, proof, deadline)?;
    if ready == Waited::Seen && session.serial().is_prompt_ready() {
        session.answer_prompt("halt 0", deadline)?;
    }
    let (end, transcript) = session.finish(deadline);
    fs::write(
        dir.join("serial.txt"),
        transcript.serial.lines().join("\n") + "\n",
    )?;
    Ok(Booted {
        judged: judge(&transcript.serial, end, proof, probe.as_deref()),
        end,
        evidence_s: (first == Waited::Seen).then_some(evidence_s),
        prompt_s: (ready == Waited::Seen).then_some(prompt_s),
        probe,
    })
}

/// Waits for what the proof is about; where it does not come, what is missing says so. Gives what Linux saw.
fn prove(
    session: &mut Session,
    dir: &Path,
    proof: Proof,
    deadline: Instant,
) -> Result<Option<String>> {
    let awaited = match proof {
        Proof::None => return Ok(None),
        Proof::Bound => format!("@{BOUND}"),
        Proof::Echo => probe::READY.to_owned(),
    };
    let waited = session.wait(deadline, |serial| {
        serial
            .lines()
            .iter()
            .any(|line| pattern::shows(line, &awaited))
    });
    if waited != Waited::Seen || proof == Proof::Bound {
        return Ok(None);
    }
    probe::ask(dir)?;
    // The guest's output is read on; one that has ended answers nobody.
    while Instant::now() < deadline && session.idle(Duration::from_millis(200)) != Waited::Ended {
        if let Some(said) = probe::said(dir)? {
            return Ok(Some(said));
        }
    }
    Ok(None)
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
        extra: interface(args),
    })
}

/// The interface of the proofs.
fn interface(args: &CloudbootArgs) -> Vec<OsString> {
    let netdev = match args.proof() {
        Proof::None => return Vec::new(),
        Proof::Bound => "user,id=n0",
        Proof::Echo => probe::NETDEV,
    };
    ["-netdev", netdev, "-device", probe::LEGACY_NIC]
        .map(OsString::from)
        .to_vec()
}

/// What the serial console showed.
struct Judged {
    evidence: Vec<String>,
    /// What should have been seen and was not, in sentences.
    missing: Vec<String>,
    ended_well: bool,
}

impl Judged {
    fn is_pass(&self) -> bool {
        self.missing.is_empty() && self.ended_well
    }
}

fn judge(serial: &Serial, end: End, proof: Proof, probe: Option<&str>) -> Judged {
    let evidence: Vec<String> = serial
        .lines()
        .iter()
        .filter_map(|line| {
            Some(
                without_prompt(line)
                    .strip_prefix(MARK)?
                    .trim_end()
                    .to_owned(),
            )
        })
        .collect();
    let mut missing: Vec<String> = WANTED
        .into_iter()
        .filter(|wanted| !evidence.iter().any(|line| shows(line, wanted)))
        .map(|wanted| format!("missing: {MARK}{wanted}"))
        .collect();
    if proof != Proof::None {
        // What a process says begins with its name.
        let bound = evidence.iter().filter(|line| shows(line, BOUND)).count();
        match bound {
            1 => {}
            0 => missing.push(format!("missing: {MARK}{BOUND}")),
            _ => missing.push(format!("{bound} times instead of once: {MARK}{BOUND}")),
        }
    }
    if proof == Proof::Echo {
        let judged = probe.map(probe::judge);
        match judged {
            None => missing.push("the probe saw nothing: the guest got no addresses, or ended before (serial.txt, probe)".to_owned()),
            Some(judged) => missing.extend(judged.err().map(|error| error.to_string())),
        }
    }
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
    use super::{Proof, judge, shows};
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
        judge(&serial, end, Proof::None, None)
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
        assert_eq!(judged.missing, ["missing: cloudboot-evidence: dma.backend"]);
        assert!(!shows(
            "boot.loader base_revision=3",
            "boot.loader base_revision=2"
        ));
    }

    #[test]
    fn a_proof_needs_the_kernel_s_word_once() {
        let judged = |more: &str| {
            let mut serial = Serial::default();
            serial.feed(format!("{more}{GOOD}").as_bytes());
            judge(&serial, End::Code(0), Proof::Bound, None)
        };
        let bound = "cloudboot-evidence: provider-nic-bound function=\"0000:00:04.0\"\n";
        assert!(judged(bound).is_pass());
        assert!(!judged("").is_pass());
        assert!(!judged(&format!("{bound}{bound}")).is_pass());
        // A program's word, or one in the middle of a line, counts for nothing.
        for other in [
            "cloudboot-evidence: by=shell provider-nic-bound\n",
            "hello cloudboot-evidence: provider-nic-bound\n",
        ] {
            assert!(!judged(other).is_pass());
            assert!(judged(&format!("{other}{bound}")).is_pass());
        }
    }

    #[test]
    fn the_echo_proof_needs_what_linux_saw() {
        let mut serial = Serial::default();
        serial.feed(
            format!("cloudboot-evidence: provider-nic-bound function=\"0000:00:04.0\"\n{GOOD}")
                .as_bytes(),
        );
        let judged = judge(&serial, End::Code(0), Proof::Echo, None);
        assert_eq!(
            judged.missing,
            [
                "the probe saw nothing: the guest got no addresses, or ended before (serial.txt, probe)"
            ]
        );
        let judged = judge(&serial, End::Code(0), Proof::Echo, Some("done\n"));
        assert!(!judged.is_pass());
    }
}
