//! The machine: QEMU's command line and its version.
//!
//! Invariant: never passes a device or option that makes the guest see more than what a smoke or a person asked for.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;

use crate::disk::{Disk, Namespace};
use crate::project::Project;

const QEMU: &str = "qemu-system-x86_64";
static CHOSEN: OnceLock<OsString> = OnceLock::new();
/// The oldest QEMU with every CPU property used here.
const OLDEST: (u32, u32) = (6, 0);
/// Fast-string features make instruction counts depend on the accelerator.
pub const CPU: &str = "max,-erms,-fsrm";

/// What goes behind a CPU's name where instructions are counted: QEMU reads the clock in an instruction that stands for a
/// register of an x2APIC, and aborts (seen with 10.0 and 11.1: "Bad icount read").
pub const COUNTED: &str = ",-x2apic";

/// The arguments that say how a guest is executed, and on what CPU.
pub fn execution(accel: Accel) -> [&'static str; 4] {
    ["-accel", accel.name(), "-cpu", CPU]
}

/// Chooses the QEMU that everything starts from now on, where it is not the one in the search path.
pub fn choose(program: OsString) {
    // The command line is read once.
    let _ = CHOSEN.set(program);
}

/// The QEMU that everything starts.
pub fn program() -> &'static OsStr {
    CHOSEN.get().map_or(OsStr::new(QEMU), OsString::as_os_str)
}

/// Whether another one is started than the one in the search path.
pub fn is_chosen() -> bool {
    CHOSEN.get().is_some()
}

/// Something that not every QEMU can emulate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Feature {
    /// Local APICs whose registers are MSRs: QEMU's own translation has them from 9.0 on.
    X2apic,
    /// Devices in another process, over a socket: from 10.1 on.
    VfioUser,
    /// An AMD-Vi unit that refuses without a word: one that tells of each piece of a transfer, as from 11 on, has a claim ended
    /// by the first one.
    SilentAmd,
    /// curl, with which the guest's page is asked.
    Curl,
    /// OpenSSH's client, with which people come to the guest.
    Ssh,
    /// A browser, which shows the guest's page.
    Browser,
}

impl Feature {
    /// Whether another QEMU could offer it.
    pub fn is_emulated(self) -> bool {
        matches!(self, Self::X2apic | Self::VfioUser | Self::SilentAmd)
    }

    /// What a person is told.
    pub fn name(self) -> &'static str {
        match self {
            Self::X2apic => "x2APIC",
            Self::VfioUser => "devices in another process (vfio-user-pci)",
            Self::SilentAmd => "an AMD-Vi unit without a log, as before version 11",
            Self::Curl => "curl",
            Self::Ssh => "ssh, OpenSSH's client",
            Self::Browser => "a browser (chromium-headless-shell)",
        }
    }

    /// Whether this QEMU starts a machine with it.
    pub fn is_offered(self, accel: Accel) -> bool {
        match self {
            // The CPU does not start without it.
            Self::X2apic => starts(accel, "max,+x2apic,enforce"),
            Self::VfioUser => offers_device("vfio-user-pci"),
            Self::SilentAmd => !matches!(
                version().ok().and_then(|line| parse_version(&line)),
                Some((11.., _))
            ),
            Self::Curl => Command::new("curl").arg("--version").output().is_ok(),
            Self::Ssh => Command::new("ssh").arg("-V").output().is_ok(),
            Self::Browser => save_lab::companion::browser().is_some(),
        }
    }
}

/// How QEMU executes the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Accel {
    /// The hardware's virtualisation.
    Kvm,
    /// QEMU's own translation.
    Tcg,
    /// The same, with one thread for all CPUs: only one of them runs at a time, and a plugin knows which.
    #[value(skip)]
    TcgInTurn,
}

impl Accel {
    /// QEMU's name for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
            Self::TcgInTurn => "tcg,thread=single",
        }
    }
}

