//! Launches through a provider's own tool, on its cloud or on the stand-in for it on this machine.
//!
//! Invariant: one code for both. What differs is the tool's environment, and `provider.json` says which it was.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody reads, and nothing is taken down then"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use cloud_launch::aws::{self, Aws};
use cloud_launch::gcp::{self, Gcp, Place};
use cloud_launch::{Cloud, Heard, Launched, Scope, Waiter, launch, sweep};
use cloud_local::{FAULTS, Fault, GCE_FAULTS, Server, Setup};
use serde_json::{Value, json};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::machines::Shapes;
use super::tool::{Tool, check_goes_to_cloud, gcloud_environment, local};
use super::{CloudbootArgs, MARK, Proof, WANTED, commit, described, judge, shows};
use crate::build::Flavour;
use crate::image::CLOUD_WORDS;
use crate::image::cloud::{self, Provider};
use crate::kvm;
use crate::package::Guest;
use crate::printing;
use crate::project::{Project, is_ci};
use crate::qemu;
use crate::serial::Serial;
use crate::session::End;
use crate::setup::{Consent, tools};
use crate::toolchain::Toolchain;

/// The word for the stand-in that a launch brings along.
const LOCAL: &str = "local";
/// Between two questions, on a cloud and here.
const LIVE_PAUSE: Duration = Duration::from_secs(10);
const LOCAL_PAUSE: Duration = Duration::from_millis(500);

impl CloudbootArgs {
    /// What a launch needs, before anything is built.
    pub(super) fn check_launch(&self) -> Result<()> {
        let name = self.provider.name();
        ensure!(
            matches!(self.provider, Provider::Aws | Provider::Gcp),
            "launching on {name} through its tool is not built yet; with --local the package boots on this machine"
        );
        ensure!(
            self.proof() != Proof::Echo,
            "--require-private-icmp-proof needs a host beside the guest: it is for --local"
        );
        ensure!(
            self.proof() == Proof::None || self.provider == Provider::Gcp,
            "the interfaces of {name} have no driver here yet: the proofs are for gcp and generic"
        );
        if let Some(fault) = &self.fault {
            let known = self.faults();
            ensure!(
                known.contains(&fault.as_str()),
                "there is no fault {fault}; there are {}",
                known.join(", ")
            );
            let brings = self.endpoint.as_deref() == Some(LOCAL) || self.serve.is_some();
            ensure!(
                brings,
                "only the stand-in does wrong when it is told to: --endpoint local, or --serve"
            );
        }
        match self.endpoint.as_deref() {
            None if self.serve.is_none() => {
                check_goes_to_cloud(std::env::vars_os())?;
                self.check_credentials()
            }
            None | Some(LOCAL) => Ok(()),
            Some(url) => {
                let here = ["http://127.0.0.1:", "http://[::1]:", "http://localhost:"];
                ensure!(
                    here.iter().any(|start| url.starts_with(start)),
                    "{url} is not on this machine"
                );
                Ok(())
            }
        }
    }

    /// What the provider's stand-in can do wrong.
    fn faults(&self) -> Vec<&'static str> {
        let own: &[(&'static str, Fault)] = match self.provider {
            Provider::Gcp => &GCE_FAULTS,
            _ => &[],
        };
        FAULTS.iter().chain(own).map(|(name, _)| *name).collect()
    }

    fn fault(&self) -> Option<Fault> {
        Fault::named(self.fault.as_deref()?)
    }

    /// The folder for what is made and seen.
    fn folder(&self, project: &Project) -> Result<PathBuf> {
        Ok(match &self.out {
            Some(dir) => std::path::absolute(dir)?,
            None => {
                let name = format!("{}-launch", self.provider.name());
                project.target.join("cloudboot").join(name)
            }
        })
    }
}

/// A stand-in, whose guests boot in QEMU.
fn stand_in(args: &CloudbootArgs, project: &Project, dir: &Path, port: u16) -> Result<Server> {
    Server::start(Setup {
        machines: Box::new(Shapes {
            project: Project::load()?,
            accel: kvm::for_proof(project, args.accel)?,
            noted: dir.join("qemu.txt"),
        }),
        fault: args.fault(),
        address: ([127, 0, 0, 1], port).into(),
        folder: dir.join("cloud"),
    })
}

/// Where things are made.
enum Where {
    Aws { bucket: String },
    Gcp(Place),
}

/// Where a launch goes: the tool in its environment, the place, and a stand-in where it brings one along.
struct Target {
    tool: Tool,
    place: Where,
    endpoint: Option<String>,
    _server: Option<Server>,
}

