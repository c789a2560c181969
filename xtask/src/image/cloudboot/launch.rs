//! Launches through a provider's own tool, on its cloud or on the stand-in for it on this machine.
//!
//! Invariant: one code for both. What differs is the tool's environment, and `provider.json` says which it was.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use cloud_launch::aws::{Aws, KIND};
use cloud_launch::{Heard, Launched, Scope, Waiter, launch, sweep};
use cloud_local::{FAULTS, Fault, Server, Setup};
use serde_json::{Value, json};

use super::machines::Nitro;
use super::tool::{Tool, local};
use super::{CloudbootArgs, MARK, Proof, WANTED, commit, described, judge, shows};
use crate::build::Flavour;
use crate::image::CLOUD_WORDS;
use crate::image::cloud::{self, Provider};
use crate::kvm;
use crate::package::Guest;
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
            self.provider == Provider::Aws,
            "launching on {name} through its tool is not built yet; with --local the package boots on this machine"
        );
        ensure!(
            self.proof() == Proof::None,
            "the interfaces of {name} have no driver here yet: the proofs are for gcp and generic, with --local"
        );
        if let Some(fault) = &self.fault {
            let known: Vec<&str> = FAULTS.iter().map(|(name, _)| *name).collect();
            ensure!(
                Fault::named(fault).is_some(),
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
            None if self.serve.is_none() => self.check_credentials(),
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

    fn fault(&self) -> Option<Fault> {
        Fault::named(self.fault.as_deref()?)
    }

    /// The folder for what is made and seen.
    fn folder(&self, project: &Project) -> Result<PathBuf> {
        Ok(match &self.out {
            Some(dir) => std::path::absolute(dir)?,
            None => project.target.join("cloudboot/aws-launch"),
        })
    }
}

/// A stand-in, whose guests boot in QEMU.
fn stand_in(args: &CloudbootArgs, project: &Project, dir: &Path, port: u16) -> Result<Server> {
    Server::start(Setup {
        machines: Box::new(Nitro {
            project: Project::load()?,
            accel: kvm::for_proof(project, args.accel)?,
            noted: dir.join("qemu.txt"),
        }),
        fault: args.fault(),
        address: ([127, 0, 0, 1], port).into(),
        folder: dir.join("cloud"),
    })
}

/// Where a launch goes: the tool in its environment, the bucket, and a stand-in where it brings one along.
struct Target {
    tool: Tool,
    bucket: String,
    is_local: bool,
    endpoint: Option<String>,
    _server: Option<Server>,
}

fn target(args: &CloudbootArgs, project: &Project, dir: &Path, consent: Consent) -> Result<Target> {
    let program = tools::aws(project, consent)?;
    let Some(endpoint) = args.endpoint.as_deref() else {
        let bucket = std::env::var("CAPOS_AWS_BUCKET").context("CAPOS_AWS_BUCKET")?;
        return Ok(Target {
            tool: Tool::aws_live(program),
            bucket,
            is_local: false,
            endpoint: None,
            _server: None,
        });
    };
    let (server, url) = match endpoint {
        LOCAL => {
            let server = stand_in(args, project, dir, 0)?;
            let url = server.url();
            (Some(server), url)
        }
        url => (None, url.to_owned()),
    };
    Ok(Target {
        tool: Tool::aws_local(program, &url),
        bucket: cloud_local::BUCKET.to_owned(),
        is_local: true,
        endpoint: Some(url),
        _server: server,
    })
}

/// Set by Ctrl-C: the launch ends at its next step, and takes down what it made.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
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
        pause: match target.is_local {
            true => LOCAL_PAUSE,
            false => LIVE_PAUSE,
        },
        stop: &stop,
    };
    let run = run_name()?;
    let cloud = Aws::new(&target.tool, &run, &target.bucket)?;
    if args.sweep {
        for one in sweep(&cloud, &Scope::All, &wait)? {
            println!("removed: {one}");
        }
        println!("nothing is left");
        return Ok(ExitCode::SUCCESS);
    }
    let files = packed(project, toolchain, args, &dir)?;
    let package = files.last().context("a package has a file")?;
    eprintln!("run {run}, by {version}");
    let launched = launch(&cloud, &run, package, &wait, &hear);
    fs::write(dir.join("serial.txt"), &launched.console)?;
    let mut record = record(&launched, package)?;
    let more = json!({
        "provider": args.provider.name(),
        "launched": if target.is_local { "local" } else { "cloud" },
        "endpoint": target.endpoint,
        "tool": version,
        "run": run,
        "fault": args.fault,
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
    if !target.is_local {
        return Ok(json!({ "kind": KIND }));
    }
    Ok(json!({
        "kind": KIND,
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
fn hear(console: &str) -> Heard {
    let mut serial = Serial::default();
    serial.feed(console.as_bytes());
    let judged = judge(&serial, End::Code(0), Proof::None, None);
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
        println!("{MARK}{line}");
    }
    for step in &launched.steps {
        eprintln!("{}: {:.1} s", step.name, step.seconds);
    }
    println!("{record}");
    if launched.is_pass() {
        return ExitCode::SUCCESS;
    }
    for failure in &launched.failures {
        eprintln!("failed: {failure}");
    }
    ExitCode::FAILURE
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
    for (name, value) in local(&server.url()) {
        println!("export {name}={value}");
    }
    eprintln!(
        "the bucket is {}; Ctrl-C ends it, and its instances",
        cloud_local::BUCKET
    );
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(server);
    Ok(ExitCode::SUCCESS)
}

/// The long gate's: one launch through the tool. Unattended it must be there.
///
/// # Errors
///
/// The launch did not pass.
pub fn gate(project: &Project, toolchain: &Toolchain) -> Result<()> {
    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: CloudbootArgs,
    }
    let consent = match is_ci() {
        true => Consent::Given,
        false => Consent::Open,
    };
    if let Err(error) = tools::aws(project, consent) {
        ensure!(!is_ci(), "{error:#}");
        println!("cloudboot: {error:#}");
        return Ok(());
    }
    let words = ["cloudboot", "--provider", "aws", "--endpoint", LOCAL];
    let args = Alone::parse_from(words).args;
    match run(project, toolchain, &args, consent)? == ExitCode::SUCCESS {
        true => Ok(()),
        false => bail!("the launch did not pass; provider.json says why"),
    }
}

#[cfg(test)]
mod tests {
    use super::hear;
    use cloud_launch::Heard;

    const GOOD: &str = "cloudboot-evidence: boot.loader name~\"x\" base_revision=2\r\n\
        cloudboot-evidence: boot.cpus online=2 listed=2\r\n\
        cloudboot-evidence: pci.scan buses=1 functions=4\r\n\
        cloudboot-evidence: dma.backend chosen=bounce reason=none\r\ncapos> ";

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
