//! The volume that `run` gives the guest to write: one file of the user's, made where there is none.
//!
//! Invariant: never makes a volume over anything, and never gives one to two runs.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use volume_format::{BLOCK, Label};

use crate::build::say_if_host_builds;
use crate::disk::{Disk, Writes};
use crate::disk_file::used_by_qemu;
use crate::project::Project;
use crate::store::Tool;

/// Mebibytes of a new volume. What is not written takes no room on the host.
const NEW_MIB: u64 = 256;
const DEVICE: &str = "virtio-blk-pci";
const OTHERWISE: &str = "--volume PATH takes another one, --volume none goes without";

/// The volume that a run has: what the person named, the user's own where nothing was named.
pub fn chosen(project: &Project, named: Option<&Path>) -> Result<Option<Disk>> {
    let path = match named {
        Some(path) if path.as_os_str() == "none" => return Ok(None),
        Some(path) => {
            let shown = path.display();
            ensure!(
                path.exists(),
                "there is no volume {shown}; cargo run -p capos-store -- {} mkfs --mib {NEW_MIB} makes one",
                word(&shown.to_string())
            );
            path.to_path_buf()
        }
        None => own(project)?,
    };
    let file = check(&path)?;
    Ok(Some(Disk {
        path: path.canonicalize()?,
        format: "raw",
        writable: true,
        bytes_per_s: 0,
        device: DEVICE,
        namespace: None,
        lock: Some(Arc::new(file)),
    }))
}

/// A word as a person types it into a shell.
fn word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./+=:@%-".contains(&byte);
    if text.starts_with('-') {
        return word(&format!("./{text}"));
    }
    match text.bytes().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Where a user's data lies; a relative path in the environment is none, as the XDG Base Directory Specification 0.8 says.