impl Target {
    fn cloud(&self, run: &str) -> Result<Box<dyn Cloud + '_>> {
        Ok(match &self.place {
            Where::Aws { bucket } => Box::new(Aws::new(&self.tool, run, bucket)?),
            Where::Gcp(place) => Box::new(Gcp::new(&self.tool, run, place.clone())?),
        })
    }

    fn kind(&self) -> &'static str {
        match self.place {
            Where::Aws { .. } => aws::KIND,
            Where::Gcp(_) => gcp::KIND,
        }
    }
}

/// The provider's tool, where there is one.
fn program(project: &Project, provider: Provider, consent: Consent) -> Result<PathBuf> {
    match provider {
        Provider::Gcp => tools::gcloud(),
        _ => tools::aws(project, consent),
    }
}

fn target(args: &CloudbootArgs, project: &Project, dir: &Path, consent: Consent) -> Result<Target> {
    let program = program(project, args.provider, consent)?;
    let patience = Duration::from_secs(args.patience);
    let (server, url) = match args.endpoint.as_deref() {
        None => return live(args.provider, program, patience),
        Some(LOCAL) => {
            let server = stand_in(args, project, dir, 0)?;
            let url = server.url();
            (Some(server), url)
        }
        Some(url) => (None, url.to_owned()),
    };
    let (tool, place) = match args.provider {
        Provider::Gcp => {
            let place = Place {
                project: cloud_local::PROJECT.to_owned(),
                zone: cloud_local::ZONE.to_owned(),
                bucket: cloud_local::BUCKET.to_owned(),
            };
            let settings = dir.join("gcloud");
            let tool = Tool::gcloud_local(program, &url, &settings, patience)?;
            (tool, Where::Gcp(place))
        }
        _ => {
            let bucket = cloud_local::BUCKET.to_owned();
            (Tool::aws_local(program, &url), Where::Aws { bucket })
        }
    };
    Ok(Target {
        tool,
        place,
        endpoint: Some(url),
        _server: server,
    })
}

/// A launch on the cloud itself.
fn live(provider: Provider, program: PathBuf, patience: Duration) -> Result<Target> {
    let told = |name: &'static str| std::env::var(name).context(name);
    let (tool, place) = match provider {
        Provider::Gcp => {
            let place = Place {
                project: told("CAPOS_GCP_PROJECT")?,
                zone: told("CAPOS_GCP_ZONE")?,
                bucket: told("CAPOS_GCP_BUCKET")?,
            };
            (Tool::gcloud_live(program, patience), Where::Gcp(place))
        }
        _ => {
            let bucket = told("CAPOS_AWS_BUCKET")?;
            (Tool::aws_live(program), Where::Aws { bucket })
        }
    };
    Ok(Target {
        tool,
        place,
        endpoint: None,
        _server: None,
    })
}

/// Set by Ctrl-C, or with the session that is lost: the launch ends at its next step, and takes down what it made.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Under nohup a person wants it to go on.
        if signal == SIGHUP && is_ignored(SIGHUP) {
            continue;
        }
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}

/// Whether this process was started with a signal ignored, where the system tells.
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores(&status, signal)
}

/// The same, in what `/proc/PID/status` says (proc_pid_status(5), `SigIgn`: a mask whose lowest bit is signal 1).
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// A name that no other run has.
fn run_name() -> Result<String> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(format!("{:x}-{:x}", now.as_millis(), std::process::id()))
}

/// Serves, sweeps or launches.
pub fn run(
    project: &Project,
    toolchain: &Toolchain,
    args: &CloudbootArgs,
    consent: Consent,
) -> Result<ExitCode> {
    let dir = args.folder(project)?;
    fs::create_dir_all(&dir)?;
    let stop = stop_flag()?;
    if let Some(port) = args.serve {
        return serve(args, project, &dir, port, &stop);
    }
    let target = target(args, project, &dir, consent)?;
    let version = target.tool.version()?;
    let wait = Waiter {
        patience: Duration::from_secs(args.patience),
        pause: match target.endpoint {
            Some(_) => LOCAL_PAUSE,
            None => LIVE_PAUSE,
        },
        stop: &stop,
        tell: printing::note,
    };
    let run = run_name()?;
    let cloud = target.cloud(&run)?;
    let cloud = cloud.as_ref();
    if args.sweep {
        for one in sweep(cloud, &Scope::All, &wait)? {
            printing::say(&format!("removed: {one}"));
        }
        printing::say("nothing is left");
        return Ok(ExitCode::SUCCESS);
    }
    let files = packed(project, toolchain, args, &dir)?;
    let package = files.last().context("a package has a file")?;
    printing::note(&format!("run {run}, by {version}"));
    let launched = launch(cloud, &run, package, &wait, &|console| {
        hear(console, args.proof())
    });
    fs::write(dir.join("serial.txt"), &launched.console)?;
    let mut record = record(&launched, package)?;
    let more = json!({
        "provider": args.provider.name(),
        "launched": if target.endpoint.is_some() { "local" } else { "cloud" },
        "endpoint": target.endpoint,
        "tool": version,
        "run": run,
        "fault": args.fault,
        "proof": format!("{:?}", args.proof()).to_lowercase(),
        "system": {
            "manifest": args.system.manifest,
            "commit": commit(project),
            "toolchain": toolchain.story,
        },
        "machine": machine(&target, &dir)?,
    });
    if let (Value::Object(record), Value::Object(more)) = (&mut record, more) {
        record.extend(more);
    }
    let path = dir.join("provider.json");
    fs::write(&path, serde_json::to_string_pretty(&record)? + "\n")?;
    Ok(tell(&launched, &project.show(&path)))
}

