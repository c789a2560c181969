//! Paths of a volume.

use sdk::Refusal;
use volume_core::View;
use volume_format::{Kind, Named};

use crate::live::{Core, reported};

/// The parts of a path that name something.
pub fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != ".")
}

/// Splits a path into the directory's and the last name.
///
/// # Errors
/// `badArgument` for a path that names the directory itself.
pub fn split(path: &str) -> Result<(&str, &str), Refusal> {
    let path = path.trim_end_matches('/');
    let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "" | "." => Err(Refusal::BadArgument),
        name => Ok((above, name)),
    }
}

/// Finds what a path names below a directory.
///
/// # Errors
/// `notFound`, `notDirectory`, `badArgument`; damage.
pub fn find(volume: &mut Core, view: &View, from: u64, path: &str) -> Result<Named, Refusal> {
    let mut at = Named {
        id: from,
        kind: Kind::Dir,
    };
    for part in parts(path) {
        if at.kind != Kind::Dir {
            return Err(Refusal::NotDirectory);
        }
        let found = volume.lookup(view, at.id, part.as_bytes());
        at = found.map_err(|error| reported(&error))?;
    }
    Ok(at)
}

/// Finds the directory in which a path's last name lies.
///
/// # Errors
/// As [`find`].
pub fn parent<'p>(volume: &mut Core, from: u64, path: &'p str) -> Result<(u64, &'p [u8]), Refusal> {
    let (above, name) = split(path)?;
    let view = volume.live();
    let dir = find(volume, &view, from, above)?;
    match dir.kind {
        Kind::Dir => Ok((dir.id, name.as_bytes())),
        _ => Err(Refusal::NotDirectory),
    }
}
