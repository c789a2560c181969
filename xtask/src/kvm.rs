//! Whether KVM runs a guest here. That `/dev/kvm` opens shows nothing: a nested or filtered one may refuse a register of
//! the CPU, or never come back from its first guest.
//!
//! Invariant: nobody gets KVM on a host where no guest was seen to run on it.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::child::Guarded;
use crate::project::Project;
use crate::qemu::{self, Accel};

const DEVICE: &str = "/dev/kvm";
/// A guest that works says its word within a tenth of this.
const PATIENCE: Duration = Duration::from_millis(1500);
/// What a killed QEMU may take to end. One that takes longer hangs in KVM, and nothing waits for it.
const END_PATIENCE: Duration = Duration::from_millis(500);
/// What the tiny guest says, from the handler of its first interrupt.
const WORD: &str = "a guest runs";
/// SeaBIOS's place, 64 KiB below 1 MiB and below 4 GiB.
const ROM_BYTES: usize = 64 * 1024;
/// How QEMU says that it cannot go on with a guest that it has started: `kvm_cpu_exec` and `kvm_arch_handle_exit` in its
/// `accel/kvm/kvm-all.c` and `target/i386/kvm/kvm.c`, which stop the guest after each of these.
const GIVEN_UP: [&str; 6] = [
    "KVM internal error",
    "kvm run failed",
    "KVM: entry failed",
    "KVM: exception ",
    "KVM: unknown exit",
    "kvm_init_vcpu",
];

