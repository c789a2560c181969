//! Amazon's own tool against the cloud on this machine: one launch that ends well, and each thing that can go wrong.
//!
//! The tool is `awscli` from PyPI. So that it does not start anew for each of some hundred calls, its command line is called inside one
//! process: the same code reads the same arguments and answers. The guest is a stand-in here that writes a serial log; a real one boots
//! in `cargo xtask cloudboot --provider aws --endpoint local`.

mod rig;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result, ensure};
use cloud_launch::aws::Aws;
use cloud_launch::{Cloud as _, Launched, Scope, launch, sweep};
use cloud_local::{BUCKET, Bus, FAULTS, Fault, KEY, REGION, SECRET, Server, Setup, Shape, TOKEN};
use rig::{Booted, GOOD, Mortal, Stand, Warm, judge, noise, patience};

/// Calls the tool's command line, once for each line.
const LOOP: &str = "
import contextlib, io, json, sys
from awscli.clidriver import create_clidriver
answers = sys.stdout
driver = create_clidriver()
for line in sys.stdin:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = driver.main(json.loads(line))
        except SystemExit as end:
            code = end.code
    print(json.dumps({'code': code, 'out': out.getvalue(), 'err': err.getvalue()}), file=answers, flush=True)
";

/// The tool, towards the server at `url`.
fn warm(python: &Path, url: &str, token: &str) -> Result<Warm> {
    Warm::start(
        Command::new(python)
            .args(["-c", LOOP])
            .env("AWS_ENDPOINT_URL", url)
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_SESSION_TOKEN", token)
            .env("AWS_DEFAULT_REGION", REGION)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env_remove("AWS_PROFILE"),
    )
}