fn data_home(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let path = |name| {
        variable(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    path("XDG_DATA_HOME").or_else(|| Some(path("HOME")?.join(".local/share")))
}

/// The user's own volume, made where there is none yet.
fn own(project: &Project) -> Result<PathBuf> {
    let folder = data_home(|name| std::env::var_os(name)).unwrap_or_else(|| project.target.clone());
    let folder = folder.join("capos");
    let path = folder.join("volume.img");
    if path.exists() {
        return Ok(path);
    }
    let make = || -> Result<()> {
        fs::create_dir_all(&folder)?;
        // Beside its place first, so that an interrupted run leaves no half of a volume there.
        let draft = folder.join(format!("volume.img.{}", std::process::id()));
        eprintln!("making a volume, {}", path.display());
        say_if_host_builds(project);
        let tool = Tool::new(&draft);
        tool.mkfs(NEW_MIB, "own")?;
        // The shell keeps its history where there is a file for it.
        tool.put("/.history", &[])?;
        let made = fs::hard_link(&draft, &path);
        fs::remove_file(&draft)?;
        match made {
            // Another run was faster.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            other => Ok(other?),
        }
    };
    make().with_context(|| format!("cannot make the volume {}; {OTHERWISE}", path.display()))?;
    Ok(path)
}

/// The file at `path`, if it is a volume that may be written. It is locked so that `capos-store` reads it at most; QEMU's own
/// lock, of another kind, keeps other runs away.
fn check(path: &Path) -> Result<File> {
    let shown = path.display();
    let kind = fs::metadata(path).with_context(|| format!("cannot look at the volume {shown}"))?;
    ensure!(kind.is_file(), "the volume {shown} is no file; {OTHERWISE}");
    let mut file = match File::options().read(true).write(true).open(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            bail!("the volume {shown} may not be written by this user: chmod u+rw it; {OTHERWISE}")
        }
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
            bail!("the volume {shown} lies on a file system that is read-only; {OTHERWISE}")
        }
        other => other.with_context(|| format!("cannot open the volume {shown}"))?,
    };
    if used_by_qemu(&file, Writes::Kept).is_some() {
        bail!("the volume {shown} is in use by another run: end that one; {OTHERWISE}");
    }
    if let Err(TryLockError::WouldBlock) = file.try_lock_shared() {
        bail!("the volume {shown} is in use by capos-store: wait until it has ended; {OTHERWISE}");
    }
    let blocks = kind.len() / BLOCK as u64;
    let mut block = vec![0; BLOCK];
    let read = file.read_exact(&mut block);
    // One label that is damaged is what the other one is for: the guest looks at both.
    let label = read.map_or(Err(volume_format::Refused::Foreign), |()| {
        Label::decode(0, &block)
    });
    match label {
        Ok(label) => ensure!(
            label.layout.blocks() <= blocks,
            "the volume {shown} has {blocks} blocks of the {} that its label says: it was cut; {OTHERWISE}",
            label.layout.blocks()
        ),
        Err(volume_format::Refused::Sum) => {}
        Err(refused) => {
            bail!("{shown} is not given to the guest, and is as it was: {refused}; {OTHERWISE}")
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt;

    use super::{Label, check, data_home, word};

    fn refused(path: &std::path::Path) -> String {
        format!("{:#}", check(path).unwrap_err())
    }

    fn label(change: impl Fn(&mut Label)) -> Vec<u8> {
        let mut label = Label {
            uuid: [7; 16],
            layout: volume_format::Layout::new(512).unwrap(),
            compat: 0,
            ro_compat: 0,
            incompat: 0,
            max_file: 1 << 40,
            created: volume_format::Stamp::NONE,
            name: [0; 64],
        };
        change(&mut label);
        let mut image = vec![0; 512 * 4096];
        label.encode(0, &mut image[..4096]);
        image
    }

    #[test]
    fn a_relative_folder_of_the_environment_is_none() {
        let at = |data: &str, home: &str| {
            let said = |name: &str| Some(if name == "HOME" { home } else { data }.into());
            data_home(said).map(|path| path.display().to_string())
        };
        assert_eq!(at("/d", "/h").as_deref(), Some("/d"));
        for data in ["", "here"] {
            assert_eq!(at(data, "/h").as_deref(), Some("/h/.local/share"));
        }
        assert_eq!(at("", "."), None);
    }

    #[test]
    fn a_path_can_be_typed_as_it_is_shown() {
        assert_eq!(word("/a/b-c.img"), "/a/b-c.img");
        assert_eq!(word("/a b/it's"), "'/a b/it'\\''s'");
        assert_eq!(word("-x"), "./-x");
    }

    #[test]
    fn what_is_no_volume_or_not_free_is_refused_by_name_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.img");
        assert!(refused(folder.path()).contains("is no file"));
        fs::write(&path, vec![0; 1 << 20]).unwrap();
        assert!(refused(&path).contains("it holds no capOS volume"));
        fs::write(&path, b"short").unwrap();
        assert!(refused(&path).contains("it holds no capOS volume"));
        assert_eq!(fs::read(&path).unwrap(), b"short");

        fs::write(&path, label(|_| {})).unwrap();
        let held = check(&path).unwrap();
        let other = File::options().write(true).open(&path).unwrap();
        assert!(other.try_lock().is_err(), "the run has it");
        other.try_lock_shared().unwrap();
        drop((held, other));
        fs::write(&path, &label(|_| {})[..100 * 4096]).unwrap();
        assert!(refused(&path).contains("has 100 blocks of the 512"));
        fs::write(&path, label(|label| label.incompat = 4)).unwrap();
        assert!(refused(&path).contains("features that this system does not know (bits 0x4)"));

        fs::write(&path, label(|_| {})).unwrap();
        let other = File::options().write(true).open(&path).unwrap();
        other.lock().unwrap();
        assert!(refused(&path).contains("in use by capos-store"));
        other.unlock().unwrap();
        let mut mode = fs::metadata(&path).unwrap().permissions();
        mode.set_mode(0o400);
        fs::set_permissions(&path, mode).unwrap();
        // Root may write anything.
        if !nix::unistd::geteuid().is_root() {
            assert!(refused(&path).contains("may not be written by this user"));
        }
    }
}