/// Makes the package.
fn packed(
    project: &Project,
    toolchain: &Toolchain,
    args: &CloudbootArgs,
    dir: &Path,
) -> Result<Vec<PathBuf>> {
    let guest = Guest::build(
        project,
        toolchain,
        Flavour::Release,
        &[&args.system.manifest],
    )?;
    let contents = args.system.contents(&guest, CLOUD_WORDS)?;
    cloud::write(dir, args.provider, &contents)
}

/// What the instance ran on.
fn machine(target: &Target, dir: &Path) -> Result<Value> {
    let kind = target.kind();
    if target.endpoint.is_none() {
        return Ok(json!({ "kind": kind }));
    }
    Ok(json!({
        "kind": kind,
        "qemu": qemu::version()?,
        "command": fs::read_to_string(dir.join("qemu.txt")).ok().map(|text| text.trim().to_owned()),
    }))
}

/// What was launched and seen, for the record.
fn record(launched: &Launched, package: &Path) -> Result<Value> {
    let policy = launched
        .policy
        .iter()
        .map(|field| json!({ "field": field.field, "wanted": field.wanted, "found": field.found }));
    let steps = launched
        .steps
        .iter()
        .map(|step| json!({ "step": step.name, "seconds": step.seconds }));
    let removed = launched.removed.iter().map(ToString::to_string);
    Ok(json!({
        "package": [described(package)?],
        "image": launched.image,
        "instance": launched.instance,
        "policy": policy.collect::<Vec<_>>(),
        "steps": steps.collect::<Vec<_>>(),
        "evidence": evidence(&launched.console),
        "wanted": WANTED,
        "removed": removed.collect::<Vec<_>>(),
        "nothing_left": launched.is_swept,
        "failures": launched.failures,
        "passed": launched.is_pass(),
    }))
}

fn evidence(console: &str) -> Vec<String> {
    let mut serial = Serial::default();
    serial.feed(console.as_bytes());
    judge(&serial, End::Code(0), Proof::None, None).evidence
}

/// What a serial log says so far.
fn hear(console: &str, proof: Proof) -> Heard {
    let mut serial = Serial::default();
    serial.feed(console.as_bytes());
    let judged = judge(&serial, End::Code(0), proof, None);
    let panic = judged
        .evidence
        .iter()
        .find(|line| shows(line, "kernel.panic") || shows(line, "boot.refused"));
    if let Some(panic) = panic {
        return Heard::Failed(panic.clone());
    }
    if serial.is_lost() {
        return Heard::Failed("the guest says that it cannot boot (serial.txt)".to_owned());
    }
    let mut missing = judged.missing;
    if !serial.is_prompt_ready() {
        missing.push("missing: a prompt".to_owned());
    }
    match missing.is_empty() {
        true => Heard::Enough,
        false => Heard::Lacks(missing),
    }
}

/// Says what came of it.
fn tell(launched: &Launched, record: &str) -> ExitCode {
    for line in evidence(&launched.console) {
        printing::say(&format!("{MARK}{line}"));
    }
    for step in &launched.steps {
        printing::note(&format!("{}: {:.1} s", step.name, step.seconds));
    }
    printing::say(record);
    if launched.is_pass() {
        return ExitCode::SUCCESS;
    }
    for failure in &launched.failures {
        printing::note(&format!("failed: {failure}"));
    }
    ExitCode::FAILURE
}

/// A line that a shell takes, whatever the value holds: between single quotes only they mean anything (POSIX Shell Command Language,
/// 2.2.2).
fn export(name: &str, value: &str) -> String {
    format!("export {name}='{}'", value.replace('\'', r"'\''"))
}