/// What starts the guest.
#[derive(Clone, Debug)]
pub enum Firmware {
    /// QEMU loads the loader and the archive itself.
    Direct {
        /// The PVH loader.
        loader: PathBuf,
        /// The boot package.
        archive: PathBuf,
        /// The kernel's command line.
        cmdline: String,
    },
    /// SeaBIOS boots from this medium.
    Bios {
        /// The boot medium.
        medium: Medium,
    },
    /// OVMF boots from this medium.
    Uefi {
        /// The boot medium.
        medium: Medium,
        /// A folder for the firmware's variables.
        work: PathBuf,
    },
}

/// A machine's firmware.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum FirmwareKind {
    /// SeaBIOS, which QEMU brings.
    Bios,
    /// OVMF.
    Uefi,
}

impl FirmwareKind {
    /// This firmware with a medium; what it keeps goes to `work`.
    pub fn boots(self, medium: Medium, work: &Path) -> Firmware {
        match self {
            Self::Bios => Firmware::Bios { medium },
            Self::Uefi => Firmware::Uefi {
                medium,
                work: work.to_path_buf(),
            },
        }
    }
}

/// What firmware boots from.
#[derive(Clone, Debug)]
pub struct Medium {
    /// The raw image.
    pub path: PathBuf,
    /// What it is attached as.
    pub drive: Drive,
    /// A place, in sectors of 512 bytes, that cannot be read.
    pub bad_sector: Option<u64>,
}

impl Medium {
    /// A sound medium.
    pub fn new(path: PathBuf, drive: Drive) -> Self {
        Self {
            path,
            drive,
            bad_sector: None,
        }
    }
}

/// How a boot medium is attached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drive {
    /// A disk at the machine's first disk controller.
    Disk,
    /// A CD there, at the second place, where QEMU's `-cdrom` puts it.
    Cd,
    /// A CD in a USB drive.
    UsbCd,
    /// A CD at a virtio SCSI controller.
    ScsiCd,
    /// A USB stick.
    Usb,
    /// A disk at a virtio SCSI controller.
    Scsi,
    /// An NVMe disk, which takes the first number from the guest's own.
    Nvme,
}

/// Waits for a debugger, one of this machine: whoever comes by that port has the guest and what QEMU may do.
pub const WAITING: [&str; 3] = ["-gdb", "tcp:127.0.0.1:1234", "-S"];

/// One machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// QEMU's machine type.
    pub model: String,
    /// Number of CPUs.
    pub smp: u32,
    /// Memory, as QEMU writes it (`512`, `128M`, `2G`).
    pub memory: String,
    /// How it is executed.
    pub accel: Accel,
    /// What starts it.
    pub firmware: Firmware,
    /// Its disks.
    pub disks: Vec<Disk>,
    /// Waits for a debugger on port 1234.
    pub gdb: bool,
    /// Whether a reset starts the guest again instead of ending QEMU.
    pub reboots: bool,
    /// Further arguments, as given.
    pub extra: Vec<OsString>,
}

impl Machine {
    /// The command that starts it, with its serial line on standard input and output.
    pub fn command(&self, project: &Project) -> Result<Command> {
        let temporary = project.target.join("tmp");
        fs::create_dir_all(&temporary)?;
        let mut command = Command::new(program());
        // `snapshot=on` puts what is written there.
        command.env("TMPDIR", temporary);
        command.args(["-machine", &self.model]);
        command.args(execution(self.accel));
        command.args(["-smp", &self.smp.to_string(), "-m", &self.memory]);
        command.args(["-nodefaults", "-display", "none"]);
        command.args([
            "-chardev",
            "stdio,id=serial,signal=off",
            "-serial",
            "chardev:serial",
        ]);
        if !self.reboots {
            command.arg("-no-reboot");
        }
        self.add_firmware(&mut command)?;
        for (number, disk) in self.disks.iter().enumerate() {
            add_disk(&mut command, number, disk);
            command.arg("-device").arg(self.device(number, disk));
        }
        if self.gdb {
            command.args(WAITING);
        }
        command.args(&self.extra);
        Ok(command)
    }

