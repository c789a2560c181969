//! Upstream Limine, where one is installed, as the loader of the same media.
//!
//! Invariant: never fetches it, and never keeps a file of it anywhere but on the media that were asked for.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::image::files::{Files, UEFI_PATH};

/// What a folder with Limine's binaries must hold.
const WANTED: [&str; 4] = [
    "BOOTX64.EFI",
    "limine-bios.sys",
    "limine-bios-cd.bin",
    "limine-uefi-cd.bin",
];

/// An installed Limine.
pub struct Limine {
    data: PathBuf,
    tool: PathBuf,
}

impl Limine {
    /// Where the stage lies that a BIOS starts from a CD.
    pub const CD_STAGE: &'static str = "boot/limine/limine-bios-cd.bin";

    /// `LIMINE_DIR`, else where `limine --print-datadir` says.
    pub fn find() -> Result<Self> {
        const ADVICE: &str = "install Limine 8 or later, or set LIMINE_DIR to a folder with its binaries \
             (BOOTX64.EFI, limine-bios.sys, limine-bios-cd.bin, limine-uefi-cd.bin and the tool limine, which make builds there)";
        let (data, tool) = match std::env::var_os("LIMINE_DIR") {
            Some(dir) => {
                let dir = PathBuf::from(dir);
                let own = dir.join("limine");
                let tool = if own.is_file() { own } else { "limine".into() };
                (dir, tool)
            }
            None => {
                let output = Command::new("limine").arg("--print-datadir").output();
                let Some(output) = output.ok().filter(|output| output.status.success()) else {
                    bail!("no Limine found: {ADVICE}");
                };
                let dir = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                (dir.into(), "limine".into())
            }
        };
        for name in WANTED {
            ensure!(
                data.join(name).is_file(),
                "{} has no {name}: {ADVICE}",
                data.display()
            );
        }
        let version = Command::new(&tool)
            .arg("version")
            .output()
            .with_context(|| format!("cannot start {}: {ADVICE}", tool.display()))?;
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        let major = major_version(&version)
            .with_context(|| format!("{} tells no version", tool.display()))?;
        ensure!(major >= 8, "Limine {major} is too old: {ADVICE}");
        Ok(Self { data, tool })
    }

    /// Its configuration: the kernel, and every other file of the package as a module of its path.
    pub fn config(cmdline: &str, paths: &[String]) -> String {
        let mut text = String::from(
            "timeout: 0\nserial: yes\nserial_baudrate: 115200\nquiet: yes\n\n/capOS\n    protocol: limine\n",
        );
        if let [kernel, modules @ ..] = paths {
            // Version 8 knows the first key, later ones the second.
            for key in ["kernel_path", "path"] {
                let _ = writeln!(text, "    {key}: boot():/{kernel}");
            }
            let _ = writeln!(text, "    cmdline: {cmdline}");
            for module in modules {
                let _ = writeln!(text, "    module_path: boot():/{module}");
            }
        }
        text
    }

    /// Puts its stages and `config` among the files of a medium.
    pub fn add_to(&self, files: &mut Files, config: &str) -> Result<()> {
        let read = |name: &str| {
            let path = self.data.join(name);
            fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        files.insert(UEFI_PATH.to_owned(), read("BOOTX64.EFI")?);
        files.insert(
            "boot/limine/limine-bios.sys".into(),
            read("limine-bios.sys")?,
        );
        files.insert(Self::CD_STAGE.to_owned(), read("limine-bios-cd.bin")?);
        files.insert("boot/limine/limine.conf".into(), config.into());
        Ok(())
    }

    /// Puts its first stages where a BIOS finds them; on a GPT disk into partition `partition`.
    pub fn install_bios(&self, image: &Path, partition: Option<u32>) -> Result<()> {
        let mut command = Command::new(&self.tool);
        command.arg("bios-install").arg(image);
        if let Some(partition) = partition {
            command.arg(partition.to_string());
        }
        let output = command.output().context("cannot start limine")?;
        if !output.status.success() {
            bail!(
                "limine bios-install failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(())
    }
}

/// The first number of the tool's version line, as `Limine 8.2.0`.
fn major_version(text: &str) -> Option<u32> {
    let word = text
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    word.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Limine, major_version};

    #[test]
    fn the_version_is_the_first_number() {
        assert_eq!(
            major_version("Limine 8.2.0\nCopyright (C) 2019-2024"),
            Some(8)
        );
        assert_eq!(major_version("something"), None);
    }

    #[test]
    fn the_kernel_is_no_module() {
        let paths = ["boot/kernel.elf".to_owned(), "boot/bins/init".to_owned()];
        let text = Limine::config("log=serial", &paths);
        assert!(text.contains("    kernel_path: boot():/boot/kernel.elf\n"));
        assert!(text.contains("    cmdline: log=serial\n"));
        assert_eq!(text.matches("module_path").count(), 1);
    }
}
