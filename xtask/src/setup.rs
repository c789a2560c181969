//! What a fresh machine lacks, and how it gets it.
//!
//! Invariant: never installs anything without a yes, an explicit `--yes` or an unattended run that says so (`CI=1`).

use std::collections::BTreeSet;
use std::io::{BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::image::grub::Grub;
use crate::project::{Project, is_ci};
use crate::qemu;
use crate::toolchain::Toolchain;

/// A program that must be there, and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 5] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("capnp", "capnproto"),
    ("mcopy", "mtools"),
    ("mkfs.fat", "dosfstools"),
    ("objcopy", "binutils"),
];
/// What boot media need beside that.
const IMAGE_PROGRAMS: [(&str, &str); 2] = [("grub-mkimage", "grub-common"), ("xorriso", "xorriso")];
/// What cloud packages need beside that.
const CLOUD_PROGRAMS: [(&str, &str); 2] = [("qemu-img", "qemu-utils"), ("tar", "tar")];
/// A compiler for the guest where rustup has none: compiler, its own library source, and a linker.
const COMPILER: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld"];

/// What a command does, as far as it needs more than others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Needs {
    /// Builds and boots the guest.
    Guest,
    /// Makes boot media too.
    Images,
    /// Makes and checks cloud packages too.
    Cloud,
}

/// Makes sure that everything is there; installs it if that is agreed to.
pub fn ensure(project: &Project, yes: bool, needs: Needs) -> Result<()> {
    let missing = missing(project, needs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    eprintln!("missing: {packages}");
    let command = install_command(&packages);
    if !is_debian() {
        bail!(
            "install what these Debian packages hold with your system's tool, then try again: {packages}"
        );
    }
    if !(yes || is_ci() || agreed(&command)?) {
        bail!("not installed; the command is: {command}");
    }
    install(&missing)?;
    let still = self::missing(project, needs);
    if !still.is_empty() {
        bail!(
            "after installing, these are still missing: {}",
            still.join(" ")
        );
    }
    Ok(())
}

fn missing(project: &Project, needs: Needs) -> Vec<String> {
    let mut packages = BTreeSet::new();
    let mut programs = PROGRAMS.to_vec();
    if needs >= Needs::Images {
        programs.extend(IMAGE_PROGRAMS);
        if Grub::find().is_err() {
            packages.insert("grub-pc-bin");
        }
    }
    if needs >= Needs::Cloud {
        programs.extend(CLOUD_PROGRAMS);
    }
    for (program, package) in programs {
        if !is_installed(program) {
            packages.insert(package);
        }
    }
    if qemu::ovmf().is_none() {
        packages.insert("ovmf");
    }
    if !Toolchain::is_within_reach(project) {
        packages.extend(COMPILER);
    }
    packages.into_iter().map(str::to_owned).collect()
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|dir| dir.join(program).is_file())
}

/// Asks on the terminal; without one there is nobody to ask.
fn agreed(command: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    eprint!("run `{command}` now? [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn install(packages: &[String]) -> Result<()> {
    apt(&["update"])?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(packages.iter().map(String::as_str));
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = if is_root() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        if is_ci() {
            sudo.arg("--non-interactive");
        }
        sudo.arg("apt-get");
        sudo
    };
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        // Standard output belongs to the guest.
        .stdout(std::io::stderr());
    let status = command.status().context("cannot start apt-get")?;
    if !status.success() {
        bail!("apt-get {} failed", arguments.join(" "));
    }
    Ok(())
}

fn install_command(packages: &str) -> String {
    let sudo = if is_root() { "" } else { "sudo " };
    format!(
        "{sudo}apt-get update && {sudo}apt-get install --yes --no-install-recommends {packages}"
    )
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn is_debian() -> bool {
    Path::new("/etc/debian_version").exists() && is_installed("apt-get")
}
