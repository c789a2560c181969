//! `cargo xtask replay`: records a smoke with QEMU, then runs the very same instructions again under a debugger, which can
//! step backwards.
//!
//! Everything that comes from outside (input, time, random numbers) is in the recording, so a replay ends as the recording
//! did, every time. Invariant: never calls a replay equal without having compared what both said.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::child::Guarded;
use crate::debugger;
use crate::image::contents::Loader;
use crate::project::{Project, is_ci};
use crate::qemu::{self, Accel, Machine, escape};
use crate::session::{Echo, End, Session};
use crate::setup::{self, Consent};
use crate::smoke::case::{self, Boot, Smoke, perform};
use crate::smoke::runner::{Options, Runner, Trial};
use crate::toolchain::Toolchain;

/// What the gate replays: QEMU can save the state of everything that this smoke's machine has.
const OF_GATE: &str = "boot";
/// A replay runs at the pace of the recording; a person with a debugger takes time.
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Until QEMU listens for the debugger.
const START: Duration = Duration::from_secs(10);
/// Translating with a recording is slower than without.
const SLOWER: u64 = 4;
/// What QEMU says of a device whose state it cannot save.
const UNSAVED: [&str; 2] = ["non-migratable", "does not support"];

/// What `cargo xtask replay` takes.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The smoke
    name: String,
    /// Replay without a debugger, and compare
    #[arg(long)]
    check: bool,
}

/// Whether a debugger can go backwards: QEMU then keeps the machine's state at the start beside the recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reach {
    Both,
    Forward,
}

/// Records, then replays.
pub fn run(project: &Project, toolchain: &Toolchain, args: &ReplayArgs) -> Result<ExitCode> {
    replay(project, toolchain, args)?;
    Ok(ExitCode::SUCCESS)
}

/// The gate's part: one smoke, recorded, replayed, and gone through backwards. Unattended it installs the debugger.
///
/// # Errors
///
/// The replay was another run; the debugger did not come back to where it had been, or could not try.
pub fn gate(project: &Project, toolchain: &Toolchain) -> Result<()> {
    if is_ci() {
        setup::ensure_debugger(project, Consent::Given)?;
    }
    let args = ReplayArgs {
        name: OF_GATE.to_owned(),
        check: true,
    };
    let reach = replay(project, toolchain, &args)?;
    ensure!(reach == Reach::Both, "{OF_GATE} goes forward only");
    Ok(())
}

/// Records, then replays. Says how far a debugger could go.
fn replay(project: &Project, toolchain: &Toolchain, args: &ReplayArgs) -> Result<Reach> {
    let chosen = case::select(std::slice::from_ref(&args.name))?;
    let [smoke] = chosen.as_slice() else {
        bail!(
            "{} names {} smokes; one is replayed at a time",
            args.name,
            chosen.len()
        );
    };
    can_be_recorded(smoke)?;
    let options = Options {
        accel: Accel::Tcg,
        loader: Loader::default(),
        gdb: false,
        keep: true,
    };
    let runner = Runner::new(project, toolchain, options)?;
    runner.prepare(smoke)?;
    let folder = project.target.join("replay").join(smoke.name);
    let (recorded, reach) = record_as_far_as_possible(project, &runner, smoke, &folder)?;
    let machine = machine(&runner, smoke, &folder, "replay", reach)?;
    if args.check {
        let again = play(machine.command(project)?, smoke, &folder, &[])?;
        ensure!(
            again == recorded,
            "the replay said something else: see {}",
            project.show(&folder)
        );
        println!("the replay said the same, {} lines", again.lines.len());
        if reach == Reach::Both {
            check_backwards(project, toolchain, machine.command(project)?, &folder)?;
        }
        return Ok(reach);
    }
    let mut command = machine.command(project)?;
    command.args(qemu::WAITING);
    let back = match reach {
        Reach::Both => "reverse-stepi [N] and reverse-continue go backwards",
        Reach::Forward => "forward only",
    };
    eprintln!(
        "waiting for a debugger, for a day at most: cargo xtask gdb [PROGRAM] in another terminal, there `continue`; {back}; \
         Ctrl-C ends the replay"
    );
    let session = Session::start(command, Echo::Shown, std::io::stderr())?;
    let (end, transcript) = finish(session, DAY);
    // Who went back has seen some lines twice.
    let same = end == recorded.end && transcript.last() == recorded.lines.last();
    eprintln!(
        "{}",
        if same {
            "it ended as recorded"
        } else {
            "it ended before the recording did"
        }
    );
    Ok(reach)
}

