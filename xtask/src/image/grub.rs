//! GRUB as the first stage on BIOS machines: its core image, its boot sector, and the script that starts `loader-pvh`.
//!
//! Facts about its images: GRUB 2.06, `include/grub/i386/pc/boot.h` and `include/grub/offsets.h`.
//! Invariant: never mounts, needs no rights, and embeds nothing of the machine it runs on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::image::cd_probe;

/// Where the script lies; GRUB looks for it below its prefix.
pub const SCRIPT_PATH: &str = "boot/grub/grub.cfg";
/// Where the programs of a boot package lie.
const PROGRAMS: &str = "boot/bins/";
/// Bytes of a sector.
pub const SECTOR: usize = 512;
/// Bytes of a boot sector that are code: the rest is the partition table.
pub const CODE_BYTES: usize = 440;

/// In the boot sector: the 64-bit sector number of the core image.
const KERNEL_SECTOR_AT: usize = 0x5c;
/// In the boot sector: a jump over the use of the BIOS's drive number; two `nop` let it be used as it is on hard disks.
const DRIVE_CHECK_AT: usize = 0x66;
/// In the core image's first sector: the 64-bit number of the second one, at the start of the last list entry.
const BLOCK_LIST_AT: usize = SECTOR - 12;

/// What the core image is to find its script and the boot files on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Medium {
    /// The second partition of a GPT disk, a FAT volume.
    Disk,
    /// An ISO 9660 file system on a CD, or on a stick that was written with it.
    Iso,
}

/// GRUB's files for BIOS machines and the tool that joins them.
pub struct Grub {
    tool: PathBuf,
    modules: PathBuf,
}

impl Grub {
    /// Looks where distributions put them.
    pub fn find() -> Result<Self> {
        let modules = modules()
            .context("GRUB's files for BIOS machines are missing (package grub-pc-bin)")?;
        let tool = tool().context("grub-mkimage is missing (package grub-common)")?;
        Ok(Self { tool, modules })
    }

    /// Whether its files for BIOS machines are there.
    pub fn has_modules() -> bool {
        modules().is_some()
    }

    /// Whether the tool that joins them is there.
    pub fn has_tool() -> bool {
        tool().is_some()
    }

