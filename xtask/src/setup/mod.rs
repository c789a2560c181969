//! What a fresh machine lacks, and how it gets it.
//!
//! Invariant: never installs anything without having said so, and never where `--no-install` stands. A person at a
//! terminal is asked; without a terminal it goes on only where nobody would have been asked: as root, where sudo asks
//! nothing, or told to by `--yes` or `CI=1`. It never removes a package.

mod apt;
pub mod models;
mod systems;
pub mod tools;

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::image::grub::Grub;
use crate::project::{Project, is_ci};
use crate::qemu::{self, Accel, Feature};
use crate::toolchain::Toolchain;
use systems::{System, Thing};

/// What a build needs.
const BUILD_PROGRAMS: [(&str, Thing); 2] = [("capnp", Thing::Capnp), ("objcopy", Thing::Binutils)];
/// What a boot needs beside that.
const BOOT_PROGRAMS: [(&str, Thing); 3] = [
    ("qemu-system-x86_64", Thing::Qemu),
    ("mcopy", Thing::Mtools),
    ("mkfs.fat", Thing::Dosfs),
];
/// What boot media need beside that.
const IMAGE_PROGRAMS: [(&str, Thing); 1] = [("xorriso", Thing::Xorriso)];
/// What cloud packages need beside that.
const CLOUD_PROGRAMS: [(&str, Thing); 2] = [("qemu-img", Thing::QemuImg), ("tar", Thing::Tar)];

/// What a command does, as far as it needs more than others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Needs {
    /// Reads schemas and builds for the guest.
    Build,
    /// Boots the guest, too.
    Guest,
    /// Makes boot media too.
    Images,
    /// Makes and checks cloud packages too.
    Cloud,
}

/// What a person said about installing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consent {
    /// Nothing: ask, or see whether anybody would have to be asked.
    Open,
    /// `--yes`, or an unattended run that says so.
    Given,
    /// `--no-install`.
    Refused,
}

/// Makes sure that everything is there; installs it if that is agreed to.
pub fn ensure(project: &Project, consent: Consent, needs: Needs) -> Result<()> {
    ensure_things(project, consent, || missing(project, needs))
}

/// Makes sure that a browser, and what installs other programs to be tested against, is there; installs it if that is agreed to.
pub fn ensure_peers(project: &Project, consent: Consent) -> Result<()> {
    ensure_things(project, consent, missing_for_peers)
}

/// Makes sure that a debugger which can go backwards is there; installs it if that is agreed to.
pub fn ensure_debugger(project: &Project, consent: Consent) -> Result<()> {
    ensure_things(project, consent, || match debugger_goes_backwards() {
        true => BTreeSet::new(),
        false => BTreeSet::from([Thing::Debugger]),
    })
}

fn missing_for_peers() -> BTreeSet<Thing> {
    let makes_folders = Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let mut lacking = BTreeSet::new();
    if !makes_folders {
        lacking.insert(Thing::PythonVenv);
    }
    if save_lab::companion::browser().is_none() {
        lacking.insert(Thing::Browser);
    }
    if !Feature::Ssh.is_offered(Accel::Tcg) {
        lacking.insert(Thing::Ssh);
    }
    if !["mke2fs", "debugfs"].into_iter().all(is_installed) {
        lacking.insert(Thing::Ext);
    }
    if !is_installed("mkfs.exfat") {
        lacking.insert(Thing::Exfat);
    }
    lacking
}

/// Debian's package of QEMU, and what whoever may install nothing has instead.
const QEMU_PACKAGE: &str = "qemu-system-x86";
const OWN_QEMU: &str = "\nwithout root, a QEMU in a folder of its own: cargo xtask setup --device-models, and --qemu 11 with each command";

fn ensure_things(
    project: &Project,
    consent: Consent,
    missing: impl Fn() -> BTreeSet<Thing>,
) -> Result<()> {
    let lacking = missing();
    if lacking.is_empty() {
        return Ok(());
    }
    let system = System::here();
    let packages = packages(system, &lacking);
    eprintln!("missing: {}", names(system, &lacking));
    let sudo = if is_root() { "" } else { "sudo " };
    let command = by_hand(system, &packages, &lacking, sudo);
    if system != System::Debian || !is_installed("apt-get") {
        bail!("{command}");
    }
    let why = match consent {
        Consent::Refused => bail!("not installed, as --no-install says; {command}"),
        Consent::Given => "as --yes or CI says",
        Consent::Open if std::io::stdin().is_terminal() => {
            if !agreed(&packages)? {
                bail!("not installed; {command}");
            }
            "as agreed"
        }
        Consent::Open if is_root() => "as root; --no-install keeps this from happening",
        Consent::Open if sudo_asks_nothing() => {
            "through sudo, which asks nothing; --no-install keeps this from happening"
        }
        Consent::Open => {
            let own = match packages.contains(&QEMU_PACKAGE) {
                true => OWN_QEMU,
                false => "",
            };
            bail!("not installed, because there is nobody to ask; {command}{own}")
        }
    };
    eprintln!("installing {why}: {}", packages.join(" "));
    install(project, &packages)?;
    let still = missing();
    if !still.is_empty() {
        bail!(
            "after installing, these are still missing: {}",
            names(system, &still)
        );
    }
    Ok(())
}

