//! `cargo xtask run`: boots to the shell, for a person at a terminal or for a script on standard input.
//!
//! Invariant: never returns with the terminal in raw mode or with a guest that still runs.

use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, ExitStatus};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::build::Flavour;
use crate::complaints::reason;
use crate::disk::{self, Disk, Linked, Writes};
use crate::image::Shape;
use crate::image::contents::{Contents, Loader};
use crate::kvm;
use crate::network;
use crate::package::{self, Guest};
use crate::project::Project;
use crate::qemu::{Accel, Drive, Firmware, FirmwareKind, Machine, Medium};
use crate::script::{self, Action};
use crate::serial::{Serial, process_code};
use crate::session::{Echo, End, SILENCE, Session, Waited};
use crate::setup::Needs;
use crate::stopped::{self, Start};
use crate::symbols::Explainer;
use crate::talk::talk;
use crate::toolchain::Toolchain;
use crate::volume;

/// A scripted line may keep the guest busy for this long. One that neither talks nor computes is given up long before.
const LINE_PATIENCE: Duration = Duration::from_secs(4 * 3600);
/// How long the guest may take to end once nothing more is typed.
const END_OF_GUEST: Duration = Duration::from_secs(600);
/// How often standard input is looked at while the guest talks.
const SCRIPT_PAUSE: Duration = Duration::from_millis(20);
/// A boot on KVM takes a moment; a guest that has not said a word after this time hangs there.
const FIRST_WORD_ON_KVM: Duration = Duration::from_secs(20);

/// What `cargo xtask run` takes.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// A disk image to attach as an NVMe disk (may be given again), as IMAGE or FORMAT:IMAGE; without one, a small demo disk
    #[arg(long, value_name = "IMAGE")]
    disk: Vec<PathBuf>,
    /// Also open the other files that a disk image names: a backing file, the parts of a split image
    #[arg(long, requires = "disk")]
    linked: bool,
    /// Attach no disk at all
    #[arg(long, conflicts_with = "disk")]
    no_disk: bool,
    /// The capOS volume that the guest may write, or none; without it one of the user's own, which is made where there is none
    #[arg(long, value_name = "PATH|none")]
    volume: Option<PathBuf>,
    /// Let writes reach the disk images
    #[arg(long, requires = "disk")]
    rw: bool,
    /// Attach no network
    #[arg(long)]
    no_network: bool,
    /// Let connections to a port of this machine (of 127.0.0.1 alone) reach a TCP port of the guest, as HOST:GUEST
    #[arg(long, value_name = "HOST:GUEST", value_parser = network::forward, conflicts_with = "no_network")]
    forward: Vec<network::Forward>,
    /// Number of CPUs
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    smp: u32,
    /// Memory, as QEMU writes it
    #[arg(long, short = 'm', default_value = "512M")]
    mem: String,
    /// QEMU's machine type
    #[arg(long, default_value = "q35")]
    machine: String,
    /// Wait for a debugger on port 1234
    #[arg(long)]
    gdb: bool,
    /// How QEMU executes the guest; without it, KVM where a guest is seen to run on it
    #[arg(long, value_enum)]
    accel: Option<Accel>,
    /// The system to boot, a file in manifests/ without its ending
    #[arg(long, default_value = "default")]
    manifest: String,
    /// Boot through UEFI firmware instead of directly
    #[arg(long)]
    uefi: bool,
    /// Boot from a medium that is made first, as `image` makes it
    #[arg(long, value_enum, conflicts_with = "uefi")]
    image: Option<Shape>,
    /// Which firmware boots the medium
    #[arg(long, value_enum, requires = "image", default_value = "uefi")]
    firmware: FirmwareKind,
    /// Which loader the medium carries
    #[arg(long, value_enum, requires = "image", default_value_t)]
    loader: Loader,
    /// More words for the kernel's command line
    #[arg(long, value_name = "WORDS", default_value = "")]
    append: String,
    /// Build the guest with debug assertions and without optimisation
    #[arg(long)]
    debug_guest: bool,
    /// Further arguments for QEMU
    #[arg(last = true)]
    extra: Vec<OsString>,
}

