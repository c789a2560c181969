//! Reading everything, so that rot is found before it is needed.
//!
//! Invariant: never writes. It reads through the volume's own code, everything of the live tree and of each snapshot, and
//! then asks the checker, which shares no code with it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use volume_core::{Access, Flaw, ObjectNamed, Owner, Scrubbed, View};

use crate::{Store, check, explained, read};

/// Keys of one step.
const KEYS: u32 = 4096;

/// Reads all of a volume and says what cannot be had.
pub fn scrub(path: &Path) -> Result<ExitCode> {
    let (mut volume, live) = read(path, None)?;
    let mut seen = Scrubbed::default();
    let mut damaged = walk(&mut volume, &live, "", &mut seen)?;
    let (mut snapshots, mut after) = (0, 0);
    while let Some(txg) = explained(volume.next_snapshot(after))? {
        let view = explained(volume.snapshot(txg))?;
        damaged += walk(&mut volume, &view, &format!("snapshot {txg}: "), &mut seen)?;
        after = txg;
        snapshots += 1;
    }
    println!(
        "read {} files, {} bytes, {snapshots} snapshots; {damaged} damaged",
        seen.files, seen.bytes,
    );
    drop(volume);
    let sound = check(path, Access::Read)?;
    Ok(if damaged == 0 {
        sound
    } else {
        ExitCode::FAILURE
    })
}

/// Reads all of one tree. What is damaged is named and counted, and the rest is read all the same.
fn walk(volume: &mut Store, view: &View, of: &str, seen: &mut Scrubbed) -> Result<u64> {
    let (mut at, mut damaged) = (Vec::new(), 0);
    loop {
        let step = volume.scrub(view, &at, KEYS, seen, |volume, flaw| {
            damaged += 1;
            println!("{of}{}: {flaw}", named(volume, view, &flaw));
        });
        match explained(step)? {
            Some(next) => at = next,
            None => return Ok(damaged),
        }
    }
}

/// The path of the file that a flaw is in, or the address of the object.
fn named(volume: &mut Store, view: &View, flaw: &Flaw) -> String {
    match volume.owner_of(view, flaw, u64::MAX) {
        None => "the tree".to_owned(),
        Some(Owner::Object(address)) => ObjectNamed(address).to_string(),
        Some(Owner::Path(path)) => format!("/{}", path.escape_ascii()),
    }
}