    /// What a disk is to the guest: a device of its own, or a namespace of another one's.
    fn device(&self, number: usize, disk: &Disk) -> String {
        if let Some(Namespace { controller, nsid }) = disk.namespace {
            return format!("nvme-ns,drive=d{number},nsid={nsid},bus=c{controller}");
        }
        let is_below = |other: &Disk| other.namespace.is_some_and(|at| at.controller == number);
        let name = match self.disks.iter().any(is_below) {
            true => format!(",id=c{number}"),
            false => String::new(),
        };
        format!(
            "{}{name},drive=d{number},serial=capos-d{number}",
            disk.device
        )
    }

    fn add_firmware(&self, command: &mut Command) -> Result<()> {
        match &self.firmware {
            Firmware::Direct {
                loader,
                archive,
                cmdline,
            } => {
                command
                    .arg("-kernel")
                    .arg(loader)
                    .arg("-initrd")
                    .arg(archive);
                command.arg("-append").arg(cmdline);
            }
            Firmware::Bios { medium } => add_medium(command, medium),
            Firmware::Uefi { medium, work } => {
                let (code, variables) =
                    ovmf().context("no UEFI firmware for virtual machines found (package ovmf)")?;
                fs::create_dir_all(work)?;
                let own_variables = work.join("uefi-variables.fd");
                fs::copy(variables, &own_variables)?;
                let code = escape(Path::new(code));
                command
                    .arg("-drive")
                    .arg(format!("if=pflash,format=raw,readonly=on,file={code}"));
                let variables = escape(&own_variables);
                command
                    .arg("-drive")
                    .arg(format!("if=pflash,format=raw,file={variables}"));
                add_medium(command, medium);
            }
        }
        Ok(())
    }
}

fn add_medium(command: &mut Command, medium: &Medium) {
    let (kind, device): (_, &[&str]) = match medium.drive {
        Drive::Disk => ("snapshot=on", &["ide-hd,drive=boot,bus=ide.0,bootindex=0"]),
        Drive::Cd => (
            "media=cdrom,readonly=on",
            &["ide-cd,drive=boot,bus=ide.1,bootindex=0"],
        ),
        Drive::UsbCd => (
            "media=cdrom,readonly=on",
            &[
                "qemu-xhci",
                "usb-bot,id=bot",
                "scsi-cd,bus=bot.0,drive=boot,bootindex=0",
            ],
        ),
        Drive::ScsiCd => (
            "media=cdrom,readonly=on",
            &["virtio-scsi-pci", "scsi-cd,drive=boot,bootindex=0"],
        ),
        Drive::Scsi => (
            "snapshot=on",
            &["virtio-scsi-pci", "scsi-hd,drive=boot,bootindex=0"],
        ),
        Drive::Nvme => (
            "snapshot=on",
            &["nvme,drive=boot,serial=capos-boot,bootindex=0"],
        ),
        Drive::Usb => (
            "snapshot=on",
            &["qemu-xhci", "usb-storage,drive=boot,bootindex=0"],
        ),
    };
    let path = escape(&medium.path);
    let drive = match medium.bad_sector {
        None => format!("if=none,id=boot,format=raw,{kind},file={path}"),
        Some(sector) => format!(
            "if=none,id=boot,readonly=on,format=raw,file.driver=blkdebug,file.image.driver=file,\
             file.image.filename={path},file.inject-error.0.event=read_aio,file.inject-error.0.iotype=read,\
             file.inject-error.0.errno=5,file.inject-error.0.sector={sector}"
        ),
    };
    command.arg("-drive").arg(drive);
    for device in device {
        command.args(["-device", device]);
    }
}

/// Adds what a disk's bytes are read from.
fn add_disk(command: &mut Command, number: usize, disk: &Disk) {
    let snapshot = if disk.writable { "off" } else { "on" };
    let throttle = match disk.bytes_per_s {
        0 => String::new(),
        limit => format!("throttling.bps-total={limit},"),
    };
    command.arg("-drive").arg(format!(
        "if=none,id=d{number},format={},snapshot={snapshot},{throttle}file={}",
        disk.format,
        escape(&disk.path)
    ));
}