impl RunArgs {
    /// What the machine needs for this.
    pub fn needs(&self) -> Needs {
        if self.image.is_some() {
            Needs::Images
        } else {
            Needs::Guest
        }
    }
}

/// Builds, boots, and stays until the guest ends.
pub fn run(project: &Project, toolchain: &Toolchain, args: RunArgs) -> Result<ExitCode> {
    let interactive = std::io::stdin().is_terminal();
    // Wrong paths are reported before the build, not after.
    let disks = attached(project, &args)?;
    let start = stopped::start(args.gdb, &args.extra)?;
    args.loader.check_installed()?;
    let accel = kvm::for_person(project, args.accel)?;
    let flavour = if args.debug_guest {
        Flavour::Debug
    } else {
        Flavour::Release
    };
    let guest = Guest::build(project, toolchain, flavour, &[&args.manifest])?;
    let firmware = firmware(project, &guest, &args)?;
    let extra = extra(project, &args)?;
    let machine = Machine {
        model: args.machine,
        smp: args.smp,
        memory: args.mem,
        accel,
        firmware,
        disks,
        gdb: args.gdb,
        reboots: interactive,
        extra,
    };
    let command = machine.command(project)?;
    if let Some(line) = start.awaited() {
        eprintln!("{line}");
    }
    let explainer = Explainer::new(guest.symbols(&args.manifest)?);
    let patience = Patience::of(start, accel);
    let end = if interactive {
        talk(command, explainer, patience)?
    } else {
        script(command, explainer, patience)?
    };
    if let Some(code) = end.code {
        return Ok(code);
    }
    give_up(project, &end, accel)
}

/// QEMU's further arguments: the network, where the system serves one, and what was given.
fn extra(project: &Project, args: &RunArgs) -> Result<Vec<OsString>> {
    let mut extra = Vec::new();
    if !args.no_network && package::serves_network(project, &args.manifest)? {
        let mut forwards = args.forward.clone();
        if package::serves_page(project, &args.manifest)? {
            forwards.extend(network::for_page(&args.forward));
        }
        extra.extend(network::arguments(&forwards));
    }
    extra.extend(args.extra.iter().cloned());
    Ok(extra)
}

/// The disks of the guest: those that a person names, and the volume.
fn attached(project: &Project, args: &RunArgs) -> Result<Vec<Disk>> {
    let linked = if args.linked {
        Linked::Follow
    } else {
        Linked::Refuse
    };
    let writes = if args.rw {
        Writes::Kept
    } else {
        Writes::Dropped
    };
    let mut disks = if args.disk.is_empty() && !args.no_disk {
        vec![disk::demo(project)?]
    } else {
        args.disk
            .iter()
            .map(|name| Disk::named(name, writes, linked))
            .collect::<Result<_>>()?
    };
    package::place_surplus(project, &args.manifest, &mut disks)?;
    if args.volume.is_some() || package::serves_volume(project, &args.manifest)? {
        disks.extend(volume::chosen(project, args.volume.as_deref())?);
    }
    disk::check_apart(&disks)?;
    Ok(disks)
}

/// What the machine boots from.
fn firmware(project: &Project, guest: &Guest<'_>, args: &RunArgs) -> Result<Firmware> {
    let cmdline = format!("log=quiet {}", args.append).trim().to_owned();
    let work = project.target.join("run");
    if let Some(shape) = args.image {
        let contents = Contents::of(guest, &args.manifest, &cmdline, args.loader)?;
        let path = guest.output(&format!("run.{}", shape.ending()))?;
        shape.write(&path, &contents)?;
        let drive = match shape {
            Shape::Disk => Drive::Disk,
            Shape::Iso => Drive::Cd,
        };
        return Ok(args.firmware.boots(Medium::new(path, drive), &work));
    }
    Ok(if args.uefi {
        Firmware::Uefi {
            medium: Medium::new(
                guest.uefi_disk(&work, &args.manifest, &cmdline)?,
                Drive::Disk,
            ),
            work,
        }
    } else {
        Firmware::Direct {
            loader: guest.loader.clone(),
            archive: guest.archive(&args.manifest)?,
            cmdline,
        }
    })
}