/// A Python that has the tool's code: of the folder that xtask makes, or the one in the search path.
fn python() -> Option<PathBuf> {
    let tools = std::env::var_os("CAPOS_CLI").map(PathBuf::from);
    let tools =
        tools.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../target/cli"));
    let own = tools.join("aws/bin/python");
    [own, "python3".into()].into_iter().find(|python| {
        Command::new(python)
            .args(["-c", "import awscli"])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}

/// Whether something is missing here. Unattended nothing may be.
fn lacks() -> bool {
    let lacks = match python() {
        None => Some("awscli (python3 -m pip install awscli)"),
        Some(_) if Command::new("qemu-img").arg("--version").output().is_err() => {
            Some("qemu-img (Debian: qemu-utils)")
        }
        Some(_) => None,
    };
    if let Some(what) = lacks {
        assert!(std::env::var_os("CI").is_none(), "untested: no {what}");
        eprintln!("untested: no {what}");
    }
    lacks.is_some()
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

/// A cloud, and a package of a disk.
fn rig(fault: Option<Fault>, words: usize) -> Result<Rig> {
    let folder = tempfile::tempdir()?;
    let booted = Booted::default();
    let server = Server::start(Setup {
        machines: Box::new(Stand {
            booted: Arc::clone(&booted),
            shape: Shape {
                kind: "t3.small".to_owned(),
                is_uefi: true,
                bus: Bus::Nvme,
                nic: None,
            },
        }),
        fault,
        address: "127.0.0.1:0".parse()?,
        folder: folder.path().join("cloud"),
    })?;
    let raw = noise(words);
    let disk = folder.path().join("disk.raw");
    fs::write(&disk, &raw)?;
    let package = folder.path().join("disk.vmdk");
    let status = Command::new("qemu-img")
        .args([
            "convert",
            "-f",
            "raw",
            "-O",
            "vmdk",
            "-o",
            "subformat=streamOptimized",
        ])
        .args([&disk, &package])
        .status()?;
    ensure!(status.success(), "qemu-img: {status}");
    Ok(Rig {
        folder,
        booted,
        server,
        package,
        raw,
    })
}

impl Rig {
    fn cli(&self) -> Result<Warm> {
        warm(&python().context("no tool")?, &self.server.url(), TOKEN)
    }

    fn launch(&self, run: &str, seconds: u64) -> Result<Launched> {
        let cli = self.cli()?;
        let aws = Aws::new(&cli, run, BUCKET)?;
        Ok(launch(&aws, run, &self.package, &patience(seconds), &judge))
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
    assert!(launched.policy.len() > 10);
    assert!(launched.console.ends_with(GOOD), "{}", launched.console);
    let booted = rig.booted.lock().map_err(|_| anyhow::anyhow!("poisoned"))?;
    // A disk has whole grains of 64 KiB.
    assert!(booted.starts_with(&rig.raw));
    for kind in ["instance", "image", "snapshot", "security-group", "object"] {
        let count = launched
            .removed
            .iter()
            .filter(|left| left.kind == kind)
            .count();
        assert_eq!(count, 1, "{kind}: {:?}", launched.removed);
    }
    drop(rig.folder);
    Ok(())
}

/// A sentence for each fault, and whether everything was taken down all the same.
fn expected(name: &str) -> (&'static str, bool) {
    match name {
        "policy-public-address" => ("policy: public addresses is", true),
        "policy-profile" => ("policy: instance profile is", true),
        "policy-kind" => ("policy: instance type is", true),
        "policy-metadata" => ("policy: metadata service is", true),
        "policy-group" => ("policy: firewall group is", true),
        "policy-image" => ("policy: image is", true),
        "policy-ingress" => ("policy: firewall rules in is", true),
        "policy-kept-disk" => ("policy: disks that go with it is", true),
        "failed-delete" => ("left behind: snapshot snap-", false),
        "failed-terminate" => ("left behind: instance i-", false),
        "quota" => ("VcpuLimitExceeded", true),
        "slow" => ("the import takes longer than", true),
        "failed-import" => ("Unsupported partition table", true),
        "cut-serial" => ("missing: all is well", true),
        "expired-token" => ("ExpiredToken", false),
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
    for (name, fault) in FAULTS {
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
    let cli = warm(&python().context("no tool")?, &rig.server.url(), "another")?;
    let aws = Aws::new(&cli, "r", BUCKET)?;
    let launched = launch(&aws, "r", &rig.package, &patience(2), &judge);
    assert!(launched.identity.is_none() && !launched.is_pass());
    assert!(launched.failures.join("").contains("InvalidClientTokenId"));
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
    // A launch takes 14 calls up to its first look at the serial log.
    for calls in 1..16 {
        let mortal = Mortal {
            cli: &cli,
            left: Mutex::new(calls),
        };
        let run = format!("dies-{calls}");
        let aws = Aws::new(&mortal, &run, BUCKET)?;
        let launched = launch(&aws, &run, &rig.package, &patience(1), &judge);
        assert!(!launched.is_pass(), "{calls}: {launched:#?}");
        let after = Aws::new(&cli, "sweeper", BUCKET)?;
        let removed = sweep(&after, &Scope::All, &patience(5))?;
        most = most.max(removed.len());
        assert!(after.left(&Scope::All).all()?.is_empty());
    }
    assert!(most >= 5, "no launch got as far as an instance: {most}");
    Ok(())
}

#[test]
fn a_sweep_of_one_run_leaves_the_others() -> Result<()> {
    if lacks() {
        return Ok(());
    }
    let rig = rig(None, SHORT)?;
    let cli = rig.cli()?;
    for run in ["one", "two"] {
        let aws = Aws::new(&cli, run, BUCKET)?;
        aws.upload(&rig.package)?;
        let image = aws.image(&patience(5))?;
        aws.start(&image, &patience(5))?;
    }
    let aws = Aws::new(&cli, "sweeper", BUCKET)?;
    sweep(&aws, &Scope::Run("one".into()), &patience(5))?;
    assert!(aws.left(&Scope::Run("one".into())).all()?.is_empty());
    let left = aws.left(&Scope::Run("two".into())).all()?;
    assert!(left.iter().any(|left| left.kind == "instance"), "{left:?}");
    sweep(&aws, &Scope::All, &patience(5))?;
    assert!(aws.left(&Scope::All).all()?.is_empty());
    Ok(())
}
