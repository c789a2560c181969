//! Google's own tool against the cloud on this machine: one launch that ends well, and each thing that can go wrong.
//!
//! The tool is `gcloud` as its maker hands it out; there is none in a registry. So that it does not start anew for each of some
//! hundred calls, its command line is called inside one process, as its own `gcloud.py` does. The guest is a stand-in here that writes a serial
//! log; a real one boots in `cargo xtask cloudboot --provider gcp --endpoint local`.

mod rig;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use cloud_launch::gcp::{Gcp, Place};
use cloud_launch::{Cli as _, Cloud as _, Heard, Launched, Scope, launch, sweep};
use cloud_local::{
    BUCKET, Bus, FAULTS, Fault, GCE_FAULTS, Nic, PROJECT, Server, Setup, Shape, TOKEN, ZONE,
};
use rig::{Booted, GOOD, Mortal, Stand, Warm, judge, noise, patience};

/// Calls the tool's command line, once for each line. Its waiting for an operation has the end that the process has in xtask.
const LOOP: &str = "
import json, os, sys, tempfile
sys.path[:0] = [sys.argv[1], os.path.join(sys.argv[1], 'third_party')]
answers = os.fdopen(os.dup(1), 'w')
files = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]
os.dup2(files[0].fileno(), 1)
os.dup2(files[1].fileno(), 2)
from googlecloudsdk import gcloud_main
from googlecloudsdk.api_lib.compute import waiters
wait = waiters.WaitForOperations
waiters.WaitForOperations = lambda *all, **named: wait(*all, **{**named, 'timeout': 2})
cli = gcloud_main.CreateCLI([])
for line in sys.stdin:
    for file in files:
        file.seek(0)
        file.truncate()
    try:
        cli.Execute(json.loads(line))
        code = 0
    except SystemExit as end:
        code = end.code
    sys.stdout.flush()
    sys.stderr.flush()
    said = []
    for file in files:
        file.seek(0)
        said.append(file.read().decode())
    print(json.dumps({'code': code, 'out': said[0], 'err': said[1]}), file=answers, flush=True)
";

/// The tool's Python and its code, by the program in the search path.
fn tool() -> Option<(PathBuf, PathBuf)> {
    let path = std::env::var_os("PATH")?;
    let program = std::env::split_paths(&path)
        .map(|dir| dir.join("gcloud"))
        .find(|program| program.is_file())?;
    let root = program.canonicalize().ok()?.parent()?.parent()?.to_owned();
    let own = root.join("platform/bundledpythonunix/bin/python3");
    let python = match own.is_file() {
        true => own,
        false => "python3".into(),
    };
    let code = root.join("lib");
    code.join("gcloud.py").is_file().then_some((python, code))
}

/// Whether the tool is missing.
fn lacks() -> bool {
    let lacks = tool().is_none();
    // No registry has it, so that it may be missing unattended too.
    if lacks {
        eprintln!("untested: no gcloud (https://cloud.google.com/sdk/docs/install)");
    }
    lacks
}

struct Rig {
    folder: tempfile::TempDir,
    booted: Booted,
    server: Server,
    package: PathBuf,
    raw: Vec<u8>,
}

/// How many words of 8 bytes a disk has: the long one's package is longer than what the tool sends in one piece.
const LONG: usize = 10 << 17;
const SHORT: usize = 1 << 13;

/// Packs a disk that begins with `raw`, as `image cloud --provider gcp` does.
fn packed(folder: &Path, raw: &[u8], gib: u64, format: &str) -> Result<PathBuf> {
    let mut disk = File::create(folder.join("disk.raw"))?;
    disk.write_all(raw)?;
    disk.set_len(gib << 30)?;
    let package = folder.join(format!("{format}.tar.gz"));
    let status = Command::new("tar")
        .args(["--create", "--gzip", "--sparse", "--format", format])
        .arg("--file")
        .arg(&package)
        .arg("--directory")
        .arg(folder)
        .arg("disk.raw")
        .status()?;
    ensure!(status.success(), "tar: {status}");
    Ok(package)
}

