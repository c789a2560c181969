//! Disk images: the demo disk, images smokes make for themselves, and what format a file is in.
//!
//! Invariant: never writes to an image a person named; only to files below the target folder.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use xshell::{Shell, cmd};

use crate::disk_file;
pub use crate::disk_file::Writes;
use crate::image_format::{self, FORMATS, Found};
use crate::project::Project;

/// What names are written in, for mtools: where the environment says nothing, they would take each byte for a character.
const MTOOLS_LOCALE: &str = "C.UTF-8";

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
    /// A further namespace of the controller of another disk, instead of a controller's own one.
    pub namespace: Option<Namespace>,
    /// The image, locked for as long as the guest has it.
    #[expect(dead_code, reason = "it is held, and let go with the machine")]
    pub lock: Option<Arc<File>>,
}

/// A place below an NVMe controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Which of the disks the controller is for.
    pub controller: usize,
    /// Its number, from 2 on.
    pub nsid: u32,
}

/// Whether other files that an image names may be opened as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linked {
    /// They are refused.
    Refuse,
    /// The person said so.
    Follow,
}

impl Disk {
    /// The image that a person named: `IMAGE`, whose format is read from its first bytes, or `FORMAT:IMAGE`.
    pub fn named(name: &Path, writes: Writes, linked: Linked) -> Result<Self> {
        let text = name.to_string_lossy();
        let said = text.split_once(':').and_then(|(format, path)| {
            let format = FORMATS.into_iter().find(|known| *known == format)?;
            // A file that is really called so is meant.
            (!name.exists()).then(|| (format, PathBuf::from(path)))
        });
        match said {
            Some((format, path)) => Self::of(&path, Some(format), writes, linked),
            None => Self::of(name, None, writes, linked),
        }
    }

    /// The image at `path`, with its format read from its first bytes.
    pub fn open(path: &Path, writes: Writes) -> Result<Self> {
        Self::of(path, None, writes, Linked::Refuse)
    }

    fn of(path: &Path, said: Option<&'static str>, writes: Writes, linked: Linked) -> Result<Self> {
        let writable = writes == Writes::Kept;
        let mut file = disk_file::open(path, writes)?;
        let format = match said {
            Some("raw") => "raw",
            _ => format_of(path, &mut file, said, linked)?,
        };
        Ok(Self {
            path: path.canonicalize()?,
            format,
            writable,
            bytes_per_s: 0,
            device: "nvme",
            namespace: None,
            lock: None,
        })
    }
}

/// Refuses to let two disks write to one image.
pub fn check_apart(disks: &[Disk]) -> Result<()> {
    for (index, disk) in disks.iter().enumerate() {
        let earlier = disks.get(..index).unwrap_or_default();
        ensure!(
            !disk.writable || earlier.iter().all(|other| other.path != disk.path),
            "the disk image {} is attached twice, and with --rw both would write to it",
            disk.path.display()
        );
    }
    Ok(())
}

