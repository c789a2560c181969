//! `cargo xtask model`: a device model under the vendor's own driver, in another system's kernel.
//!
//! A model that only our own driver has seen may share its mistakes. Debian's cloud kernels bring the vendors' drivers: one of them
//! boots in QEMU beside the model, takes a lease, pings, transfers 16 MiB both ways and takes the driver out again. The other end of
//! the wire is QEMU's own network and this machine's TCP.
//!
//! Invariant: never passes where something is missing, and never where the model told a violation; it leaves nothing running.

mod fetch;
mod initrd;
mod judge;
mod peer;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use gve_format::QueueFormat;
use gve_model::{Datagrams, Fault, Gve, Shape};
use vfio_user::{Channel, Model, Server};

use crate::child::Guarded;
use crate::project::{Project, is_ci};
use crate::qemu::Accel;
use crate::setup::models;

/// Where the guest's devices are, and how much memory it has.
const MEMORY: &str = "512M";

/// A device that there is a model of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Device {
    /// Google's virtual NIC.
    Gve,
}

/// How queues look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    /// GQI with page lists.
    GqiQpl,
    /// DQO with addresses.
    DqoRda,
    /// DQO with page lists; bookworm's driver does not know it.
    DqoQpl,
}

impl Format {
    const fn queues(self) -> QueueFormat {
        match self {
            Self::GqiQpl => QueueFormat::GqiQpl,
            Self::DqoRda => QueueFormat::DqoRda,
            Self::DqoQpl => QueueFormat::DqoQpl,
        }
    }
}

/// What `cargo xtask model` takes.
#[derive(Args, Debug)]
pub struct ModelArgs {
    /// The model
    device: Device,
    /// The Debian release whose cloud kernel drives it
    #[arg(long, default_value = "bookworm", value_parser = ["bookworm", "trixie"])]
    release: String,
    /// Pairs of queues that the model offers
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4))]
    pairs: u16,
    /// How its queues look
    #[arg(long, value_enum, default_value_t = Format::GqiQpl)]
    format: Format,
    /// Something that the model does wrong, as `sequence=100`; nothing is judged then but that it happened
    #[arg(long = "fault", value_parser = fault)]
    faults: Vec<Fault>,
    /// Most seconds
    #[arg(long, default_value_t = 600)]
    seconds: u64,
}

/// What the gate boots: every format, each with an old and a new driver where both know it.
const GATE: [(&str, Format, u16); 5] = [
    ("bookworm", Format::GqiQpl, 1),
    ("bookworm", Format::DqoRda, 1),
    ("trixie", Format::GqiQpl, 2),
    ("trixie", Format::DqoRda, 2),
    ("trixie", Format::DqoQpl, 1),
];

/// Boots the vendor's driver on the models, as a long stage of the gate.
///
/// # Errors
///
/// One of them did not get through; with `CI=1` also where something is missing.
pub fn gate(project: &Project) -> Result<()> {
    for (release, format, pairs) in GATE {
        println!("-- model gve --release {release} --format {format:?} --pairs {pairs}");
        let args = ModelArgs {
            device: Device::Gve,
            release: release.to_owned(),
            pairs,
            format,
            faults: Vec::new(),
            seconds: 600,
        };
        let ended = run(project, &args)?;
        ensure!(
            ended == ExitCode::SUCCESS,
            "the driver of {release} did not get through on {format:?} queues"
        );
    }
    Ok(())
}

fn fault(text: &str) -> Result<Fault, String> {
    let parsed = Fault::parse(&text.replace('=', " "));
    parsed.ok_or_else(|| format!("no fault: {text}"))
}

