//! What a boot medium holds: the boot package, the loaders, and the words for the kernel, as paths and bytes.
//!
//! Invariant: never puts a program's bytes anywhere but below `boot/bins`; the manifest beside them has names only.

use std::fs;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::image::files::{Files, UEFI_PATH};
use crate::image::{cd_probe, grub, limine::Limine};
use crate::package::Guest;

/// Which loader a medium carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, clap::ValueEnum)]
pub enum Loader {
    /// The loaders of this tree; on BIOS machines GRUB starts `loader-pvh`.
    #[default]
    Builtin,
    /// Upstream Limine, from `LIMINE_DIR` or where it is installed.
    Limine,
}

impl Loader {
    /// Says what to install where it is not there, before anything is built.
    pub fn check_installed(self) -> Result<()> {
        match self {
            Self::Builtin => Ok(()),
            Self::Limine => Limine::find().map(drop),
        }
    }
}

/// What a medium is made of.
#[derive(Clone, Debug)]
pub struct Contents {
    /// Everything on the medium's file system.
    pub files: Files,
    /// What starts it.
    pub loader: Loader,
    /// The volume set identifier of a CD made of it.
    pub identity: String,
}

/// The manifest.
const MANIFEST_PATH: &str = "boot/manifest.bin";
/// The BIOS loader, started by GRUB.
const PVH_PATH: &str = "boot/loader.elf";

impl Contents {
    /// The package for `manifest`, with `cmdline` for the kernel and the loaders of `loader`.
    pub fn of(guest: &Guest<'_>, manifest: &str, cmdline: &str, loader: Loader) -> Result<Self> {
        check_words(cmdline)?;
        let mut files = guest.files(manifest)?;
        let identity = cd_probe::identity(&digest(&files));
        match loader {
            Loader::Builtin => {
                let uefi = guest.uefi_loader()?;
                let uefi =
                    fs::read(&uefi).with_context(|| format!("cannot read {}", uefi.display()))?;
                files.insert(UEFI_PATH.to_owned(), uefi);
                files.insert(PVH_PATH.to_owned(), guest.slim(&guest.loader)?);
                files.insert("boot/cmdline.txt".to_owned(), cmdline.as_bytes().to_vec());
                files.insert("boot/medium.txt".to_owned(), identity.clone().into_bytes());
                let script = grub::script(PVH_PATH, cmdline, &package_paths(&files), &identity);
                files.insert(grub::SCRIPT_PATH.to_owned(), script.into_bytes());
            }
            Loader::Limine => {
                let config = Limine::config(cmdline, &package_paths(&files));
                Limine::find()?.add_to(&mut files, &config)?;
            }
        }
        Ok(Self {
            files,
            loader,
            identity,
        })
    }

    /// 32 bytes that depend on every path and every byte, for identifiers that must differ between media and not between
    /// two builds of one.
    pub fn digest(&self) -> [u8; 32] {
        digest(&self.files)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|bytes| bytes.len() as u64).sum()
    }
}

fn digest(files: &Files) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (path, bytes) in files {
        hash.update((path.len() as u64).to_le_bytes());
        hash.update(path);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hash.finalize().into()
}

/// The paths a loader hands to the kernel: the kernel first, then the manifest and the programs.
fn package_paths(files: &Files) -> Vec<String> {
    let mut paths: Vec<String> = files
        .keys()
        .filter(|path| {
            [MANIFEST_PATH, package_sums::PATH].contains(&path.as_str())
                || path.starts_with("boot/bins/")
        })
        .cloned()
        .collect();
    paths.insert(0, "boot/kernel.elf".to_owned());
    paths
}

/// Refuses words that a boot script could take for its own.
fn check_words(cmdline: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " =._,:/+-@".contains(c);
    ensure!(
        cmdline.chars().all(plain),
        "the kernel's command line {cmdline:?} has a character that a boot script would read for itself"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Contents, Files, Loader, check_words, package_paths};

    fn contents(files: &[(&str, &str)]) -> Contents {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect();
        Contents {
            files,
            loader: Loader::Builtin,
            identity: String::new(),
        }
    }

    #[test]
    fn the_digest_tells_paths_from_bytes() {
        let one = contents(&[("a", "bc")]).digest();
        assert_eq!(one, contents(&[("a", "bc")]).digest());
        assert_ne!(one, contents(&[("ab", "c")]).digest());
        assert_ne!(one, contents(&[("a", "bd")]).digest());
    }

    #[test]
    fn the_kernel_is_the_first_path_and_loaders_are_none() {
        let mut files = Files::new();
        for path in ["EFI/BOOT/BOOTX64.EFI", "boot/bins/init", "boot/cmdline.txt"] {
            files.insert(path.to_owned(), Vec::new());
        }
        files.insert("boot/manifest.bin".to_owned(), Vec::new());
        assert_eq!(
            package_paths(&files),
            ["boot/kernel.elf", "boot/bins/init", "boot/manifest.bin"]
        );
    }

    #[test]
    fn words_that_a_script_would_read_are_refused() {
        assert!(check_words("log=serial sabotage=nvme.prp cpus=4").is_ok());
        for bad in ["a;b", "$x", "a\nb", "'", "{"] {
            assert!(check_words(bad).is_err(), "{bad:?}");
        }
    }
}
