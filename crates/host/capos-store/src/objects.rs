//! Objects of a volume and their names, read.

use std::path::Path;

use anyhow::{Context, Result};

use crate::{explained, read, tree};

/// The namespace of the names that the system's Namespaces lead to.
const SPACE: u64 = 1;

fn hex(address: &[u8; 32]) -> String {
    address.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parse(text: &str) -> Option<[u8; 32]> {
    let digits = |at: usize| text.get(2 * at..2 * at + 2);
    let byte = |at| u8::from_str_radix(digits(at)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..32).map(byte).collect();
    let is_plain = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    bytes.filter(|_| is_plain)?.try_into().ok()
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
