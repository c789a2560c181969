//! Objects and names in a folder of the host, beside the one that a volume's files are exported to and imported from.
//!
//! Invariant: the folder's name is made of that of the files' folder, so that it takes no file's place, whatever files are called. A list of
//! the names says that an export made it; nothing is taken from a folder without one.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use volume_core::{Durability, Error, Expect, View};

use crate::objects::{self, hex};
use crate::{Store, explained, now, tree};

/// What is added to the name of the files' folder.
const ENDING: &str = ".objects";
/// The list of names: for each a line of the object's address, the namespace and the name, with what is no plain ASCII escaped.
const LIST: &str = "names";
/// How the list begins.
const HEAD: &str = "capos-store names 1";

/// The folder beside that of the files, which is there.
fn beside(folder: &Path) -> Result<Option<PathBuf>> {
    let folder = fs::canonicalize(folder).with_context(|| folder.display().to_string())?;
    Ok(folder.file_name().map(|name| {
        let mut name = OsString::from(name);
        name.push(ENDING);
        folder.with_file_name(name)
    }))
}

/// What was copied out.
#[derive(Debug, Default)]
pub struct Exported {
    /// Objects.
    pub objects: usize,
    /// Names.
    pub names: usize,
    /// Objects that could not be, and lists of either that end too early.
    pub lost: u64,
    /// Where they are; nowhere if there is none.
    pub folder: Option<PathBuf>,
}

/// Copies objects and names out. What is damaged is named and left out.
pub fn export(volume: &mut Store, view: &View, folder: &Path) -> Result<Exported> {
    let mut done = Exported::default();
    let (mut all, mut names) = (Vec::new(), Vec::new());
    if let Err(error) = objects::all(volume, view, &mut all) {
        eprintln!("left out: the rest of the objects: {error}");
        done.lost += 1;
    }
    if let Err(error) = objects::all_names(volume, view, &mut names) {
        eprintln!("left out: the rest of the names: {error}");
        done.lost += 1;
    }
    if names.is_empty() && all.is_empty() {
        return Ok(done);
    }
    let folder = beside(folder)?.context("no folder can be made beside the root of the host")?;
    fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (address, id) in &all {
        let address = hex(address);
        let mut bytes = Vec::new();
        let copied = tree::copy_out(volume, view, *id, &mut bytes).and_then(|()| {
            let is_it = blake3::hash(&bytes).to_hex().as_str() == address;
            ensure!(is_it, "its bytes are not those of its address");
            Ok(())
        });
        if let Err(error) = copied {
            eprintln!("left out: object {address}: {error}");
            done.lost += 1;
        } else {
            fs::File::create_new(folder.join(&address))?.write_all(&bytes)?;
            done.objects += 1;
        }
    }
    let mut list = format!("{HEAD}\n");
    for (space, name, bind) in &names {
        let (address, name) = (hex(&bind.hash), name.escape_ascii());
        list.push_str(&format!("{address} {space} {name}\n"));
    }
    fs::File::create_new(folder.join(LIST))?.write_all(list.as_bytes())?;
    done.names = names.len();
    done.folder = Some(folder);
    Ok(done)
}

/// Puts and binds what an export left beside this folder.
pub fn import(volume: &mut Store, folder: &Path) -> Result<()> {
    let Some(folder) = beside(folder)?.filter(|folder| folder.is_dir()) else {
        return Ok(());
    };
    let list = fs::read_to_string(folder.join(LIST)).unwrap_or_default();
    let mut lines = list.lines();
    if lines.next() != Some(HEAD) {
        eprintln!("left out: {}: no export made it", folder.display());
        return Ok(());
    }
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(address) = name.to_str().and_then(objects::parse) else {
            if name != LIST {
                eprintln!("left out: {}", entry.path().display());
            }
            continue;
        };
        let bytes = fs::read(entry.path())?;
        ensure!(
            blake3::hash(&bytes) == address,
            "{} has other bytes than its name says",
            entry.path().display()
        );
        explained(volume.put_object(address, &bytes, now()))
            .with_context(|| entry.path().display().to_string())?;
        // Bounds what an import holds in memory.
        explained(volume.commit(Durability::Checkpoint, now()))?;
    }
    let mut unbound = BTreeSet::new();
    for line in lines {
        let (address, space, name) =
            binding(line).with_context(|| format!("{LIST}: no name: {line}"))?;
        match volume.bind(space, &name, address, Expect::Anything, now()) {
            Err(Error::NotFound) => drop(unbound.insert(line)),
            bound => drop(explained(bound).with_context(|| line.to_owned())?),
        }
    }
    if unbound.is_empty() {
        return Ok(());
    }
    for line in &unbound {
        eprintln!("left out: its object is not there: {line}");
    }
    // What was bound stays.
    explained(volume.commit(Durability::Checkpoint, now()))?;
    bail!("{} names lead to no object", unbound.len())
}

/// A line of the list.
fn binding(line: &str) -> Option<([u8; 32], u64, Vec<u8>)> {
    let mut words = line.splitn(3, ' ');
    let address = objects::parse(words.next()?)?;
    let space = words.next()?.parse().ok()?;
    Some((address, space, unescaped(words.next()?)?))
}

/// The bytes that [`slice::escape_ascii`] has shown so.
fn unescaped(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (kind, behind) = rest.split_first()?;
        rest = behind;
        bytes.push(match kind {
            b't' => b'\t',
            b'r' => b'\r',
            b'n' => b'\n',
            b'x' => {
                let digits = rest.split_off(..2)?;
                let is_plain = digits.iter().all(u8::is_ascii_hexdigit);
                is_plain.then_some(())?;
                u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?
            }
            b'\\' | b'\'' | b'"' => *kind,
            _ => return None,
        });
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{binding, unescaped};

    #[test]
    fn every_byte_comes_back_from_the_list() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(unescaped(&all.escape_ascii().to_string()), Some(all));
        for damaged in ["\\", "\\x", "\\x1", "\\xgg", "\\x+1", "\\q"] {
            assert_eq!(unescaped(damaged), None, "{damaged}");
        }
        let zero = "0".repeat(64);
        let found = binding(&format!("{zero} 7 a name  of words ")).unwrap();
        assert_eq!(found, ([0; 32], 7, b"a name  of words ".to_vec()));
        for damaged in ["", &zero, &format!("{zero} 7"), &format!("{zero} x y")] {
            assert_eq!(binding(damaged), None, "{damaged}");
        }
    }
}