/// Boots the oracle on the model, and judges.
///
/// # Errors
///
/// Something here fails, not in the guest or the model.
pub fn run(project: &Project, args: &ModelArgs) -> Result<ExitCode> {
    let Some(qemu) = models::with_device_models(project) else {
        return untested("no QEMU with vfio-user-pci; cargo xtask setup --device-models");
    };
    let oracle = match fetch::ensure(project, &args.release) {
        Ok(oracle) => oracle,
        Err(error) => return untested(&format!("no kernel of {}: {error:#}", args.release)),
    };
    let Device::Gve = args.device;
    let place = project
        .target
        .join("models")
        .join(format!("gve-{}", args.release));
    fs::create_dir_all(&place)?;
    let work = tempfile::tempdir().context("cannot make a folder for sockets")?;
    let peer = peer::Peer::start()?;
    let _bridge = peer::bridge(&qemu, work.path())?;
    let served = Served::start(work.path(), args)?;
    let initrd = work.path().join("initrd");
    fs::write(&initrd, initrd::make(&oracle)?)?;
    let serial = place.join("serial.log");
    let mut command = Command::new(&qemu);
    guest(&mut command, &oracle, &initrd, work.path(), &peer);
    command
        .stdin(Stdio::null())
        .stdout(File::create(&serial)?)
        .stderr(Stdio::inherit());
    let started = Instant::now();
    let mut guest = Guarded::spawn(&mut command)?;
    let ended = guest.wait_for(Duration::from_secs(args.seconds));
    drop(guest);
    let told = served.finish()?;
    fs::write(place.join("model.log"), told.join("\n"))?;
    let said = String::from_utf8_lossy(&fs::read(&serial)?).into_owned();
    let received = match said.contains("oracle.sent") {
        true => peer.received(),
        false => Vec::new(),
    };
    let seen = judge::Seen {
        said: &said,
        told: &told,
        received: &received,
        digest: peer.digest(),
        ended: ended.is_some(),
    };
    let wrong = match args.faults.is_empty() {
        true => judge::whole(&seen),
        false => judge::faulty(&seen, &args.faults),
    };
    println!(
        "model=gve oracle={} qemu={} seconds={} logs={}",
        oracle.name,
        models::version_of(&qemu)?,
        started.elapsed().as_secs(),
        project.show(&place)
    );
    Ok(verdict(&told, &wrong))
}

/// Says what there was and what is wrong with it.
fn verdict(told: &[String], wrong: &[String]) -> ExitCode {
    for line in told.iter().filter(|line| judge::is_worth_telling(line)) {
        println!("{line}");
    }
    for line in wrong {
        println!("wrong: {line}");
    }
    match wrong.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Says why nothing was shown; where nobody looks, that is a failure.
fn untested(why: &str) -> Result<ExitCode> {
    println!("untested: {why}");
    Ok(match is_ci() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// The machine that the oracle runs on.
fn guest(
    command: &mut Command,
    oracle: &fetch::Oracle,
    initrd: &Path,
    work: &Path,
    peer: &peer::Peer,
) {
    let memory = format!("memory-backend-memfd,id=mem,size={MEMORY},share=on");
    let socket = work.join("model");
    let device = format!(
        r#"{{"driver":"vfio-user-pci","addr":"5","socket":{{"path":"{}","type":"unix"}}}}"#,
        socket.display()
    );
    let line = format!(
        "console=ttyS0 loglevel=4 rdinit=/init oracle_down={} oracle_up={}",
        peer.down, peer.up
    );
    command
        .args(["-machine", "q35,memory-backend=mem", "-object", &memory])
        .args(["-m", MEMORY, "-smp", "2", "-accel", Accel::Tcg.name()])
        .args(["-cpu", "max", "-nodefaults", "-display", "none"])
        .args(["-serial", "stdio", "-no-reboot", "-device", &device])
        .arg("-kernel")
        .arg(&oracle.kernel)
        .arg("-initrd")
        .arg(initrd)
        .args(["-append", &line]);
}

/// The model in a thread of its own.
struct Served {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<String>>>,
}

impl Served {
    fn start(work: &Path, args: &ModelArgs) -> Result<Self> {
        let listener = UnixListener::bind(work.join("model"))?;
        listener.set_nonblocking(true)?;
        let port = Datagrams::new(&work.join("device"), &work.join("bridge"))?;
        let shape = Shape {
            pairs: args.pairs,
            format: args.format.queues(),
            faults: args.faults.clone(),
            ..Shape::default()
        };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || serve(&listener, shape, port, &stopped));
        Ok(Self { stop, thread })
    }

    /// Ends it; gives what it told.
    fn finish(self) -> Result<Vec<String>> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        ended.map_err(|_| anyhow::anyhow!("the model panicked"))?
    }
}

fn serve(
    listener: &UnixListener,
    shape: Shape,
    port: Datagrams,
    stop: &AtomicBool,
) -> Result<Vec<String>> {
    let socket = loop {
        match listener.accept() {
            Ok((socket, _)) => break socket,
            Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) if stop.load(Ordering::Relaxed) => return Ok(Vec::new()),
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    };
    socket.set_nonblocking(false)?;
    let mut told = Vec::new();
    let mut device = Gve::new(shape, port, |line| told.push(line));
    let mut server = Server::new(Channel::new(socket), device.describe());
    // QEMU ends without a farewell.
    let _ = server.run(&mut device, || !stop.load(Ordering::Relaxed));
    device.tell_counts();
    drop(device);
    Ok(told)
}