/// Installs `packages`; where QEMU's do not fit what is installed, QEMU goes into a folder of its own.
fn install(project: &Project, packages: &[&str]) -> Result<()> {
    apt::update()?;
    let others: Vec<&str> = packages
        .iter()
        .copied()
        .filter(|one| *one != models::PACKAGE)
        .collect();
    if others.len() == packages.len() || apt::fit(packages) || !apt::fit(&others) {
        return apt::install(packages);
    }
    eprintln!(
        "{} does not fit what is installed: it goes into a folder of its own",
        models::PACKAGE
    );
    if !others.is_empty() {
        apt::install(&others)?;
    }
    models::install_own(project)
}

fn missing(project: &Project, needs: Needs) -> BTreeSet<Thing> {
    let mut things = BTreeSet::new();
    let mut programs = BUILD_PROGRAMS.to_vec();
    if needs >= Needs::Guest {
        programs.extend(BOOT_PROGRAMS);
        if qemu::ovmf().is_none() {
            things.insert(Thing::Ovmf);
        }
    }
    if needs >= Needs::Images {
        programs.extend(IMAGE_PROGRAMS);
        if !Grub::has_tool() {
            things.insert(Thing::GrubTool);
        }
        if !Grub::has_modules() {
            things.insert(Thing::GrubBios);
        }
    }
    if needs >= Needs::Cloud {
        programs.extend(CLOUD_PROGRAMS);
    }
    for (program, thing) in programs {
        let is_own = thing == Thing::Qemu && (qemu::is_chosen() || models::own(project).is_some());
        if !is_installed(program) && !is_own {
            things.insert(thing);
        }
    }
    if !Toolchain::is_within_reach(project) {
        things.insert(Thing::Compiler);
    }
    things
}

/// The packages that bring `things`, each once, in order.
fn packages(system: System, things: &BTreeSet<Thing>) -> Vec<&'static str> {
    let all = things
        .iter()
        .flat_map(|thing| system.packages(*thing).iter().copied());
    let unique: BTreeSet<&'static str> = all.collect();
    unique.into_iter().collect()
}

/// What is missing, for a person: packages, and the things themselves that none brings.
fn names(system: System, things: &BTreeSet<Thing>) -> String {
    let mut words: Vec<String> = packages(system, things)
        .into_iter()
        .map(str::to_owned)
        .collect();
    let bare = things
        .iter()
        .filter(|thing| system.packages(**thing).is_empty());
    words.extend(bare.map(|thing| format!("{thing:?}")));
    words.join(" ")
}

/// What a person does instead: the command of this system, and what else is to be known.
fn by_hand(system: System, packages: &[&str], things: &BTreeSet<Thing>, sudo: &str) -> String {
    let mut parts = Vec::new();
    if !packages.is_empty() {
        parts.push(match system.command(packages, sudo) {
            Some(command) => format!("the command is: {command}"),
            None => format!(
                "install what these Debian packages hold with your system's tool, then try again: {}",
                packages.join(" ")
            ),
        });
    }
    parts.extend(
        things
            .iter()
            .filter_map(|thing| system.remark(*thing).map(str::to_owned)),
    );
    parts.join("\n")
}

/// Whether a program is in the search path or where root's programs lie.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}

/// Whether there is a debugger that takes the commands which go backwards in a replay: GDB with Python.
pub fn debugger_goes_backwards() -> bool {
    let output = Command::new("gdb")
        .args(["-nx", "-batch", "-ex", "python print(6 * 7)"])
        .stdin(Stdio::null())
        .output();
    output.is_ok_and(|output| output.stdout == b"42\n")
}

/// Asks on the terminal.
fn agreed(packages: &[&str]) -> Result<bool> {
    eprint!("install {} now? [y/N] ", packages.join(" "));
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Whether sudo runs a command without asking anybody.
fn sudo_asks_nothing() -> bool {
    Command::new("sudo")
        .args(["--non-interactive", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Whether nobody can answer a question.
fn is_unattended() -> bool {
    is_ci() || !std::io::stdin().is_terminal()
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