/// Goes forward and back under a debugger, where there is one.
fn check_backwards(
    project: &Project,
    toolchain: &Toolchain,
    mut command: Command,
    folder: &Path,
) -> Result<()> {
    if !setup::debugger_goes_backwards() {
        println!("untested: going backwards, which takes a GDB with Python (package gdb)");
        return Ok(());
    }
    let socket = folder.join("gdb");
    command.arg("-chardev").arg(format!(
        "socket,id=debugger,server=on,wait=off,path={}",
        escape(&socket)
    ));
    command.args(["-gdb", "chardev:debugger", "-S"]);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(fs::File::create(folder.join("qemu-errors"))?);
    let guest = Guarded::spawn(&mut command)?;
    let deadline = Instant::now() + START;
    while !socket.exists() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    debugger::go_there_and_back(project, toolchain, &socket)?;
    drop(guest);
    println!("a debugger went there and back");
    Ok(())
}

/// What one run said.
#[derive(PartialEq, Eq)]
struct Said {
    end: String,
    lines: Vec<String>,
    errors: String,
}

/// Refuses what QEMU's recording does not carry.
fn can_be_recorded(smoke: &Smoke) -> Result<()> {
    let has = |word: &str| smoke.extra.iter().any(|argument| argument.contains(word));
    let why = if !matches!(smoke.boot, Boot::Direct) {
        "it boots from a medium"
    } else if smoke.smp > 1 {
        "it has more than one processor"
    } else if smoke.reboots || !smoke.again.is_empty() {
        "it boots more than once"
    } else if has("+x2apic") {
        "it needs an x2APIC, whose registers QEMU cannot record"
    } else if has("-netdev") || has("-chardev") {
        "it talks to the host by more than the serial line"
    } else {
        return Ok(());
    };
    bail!("{} cannot be recorded: {why}", smoke.name)
}

/// Records, so that a debugger can go backwards if QEMU lets it.
fn record_as_far_as_possible(
    project: &Project,
    runner: &Runner<'_>,
    smoke: &'static Smoke,
    folder: &Path,
) -> Result<(Said, Reach)> {
    let mut reach = Reach::Both;
    let mut recorded = record(project, runner, smoke, folder, reach)?;
    if recorded.lines.is_empty() && UNSAVED.iter().any(|text| recorded.errors.contains(text)) {
        eprintln!(
            "QEMU cannot save the state of one of its devices, so the replay goes forward only"
        );
        reach = Reach::Forward;
        recorded = record(project, runner, smoke, folder, reach)?;
    }
    ensure!(
        !recorded.lines.is_empty(),
        "nothing was recorded: {}",
        recorded.errors.trim()
    );
    eprintln!(
        "recorded: {} ({} lines)",
        recorded.end,
        recorded.lines.len()
    );
    Ok((recorded, reach))
}

fn record(
    project: &Project,
    runner: &Runner<'_>,
    smoke: &'static Smoke,
    folder: &Path,
    reach: Reach,
) -> Result<Said> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder.join("work"))?;
    if reach == Reach::Both {
        make_store(&store(folder))?;
    }
    let machine = machine(runner, smoke, folder, "record", reach)?;
    play(machine.command(project)?, smoke, folder, smoke.steps)
}

/// Where QEMU keeps the machine's state.
fn store(folder: &Path) -> PathBuf {
    folder.join("states.qcow2")
}

fn make_store(path: &Path) -> Result<()> {
    let status = Command::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2"])
        .arg(path)
        .arg("64M")
        .status()
        .context("cannot start qemu-img")?;
    ensure!(
        status.success(),
        "qemu-img made no file for the machine's states"
    );
    Ok(())
}