/// The stand-in alone, until somebody wants its end.
fn serve(
    args: &CloudbootArgs,
    project: &Project,
    dir: &Path,
    port: u16,
    stop: &AtomicBool,
) -> Result<ExitCode> {
    let server = stand_in(args, project, dir, port)?;
    let url = server.url();
    let environment = match args.provider {
        Provider::Gcp => gcloud_environment(&url, &dir.join("gcloud"))?,
        _ => local(&url)
            .map(|(name, value)| (name, value.to_owned()))
            .to_vec(),
    };
    for (name, value) in environment {
        printing::say(&export(name, &value));
    }
    if args.provider == Provider::Gcp {
        printing::say(&export("CLOUDSDK_CORE_PROJECT", cloud_local::PROJECT));
        printing::say(&export("CLOUDSDK_COMPUTE_ZONE", cloud_local::ZONE));
    }
    printing::note(&format!(
        "the bucket is {}; Ctrl-C ends it, and its instances",
        cloud_local::BUCKET
    ));
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(server);
    Ok(ExitCode::SUCCESS)
}

/// The long gate's: a launch through each tool. Unattended Amazon's must be there; Google's is in no registry, and its absence is said.
///
/// # Errors
///
/// A launch did not pass.
pub fn gate(project: &Project, toolchain: &Toolchain) -> Result<()> {
    let consent = match is_ci() {
        true => Consent::Given,
        false => Consent::Open,
    };
    match tools::aws(project, consent) {
        Ok(_) => launch_alone(project, toolchain, consent, &["aws"])?,
        Err(error) => {
            ensure!(!is_ci(), "{error:#}");
            printing::say(&format!("cloudboot: {error:#}"));
        }
    }
    match tools::gcloud() {
        Ok(_) => {
            let words = ["gcp", "--require-provider-nic-proof"];
            launch_alone(project, toolchain, consent, &words)
        }
        Err(error) => {
            printing::say(&format!("cloudboot: {error:#}"));
            Ok(())
        }
    }
}

/// A launch on the stand-in of the provider that comes first.
fn launch_alone(
    project: &Project,
    toolchain: &Toolchain,
    consent: Consent,
    more: &[&str],
) -> Result<()> {
    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: CloudbootArgs,
    }
    let words = ["cloudboot", "--endpoint", LOCAL, "--provider"];
    let args = Alone::parse_from(words.iter().chain(more)).args;
    match run(project, toolchain, &args, consent)? == ExitCode::SUCCESS {
        true => Ok(()),
        false => bail!(
            "the launch on {} did not pass; provider.json says why",
            args.provider.name()
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::{SIGHUP, export, hear as of_proof, ignores, is_ignored, stop_flag};
    use crate::image::cloudboot::Proof;
    use cloud_launch::Heard;

    const GOOD: &str = "cloudboot-evidence: boot.loader name~\"x\" base_revision=2\r\n\
        cloudboot-evidence: boot.cpus online=2 listed=2\r\n\
        cloudboot-evidence: pci.scan buses=1 functions=4\r\n\
        cloudboot-evidence: dma.backend chosen=bounce reason=none\r\ncapos> ";

    fn hear(console: &str) -> Heard {
        of_proof(console, Proof::None)
    }

    #[test]
    fn the_proof_of_an_interface_is_waited_for() {
        let bound = "cloudboot-evidence: provider-nic-bound function=\"0000:00:04.0\"\r\n";
        let heard = |text: &str| of_proof(text, Proof::Bound);
        assert!(matches!(heard(GOOD), Heard::Lacks(_)));
        assert_eq!(heard(&format!("{bound}{GOOD}")), Heard::Enough);
        assert!(matches!(
            heard(&format!("{bound}{bound}{GOOD}")),
            Heard::Lacks(_)
        ));
    }

    #[test]
    fn a_session_that_is_lost_ends_a_launch_in_order() {
        // The tests themselves may run under nohup.
        let is_ignored = is_ignored(SIGHUP);
        let stop = stop_flag().unwrap();
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGHUP).unwrap();
        assert_eq!(stop.load(Ordering::Relaxed), !is_ignored);
    }

    #[test]
    fn a_shell_gets_what_is_exported_as_it_is() {
        for value in ["", "/a b/$HOME", "it's", "'", "`id`;\n\\\"*"] {
            let script = format!("{}; printf %s \"$NAME\"", export("NAME", value));
            let mut shell = std::process::Command::new("sh");
            let out = shell.args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&out.stdout), value);
        }
    }

    #[test]
    fn nohup_is_told_by_the_mask() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, SIGHUP));
        assert!(!ignores(status, 2) && ignores(status, 13));
        assert!(!ignores("", SIGHUP));
    }

    #[test]
    fn a_log_that_is_cut_is_not_enough_and_a_panic_is_the_end() {
        assert_eq!(hear(GOOD), Heard::Enough);
        for cut in 0..GOOD.len() {
            let part = GOOD.get(..cut).unwrap_or_default();
            assert!(matches!(hear(part), Heard::Lacks(_)), "{part:?}");
        }
        let panic = format!("{GOOD}\r\ncloudboot-evidence: kernel.panic at=\"x\"\r\n");
        assert!(matches!(hear(&panic), Heard::Failed(_)));
    }
}