/// Says why the guest ended without a code.
fn give_up(project: &Project, end: &Ended, accel: Accel) -> Result<ExitCode> {
    let gave_up = kvm::gave_up(&end.errors);
    if accel == Accel::Kvm && (gave_up || !end.spoke) {
        kvm::note_failure(project);
    }
    if gave_up {
        bail!(
            "KVM gave the guest up ({}); --accel tcg runs it without KVM",
            reason(&end.errors)
        );
    }
    let why = end.why(accel);
    match reason(&end.errors) {
        said if said.is_empty() => bail!(why),
        said => bail!("{why}\nQEMU says: {said}"),
    }
}

/// How a run came to its end.
pub struct Ended {
    /// What xtask ends with, if the guest or the person at the terminal ended it.
    pub code: Option<ExitCode>,
    /// How the guest ended.
    pub end: End,
    /// How QEMU ended, if it did so by itself.
    pub status: Option<ExitStatus>,
    /// What QEMU said on its standard error.
    pub errors: String,
    /// Whether the guest said anything.
    pub spoke: bool,
}

impl Ended {
    /// With a code of the guest's or of xtask's own.
    pub fn by_code(code: u8) -> Self {
        Self {
            code: Some(ExitCode::from(code)),
            end: End::Code(i64::from(code)),
            status: None,
            errors: String::new(),
            spoke: true,
        }
    }

    /// Why there is no code.
    fn why(&self, accel: Accel) -> String {
        let instead = match accel {
            Accel::Kvm => "; --accel tcg runs it without KVM",
            Accel::Tcg | Accel::TcgInTurn => "",
        };
        match self.end {
            End::Silent if accel == Accel::Kvm && !self.spoke => format!(
                "the guest has not said a word within {} s on KVM, which seems to hang under it{instead}; \
                 until this host boots anew, `run` takes TCG unless told otherwise",
                FIRST_WORD_ON_KVM.as_secs()
            ),
            End::Silent => format!("the guest has said nothing for a minute{instead}"),
            End::Late => "the guest did not end".to_owned(),
            End::Code(_) | End::NoExitLine => no_exit_line(self),
        }
    }
}

/// How long a guest may be silent that has not said a word yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// As later, too.
    Usual,
    /// For [`FIRST_WORD_ON_KVM`]. A virtual CPU that hangs in KVM computes, too.
    Short,
    /// For as long as nobody lets it go on in a debugger.
    Endless,
}

impl Patience {
    fn of(start: Start, accel: Accel) -> Self {
        match accel {
            _ if start != Start::AtOnce => Self::Endless,
            Accel::Kvm => Self::Short,
            Accel::Tcg | Accel::TcgInTurn => Self::Usual,
        }
    }

    /// Whether a guest hangs that has not said a word for `time`.
    pub fn is_over(self, time: Duration) -> bool {
        self == Self::Short && time >= FIRST_WORD_ON_KVM
    }

    /// How long it may be silent later, if it does not compute.
    fn later(self) -> Duration {
        match self {
            Self::Usual | Self::Short => SILENCE,
            Self::Endless => LINE_PATIENCE,
        }
    }

    fn apply(self, session: &mut Session) {
        match self {
            Self::Usual => session.bear_busy_silence(),
            Self::Short => session.set_silence(FIRST_WORD_ON_KVM),
            Self::Endless => session.set_silence(LINE_PATIENCE),
        }
    }
}