/// The smoke's machine with a recording. Disks go through the layer that puts the order of their answers into it.
fn machine(
    runner: &Runner<'_>,
    smoke: &'static Smoke,
    folder: &Path,
    mode: &str,
    reach: Reach,
) -> Result<Machine> {
    let mut machine = runner.machine(smoke, Trial::Plain, &folder.join("work"))?;
    let mut words: Vec<String> = Vec::new();
    for (number, disk) in std::mem::take(&mut machine.disks).iter().enumerate() {
        let (format, path) = (&disk.format, escape(&disk.path));
        words.extend([
            "-drive".into(),
            format!("if=none,id=image{number},format={format},snapshot=on,file={path}"),
            "-drive".into(),
            format!("driver=blkreplay,if=none,id=d{number},image=image{number}"),
            "-device".into(),
            format!("{},drive=d{number},serial=capos-d{number}", disk.device),
        ]);
    }
    let file = escape(&folder.join("recording"));
    let mut icount = format!("shift=auto,rr={mode},rrfile={file}");
    if reach == Reach::Both {
        icount += ",rrsnapshot=start";
        let path = escape(&store(folder));
        words.extend([
            "-drive".into(),
            format!("if=none,id=states,format=qcow2,file={path}"),
        ]);
    }
    words.extend(["-icount".into(), icount]);
    machine
        .extra
        .splice(0..0, words.into_iter().map(Into::into));
    let cpu = chosen_cpu(&machine.extra);
    machine.extra.extend(["-cpu".into(), cpu]);
    Ok(machine)
}

/// The processor that the smoke asks for, or everybody's, as it can be recorded.
fn chosen_cpu(extra: &[OsString]) -> OsString {
    let asked = extra.iter().rev().skip(1).zip(extra.iter().rev());
    let mut asked = asked.filter(|(option, _)| *option == "-cpu");
    let mut cpu = asked
        .next()
        .map_or_else(|| qemu::CPU.into(), |(_, model)| model.clone());
    cpu.push(qemu::COUNTED);
    cpu
}

/// One run to its end.
fn play(mut command: Command, smoke: &Smoke, folder: &Path, steps: &[case::Step]) -> Result<Said> {
    let errors = folder.join("qemu-errors");
    command.stderr(fs::File::create(&errors)?);
    let mut session = Session::start(command, Echo::Kept, std::io::stderr())?;
    let limit = Duration::from_secs(smoke.limit_s * SLOWER);
    session.set_silence(limit);
    if let Err(why) = perform(
        steps,
        &mut session,
        &folder.join("work"),
        Instant::now() + limit,
    ) {
        eprintln!("{}", why.text());
    }
    let (end, lines) = finish(session, limit);
    Ok(Said {
        end,
        lines,
        errors: fs::read_to_string(&errors).unwrap_or_default(),
    })
}

fn finish(mut session: Session, limit: Duration) -> (String, Vec<String>) {
    session.set_silence(limit);
    let (end, transcript) = session.finish(Instant::now() + limit);
    let end = match end {
        End::Code(code) => format!("exit code {code}"),
        other => format!("{other:?}"),
    };
    (end, transcript.serial.lines().to_vec())
}

#[cfg(test)]
mod tests {
    use super::{can_be_recorded, chosen_cpu};
    use crate::smoke::case::{self, Boot, Smoke};

    #[test]
    fn what_a_recording_does_not_carry_is_refused() {
        let plain = Smoke {
            name: "x",
            ..Smoke::DEFAULT
        };
        assert!(can_be_recorded(&plain).is_ok());
        let refused = [
            Smoke {
                smp: 2,
                ..plain_copy()
            },
            Smoke {
                boot: Boot::Uefi,
                ..plain_copy()
            },
            Smoke {
                reboots: true,
                ..plain_copy()
            },
            Smoke {
                extra: &["-netdev", "user,id=n"],
                ..plain_copy()
            },
        ];
        for smoke in &refused {
            assert!(can_be_recorded(smoke).is_err());
        }
        assert!(
            case::all()
                .iter()
                .any(|smoke| can_be_recorded(smoke).is_ok())
        );
    }

    #[test]
    fn a_recording_has_the_smokes_processor_without_x2apic() {
        assert_eq!(chosen_cpu(&[]), "max,-erms,-fsrm,-x2apic");
        let extra = ["-device", "edu", "-cpu", "max,-hypervisor", "-S"].map(Into::into);
        assert_eq!(chosen_cpu(&extra), "max,-hypervisor,-x2apic");
    }

    fn plain_copy() -> Smoke {
        Smoke {
            name: "x",
            ..Smoke::DEFAULT
        }
    }
}