/// The format to open an image in: what its bytes say, or what the person said.
fn format_of(
    path: &Path,
    file: &mut File,
    said: Option<&'static str>,
    linked: Linked,
) -> Result<&'static str> {
    let shown = path.display();
    let found =
        image_format::look(file).with_context(|| format!("cannot read the disk image {shown}"))?;
    match (found, said) {
        (Found::Names(format, names), said) if linked == Linked::Refuse => {
            let mut list = names.join(", ");
            if list.is_empty() {
                list.push_str("some");
            }
            // These come from the image, and go to a terminal.
            let list = list.escape_debug();
            bail!(
                "the disk image {shown} is {format} and names other files ({list}), which would be opened as well; \
                 if you trust it, add --linked{}",
                if said.is_none() {
                    format!(", and if it is a plain disk that begins so, write --disk raw:{shown}")
                } else {
                    String::new()
                }
            )
        }
        (Found::Piece, _) => bail!(
            "the disk image {shown} is one part of a split VMDK: name its descriptor, the short .vmdk file that lists the parts, with --linked"
        ),
        (Found::Packed(what, how), None) => bail!(
            "the disk image {shown} is {what}, no disk yet: {how} {shown}, then --disk with what that makes \
             (a plain disk that begins so: --disk raw:{shown})"
        ),
        (Found::Alone(found) | Found::Names(found, _) | Found::Unusable(found, ..), Some(said))
            if found != said =>
        {
            ensure!(
                said == "vpc" && image_format::has_vhd_footer(file)?,
                "the disk image {shown} is no {said} image: its first bytes are those of {}; write --disk {found}:{shown}, or only \
                 --disk {shown}",
                if found == "raw" {
                    "a plain disk"
                } else {
                    found
                }
            );
            Ok(said)
        }
        (Found::Packed(what, _), Some(said)) => {
            bail!("the disk image {shown} is no {said} image: it is {what}")
        }
        (Found::Unusable(found, why, what), _) => {
            bail!("the disk image {shown} is {found} and {why}; {what}")
        }
        (_, Some(said)) => Ok(said),
        (Found::Alone(format) | Found::Names(format, _), None) => Ok(format),
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
        cmd!(self.shell, "mmd -i {image} {to}")
            .env("LC_ALL", MTOOLS_LOCALE)
            .quiet()
            .run()?;
        Ok(self)
    }

    /// Puts a file with these bytes at `name`.
    pub fn file(&self, name: &str, bytes: &[u8]) -> Result<&Self> {
        let (image, to) = (&self.path, format!("::{name}"));
        cmd!(self.shell, "mcopy -i {image} - {to}")
            .env("LC_ALL", MTOOLS_LOCALE)
            .stdin(bytes)
            .quiet()
            .run()?;
        Ok(self)
    }

    /// Copies the file `from` of the host to `name`.
    pub fn copy(&self, name: &str, from: &Path) -> Result<&Self> {
        let (image, to) = (&self.path, format!("::{name}"));
        cmd!(self.shell, "mcopy -i {image} {from} {to}")
            .env("LC_ALL", MTOOLS_LOCALE)
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
    Disk::open(&path, Writes::Dropped)
}

#[cfg(test)]
mod tests {
    use super::{Disk, Linked, Writes};
    use std::path::Path;

    #[test]
    fn an_image_does_not_choose_to_open_another_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.img");
        let mut bytes = vec![0; 4096];
        bytes[..8].copy_from_slice(b"QFI\xfb\0\0\0\x03");
        bytes[8..16].copy_from_slice(&512u64.to_be_bytes());
        bytes[16..20].copy_from_slice(&6u32.to_be_bytes());
        bytes[512..518].copy_from_slice(b"\x1b[2J/x");
        std::fs::write(&path, &bytes).unwrap();
        let error = Disk::open(&path, Writes::Dropped).unwrap_err().to_string();
        assert!(
            error.contains("names other files (\\u{1b}[2J/x)"),
            "{error}"
        );
        assert!(
            error.contains("--linked") && error.contains("raw:"),
            "{error}"
        );
        let named = |prefix: &str, linked| {
            let name = format!("{prefix}{}", path.display());
            Disk::named(Path::new(&name), Writes::Dropped, linked).map(|disk| disk.format)
        };
        assert_eq!(named("raw:", Linked::Refuse).unwrap(), "raw");
        let other = named("vmdk:", Linked::Follow).unwrap_err().to_string();
        assert!(
            other.contains("is no vmdk image: its first bytes are those of qcow2"),
            "{other}"
        );
        assert!(named("qcow2:", Linked::Refuse).is_err());
        assert_eq!(named("qcow2:", Linked::Follow).unwrap(), "qcow2");
        assert_eq!(named("", Linked::Follow).unwrap(), "qcow2");
        std::fs::write(&path, b"\xfd7zXZ\0\0\0").unwrap();
        let error = Disk::open(&path, Writes::Dropped).unwrap_err().to_string();
        assert!(
            error.contains("compressed by xz") && error.contains("xz -dk"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_image_is_named() {
        let error = Disk::open(Path::new("/nowhere/x.img"), Writes::Dropped).unwrap_err();
        assert!(error.to_string().contains("/nowhere/x.img"));
    }
}