/// The guest: from reset to long mode with paging, then one interrupt of the local APIC's timer out of HLT. It stands for
/// what every real guest needs first.
#[rustfmt::skip]
const GUEST: &[u8] = &[
    // 16-bit, at f000:0000. cli; cld; ss = es = 0; sp = 7000h; ds = f000h
    0xfa, 0xfc, 0x31, 0xc0, 0x8e, 0xd0, 0x8e, 0xc0, 0xbc, 0x00, 0x70, 0xb8, 0x00, 0xf0, 0x8e, 0xd8,
    // lgdt [158h]; cr0 |= 1; jmp 08h:f0025h
    0x0f, 0x01, 0x16, 0x58, 0x01, 0x0f, 0x20, 0xc0, 0x0c, 0x01, 0x0f, 0x22, 0xc0,
    0x66, 0xea, 0x25, 0x00, 0x0f, 0x00, 0x08, 0x00,
    // 32-bit. ds = es = ss = 10h; esp = 7000h
    0xb8, 0x10, 0x00, 0x00, 0x00, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc, 0x00, 0x70, 0x00, 0x00,
    // four empty tables at 1000h: edi = 1000h; ecx = 1000h; eax = 0; rep stosd
    0xbf, 0x00, 0x10, 0x00, 0x00, 0xb9, 0x00, 0x10, 0x00, 0x00, 0x31, 0xc0, 0xf3, 0xab,
    // [1000h] = 2003h; [2000h] = 3003h; [2018h] = 4003h
    0xc7, 0x05, 0x00, 0x10, 0x00, 0x00, 0x03, 0x20, 0x00, 0x00,
    0xc7, 0x05, 0x00, 0x20, 0x00, 0x00, 0x03, 0x30, 0x00, 0x00,
    0xc7, 0x05, 0x18, 0x20, 0x00, 0x00, 0x03, 0x40, 0x00, 0x00,
    // the first 2 MiB: [3000h] = 83h; the local APIC, uncached: [4fb8h] = fee0009bh
    0xc7, 0x05, 0x00, 0x30, 0x00, 0x00, 0x83, 0x00, 0x00, 0x00,
    0xc7, 0x05, 0xb8, 0x4f, 0x00, 0x00, 0x9b, 0x00, 0xe0, 0xfe,
    // cr3 = 1000h; cr4 = PAE
    0xb8, 0x00, 0x10, 0x00, 0x00, 0x0f, 0x22, 0xd8, 0xb8, 0x20, 0x00, 0x00, 0x00, 0x0f, 0x22, 0xe0,
    // EFER |= LME
    0xb9, 0x80, 0x00, 0x00, 0xc0, 0x0f, 0x32, 0x0d, 0x00, 0x01, 0x00, 0x00, 0x0f, 0x30,
    // cr0 = (cr0 | PG | WP | PE) & !(CD | NW); jmp 18h:f00aah
    0x0f, 0x20, 0xc0, 0x0d, 0x01, 0x00, 0x01, 0x80, 0x25, 0xff, 0xff, 0xff, 0x9f, 0x0f, 0x22, 0xc0,
    0xea, 0xaa, 0x00, 0x0f, 0x00, 0x18, 0x00,
    // 64-bit. ds = ss = 10h
    0xb8, 0x10, 0x00, 0x00, 0x00, 0x8e, 0xd8, 0x8e, 0xd0,
    // gate 40h at 4400h: handler f0108h, selector 18h, interrupt gate; lidt [rip + 88h]
    0xb8, 0x08, 0x01, 0x00, 0x00, 0x0d, 0x00, 0x00, 0x18, 0x00,
    0x89, 0x04, 0x25, 0x00, 0x44, 0x00, 0x00,
    0xc7, 0x04, 0x25, 0x04, 0x44, 0x00, 0x00, 0x00, 0x8e, 0x0f, 0x00,
    0x0f, 0x01, 0x1d, 0x88, 0x00, 0x00, 0x00,
    // local APIC: on; timer divided by 1, one shot on vector 40h, 100,000 ticks
    0xbe, 0x00, 0x00, 0xe0, 0xfe,
    0xc7, 0x86, 0xf0, 0x00, 0x00, 0x00, 0xff, 0x01, 0x00, 0x00,
    0xc7, 0x86, 0xe0, 0x03, 0x00, 0x00, 0x0b, 0x00, 0x00, 0x00,
    0xc7, 0x86, 0x20, 0x03, 0x00, 0x00, 0x40, 0x00, 0x00, 0x00,
    0xc7, 0x86, 0x80, 0x03, 0x00, 0x00, 0xa0, 0x86, 0x01, 0x00,
    // sti; hlt; cli; again
    0xfb, 0xf4, 0xfa, 0xeb, 0xfb,
    // the handler: 13 bytes from 128h to port 3f8h
    0x48, 0x8d, 0x35, 0x19, 0x00, 0x00, 0x00, 0xb9, 0x0d, 0x00, 0x00, 0x00,
    0xba, 0xf8, 0x03, 0x00, 0x00, 0xac, 0xee, 0xe2, 0xfc,
    // out f4h, 0, where QEMU's debug exit is; hlt
    0xba, 0xf4, 0x00, 0x00, 0x00, 0x31, 0xc0, 0xee, 0xf4, 0xeb, 0xfd,
    b'a', b' ', b'g', b'u', b'e', b's', b't', b' ', b'r', b'u', b'n', b's', b'\n', 0, 0, 0,
    // GDT at 138h: none, 32-bit code, data, 64-bit code
    0, 0, 0, 0, 0, 0, 0, 0,
    0xff, 0xff, 0, 0, 0, 0x9a, 0xcf, 0, 0xff, 0xff, 0, 0, 0, 0x92, 0xcf, 0, 0xff, 0xff, 0, 0, 0, 0x9a, 0xaf, 0,
    // what LGDT reads at 158h, what LIDT reads at 15eh
    0x1f, 0x00, 0x38, 0x01, 0x0f, 0x00,
    0xff, 0x07, 0x00, 0x40, 0, 0, 0, 0, 0, 0,
];
/// jmp f000:0000
const RESET_VECTOR: [u8; 5] = [0xea, 0x00, 0x00, 0x00, 0xf0];