/// The lines of standard input, as they come.
fn lines_of_input() -> Receiver<std::io::Result<Vec<u8>>> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().split(b'\n') {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// Types the lines of standard input, one prompt at a time.
fn script(command: Command, mut explainer: Explainer, patience: Patience) -> Result<Ended> {
    let mut session = Session::start(command, Echo::Shown, std::io::stderr())?;
    patience.apply(&mut session);
    let lines = lines_of_input();
    let mut number = 0_u64;
    // Where in the guest's lines `wait` begins to look: after the last one that was typed.
    let mut from = 0;
    loop {
        explain(&mut explainer, session.serial(), &mut std::io::stderr())?;
        // Whoever writes the script may be waiting for what the guest says, so that is shown meanwhile.
        let waited = match lines.try_recv() {
            Ok(line) => {
                let line = line.context("cannot read standard input")?;
                let line = line.strip_suffix(b"\r").unwrap_or(&line);
                number += 1;
                if std::str::from_utf8(line).is_err() {
                    eprintln!(
                        "warning: line {number} of standard input is not UTF-8; the shell leaves out what is no text"
                    );
                }
                match script::action(line, number)? {
                    Action::Sleep(time) => sleep(&mut session, time),
                    Action::Wait(text) => hear(&mut session, text, from, number),
                    Action::Type => {
                        let deadline = Instant::now() + LINE_PATIENCE;
                        let waited = session.wait(deadline, Serial::is_prompt_ready);
                        // The line of the prompt ends with the echo of what is typed, which is nothing that the guest says.
                        from = session.serial().lines().len() + 1;
                        match waited {
                            Waited::Seen => {
                                session.bear_busy_silence();
                                session.set_silence(patience.later());
                                session.answer_prompt(line, deadline)?
                            }
                            other => other,
                        }
                    }
                }
            }
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => match session.idle(SCRIPT_PAUSE) {
                Waited::Late => Waited::Seen,
                other => other,
            },
        };
        match waited {
            Waited::Seen => {}
            Waited::Ended => break,
            // The end is reported below, with its reason.
            Waited::Silent | Waited::Late => return finish(session, explainer),
        }
    }
    // The script has ended; if the guest has not, it is told to.
    session.wait(Instant::now() + LINE_PATIENCE, |serial| {
        serial.is_prompt_ready() || serial.exit().is_some()
    });
    if session.serial().is_prompt_ready() {
        session.answer_prompt("halt", Instant::now())?;
    }
    finish(session, explainer)
}

/// Lets the guest run until it says `text` in one of its lines `from` on, and names the script's line that asked if it does not.
fn hear(session: &mut Session, text: &str, from: usize, number: u64) -> Waited {
    let waited = session.wait(Instant::now() + LINE_PATIENCE, |serial| {
        let said = serial.lines().get(from..).unwrap_or_default();
        said.iter().any(|line| line.contains(text))
    });
    if waited != Waited::Seen {
        eprintln!("line {number}: the guest did not say {text:?}");
    }
    waited
}

/// Says where the faults and panics lie that the guest reported since the last time.
pub fn explain(explainer: &mut Explainer, serial: &Serial, to: &mut impl Write) -> Result<()> {
    for line in explainer.explain(serial.lines()) {
        writeln!(to, "{line}")?;
    }
    Ok(())
}

/// Lets the guest run, for `time` or until it ends.
fn sleep(session: &mut Session, time: Duration) -> Waited {
    let until = Instant::now() + time;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match session.idle(left.min(SCRIPT_PAUSE)) {
            Waited::Late if left.is_zero() => return Waited::Seen,
            Waited::Late | Waited::Seen => {}
            other => return other,
        }
    }
}

fn finish(session: Session, mut explainer: Explainer) -> Result<Ended> {
    let (end, transcript) = session.finish(Instant::now() + END_OF_GUEST);
    explain(&mut explainer, &transcript.serial, &mut std::io::stderr())?;
    Ok(match end {
        End::Code(code) => Ended::by_code(process_code(code)),
        _ => Ended {
            code: None,
            end,
            status: transcript.status,
            errors: transcript.errors,
            spoke: transcript.serial.has_spoken(),
        },
    })
}

/// Why there may be no exit line, from what the guest said and how QEMU ended.
fn no_exit_line(ended: &Ended) -> String {
    let status = ended.status.map_or_else(
        || "without a status".to_owned(),
        |status| status.to_string(),
    );
    if !ended.spoke {
        format!(
            "QEMU did not start the machine ({status}), or the machine reset itself before the guest had said a word. \
             Check --machine, --mem, the disk images and what follows --"
        )
    } else {
        format!(
            "QEMU ended ({status}) before the guest had said its exit line: \
             somebody ended QEMU, or the guest reset itself"
        )
    }
}