    /// One of its files.
    pub fn file(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.modules.join(name);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Where one of its files lies.
    pub fn path(&self, name: &str) -> PathBuf {
        self.modules.join(name)
    }

    /// The core image for a medium.
    pub fn core(&self, medium: Medium) -> Result<Vec<u8>> {
        // What can fail before the script runs is to be seen on the serial line too.
        const EARLY: &str = "serial --unit=0 --speed=115200\nterminfo serial dumb\nterminal_output serial console\n";
        const COMMON: [&str; 9] = [
            "biosdisk",
            "normal",
            "multiboot2",
            "serial",
            "terminal",
            "terminfo",
            "echo",
            "halt",
            "part_msdos",
        ];
        let (format, prefix, own): (_, _, &[&str]) = match medium {
            // The partition of the drive the BIOS booted from, whatever its number.
            Medium::Disk => ("i386-pc", "(,gpt2)/boot/grub", &["part_gpt", "fat"]),
            Medium::Iso => ("i386-pc-eltorito", "/boot/grub", &["iso9660"]),
        };
        let folder = tempfile::tempdir()?;
        let early = folder.path().join("early.cfg");
        fs::write(&early, EARLY)?;
        let core = folder.path().join("core.img");
        let mut command = Command::new(&self.tool);
        command.args(["--format", format, "--prefix", prefix]);
        command.arg("--directory").arg(&self.modules);
        command.arg("--config").arg(&early);
        command.arg("--output").arg(&core);
        command.args(COMMON).args(cd_probe::MODULES).args(own);
        let output = command.output().context("cannot start grub-mkimage")?;
        if !output.status.success() {
            bail!(
                "grub-mkimage failed: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        read_image(&core)
    }

    /// The boot sector's code for a hard disk whose core image begins at sector `core_at`.
    pub fn boot_code(&self, core_at: u64) -> Result<[u8; CODE_BYTES]> {
        let mut image = self.file("boot.img")?;
        put(&mut image, KERNEL_SECTOR_AT, &core_at.to_le_bytes())?;
        put(&mut image, DRIVE_CHECK_AT, &[0x90, 0x90])?;
        image
            .get(..CODE_BYTES)
            .and_then(|code| code.try_into().ok())
            .context("GRUB's boot.img is too short")
    }
}

/// Tells a core image that it begins at sector `core_at`.
pub fn place_core(core: &mut [u8], core_at: u64) -> Result<()> {
    put(core, BLOCK_LIST_AT, &(core_at + 1).to_le_bytes())
}

fn read_image(path: &Path) -> Result<Vec<u8>> {
    let image = fs::read(path).context("grub-mkimage wrote nothing")?;
    ensure!(
        image.len() > SECTOR,
        "grub-mkimage wrote only {} bytes",
        image.len()
    );
    Ok(image)
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) -> Result<()> {
    image
        .get_mut(at..at + bytes.len())
        .context("an image of GRUB's is too short")?
        .copy_from_slice(bytes);
    Ok(())
}

/// The script: loads `loader`, then every file of the package as a module of its path, and starts it. The first thing that
/// cannot be read ends the boot with one line that names it. On a CD that the kernel can read by itself (see [`cd_probe`]),
/// the programs stay where they are, and the kernel is told the medium's `identity`.
pub fn script(loader: &str, cmdline: &str, paths: &[String], identity: &str) -> String {
    let mut text = String::from(
        "function stop {\n  echo \"\"\n  echo \"loader: error: cannot load /$1 from the boot medium\"\n  \
         echo \"exit code=2\"\n  halt\n}\n",
    );
    text.push_str(&cd_probe::script(identity));
    let step = |command: String, path: &str| {
        format!("if {command}; then set loaded={path}; else stop {path}; fi\n")
    };
    let module = |path: &String| step(format!("module2 /{path} {path}"), path);
    let (programs, always): (Vec<_>, Vec<_>) =
        paths.iter().partition(|path| path.starts_with(PROGRAMS));
    text.push_str("if [ -n \"$cdrom\" ]; then\n");
    text += &step(
        format!("multiboot2 /{loader} {cmdline} cdrom={identity}"),
        loader,
    );
    text.extend(always.iter().map(|path| module(path)));
    text.push_str("else\n");
    text += &step(format!("multiboot2 /{loader} {cmdline}"), loader);
    text.extend(always.iter().map(|path| module(path)));
    text.extend(programs.iter().map(|path| module(path)));
    text.push_str("fi\n");
    text += &step("boot".to_owned(), loader);
    text
}

/// Where distributions put GRUB's files for BIOS machines.
fn modules() -> Option<PathBuf> {
    const FOLDERS: [&str; 5] = [
        "/usr/lib/grub/i386-pc",
        "/usr/share/grub2/i386-pc",
        "/usr/lib/grub2/i386-pc",
        "/opt/homebrew/lib/i686-elf/grub/i386-pc",
        "/usr/local/lib/i686-elf/grub/i386-pc",
    ];
    let mut folders = FOLDERS.into_iter().map(PathBuf::from);
    folders.find(|dir| dir.join("boot.img").is_file())
}

/// The tool, under whichever name.
fn tool() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path)
        .chain(["/usr/bin".into(), "/usr/sbin".into()])
        .collect();
    ["grub-mkimage", "grub2-mkimage", "i686-elf-grub-mkimage"]
        .into_iter()
        .flat_map(|name| folders.iter().map(move |dir| dir.join(name)))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::{place_core, script};

    #[test]
    fn every_module_is_named_by_its_path() {
        let text = script(
            "boot/l.elf",
            "log=serial",
            &["boot/kernel.elf".to_owned(), "boot/bins/init".to_owned()],
            "CAPOS_X",
        );
        assert!(text.contains("if multiboot2 /boot/l.elf log=serial; then"));
        assert!(text.contains("if module2 /boot/kernel.elf boot/kernel.elf; then"));
        assert!(text.contains("else stop boot/kernel.elf; fi"));
        // A CD that the kernel reads by itself has the kernel loaded, not the programs.
        assert_eq!(text.matches("module2 /boot/kernel.elf").count(), 2);
        assert_eq!(text.matches("module2 /boot/bins/init").count(), 1);
        assert!(text.contains("multiboot2 /boot/l.elf log=serial cdrom=CAPOS_X;"));
    }

    #[test]
    fn a_core_image_learns_its_place() {
        let mut core = [0; 1024];
        place_core(&mut core, 2048).unwrap();
        assert_eq!(core[500..508], 2049u64.to_le_bytes());
        assert!(place_core(&mut [0; 100], 1).is_err());
    }
}
