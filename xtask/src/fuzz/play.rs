//! One boot under the auditor's eye.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use auditor::{Audit, Counts, Kernel, Told, audit, parse_registers};

use crate::fuzz::qmp::Qmp;
use crate::fuzz::{cd, devices};
use crate::project::Project;
use crate::qemu::{Accel, COUNTED, CPU, Firmware, Machine, escape};
use crate::session::{Echo, End, Session, Waited};

/// Memory of the guest. All of it lies below the first hole, so that a place in the file is an address.
const MIB: u64 = 256;
/// Between two stops.
const PAUSE: Duration = Duration::from_millis(120);

/// What to boot.
pub struct Boot<'a> {
    /// The tree.
    pub project: &'a Project,
    /// The kernel's file with its symbols.
    pub kernel: &'a Path,
    /// The loader.
    pub loader: &'a Path,
    /// The boot package.
    pub archive: PathBuf,
    /// Processors.
    pub cpus: u64,
    /// One instruction after the other; the number stands for every chance outside the guest.
    pub icount: Option<u64>,
    /// A CD to attach, on a machine of another kind.
    pub cd: Option<PathBuf>,
    /// What the sabotage kernel leaves out.
    pub point: Option<&'a str>,
    /// Until when.
    pub deadline: Instant,
    /// What the last line must be preceded by, for a clean end.
    pub last: Option<&'static str>,
    /// Shows what the guest says.
    pub echo: bool,
}

/// How it went.
#[derive(Debug, Default)]
pub struct Played {
    /// What is wrong; empty for a clean run.
    pub wrong: Vec<String>,
    /// Stops at which the auditor looked, and those of them at rest.
    pub audits: usize,
    /// Those of them when no CPU was in the kernel.
    pub at_rest: usize,
    /// Pieces of memory that running devices were told of, over all stops.
    pub told: usize,
    /// The most that one of them saw.
    pub most: Counts,
    /// What the guest said.
    pub lines: Vec<String>,
    /// Registers at the stop that broke a rule.
    pub registers: String,
    /// The image of that stop, or of the end.
    pub memory: PathBuf,
}

impl Played {
    /// The last round that came to its end, of those that a fuzzing guest reports.
    pub fn last_round(&self) -> Option<u64> {
        self.lines.iter().rev().find_map(|line| {
            let rest = line.strip_prefix("@fuzz.round round=")?;
            rest.split(' ').next()?.parse().ok()
        })
    }

    /// The kind of what is wrong: the first words, without numbers.
    pub fn kind(&self) -> String {
        let first = self.wrong.first().map_or("", String::as_str);
        first.split(':').next().unwrap_or_default().to_owned()
    }
}

/// The devices that attackers may claim where every instruction is counted: their answers come by the guest's own clock.
const BY_GUEST_CLOCK: [&str; 4] = ["-device", "edu", "-device", "edu"];
/// The further ones that they may claim elsewhere.
const BY_OWN_CLOCK: [&str; 14] = [
    "-drive",
    "if=none,id=n0,driver=null-co,size=64M,read-zeroes=on",
    "-device",
    "nvme,drive=n0,serial=fuzz0",
    "-drive",
    "if=none,id=v0,driver=null-co,size=64M,read-zeroes=on",
    "-device",
    "virtio-blk-pci,drive=v0",
    "-netdev",
    "hubport,id=h0,hubid=0",
    "-device",
    "virtio-net-pci,netdev=h0",
    "-device",
    "virtio-rng-pci",
];

/// The machine, with its memory in a file and a monitor at a socket. With a CD it is one that has the legacy ports through which the
/// kernel reads one.
fn machine(boot: &Boot<'_>, memory: &Path, socket: &Path) -> Result<Machine> {
    let file = escape(memory);
    let mut extra: Vec<OsString> = vec![
        "-object".into(),
        format!("memory-backend-file,id=ram,size={MIB}M,mem-path={file},share=on").into(),
        "-qmp".into(),
        format!("unix:{},server=on,wait=off", socket.display()).into(),
        "-rtc".into(),
        "base=2026-01-01,clock=vm".into(),
    ];
    if let Some(seed) = boot.icount {
        extra.extend(["-icount".into(), "shift=1,sleep=off".into()]);
        extra.extend(["-cpu".into(), format!("{CPU}{COUNTED}").into()]);
        extra.extend(["-seed".into(), (seed % (1 << 32)).to_string().into()]);
    }
    let mut devices = BY_GUEST_CLOCK.to_vec();
    if boot.icount.is_none() {
        devices.extend(BY_OWN_CLOCK);
    }
    extra.extend(devices.into_iter().map(OsString::from));
    if let Some(cd) = &boot.cd {
        let file = escape(cd);
        let drive = format!("if=none,id=cd,format=raw,read-only=on,file={file}");
        let words = ["-drive", &drive, "-device", "ide-cd,drive=cd"];
        extra.extend(words.map(OsString::from));
    }
    let point = boot.point.map(|point| format!("sabotage={point}"));
    let cdrom = (boot.cd.as_ref()).map(|_| format!("cdrom={}", cd::IDENTITY));
    let words: Vec<String> = point.into_iter().chain(cdrom).collect();
    let board = if boot.cd.is_some() { "pc" } else { "q35" };
    Ok(Machine {
        model: format!("{board},memory-backend=ram"),
        smp: u32::try_from(boot.cpus)?,
        memory: format!("{MIB}M"),
        accel: Accel::Tcg,
        firmware: Firmware::Direct {
            loader: boot.loader.to_path_buf(),
            archive: boot.archive.clone(),
            cmdline: words.join(" "),
        },
        disks: Vec::new(),
        gdb: false,
        reboots: false,
        extra,
    })
}

