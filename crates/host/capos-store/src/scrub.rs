//! Reading everything, so that rot is found before it is needed.
//!
//! Invariant: never writes. It reads through the volume's own code, every file of the live tree and of each snapshot, and
//! then asks the checker, which shares no code with it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use volume_core::{Access, Error, ROOT_DIR, View};
use volume_format::Kind;

use crate::{Store, check, explained, read};

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

/// What was read.
#[derive(Default)]
struct Seen {
    files: u64,
    bytes: u64,
    damaged: u64,
}

/// Reads all of a volume and says what cannot be had.
pub fn scrub(path: &Path) -> Result<ExitCode> {
    let (mut volume, live) = read(path, None)?;
    let mut seen = Seen::default();
    walk(&mut volume, &live, "", &mut seen)?;
    let mut snapshots = BTreeSet::new();
    let mut after = 0;
    while let Some(txg) = explained(volume.next_snapshot(after))? {
        snapshots.insert(txg);
        after = txg;
    }
    for txg in &snapshots {
        let view = explained(volume.snapshot(*txg))?;
        walk(&mut volume, &view, &format!("snapshot {txg}: "), &mut seen)?;
    }
    println!(
        "read {} files, {} bytes, {} snapshots; {} damaged",
        seen.files,
        seen.bytes,
        snapshots.len(),
        seen.damaged
    );
    drop(volume);
    let sound = check(path, Access::Read)?;
    Ok(if seen.damaged == 0 {
        sound
    } else {
        ExitCode::FAILURE
    })
}

/// Reads every file below the root directory. What is damaged is named, and the rest is read all the same.
fn walk(volume: &mut Store, view: &View, of: &str, seen: &mut Seen) -> Result<()> {
    let mut left = vec![(ROOT_DIR, String::new())];
    while let Some((dir, path)) = left.pop() {
        let mut after = Vec::new();
        loop {
            let next = volume.next_name(view, dir, &after);
            let Some((name, named)) = sound(next, &format!("{of}{path}/"), seen)?.flatten() else {
                break;
            };
            let full = format!("{path}/{}", name.escape_ascii());
            if named.kind == Kind::Dir {
                left.push((named.id, full));
            } else {
                seen.files += 1;
                read_file(volume, view, named.id, &format!("{of}{full}"), seen)?;
            }
            after = name;
        }
    }
    Ok(())
}

fn read_file(volume: &mut Store, view: &View, id: u64, path: &str, seen: &mut Seen) -> Result<()> {
    let mut buf = vec![0; PIECE];
    let mut offset = 0;
    while let Some(bytes) = sound(volume.read(view, id, offset, &mut buf), path, seen)? {
        if bytes == 0 {
            break;
        }
        offset += bytes as u64;
        seen.bytes += bytes as u64;
    }
    Ok(())
}

/// What was read; `None` where it is damaged, which is named and counted.
fn sound<T>(
    result: Result<T, Error<std::io::Error>>,
    path: &str,
    seen: &mut Seen,
) -> Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::Corrupt(place)) => {
            println!("{path}: damaged: {place:?}");
            seen.damaged += 1;
            Ok(None)
        }
        Err(other) => explained(Err(other)),
    }
}
