//! What differs between two volumes, or two moments of one.
//!
//! Invariant: compares bytes, not sums or times, and writes nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use volume_core::{ROOT_DIR, View};
use volume_format::{Kind, Named};

use crate::{Store, explained, read};

/// Bytes compared at a time.
const PIECE: usize = 256 << 10;

/// A volume, or one of its snapshots.
type Side<'a> = (&'a Path, Option<u64>);

/// Says what one side has that the other has not. `-` is what only the first one has, `+` what only the second one has, `~`
/// what both have and is not the same.
///
/// Ends with 0 where they are the same and with 1 where not.
pub fn diff(one: Side<'_>, other: Side<'_>) -> Result<ExitCode> {
    let (mut a, a_view) = read(one.0, one.1)?;
    let (mut b, b_view) = read(other.0, other.1)?;
    let here = names(&mut a, &a_view)?;
    let there = names(&mut b, &b_view)?;
    let mut is_same = true;
    let mut say = |mark: char, path: &str, what: &str| {
        is_same = false;
        println!("{mark} {path}{what}");
    };
    for (path, named) in &here {
        match there.get(path) {
            None => say('-', path, ""),
            Some(twin) if twin.kind != named.kind => say('~', path, ": another kind"),
            Some(_) if named.kind == Kind::Dir => {}
            Some(twin) => {
                let sides = (&mut a, &a_view, named.id);
                if let Some(at) = first_difference(sides, (&mut b, &b_view, twin.id))? {
                    say('~', path, &format!(": from byte {at} on"));
                }
            }
        }
    }
    for path in there.keys().filter(|path| !here.contains_key(*path)) {
        say('+', path, "");
    }
    Ok(if is_same {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Everything below the root directory, by path.
fn names(volume: &mut Store, view: &View) -> Result<BTreeMap<String, Named>> {
    let mut found = BTreeMap::new();
    let mut left = vec![(ROOT_DIR, String::new())];
    while let Some((dir, path)) = left.pop() {
        let mut after = Vec::new();
        while let Some((name, named)) = explained(volume.next_name(view, dir, &after))? {
            let full = format!("{path}/{}", name.escape_ascii());
            if named.kind == Kind::Dir {
                left.push((named.id, full.clone()));
            }
            found.insert(full, named);
            after = name;
        }
    }
    Ok(found)
}

/// The first byte that is not the same in both files; that behind the end of the shorter one counts.
fn first_difference(
    (a, a_view, a_id): (&mut Store, &View, u64),
    (b, b_view, b_id): (&mut Store, &View, u64),
) -> Result<Option<u64>> {
    let (mut here, mut there) = (vec![0; PIECE], vec![0; PIECE]);
    let mut offset = 0;
    loop {
        let n = explained(a.read(a_view, a_id, offset, &mut here))?;
        let m = explained(b.read(b_view, b_id, offset, &mut there))?;
        let pairs = here[..n].iter().zip(&there[..m]);
        if let Some(at) = pairs.into_iter().position(|(x, y)| x != y) {
            return Ok(Some(offset + at as u64));
        }
        if n != m {
            return Ok(Some(offset + n.min(m) as u64));
        }
        if n == 0 {
            return Ok(None);
        }
        offset += n as u64;
    }
}