/// How a person's guest is executed: as asked, else by KVM where a guest was seen to run on it. One line says why not.
pub fn for_person(project: &Project, asked: Option<Accel>) -> Result<Accel> {
    if let Some(accel) = asked {
        return for_proof(project, Some(accel));
    }
    let here = Host::of(project);
    Ok(match here.remembered() {
        Some(Ok(())) => Accel::Kvm,
        Some(Err(reason)) => {
            let place = project.show(&here.memory);
            eprintln!(
                "TCG runs the guest, slowly: {reason} (remembered in {place} until this host boots anew)"
            );
            Accel::Tcg
        }
        None => match here.look() {
            Ok(()) => Accel::Kvm,
            Err(reason) => {
                eprintln!("TCG runs the guest, slowly: {reason}");
                Accel::Tcg
            }
        },
    })
}

/// How the guest of a smoke is executed: by TCG, which is the same everywhere, unless KVM is asked for.
pub fn for_proof(project: &Project, asked: Option<Accel>) -> Result<Accel> {
    if asked == Some(Accel::Kvm)
        && let Err(reason) = Host::of(project).look()
    {
        bail!("{reason}; --accel tcg runs the guest without it");
    }
    Ok(asked.unwrap_or(Accel::Tcg))
}

/// Whether QEMU says in `errors` that it has given up the running guest. It stops the guest then and ends by nobody's
/// word but ours.
pub fn gave_up(errors: &str) -> bool {
    GIVEN_UP.iter().any(|words| errors.contains(words))
}

/// Notes that KVM broke down under a guest that it had started: the next one is not started on it.
pub fn note_failure(project: &Project) {
    Host::of(project).remember(&Err("KVM broke down under a guest".to_owned()));
}

/// The host as far as KVM goes.
struct Host {
    /// Where is noted what was seen.
    memory: PathBuf,
    /// What a note holds good for: this boot of the host and this QEMU.
    key: Option<String>,
}

impl Host {
    fn of(project: &Project) -> Self {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let version = qemu::version();
        let key = boot.ok().zip(version.ok()).map(|(boot, version)| {
            format!("{}\n{} {version}\n", boot.trim(), qemu::program().display())
        });
        Self {
            memory: project.target.join("kvm-seen"),
            key,
        }
    }

    /// What was seen of KVM since this host booted.
    fn remembered(&self) -> Option<Result<(), String>> {
        // A right that was given or taken since is seen at once.
        openable(Path::new(DEVICE)).ok()?;
        let text = fs::read_to_string(&self.memory).ok()?;
        match text.strip_prefix(self.key.as_ref()?)?.trim_end() {
            "works" => Some(Ok(())),
            reason => Some(Err(reason.to_owned())),
        }
    }

    /// Starts the tiny guest on KVM.
    fn look(&self) -> Result<(), String> {
        openable(Path::new(DEVICE))?;
        let seen = run_guest(qemu::program(), Accel::Kvm, PATIENCE)
            .map_err(|error| format!("{error:#}"))
            .and_then(|seen| seen);
        self.remember(&seen);
        seen
    }

    fn remember(&self, seen: &Result<(), String>) {
        if let Some(key) = &self.key {
            let what = seen.as_ref().map_or_else(String::as_str, |()| "works");
            // Whoever cannot write there looks again next time.
            let _ = fs::write(&self.memory, format!("{key}{what}\n"));
        }
    }
}

fn openable(device: &Path) -> Result<(), String> {
    let opened = fs::OpenOptions::new().read(true).write(true).open(device);
    opened.map(drop).map_err(|error| {
        let device = device.display();
        match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no {device}"),
            std::io::ErrorKind::PermissionDenied => format!("no right to open {device}"),
            _ => format!("{device} does not open ({error})"),
        }
    })
}

