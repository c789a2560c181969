//! Whether a file can be a disk of the guest: asked before anything is built or started.
//!
//! Every refusal is one line that says what to do. Invariant: never waits for the file, writes to it or holds a lock on it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::image_format::FORMATS;

/// What becomes of what the guest writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// It is gone with the guest.
    Dropped,
    /// It goes into the image.
    Kept,
}

/// Opens the file at `path`, if it can be a disk.
pub fn open(path: &Path, writes: Writes) -> Result<File> {
    let shown = path.display();
    // Looked at before it is opened: opening a pipe waits for whoever writes to it.
    let kind = match fs::metadata(path) {
        Ok(kind) => kind,
        Err(error) => bail!(missing(path, &error)),
    };
    let of = kind.file_type();
    ensure!(
        !kind.is_dir(),
        "the disk image {shown} is a folder; --disk takes a file that holds a disk"
    );
    ensure!(
        kind.is_file() || of.is_block_device(),
        "the disk image {shown} is {}; --disk takes a file or a block device",
        if of.is_fifo() {
            "a pipe"
        } else if of.is_socket() {
            "a socket"
        } else {
            "a device without blocks"
        }
    );
    ensure!(
        of.is_block_device() || kind.len() > 0,
        "the disk image {shown} is empty; for a FAT32 volume: truncate -s 64M {shown} && mkfs.fat -F 32 {shown}"
    );
    let mut file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => bail!(
            "the disk image {shown} may not be read by this user; chmod u+r it, or copy it to where it may be"
        ),
        other => other.with_context(|| format!("cannot open the disk image {shown}"))?,
    };
    let mut first = [0];
    let read = file.read(&mut first);
    let read = read.with_context(|| format!("cannot read the disk image {shown}"))?;
    ensure!(read > 0, "the disk {shown} has no medium in it");
    if writes == Writes::Kept {
        let open = File::options().write(true).open(path);
        open.with_context(|| {
            format!("--rw needs to write to {shown}; without it nothing is written")
        })?;
    }
    if let Some(how) = used_by_qemu(&file, writes) {
        bail!(
            "the disk image {shown} is {how} by another QEMU: end that one, or attach a copy{}",
            match writes {
                Writes::Kept => ", or leave out --rw",
                Writes::Dropped => "",
            }
        );
    }
    Ok(file)
}

fn missing(path: &Path, error: &std::io::Error) -> String {
    let shown = path.display();
    match error.kind() {
        ErrorKind::NotFound if path.is_symlink() => {
            format!("the disk image {shown} is a link to a file that is not there")
        }
        ErrorKind::NotFound => {
            let text = path.to_string_lossy();
            let prefix = text.split_once(':').map_or("", |(prefix, _)| prefix);
            let is_word =
                !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let hint = if is_word && !FORMATS.contains(&prefix) {
                format!(
                    " (no format is called {prefix:?}; there are {})",
                    FORMATS.join(", ")
                )
            } else {
                String::new()
            };
            format!("there is no disk image {shown}{hint}")
        }
        ErrorKind::PermissionDenied => {
            format!("the folder of the disk image {shown} may not be entered by this user")
        }
        _ => format!("cannot open the disk image {shown}: {error}"),
    }
}

/// How another QEMU has the image open, if that keeps ours from opening it.
///
/// QEMU locks single bytes of an image (`block/file-posix.c`): 100 and on for each thing that it does, 200 and on for each that
/// nobody else may do; bit 1 stands for writing, bit 3 for resizing.
#[cfg(target_os = "linux")]
pub fn used_by_qemu(file: &File, writes: Writes) -> Option<&'static str> {
    const DOES: i64 = 100;
    const FORBIDS: i64 = 200;
    const READ: i64 = 0;
    const WRITE: i64 = 1;
    if is_locked(file, DOES + WRITE) || is_locked(file, FORBIDS + READ) {
        return Some("written to");
    }
    (writes == Writes::Kept && is_locked(file, FORBIDS + WRITE)).then_some("read")
}

#[cfg(target_os = "linux")]
fn is_locked(file: &File, byte: i64) -> bool {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    let mut lock = libc::flock {
        l_type: libc::F_WRLCK as _,
        l_whence: libc::SEEK_SET as _,
        l_start: byte,
        l_len: 1,
        l_pid: 0,
    };
    // Only asks. Where a file system knows no locks, QEMU takes none either.
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut lock)).is_ok() && i32::from(lock.l_type) != libc::F_UNLCK
}

/// Only Linux has the locks that can be asked for so; elsewhere QEMU says it.
#[cfg(not(target_os = "linux"))]
pub fn used_by_qemu(_: &File, _: Writes) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::Writes;
    use super::open;
    use std::fs::File;
    use std::path::Path;

    fn refused(path: &Path) -> String {
        let error = open(path, Writes::Dropped).unwrap_err();
        format!("{error:#}")
    }

    #[test]
    fn what_is_no_disk_is_refused_in_one_line_and_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(refused(folder.path()).contains("is a folder"));
        assert!(refused(&at("none.img")).contains("there is no disk image"));
        assert!(refused(&at("qcow3:none.img")).starts_with("there is no disk image"));
        assert!(
            refused(Path::new("qcow3:none.img"))
                .contains("no format is called \"qcow3\"; there are raw")
        );
        std::os::unix::fs::symlink(at("none.img"), at("link")).unwrap();
        assert!(refused(&at("link")).contains("is a link to a file that is not there"));
        File::create(at("empty")).unwrap();
        assert!(refused(&at("empty")).contains("is empty; for a FAT32 volume"));
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(refused(&at("pipe")).contains("is a pipe"));
        assert!(refused(Path::new("/dev/null")).contains("is a device without blocks"));
        for name in ["none.img", "link", "empty", "pipe"] {
            assert_eq!(refused(&at(name)).lines().count(), 1);
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_image_that_another_qemu_writes_to_is_not_opened() {
        use nix::fcntl::{FcntlArg, fcntl};
        use nix::libc;
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(512).unwrap();
        let lock = |byte| {
            let other = File::options()
                .read(true)
                .write(true)
                .open(file.path())
                .unwrap();
            let lock = libc::flock {
                l_type: libc::F_RDLCK as _,
                l_whence: libc::SEEK_SET as _,
                l_start: byte,
                l_len: 1,
                l_pid: 0,
            };
            fcntl(&other, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
            other
        };
        let try_open = |writes| {
            open(file.path(), writes)
                .map(|_| ())
                .map_err(|e| e.to_string())
        };
        // Somebody reads, and lets others read.
        let reader = [lock(100), lock(201)];
        assert_eq!(try_open(Writes::Dropped), Ok(()));
        assert!(
            try_open(Writes::Kept)
                .unwrap_err()
                .contains("is read by another QEMU")
        );
        drop(reader);
        assert_eq!(try_open(Writes::Kept), Ok(()));
        let _writer = lock(101);
        assert!(
            try_open(Writes::Dropped)
                .unwrap_err()
                .contains("is written to by another QEMU")
        );
    }
}
