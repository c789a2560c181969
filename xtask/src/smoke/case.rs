//! What a smoke is: one question, the machine and stimulus that ask it, and the facts that answer it.
//!
//! Invariant: a case only describes; it never runs anything before its turn and never decides its own verdict.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::build::Code;
use crate::image::Shape;
use crate::image::cloud::Provider;
use crate::image::files::Files;
use crate::precheck::meant;
use crate::qemu::{Drive, Feature, FirmwareKind};
use crate::serial::Serial;
use crate::session::{Session, Waited};
use crate::smoke::models::DeviceModel;
use crate::smoke::namespace::Namespace;
use crate::smoke::pattern::{is_match, shows};

/// One smoke. Cases register themselves: `inventory::submit! { Smoke { name: "boot", ..., ..Smoke::DEFAULT } }`.
///
/// Facts are written `@topic key=value`; a text without `@` means a line that contains it.
pub struct Smoke {
    /// Its name on the command line, and its snapshot's.
    pub name: &'static str,
    /// The question it answers, as one sentence.
    pub question: &'static str,
    /// The rows of `docs/rows.toml` it proves.
    pub rows: &'static [&'static str],
    /// The system it boots, below `manifests/`.
    pub manifest: &'static str,
    /// Further words on the kernel's command line.
    pub cmdline: &'static str,
    /// What starts the guest.
    pub boot: Boot,
    /// How the guest is compiled.
    pub code: Code,
    /// QEMU's machine type.
    pub model: &'static str,
    /// Number of CPUs.
    pub smp: u32,
    /// Memory in mebibytes.
    pub memory_mib: u32,
    /// Disks, made anew for each run.
    pub disks: &'static [SmokeDisk],
    /// What the disks are attached as: QEMU's device with its properties.
    pub disk_device: &'static str,
    /// Files for further arguments, made anew for each run in the smoke's work folder.
    pub files: &'static [SmokeFile],
    /// A device in a process of its own, which `extra` attaches.
    pub device_model: Option<DeviceModel>,
    /// A network of its own, in which QEMU runs with what the script starts.
    pub namespace: Option<Namespace>,
    /// Further arguments of QEMU; `{work}` stands for the smoke's work folder, `{amd-iommu}` for an AMD-Vi unit that translates.
    pub extra: &'static [&'static str],
    /// What is done to the guest, in order. It must lead to the guest's end.
    pub steps: &'static [Step],
    /// Further boots on the same disks. Every boot but the last must end with code 0, or by [`Session::cut`].
    pub again: &'static [Again],
    /// Facts that must be there, in the order in which they come about.
    pub required: &'static [&'static str],
    /// Facts that must not be there.
    pub forbidden: &'static [&'static str],
    /// Whether a reset starts the guest again, instead of ending it.
    pub reboots: bool,
    /// The exit code of a pass, of the last boot.
    pub exit: i64,
    /// Whether the snapshot keeps the facts of the boot; the smokes that ask about the boot want them.
    pub keeps_boot: bool,
    /// Whether the snapshot is sorted, because the order of lines is not fixed (several CPUs).
    pub sorted: bool,
    /// Seconds after which a guest that still talks is stopped.
    pub limit_s: u64,
    /// What QEMU must be able to emulate; with one that cannot, the smoke is reported as untested.
    pub needs: Option<Feature>,
    /// Who runs it.
    pub runs: Runs,
}

/// Who runs a smoke that nobody names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runs {
    /// The gate.
    Gate,
    /// `cargo xtask crash --deep`: it takes long.
    Deep,
}

/// What starts the guest of a smoke.
#[derive(Clone, Copy, Debug)]
pub enum Boot {
    /// QEMU's `-kernel` with the PVH loader.
    Direct,
    /// UEFI firmware and the UEFI loader.
    Uefi,
    /// Firmware and a boot medium as `image` makes it.
    Image {
        /// Which firmware.
        firmware: FirmwareKind,
        /// Which kind of medium.
        shape: Shape,
        /// What it is attached as.
        drive: Drive,
        /// What is done to it first.
        tamper: Tamper,
    },
    /// A cloud's package, made, checked and unpacked again, on the closest machine there is.
    Cloud {
        /// Whose package.
        provider: Provider,
        /// Which firmware.
        firmware: FirmwareKind,
    },
}

