//! Paths, and copying in and out.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use calendar::Date;
use volume_core::{Durability, Error, ROOT_DIR, View};
use volume_format::{Kind, Named, Source, Stamp};

use crate::{Store, explained, now};

/// Bytes that are copied at a time.
const PIECE: usize = 256 << 10;

fn words(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|word| !word.is_empty())
}

/// What a path leads to.
pub fn find(volume: &mut Store, view: &View, path: &str) -> Result<Named> {
    let mut at = Named {
        id: ROOT_DIR,
        kind: Kind::Dir,
    };
    for word in words(path) {
        at = explained(volume.lookup(view, at.id, word.as_bytes()))
            .with_context(|| word.to_owned())?;
    }
    Ok(at)
}

/// The directory of a path, and its last word.
pub fn parent<'a>(volume: &mut Store, path: &'a str) -> Result<(u64, &'a str)> {
    let mut all: Vec<&str> = words(path).collect();
    let Some(last) = all.pop() else {
        bail!("{path} names the root directory");
    };
    let live = volume.live();
    Ok((find(volume, &live, &all.join("/"))?.id, last))
}

/// Whether a listing says when things were changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// It does not.
    Hidden,
    /// It does, and by which clock.
    Shown,
}

/// A time and where it is from.
fn shown(stamp: Stamp) -> String {
    let source = match stamp.source {
        Source::None => return format!("{:>19} {:<7}", "-", "-"),
        Source::BootRtc => "clock",
        Source::Ntp => "network",
        Source::Manual => "person",
        Source::FatMetadata => "fat",
        Source::HostTool => "tool",
    };
    format!("{} {source:<7}", Date::of_ns(stamp.ns))
}

/// Lists a directory.
pub fn list(volume: &mut Store, view: &View, path: &str, times: Times) -> Result<()> {
    let dir = find(volume, view, path)?.id;
    let mut after = Vec::new();
    while let Some((name, named)) = explained(volume.next_name(view, dir, &after))? {
        let inode = explained(volume.stat(view, named.id))?;
        let mark = if named.kind == Kind::Dir { "/" } else { "" };
        let changed = match times {
            Times::Hidden => String::new(),
            Times::Shown => format!("{} ", shown(inode.modified)),
        };
        println!("{:>12} {changed}{}{mark}", inode.size, name.escape_ascii());
        after = name;
    }
    Ok(())
}

/// Copies a file's bytes out.
pub fn copy_out(volume: &mut Store, view: &View, id: u64, out: &mut impl Write) -> Result<()> {
    let mut buf = vec![0; PIECE];
    let mut offset = 0;
    loop {
        let bytes = explained(volume.read(view, id, offset, &mut buf))?;
        if bytes == 0 {
            return Ok(out.flush()?);
        }
        out.write_all(&buf[..bytes])?;
        offset += bytes as u64;
    }
}

/// Fills a file.
pub fn put(volume: &mut Store, path: &str, bytes: &[u8]) -> Result<()> {
    let (dir, name) = parent(volume, path)?;
    fill(volume, dir, name.as_bytes(), bytes)
}

fn fill(volume: &mut Store, dir: u64, name: &[u8], bytes: &[u8]) -> Result<()> {
    let live = volume.live();
    let id = match volume.lookup(&live, dir, name) {
        Ok(named) => {
            explained(volume.truncate(named.id, 0, now()))?;
            named.id
        }
        Err(Error::NotFound) => explained(volume.create(dir, name, Kind::File, now()))?,
        Err(error) => return explained(Err(error)),
    };
    for (index, piece) in bytes.chunks(PIECE).enumerate() {
        explained(volume.write(id, (index * PIECE) as u64, piece, now()))?;
    }
    Ok(())
}

/// Copies a folder in; what is no file and no folder is named and left out.
pub fn import(volume: &mut Store, root: u64, folder: &Path) -> Result<()> {
    let mut left = vec![(root, folder.to_path_buf())];
    while let Some((dir, folder)) = left.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            let kind = entry.file_type()?;
            if kind.is_dir() {
                let id = explained(volume.create(dir, name, Kind::Dir, now()))?;
                left.push((id, entry.path()));
            } else if kind.is_file() {
                fill(volume, dir, name, &fs::read(entry.path())?)?;
                // Bounds what an import holds in memory.
                explained(volume.commit(Durability::Checkpoint, now()))?;
            } else {
                eprintln!("left out: {}", entry.path().display());
            }
        }
    }
    Ok(())
}

/// Copies all files out. Names come from the volume: none leads outside, because none is `..` or has a `/`. What is damaged is
/// named and left out. Returns how many files and directories that were.
pub fn export(volume: &mut Store, view: &View, folder: &Path) -> Result<u64> {
    let (mut left, mut lost) = (vec![(ROOT_DIR, folder.to_path_buf())], 0);
    while let Some((dir, folder)) = left.pop() {
        let mut after = Vec::new();
        loop {
            let (name, named) = match explained(volume.next_name(view, dir, &after)) {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(error) => {
                    eprintln!("left out: the rest of {}: {error}", folder.display());
                    lost += 1;
                    break;
                }
            };
            let leads_elsewhere = |byte: &u8| matches!(byte, b'/' | 0);
            if name == b"." || name == b".." || name.iter().any(leads_elsewhere) {
                bail!("a name that leads elsewhere");
            }
            // No text where it came from a host that does not ask for it.
            let path = folder.join(OsStr::from_bytes(&name));
            if named.kind == Kind::Dir {
                fs::create_dir(&path)?;
                left.push((named.id, path));
            } else {
                let mut file = fs::File::create_new(&path)?;
                if let Err(error) = copy_out(volume, view, named.id, &mut file) {
                    // The host's own failure ends it all.
                    if error.is::<std::io::Error>() {
                        return Err(error.context(path.display().to_string()));
                    }
                    fs::remove_file(&path)?;
                    eprintln!("left out: {}: {error}", path.display());
                    lost += 1;
                }
            }
            after = name;
        }
    }
    Ok(lost)
}