/// Starts the tiny guest under `program` and waits for its word. The inner error says why it was not heard.
fn run_guest(program: &OsStr, accel: Accel, patience: Duration) -> Result<Result<(), String>> {
    let folder = tempfile::tempdir().context("cannot make a folder for the tiny guest")?;
    let path = folder.path().join("guest.rom");
    fs::write(&path, rom()).context("cannot write the tiny guest")?;
    let mut command = Command::new(program);
    command
        .args(qemu::execution(accel))
        .args([
            "-machine",
            "q35",
            "-m",
            "16",
            "-nodefaults",
            "-display",
            "none",
            "-no-reboot",
        ])
        .args([
            "-chardev",
            "stdio,id=serial,signal=off",
            "-serial",
            "chardev:serial",
        ])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-bios"])
        .arg(&path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(folder.path().join("errors"))?);
    let mut child = Guarded::spawn(&mut command)?;
    let mut output = child.inner().stdout.take().context("no output")?;
    let (sender, heard) = channel();
    std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut buffer = [0; 64];
        while let Ok(len @ 1..) = output.read(&mut buffer) {
            text.extend_from_slice(buffer.get(..len).unwrap_or_default());
            if String::from_utf8_lossy(&text).contains(WORD) {
                // Nobody listens any more if it took too long.
                let _ = sender.send(());
            }
        }
    });
    let seen = heard.recv_timeout(patience);
    if !child.end(END_PATIENCE) {
        let id = child.inner().id();
        return Ok(Err(format!(
            "{} does not run guests here (QEMU, process {id}, hangs in it and cannot even be ended)",
            accel.name().to_uppercase()
        )));
    }
    let errors = fs::read_to_string(folder.path().join("errors")).unwrap_or_default();
    Ok(seen.map_err(|_| why(accel, &errors)))
}

/// Why the tiny guest was not heard, in one line.
fn why(accel: Accel, errors: &str) -> String {
    let of_warning = |line: &&str| !line.contains("warning:") && !line.trim().is_empty();
    let said = errors.lines().find(of_warning).map(|line| {
        let line = line.trim();
        line.split_once(": ").map_or(line, |(_, what)| what)
    });
    let name = accel.name().to_uppercase();
    match said {
        Some(said) => format!("{name} does not run guests here (QEMU says: {said})"),
        None => format!("{name} does not run guests here (a tiny one did not say its word)"),
    }
}