/// What a smoke does to a boot medium before it boots.
#[derive(Clone, Copy, Debug)]
pub enum Tamper {
    /// Nothing.
    None,
    /// Changes the files that the medium is made of, as if it had been packed so.
    Files(fn(&mut Files)),
    /// Changes a bit in the middle of this file after it was packed.
    Damage(&'static str),
    /// Changes the finished image.
    Image(fn(&Path) -> Result<()>),
    /// The first sector of this file of an ISO image cannot be read.
    Unreadable(&'static str),
}

/// A further boot of a smoke.
pub struct Again {
    /// What is done to the disks in the smoke's work folder first.
    pub between: fn(&Path) -> Result<()>,
    /// What is done to the guest.
    pub steps: &'static [Step],
}

/// A disk image of a smoke.
pub struct SmokeDisk {
    /// The file's name in the smoke's work folder.
    pub name: &'static str,
    /// Makes the image at this path.
    pub make: fn(&Path) -> Result<()>,
    /// Bytes per second that the emulated disk delivers, 0 for no limit: so that reads are in flight for long.
    pub bytes_per_s: u64,
}

/// A file that an argument of QEMU names.
pub struct SmokeFile {
    /// Its name in the smoke's work folder.
    pub name: &'static str,
    /// What is in it.
    pub bytes: fn() -> Vec<u8>,
}

/// One part of the stimulus.
#[allow(
    dead_code,
    reason = "a vocabulary: a word stays when its last user goes"
)]
pub enum Step {
    /// Waits for a fact or text that comes after the step before.
    Wait(&'static str),
    /// The same for several, which come in any order: who states them do not wait for each other.
    All(&'static [&'static str]),
    /// Waits for the prompt and types a line.
    Type(&'static str),
    /// Waits for the prompt, so that everything typed before has been done.
    Prompt,
    /// Sends bytes at once, prompt or not.
    Send(&'static [u8]),
    /// Runs something on the host.
    Peer(fn(&mut Peer<'_>) -> Result<()>),
}

/// What a [`Step::Peer`] works with.
#[allow(
    dead_code,
    reason = "a vocabulary: a word stays when its last user goes"
)]
pub struct Peer<'a> {
    /// The running guest.
    pub session: &'a mut Session,
    /// The smoke's work folder, with its disks.
    pub work: &'a Path,
    /// When the smoke is stopped.
    pub deadline: Instant,
}

impl Peer<'_> {
    /// Has QEMU's monitor do `command`, and gives what it said when it has; the smoke's `extra` has [`MONITOR`] in it.
    pub fn monitor(&self, command: &str) -> Result<String> {
        const PROMPT: &str = "(qemu) ";
        let path = self.work.join("monitor");
        let mut monitor = UnixStream::connect(&path).context("QEMU's monitor")?;
        monitor.set_read_timeout(Some(MONITOR_PATIENCE))?;
        monitor.write_all(format!("{command}\n").as_bytes())?;
        let mut said = Vec::new();
        // One prompt comes before the command, and one after it.
        while String::from_utf8_lossy(&said).matches(PROMPT).count() < 2 {
            let mut piece = [0; 4096];
            let len = monitor.read(&mut piece).context("QEMU's monitor")?;
            said.extend_from_slice(piece.get(..len).unwrap_or_default());
            if len == 0 {
                bail!("QEMU's monitor went away");
            }
        }
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}

/// What gives a smoke QEMU's monitor.
pub const MONITOR: &[&str] = &["-monitor", "unix:{work}/monitor,server=on,wait=off"];
/// How long the monitor may take.
const MONITOR_PATIENCE: Duration = Duration::from_secs(30);

impl Smoke {
    /// What most smokes have in common.
    pub const DEFAULT: Self = Self {
        name: "",
        question: "",
        rows: &[],
        manifest: "default",
        cmdline: "",
        boot: Boot::Direct,
        code: Code::Release,
        model: "q35",
        smp: 1,
        memory_mib: 512,
        disks: &[],
        disk_device: "nvme",
        files: &[],
        device_model: None,
        namespace: None,
        extra: &[],
        steps: &[],
        again: &[],
        required: &[],
        forbidden: &[],
        reboots: false,
        exit: 0,
        keeps_boot: false,
        sorted: false,
        limit_s: 300,
        needs: None,
        runs: Runs::Gate,
    };
}

impl Smoke {
    /// Whether it boots from a medium as `image` makes it.
    pub fn makes_medium(&self) -> bool {
        matches!(self.boot, Boot::Image { .. })
    }
}

inventory::collect!(Smoke);

/// All smokes by name.
pub fn all() -> Vec<&'static Smoke> {
    let mut smokes: Vec<_> = inventory::iter::<Smoke>.into_iter().collect();
    smokes.sort_by_key(|smoke| smoke.name);
    smokes
}

