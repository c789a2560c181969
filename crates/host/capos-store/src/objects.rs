//! Objects of a volume and their names, read.

use std::path::Path;

use anyhow::{Context, Result};
use volume_core::View;
use volume_format::Bind;

use crate::{Store, explained, read, tree};

/// The namespace of the names that the system's Namespaces lead to.
pub const SPACE: u64 = 1;

/// An address as a text.
pub fn hex(address: &[u8; 32]) -> String {
    address.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The address that a text is.
pub fn parse(text: &str) -> Option<[u8; 32]> {
    let digits = |at: usize| text.get(2 * at..2 * at + 2);
    let byte = |at| u8::from_str_radix(digits(at)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    let is_plain = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    bytes.filter(|_| is_plain)?.try_into().ok()
}

/// Adds every object, with the inode that holds its bytes. What was found stays where the tree turns out damaged.
pub fn all(volume: &mut Store, view: &View, found: &mut Vec<([u8; 32], u64)>) -> Result<()> {
    loop {
        let after = found.last().map(|(address, _)| *address);
        let Some(address) = explained(volume.next_object(view, after))? else {
            return Ok(());
        };
        found.push((address, explained(volume.object(view, address))?));
    }
}

/// A namespace, a name of it, and what that is bound to.
pub type Bound = (u64, Vec<u8>, Bind);

/// Adds every name of every namespace, as [`all`] does with objects.
pub fn all_names(volume: &mut Store, view: &View, found: &mut Vec<Bound>) -> Result<()> {
    let mut before = None;
    // There is no namespace before the first one; 0 is one like any other.
    loop {
        let next = match before {
            None if explained(volume.next_bind(view, 0, &[]))?.is_some() => Some(0),
            before => explained(volume.next_namespace(view, before.unwrap_or(0)))?,
        };
        let Some(space) = next else {
            return Ok(());
        };
        let mut after = Vec::new();
        while let Some((name, bind)) = explained(volume.next_bind(view, space, &after))? {
            after.clone_from(&name);
            found.push((space, name, bind));
        }
        before = Some(space);
    }
}

/// Prints a line for each object.
pub fn list(path: &Path) -> Result<()> {
    let (mut volume, view) = read(path, None)?;
    let mut after = None;
    while let Some(address) = explained(volume.next_object(&view, after))? {
        let id = explained(volume.object(&view, address))?;
        let inode = explained(volume.stat(&view, id))?;
        println!("{} {} {}", hex(&address), inode.size, inode.parent);
        after = Some(address);
    }
    Ok(())
}

/// Prints what an object holds.
pub fn copy_out(path: &Path, address: &str) -> Result<()> {
    let address = parse(address).context("an address has 64 hexadecimal digits")?;
    let (mut volume, view) = read(path, None)?;
    let id = explained(volume.object(&view, address))?;
    tree::copy_out(&mut volume, &view, id, &mut std::io::stdout().lock())
}

/// Prints a line for each name.
pub fn names(path: &Path) -> Result<()> {
    let (mut volume, view) = read(path, None)?;
    let mut after = Vec::new();
    while let Some((name, bind)) = explained(volume.next_bind(&view, SPACE, &after))? {
        let shown = name.escape_ascii();
        println!("{} {} {shown}", hex(&bind.hash), bind.version);
        after = name;
    }
    Ok(())
}