/// Boots and watches until the end, or until something is wrong.
pub fn play(boot: &Boot<'_>, work: &Path) -> Result<Played> {
    fs::create_dir_all(work)?;
    let memory = work.join("memory");
    // A socket's path is short.
    let sockets = tempfile::tempdir()?;
    let socket = sockets.path().join("qmp");
    // A file that QEMU finds would keep its old bytes.
    File::create(&memory)?.set_len(MIB << 20)?;
    let echo = if boot.echo { Echo::Shown } else { Echo::Kept };
    let command = machine(boot, &memory, &socket)?.command(boot.project)?;
    let mut session = Session::start(command, echo, std::io::stderr())?;
    let mut watch = Watch {
        qmp: Qmp::connect(&socket)?,
        kernel: Kernel::read(&fs::read(boot.kernel)?)?,
        image: File::open(&memory)?,
        before: None,
        played: Played {
            memory,
            ..Played::default()
        },
    };
    let waited = loop {
        let waited = session.wait(Instant::now() + PAUSE, |serial| serial.exit().is_some());
        if waited != Waited::Late || Instant::now() >= boot.deadline {
            break waited;
        }
        if !watch.look()? {
            break Waited::Late;
        }
    };
    let mut played = watch.played;
    if played.wrong.is_empty() {
        let (end, transcript) = session.finish(boot.deadline.max(Instant::now()));
        played.lines = transcript.serial.lines().to_vec();
        judge(&mut played, end, waited, boot.last);
    } else {
        played.lines = session.serial().lines().to_vec();
    }
    Ok(played)
}

/// Adds what the guest's own words say against it.
fn judge(played: &mut Played, end: End, waited: Waited, last: Option<&str>) {
    for line in &played.lines {
        if ["@kernel.panic", "@fuzz.broken", "@fuzz.undying"]
            .iter()
            .any(|bad| line.starts_with(bad))
        {
            played.wrong.push(format!("guest: {line}"));
        }
    }
    match end {
        End::Code(0) => {}
        _ if waited == Waited::Late => played.wrong.push("late: it did not end in time".into()),
        End::Code(code) => played.wrong.push(format!("code: it ended with {code}")),
        end => played
            .wrong
            .push(format!("end: it ended without an exit line ({end:?})")),
    }
    if let (Some(last), true) = (last, played.wrong.is_empty())
        && !played.lines.iter().any(|line| line.starts_with(last))
    {
        played
            .wrong
            .push(format!("short: it ended well and never said {last}"));
    }
}

struct Watch {
    qmp: Qmp,
    kernel: Kernel,
    image: File,
    before: Option<Audit>,
    played: Played,
}

impl Watch {
    /// Stops the guest and audits it. `false`: something is wrong, and it stays stopped.
    fn look(&mut self) -> Result<bool> {
        // A guest that has just ended took its monitor with it; its last words say the rest.
        let Ok(()) = self.qmp.stop() else {
            return Ok(true);
        };
        let (registers, told) = match self.read() {
            Ok(read) => read,
            // It may have ended right before it was stopped.
            Err(error) => return self.has_ended().then_some(true).ok_or(error),
        };
        let cpus = parse_registers(&registers)?;
        match audit(&self.image, &cpus, &self.kernel, &told) {
            Ok(audit) => {
                let wrong = audit.wrong(self.before.as_ref());
                self.played.audits += 1;
                self.played.told += told.len();
                self.played.at_rest += usize::from(audit.at_rest);
                if audit.counts.mappings > self.played.most.mappings {
                    self.played.most = audit.counts;
                }
                self.played.wrong = wrong.iter().map(ToString::to_string).collect();
                // What was suspected while a CPU was in the kernel is nothing to compare with.
                if audit.at_rest {
                    self.before = Some(audit);
                }
            }
            // Before the kernel is up there is nothing to audit; afterwards there always is.
            Err(error) if self.played.audits > 0 => {
                self.played.wrong = vec![format!("image: {error:#}")];
            }
            Err(_) => {}
        }
        if !self.played.wrong.is_empty() {
            self.played.registers = registers;
            return Ok(false);
        }
        match self.qmp.go_on().context("the guest does not go on") {
            Err(error) if !self.has_ended() => Err(error),
            _ => Ok(true),
        }
    }

    /// The registers of every CPU, and what devices were told.
    fn read(&mut self) -> Result<(String, Vec<Told>)> {
        let registers = self.qmp.registers()?;
        let told = devices::told(&mut self.qmp, &self.image)?;
        Ok((registers, told))
    }

    /// Whether nobody answers any more.
    fn has_ended(&mut self) -> bool {
        self.qmp.stop().is_err()
    }
}