/// The smokes that `patterns` name (`all`, names, globs), each once, by name.
pub fn select(patterns: &[String]) -> Result<Vec<&'static Smoke>> {
    let smokes = all();
    let mut chosen: Vec<&'static Smoke> = Vec::new();
    for pattern in patterns {
        let matching: Vec<_> = smokes
            .iter()
            .copied()
            .filter(|smoke| pattern == "all" || is_match(pattern, smoke.name))
            .collect();
        if matching.is_empty() && pattern != "all" {
            let near = meant(pattern, smokes.iter().map(|smoke| smoke.name));
            bail!(
                "no smoke is called {pattern:?}{near}; `cargo xtask smoke --list` lists all, and a pattern as 'nvme-*' \
                 names several"
            );
        }
        chosen.extend(matching);
    }
    chosen.sort_by_key(|smoke| smoke.name);
    chosen.dedup_by_key(|smoke| smoke.name);
    Ok(chosen)
}

/// Waits for a line from number `from` on. Gives the number of the one behind it.
fn find(session: &mut Session, from: usize, expected: &str, deadline: Instant) -> (Waited, usize) {
    let mut behind = from;
    let waited = session.wait(deadline, |serial| {
        let tail = serial.lines().get(from..).unwrap_or_default();
        let at = tail.iter().position(|line| shows(line, expected));
        at.inspect(|at| behind = from + at + 1).is_some()
    });
    (waited, behind)
}

/// Which step did not come to its end, and why.
#[derive(Debug)]
pub enum Unfinished {
    /// The guest did not do what was waited for.
    ByGuest(String),
    /// What the host did or looked at went wrong; of the guest nothing is expected.
    OnHost(String),
}

impl Unfinished {
    /// What a person is told.
    pub fn text(&self) -> &str {
        match self {
            Self::ByGuest(text) | Self::OnHost(text) => text,
        }
    }
}

/// Does the steps.
pub fn perform(
    steps: &[Step],
    session: &mut Session,
    work: &Path,
    deadline: Instant,
) -> Result<(), Unfinished> {
    let mut from = 0;
    for (number, step) in steps.iter().enumerate() {
        let failed = |what: &str, waited: Waited| {
            let why = match waited {
                Waited::Seen => return Ok(()),
                Waited::Ended => "the guest ended",
                Waited::Silent => "the guest fell silent",
                Waited::Late => "the time was over",
            };
            Err(Unfinished::ByGuest(format!(
                "step {}: {why} while waiting for {what}",
                number + 1
            )))
        };
        let broken =
            |error: anyhow::Error| Unfinished::OnHost(format!("step {}: {error:#}", number + 1));
        match *step {
            Step::Wait(expected) => {
                let (waited, behind) = find(session, from, expected, deadline);
                failed(expected, waited)?;
                from = behind;
            }
            Step::All(expected) => {
                let mut last = from;
                for one in expected {
                    let (waited, at) = find(session, from, one, deadline);
                    failed(one, waited)?;
                    last = last.max(at);
                }
                from = last;
            }
            Step::Type(line) => {
                failed(
                    "the prompt",
                    session.wait(deadline, Serial::is_prompt_ready),
                )?;
                from = session.serial().lines().len();
                session.answer_prompt(line, deadline).map_err(broken)?;
            }
            Step::Prompt => failed(
                "the prompt",
                session.wait(deadline, Serial::is_prompt_ready),
            )?,
            Step::Send(bytes) => {
                from = session.serial().lines().len();
                session.send(bytes).map_err(broken)?;
            }
            Step::Peer(act) => act(&mut Peer {
                session,
                work,
                deadline,
            })
            .map_err(broken)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_smoke_is_complete_and_has_its_own_name() {
        let smokes = super::all();
        for smoke in &smokes {
            assert!(
                !smoke.name.is_empty() && smoke.question.ends_with('?'),
                "{}",
                smoke.name
            );
            assert!(
                !smoke.required.is_empty(),
                "{} asks for no fact",
                smoke.name
            );
            for fact in smoke.required.iter().chain(smoke.forbidden) {
                if let Some(pattern) = fact.strip_prefix('@') {
                    evidence::Pattern::parse(pattern)
                        .unwrap_or_else(|error| panic!("{}: {fact}: {error}", smoke.name));
                }
            }
        }
        assert!(smokes.windows(2).all(|pair| pair[0].name != pair[1].name));
    }
}
