//! What differs between two volumes, or two moments of one: files, objects, and what names are bound to.
//!
//! Invariant: compares bytes, not sums or times, and writes nothing. The numbers of bindings are no difference.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use volume_core::{ROOT_DIR, View};
use volume_format::{Kind, Named};

use crate::objects::{self, SPACE, hex};
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
    let files = compare(
        &names(&mut a, &a_view)?,
        &names(&mut b, &b_view)?,
        |here, there| match (here.kind, there.kind) {
            (kind, other) if kind != other => Ok(Some("another kind".to_owned())),
            (Kind::Dir, _) => Ok(None),
            _ => bytes((&mut a, &a_view, here.id), (&mut b, &b_view, there.id)),
        },
    )?;
    let objects = compare(
        &all_objects(&mut a, &a_view)?,
        &all_objects(&mut b, &b_view)?,
        |here, there| bytes((&mut a, &a_view, *here), (&mut b, &b_view, *there)),
    )?;
    let bound = compare(
        &bindings(&mut a, &a_view)?,
        &bindings(&mut b, &b_view)?,
        |here, there| Ok((here != there).then(|| "another object".to_owned())),
    )?;
    Ok(if files && objects && bound {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says what differs of two sets of things; `differs` says it of what is in both. Returns whether nothing does.
fn compare<T>(
    here: &BTreeMap<String, T>,
    there: &BTreeMap<String, T>,
    mut differs: impl FnMut(&T, &T) -> Result<Option<String>>,
) -> Result<bool> {
    let mut is_same = true;
    for (name, one) in here {
        match there.get(name) {
            None => println!("- {name}"),
            Some(other) => match differs(one, other)? {
                None => continue,
                Some(how) => println!("~ {name}: {how}"),
            },
        }
        is_same = false;
    }
    for name in there.keys().filter(|name| !here.contains_key(*name)) {
        println!("+ {name}");
        is_same = false;
    }
    Ok(is_same)
}

/// An inode of one side.
type Bytes<'a> = (&'a mut Store, &'a View, u64);

/// Says where the bytes of two inodes begin to differ.
fn bytes(here: Bytes<'_>, there: Bytes<'_>) -> Result<Option<String>> {
    let at = first_difference(here, there)?;
    Ok(at.map(|at| format!("from byte {at} on")))
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

/// The inode of every object, by what is said of it. Paths begin with a slash: none of them is the same.
fn all_objects(volume: &mut Store, view: &View) -> Result<BTreeMap<String, u64>> {
    let mut all = Vec::new();
    objects::all(volume, view, &mut all)?;
    let said = all
        .iter()
        .map(|(of, id)| (format!("object {}", hex(of)), *id));
    Ok(said.collect())
}

/// The address that every name leads to, by what is said of the name.
fn bindings(volume: &mut Store, view: &View) -> Result<BTreeMap<String, [u8; 32]>> {
    let mut all = Vec::new();
    objects::all_names(volume, view, &mut all)?;
    let said = all.iter().map(|(space, name, bind)| {
        let name = name.escape_ascii();
        let said = match *space {
            SPACE => format!("name {name}"),
            other => format!("name {name} of namespace {other}"),
        };
        (said, bind.hash)
    });
    Ok(said.collect())
}

/// The first byte that is not the same in both files; that behind the end of the shorter one counts.
fn first_difference(
    (a, a_view, a_id): Bytes<'_>,
    (b, b_view, b_id): Bytes<'_>,
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