fn rom() -> Vec<u8> {
    let mut rom = vec![0xf4; ROM_BYTES];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in rom.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    put(0, GUEST);
    put(ROM_BYTES - 16, &RESET_VECTOR);
    rom
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use super::{GUEST, Host, gave_up, openable, run_guest};
    use crate::qemu::{self, Accel};

    /// A stand-in for QEMU that does what `script` says.
    fn qemu(folder: &Path, script: &str) -> std::path::PathBuf {
        let path = folder.join("qemu");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn asked(script: &str) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let program = qemu(folder.path(), script);
        run_guest(program.as_os_str(), Accel::Kvm, Duration::from_millis(700)).unwrap()
    }

    #[test]
    fn the_tiny_guest_runs_where_guests_run() {
        // A host without QEMU has nothing to try it on; the gate has one, and names it.
        if let Some(program) = std::env::var_os("QEMU") {
            qemu::choose(program);
        }
        if qemu::version().is_ok() {
            let patience = Duration::from_secs(30);
            assert_eq!(
                run_guest(qemu::program(), Accel::Tcg, patience).unwrap(),
                Ok(())
            );
        }
        assert_eq!(GUEST.len(), 0x168, "its tables lie where its code says");
    }

    #[test]
    fn only_a_guest_that_spoke_counts() {
        assert_eq!(asked("echo a guest runs; sleep 9"), Ok(()));
        let start = Instant::now();
        let silent = asked("exec sleep 9").unwrap_err();
        assert!(silent.contains("did not say its word"), "{silent}");
        assert!(start.elapsed() < Duration::from_secs(5), "it is ended");
        assert!(asked("exit 0").is_err(), "a status shows nothing");
        assert!(asked("echo something else").is_err());
    }

    /// Not a test: holds on to the process named in the environment, so that its parent never sees the end of it. From
    /// outside that is a QEMU whose virtual CPU does not come back.
    #[test]
    #[ignore = "a part of the next one, which starts it"]
    #[cfg(target_os = "linux")]
    fn a_process_that_keeps_another() {
        use nix::sys::ptrace;
        let id = std::env::var("KEEP").unwrap().parse().unwrap();
        ptrace::seize(nix::unistd::Pid::from_raw(id), ptrace::Options::empty()).unwrap();
        std::thread::sleep(Duration::from_secs(20));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_qemu_that_cannot_be_ended_is_not_waited_for() {
        let this = std::env::current_exe().unwrap();
        let keeper = format!(
            "KEEP=$$ '{}' --ignored --exact kvm::tests::a_process_that_keeps_another >keeper 2>&1 &",
            this.display()
        );
        let folder = tempfile::tempdir().unwrap();
        let script = format!("cd '{}'; {keeper} exec sleep 30", folder.path().display());
        let start = Instant::now();
        let stuck = asked(&script).unwrap_err();
        let kept = std::fs::read_to_string(folder.path().join("keeper")).unwrap_or_default();
        if kept.contains("EPERM") && !crate::project::is_ci() {
            // Some systems let nobody but root hold on to a process that is not a child (Yama's ptrace_scope).
            eprintln!("untested: this system keeps a process from tracing another");
            return;
        }
        assert!(stuck.contains("cannot even be ended"), "{stuck}");
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "nobody waits for it"
        );
    }

    #[test]
    fn what_qemu_says_is_the_reason() {
        let said = "echo 'qemu: warning: host lacks pni' >&2; echo 'qemu: error: failed to set MSR 0x10a' >&2; exit 1";
        let reason = asked(said).unwrap_err();
        assert!(
            reason.ends_with("(QEMU says: error: failed to set MSR 0x10a)"),
            "{reason}"
        );
    }

    #[test]
    fn a_note_holds_good_for_one_boot_and_one_qemu() {
        let folder = tempfile::tempdir().unwrap();
        let host = |key: &str| Host {
            memory: folder.path().join("kvm-seen"),
            key: Some(key.to_owned()),
        };
        // The note is read only where the device opens, as on the host that wrote it.
        let text = |host: &Host| std::fs::read_to_string(&host.memory).unwrap();
        let first = host("boot 1\nqemu 7\n");
        first.remember(&Err("no".to_owned()));
        assert_eq!(text(&first), "boot 1\nqemu 7\nno\n");
        assert_eq!(host("boot 2\nqemu 7\n").remembered(), None);
        assert_eq!(host("boot 1\nqemu 8\n").remembered(), None);
        if openable(Path::new(super::DEVICE)).is_ok() {
            assert_eq!(first.remembered(), Some(Err("no".to_owned())));
            first.remember(&Ok(()));
            assert_eq!(first.remembered(), Some(Ok(())));
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_named() {
        let absent = openable(Path::new("/nonexistent/kvm")).unwrap_err();
        assert_eq!(absent, "there is no /nonexistent/kvm");
    }

    #[test]
    fn qemus_own_words_for_a_guest_it_gave_up_are_known() {
        assert!(gave_up(
            "KVM internal error. Suberror: 1\nemulation failure\nRAX=0"
        ));
        assert!(gave_up("error: kvm run failed Bad address"));
        assert!(gave_up("KVM: entry failed, hardware error 0x80000021"));
        assert!(gave_up("KVM: unknown exit reason 17"));
        assert!(!gave_up("KVM: injection failed, MSI lost (x)"));
        assert!(!gave_up(
            "qemu: warning: TCG doesn't support requested feature"
        ));
    }
}