/// A path inside a QEMU option, where a comma separates and a doubled one does not.
pub fn escape(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

/// UEFI firmware: code and empty variables that belong together.
pub fn ovmf() -> Option<(&'static str, &'static str)> {
    const PAIRS: [(&str, &str); 9] = [
        (
            "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "/usr/share/OVMF/OVMF_VARS_4M.fd",
        ),
        (
            "/usr/share/OVMF/OVMF_CODE.fd",
            "/usr/share/OVMF/OVMF_VARS.fd",
        ),
        (
            "/usr/share/edk2/ovmf/OVMF_CODE.fd",
            "/usr/share/edk2/ovmf/OVMF_VARS.fd",
        ),
        (
            "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
            "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
        ),
        (
            "/usr/share/qemu/ovmf-x86_64-4m-code.bin",
            "/usr/share/qemu/ovmf-x86_64-4m-vars.bin",
        ),
        (
            "/usr/share/qemu/ovmf-x86_64-code.bin",
            "/usr/share/qemu/ovmf-x86_64-vars.bin",
        ),
        (
            "/opt/homebrew/share/qemu/edk2-x86_64-code.fd",
            "/opt/homebrew/share/qemu/edk2-i386-vars.fd",
        ),
        (
            "/usr/local/share/qemu/edk2-x86_64-code.fd",
            "/usr/local/share/qemu/edk2-i386-vars.fd",
        ),
        (
            "/usr/share/qemu/edk2-x86_64-code.fd",
            "/usr/share/qemu/edk2-i386-vars.fd",
        ),
    ];
    PAIRS
        .into_iter()
        .find(|(code, vars)| Path::new(code).exists() && Path::new(vars).exists())
}

/// Whether QEMU has a device of that name. Asked about one that it does not know, it ends as if all were well, and not every
/// one is in its list: so what it says of the device is read.
pub fn offers_device(name: &str) -> bool {
    let asked = Command::new(program())
        .args(["-device", &format!("{name},help")])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let head = format!("{name} options:");
    asked.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).starts_with(&head))
}

/// QEMU's version line, once it is known to be new enough.
pub fn version() -> Result<String> {
    let name = program().display();
    let output = Command::new(program()).arg("--version").output();
    let output = output.with_context(|| format!("cannot start {name}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().unwrap_or_default().to_owned();
    match parse_version(&line) {
        Some(version) => {
            ensure!(
                version >= OLDEST,
                "{line} is too old; {}.{} is the oldest",
                OLDEST.0,
                OLDEST.1
            );
            Ok(line)
        }
        None => bail!("{name} --version says {line:?}"),
    }
}

/// QEMU's AMD-Vi unit as it translates: 7.2's does, 10's only with one word and 11's only with another; else all passes.
pub fn amd_iommu() -> &'static str {
    let number = version().ok().and_then(|line| parse_version(&line));
    match number {
        Some((11.., _)) => "amd-iommu,dma-remap=on",
        Some((8..=10, _)) => "amd-iommu,pt=off",
        _ => "amd-iommu",
    }
}

/// The two numbers of QEMU's version line.
pub fn parse_version(line: &str) -> Option<(u32, u32)> {
    let rest = line.strip_prefix("QEMU emulator version ")?;
    let mut numbers = rest.split(['.', ' ']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Whether a machine with that CPU starts.
fn starts(accel: Accel, cpu: &str) -> bool {
    Command::new(program())
        .args(["-machine", "q35", "-accel", accel.name(), "-cpu", cpu])
        .args(["-m", "16", "-nodefaults", "-display", "none", "-S"])
        .args(["-monitor", "stdio"])
        // End of input ends nothing; the monitor needs the word.
        .stdin(quit_file().map_or_else(|_| Stdio::null(), Stdio::from))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn quit_file() -> Result<fs::File> {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile()?;
    file.write_all(b"quit\n")?;
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::{escape, parse_version};
    use std::path::Path;

    #[test]
    fn versions_are_read_from_the_first_line() {
        let line = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)";
        assert_eq!(parse_version(line), Some((7, 2)));
        assert_eq!(parse_version("QEMU emulator version 10.0.0"), Some((10, 0)));
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn a_comma_in_a_path_stays_in_the_path() {
        assert_eq!(escape(Path::new("/a,b/c.img")), "/a,,b/c.img");
    }
}
