//! Disk images: the demo disk, images smokes make for themselves, and what format a file is in.
//!
//! Invariant: never writes to an image a person named; only to files below the target folder.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::project::Project;

const MIB: u64 = 1024 * 1024;
/// The smallest volume `mkfs.fat -F 32` makes that every reader takes for FAT32.
const DEMO_MIB: u64 = 64;

/// A disk of the guest.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The image.
    pub path: PathBuf,
    /// What QEMU calls its format.
    pub format: &'static str,
    /// Whether writes reach the image; otherwise they are forgotten at the end.
    pub writable: bool,
    /// Bytes per second that the emulated disk delivers, 0 for no limit.
    pub bytes_per_s: u64,
    /// What it is attached as: QEMU's device with its properties.
    pub device: &'static str,
}

impl Disk {
    /// The image at `path`, with its format read from its first bytes.
    pub fn open(path: &Path, writable: bool) -> Result<Self> {
        let mut file = File::open(path)
            .with_context(|| format!("cannot open the disk image {}", path.display()))?;
        let kind = file.metadata()?;
        ensure!(
            !kind.is_dir(),
            "the disk image {} is a folder; --disk takes a file that holds a disk",
            path.display()
        );
        ensure!(
            !kind.is_file() || kind.len() > 0,
            "the disk image {0} is empty; for a FAT32 volume: truncate -s 64M {0} && mkfs.fat -F 32 {0}",
            path.display()
        );
        if writable {
            File::options()
                .write(true)
                .open(path)
                .with_context(|| format!("--rw needs to write to {}", path.display()))?;
        }
        let mut head = Vec::new();
        (&mut file).take(512).read_to_end(&mut head)?;
        let path = path.canonicalize()?;
        Ok(Self {
            path,
            format: format_of(&head),
            writable,
            bytes_per_s: 0,
            device: "nvme",
        })
    }
}

fn format_of(head: &[u8]) -> &'static str {
    let at = |offset: usize, magic: &[u8]| {
        head.get(offset..)
            .is_some_and(|rest| rest.starts_with(magic))
    };
    if at(0, b"QFI\xfb") {
        "qcow2"
    } else if at(0, b"KDMV") {
        "vmdk"
    } else if at(0, b"vhdxfile") {
        "vhdx"
    } else if at(0, b"conectix") {
        "vpc"
    } else if at(0x40, &[0x7f, 0x10, 0xda, 0xbe]) {
        "vdi"
    } else {
        "raw"
    }
}

/// A shell whose path also has the folders of system tools, which people's paths often lack.
pub fn shell() -> Result<Shell> {
    let shell = Shell::new()?;
    let path = std::env::var("PATH").unwrap_or_default();
    shell.set_var("PATH", format!("{path}:/usr/sbin:/sbin"));
    // The tools must not ask, and must not depend on a person's settings.
    shell.set_var("MTOOLS_SKIP_CHECK", "1");
    shell.set_var("MTOOLSRC", "/dev/null");
    Ok(shell)
}

/// A FAT image being made with `mkfs.fat` and mtools.
pub struct FatImage {
    shell: Shell,
    path: PathBuf,
}

impl FatImage {
    /// Makes an empty volume of `mib` mebibytes; `bits` is 12, 16 or 32.
    pub fn create(path: &Path, mib: u64, bits: u8, label: &str) -> Result<Self> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = File::create(path).with_context(|| format!("cannot make {}", path.display()))?;
        file.set_len(mib * MIB)?;
        let shell = shell()?;
        let bits = bits.to_string();
        cmd!(shell, "mkfs.fat -F {bits} -n {label} {path}")
            .quiet()
            .ignore_stdout()
            .run()?;
        Ok(Self {
            shell,
            path: path.to_path_buf(),
        })
    }

    /// Makes a folder; its parent must be there.
    pub fn folder(&self, name: &str) -> Result<&Self> {
        let (image, to) = (&self.path, format!("::{name}"));
        cmd!(self.shell, "mmd -i {image} {to}").quiet().run()?;
        Ok(self)
    }

    /// Puts a file with these bytes at `name`.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Result<&Self> {
        let (image, to) = (&self.path, format!("::{name}"));
        cmd!(self.shell, "mcopy -i {image} - {to}")
            .stdin(bytes)
            .quiet()
            .run()?;
        Ok(self)
    }

    /// Copies the file `from` of the host to `name`.
    pub fn copy(&self, name: &str, from: &Path) -> Result<&Self> {
        let (image, to) = (&self.path, format!("::{name}"));
        cmd!(self.shell, "mcopy -i {image} {from} {to}")
            .quiet()
            .run()?;
        Ok(self)
    }
}

/// The disk a person gets who names none, made once.
pub fn demo(project: &Project) -> Result<Disk> {
    let path = project.target.join("demo-disk.img");
    if !path.exists() {
        eprintln!("making a demo disk, {}", project.show(&path));
        let draft = path.with_extension("draft");
        let image = FatImage::create(&draft, DEMO_MIB, 32, "CAPOS")?;
        image.file(
            "README.TXT",
            b"This is a FAT32 disk, read through a driver that never sees an address.\r\n\
              Attach one of your own: cargo xtask run --disk IMAGE\r\n",
        )?;
        image.folder("letters")?.folder("letters/2026")?;
        image.file("letters/2026/hello.txt", b"Hello from a nested folder.\n")?;
        image.file(
            "A rather long file name, as VFAT writes it.text",
            b"Long names work.\n",
        )?;
        image.file(
            "grüße.txt",
            "Names beyond ASCII work too: grüße.\n".as_bytes(),
        )?;
        image.file("empty.txt", b"")?;
        let numbers: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
        image.file("numbers.txt", numbers.as_bytes())?;
        fs::rename(&draft, &path)?;
    }
    Disk::open(&path, false)
}

#[cfg(test)]
mod tests {
    use super::{Disk, format_of};
    use std::path::Path;

    #[test]
    fn formats_are_told_by_their_magic() {
        assert_eq!(format_of(b"QFI\xfb\0\0\0\x03"), "qcow2");
        assert_eq!(format_of(b"conectix"), "vpc");
        let mut vdi = [0; 0x48];
        vdi[0x40..0x44].copy_from_slice(&[0x7f, 0x10, 0xda, 0xbe]);
        assert_eq!(format_of(&vdi), "vdi");
        assert_eq!(format_of(&[0xeb, 0x58, 0x90]), "raw");
        assert_eq!(format_of(&[]), "raw");
    }

    #[test]
    fn a_missing_image_is_named() {
        let error = Disk::open(Path::new("/nowhere/x.img"), false).unwrap_err();
        assert!(error.to_string().contains("/nowhere/x.img"));
    }
}