fn rig(fault: Option<Fault>, words: usize) -> Result<Rig> {
    let folder = tempfile::tempdir()?;
    let booted = Booted::default();
    let server = Server::start(Setup {
        machines: Box::new(Stand {
            booted: Arc::clone(&booted),
            shape: Shape {
                kind: "e2-small".to_owned(),
                is_uefi: true,
                bus: Bus::Scsi,
                nic: Some(Nic::LegacyVirtio),
            },
        }),
        fault,
        address: "127.0.0.1:0".parse()?,
        folder: folder.path().join("cloud"),
    })?;
    let raw = noise(words);
    let package = packed(folder.path(), &raw, 1, "oldgnu")?;
    Ok(Rig {
        folder,
        booted,
        server,
        package,
        raw,
    })
}

fn place() -> Place {
    Place {
        project: PROJECT.to_owned(),
        zone: ZONE.to_owned(),
        bucket: BUCKET.to_owned(),
    }
}

/// The tool, towards the server at `url`, with its settings in a folder.
fn warm(settings: &Path, url: &str, token: &str) -> Result<Warm> {
    let (python, code) = tool().context("no tool")?;
    fs::create_dir_all(settings)?;
    let secret = settings.join("token");
    fs::write(&secret, token)?;
    Warm::start(
        Command::new(python)
            .args(["-S", "-c", LOOP])
            .arg(code)
            .env("CLOUDSDK_CONFIG", settings)
            .env("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", secret)
            .env(
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE",
                format!("{url}/compute/v1/"),
            )
            .env(
                "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE",
                format!("{url}/storage/v1/"),
            )
            .env("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false")
            .env("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "true")
            .env("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "true"),
    )
}

impl Rig {
    fn cli_with(&self, token: &str) -> Result<Warm> {
        let settings = self.folder.path().join("gcloud");
        warm(&settings, &self.server.url(), token)
    }

    fn cli(&self) -> Result<Warm> {
        self.cli_with(TOKEN)
    }

    fn launch(&self, run: &str, seconds: u64) -> Result<Launched> {
        let cli = self.cli()?;
        let gcp = Gcp::new(&cli, run, place())?;
        Ok(launch(&gcp, run, &self.package, &patience(seconds), &judge))
    }
}

#[test]
fn a_launch_boots_what_was_uploaded_and_leaves_nothing() -> Result<()> {
    if lacks() {
        return Ok(());
    }
    let rig = rig(None, LONG)?;
    let launched = rig.launch("good", 20)?;
    assert!(launched.is_pass(), "{launched:#?}");
    assert!(launched.policy.len() > 20);
    assert!(launched.console.contains(GOOD), "{}", launched.console);
    let booted = rig.booted.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
    assert!(booted.starts_with(&rig.raw));
    // A disk that goes with its instance is listed beside it, or not any more.
    for kind in [
        "instance",
        "image",
        "firewall-rule",
        "subnet",
        "network",
        "object",
    ] {
        let count = launched
            .removed
            .iter()
            .filter(|left| left.kind == kind)
            .count();
        assert_eq!(count, 1, "{kind}: {:?}", launched.removed);
    }
    Ok(())
}

/// A sentence for each fault, and whether everything was taken down all the same.
fn expected(name: &str) -> (&'static str, bool) {
    match name {
        "policy-public-address" => ("policy: external addresses is", true),
        "policy-profile" => ("policy: service accounts is", true),
        "policy-kind" => ("policy: machine type is", true),
        "policy-metadata" => ("policy: metadata is \"serial-port-enable\"", true),
        "policy-group" => ("policy: network is", true),
        "policy-image" => ("policy: image is", true),
        "policy-ingress" => ("policy: firewall rules that allow is", true),
        "policy-kept-disk" => ("policy: disks that go with it is", true),
        "policy-endless" => ("policy: seconds that it may run is", true),
        "failed-delete" => ("left behind: image capos-cloudboot-", false),
        "failed-terminate" => ("left behind: instance capos-cloudboot-", false),
        "quota" => ("Quota 'INSTANCES' exceeded", true),
        "slow" => ("Did not create the following resources within", true),
        "failed-import" => ("The tar archive is not a valid image", true),
        "cut-serial" => ("missing: all is well", true),
        "expired-token" => ("invalid authentication credentials", false),
        "short-object" => ("bytes arrived instead of", true),
        other => panic!("no sentence for {other}"),
    }
}

#[test]
#[ignore = "takes a minute; cargo xtask test --only launch runs it"]
fn each_fault_ends_badly_with_its_reason() -> Result<()> {
    if lacks() {
        return Ok(());
    }
    for (name, fault) in FAULTS.into_iter().chain(GCE_FAULTS) {
        let rig = rig(Some(fault), SHORT)?;
        let launched = rig.launch(name, 2)?;
        let (sentence, is_swept) = expected(name);
        assert!(!launched.is_pass(), "{name} passes");
        let told = launched.failures.join("\n");
        assert!(told.contains(sentence), "{name}: {told}");
        assert_eq!(launched.is_swept, is_swept, "{name}: {told}");
    }
    Ok(())
}

#[test]
fn another_token_is_not_let_in() -> Result<()> {
    if lacks() {
        return Ok(());
    }
    let rig = rig(None, SHORT)?;
    let cli = rig.cli_with("another")?;
    let gcp = Gcp::new(&cli, "r", place())?;
    let launched = launch(&gcp, "r", &rig.package, &patience(2), &judge);
    assert!(launched.identity.is_none() && !launched.is_pass());
    let told = launched.failures.join("");
    assert!(
        told.contains("invalid authentication credentials"),
        "{told}"
    );
    Ok(())
}

#[test]
#[ignore = "takes a minute; cargo xtask test --only launch runs it"]
fn whatever_step_the_harness_dies_at_a_sweep_finds_what_it_made() -> Result<()> {
    if lacks() {
        return Ok(());
    }
    let rig = rig(None, SHORT)?;
    let cli = rig.cli()?;
    let mut most = 0;
    // A launch takes 15 calls up to its first look at the serial log.
    for calls in 1..17 {
        let mortal = Mortal {
            cli: &cli,
            left: Mutex::new(calls),
        };
        let run = format!("dies-{calls}");
        let gcp = Gcp::new(&mortal, &run, place())?;
        let launched = launch(&gcp, &run, &rig.package, &patience(1), &judge);
        assert!(!launched.is_pass(), "{calls}: {launched:#?}");
        let after = Gcp::new(&cli, "sweeper", place())?;
        let removed = sweep(&after, &Scope::All, &patience(5))?;
        most = most.max(removed.len());
        assert!(after.left(&Scope::All).all()?.is_empty());
    }
    assert!(most >= 6, "no launch got as far as an instance: {most}");
    Ok(())
}

/// Where a launcher of its own finds the cloud, its settings and its package, one a line.
const LAUNCHER: &str = "CAPOS_TEST_LAUNCHER";

/// The launcher that the test below kills: by itself it is none.
#[test]
fn a_launcher_of_its_own() -> Result<()> {
    let Ok(told) = std::env::var(LAUNCHER) else {
        return Ok(());
    };
    let mut told = told.lines();
    let mut next = || told.next().context("nothing more is told");
    let (url, settings, package) = (next()?, next()?, next()?);
    let cli = warm(Path::new(settings), url, TOKEN)?;
    let gcp = Gcp::new(&cli, "killed", place())?;
    let never = |_: &str| Heard::Lacks(vec!["an end".into()]);
    launch(&gcp, "killed", Path::new(package), &patience(120), &never);
    Ok(())
}

#[test]
#[ignore = "takes a minute; cargo xtask test --only launch runs it"]
fn a_launcher_that_is_killed_leaves_what_a_sweep_finds() -> Result<()> {
    if lacks() {
        return Ok(());
    }
    let rig = rig(None, SHORT)?;
    let settings = rig.folder.path().join("launcher");
    let told = format!(
        "{}\n{}\n{}",
        rig.server.url(),
        settings.display(),
        rig.package.display()
    );
    let mut launcher = Command::new(std::env::current_exe()?)
        .args(["--exact", "a_launcher_of_its_own", "--nocapture"])
        .env(LAUNCHER, told)
        .spawn()?;
    let cli = rig.cli()?;
    let gcp = Gcp::new(&cli, "sweeper", place())?;
    let kinds = || -> Result<Vec<&str>> {
        let left = gcp.left(&Scope::Run("killed".into())).all()?;
        Ok(left.iter().map(|left| left.kind).collect())
    };
    let started = Instant::now();
    while !kinds()?.contains(&"instance") {
        let is_alive = launcher.try_wait()?.is_none();
        ensure!(
            is_alive && started.elapsed() < Duration::from_secs(100),
            "the launcher made no instance"
        );
    }
    // SIGKILL: nothing of the launcher's runs after it.
    launcher.kill()?;
    launcher.wait()?;
    let left = kinds()?;
    for kind in [
        "instance",
        "image",
        "firewall-rule",
        "subnet",
        "network",
        "object",
    ] {
        assert!(left.contains(&kind), "{kind}: {left:?}");
    }
    sweep(&gcp, &Scope::All, &patience(10))?;
    assert!(gcp.left(&Scope::All).all()?.is_empty());
    Ok(())
}

#[test]
fn a_sweep_of_one_run_leaves_the_others() -> Result<()> {
    if lacks() {
        return Ok(());
    }
    let rig = rig(None, SHORT)?;
    let cli = rig.cli()?;
    // The tool's own filter finds the second by the name of the first.
    for run in ["one", "one-two"] {
        let gcp = Gcp::new(&cli, run, place())?;
        gcp.upload(&rig.package)?;
        let image = gcp.image(&patience(5))?;
        gcp.start(&image, &patience(5))?;
    }
    let gcp = Gcp::new(&cli, "sweeper", place())?;
    sweep(&gcp, &Scope::Run("one".into()), &patience(5))?;
    assert!(gcp.left(&Scope::Run("one".into())).all()?.is_empty());
    let left = gcp.left(&Scope::Run("one-two".into())).all()?;
    assert!(left.iter().any(|left| left.kind == "instance"), "{left:?}");
    assert!(left.iter().any(|left| left.kind == "object"), "{left:?}");
    sweep(&gcp, &Scope::All, &patience(5))?;
    assert!(gcp.left(&Scope::All).all()?.is_empty());
    Ok(())
}

#[test]
fn what_is_no_image_of_theirs_is_refused_with_the_reason() -> Result<()> {
    if lacks() {
        return Ok(());
    }
    let rig = rig(None, SHORT)?;
    let cli = rig.cli()?;
    let of_another_format = packed(rig.folder.path(), &rig.raw, 1, "pax")?;
    let no_archive = rig.folder.path().join("noise");
    fs::write(&no_archive, &rig.raw)?;
    for package in [of_another_format, no_archive] {
        let gcp = Gcp::new(&cli, "r", place())?;
        let launched = launch(&gcp, "r", &package, &patience(5), &judge);
        let told = launched.failures.join("\n");
        assert!(told.contains("not a valid image"), "{told}");
        assert!(launched.is_swept && launched.instance.is_none());
    }
    Ok(())
}

#[test]
#[ignore = "takes a minute; cargo xtask test --only launch runs it"]
fn an_instance_that_nobody_takes_down_ends_when_its_time_is_over() -> Result<()> {
    if lacks() {
        return Ok(());
    }
    let rig = rig(None, SHORT)?;
    let cli = rig.cli()?;
    let gcp = Gcp::new(&cli, "forgotten", place())?;
    gcp.upload(&rig.package)?;
    let image = gcp.image(&patience(5))?;
    gcp.start(&image, &patience(5))?;
    gcp.remove(&instance("capos-cloudboot-forgotten"))?;
    // The same, with less time than a launch gives it.
    let name = "capos-cloudboot-forgotten";
    let words = format!(
        "compute instances create --quiet --format json --project {PROJECT} --zone {ZONE} --machine-type e2-small --image {image} \
         --boot-disk-size 10GB --boot-disk-type pd-standard --boot-disk-auto-delete --no-service-account --no-scopes \
         --network-interface subnet={name},no-address,nic-type=VIRTIO_NET,stack-type=IPV4_ONLY --no-restart-on-failure \
         --maintenance-policy TERMINATE --max-run-duration 30s --instance-termination-action DELETE {name}"
    );
    let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
    let said = cli.run(&words)?;
    assert!(said.is_good, "{}", said.err);
    let started = Instant::now();
    let is_there = || {
        let left = gcp.left(&Scope::All).all();
        left.map(|left| left.iter().any(|left| left.kind == "instance"))
    };
    assert!(is_there()?);
    while is_there()? {
        assert!(started.elapsed() < Duration::from_secs(40));
        std::thread::sleep(Duration::from_millis(500));
    }
    assert!(started.elapsed() > Duration::from_secs(25));
    sweep(&gcp, &Scope::All, &patience(5)).map(drop)
}

fn instance(name: &str) -> cloud_launch::Left {
    cloud_launch::Left {
        kind: "instance",
        id: name.to_owned(),
        more: String::new(),
    }
}
