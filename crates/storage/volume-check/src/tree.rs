//! The tree: its nodes, and whether its items agree.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::bytes::{DATA, NODE, Pointer, TREE, big, number, pointer, zero};
use crate::{BLOCK, Disk, Head, Walk};

/// The records of a node of that level, if it is one in the page's form.
pub fn records(block: &[u8], level: u64) -> Option<Vec<(&[u8], &[u8])>> {
    if !block.starts_with(b"VOLN") || number(block, 4, 1) != level || number(block, 5, 1) != 0 {
        return None;
    }
    let count = number(block, 6, 2) as usize;
    let mut at = 16 + 2 * count;
    let mut records: Vec<(&[u8], &[u8])> = Vec::new();
    for index in 0..count {
        if number(block, 16 + 2 * index, 2) as usize != at || at + 4 > BLOCK {
            return None;
        }
        let (key, value) = (
            number(block, at, 2) as usize,
            number(block, at + 2, 2) as usize,
        );
        if key > 288 || value > 256 {
            return None;
        }
        let record = (
            block.get(at + 4..at + 4 + key)?,
            block.get(at + 4 + key..at + 4 + key + value)?,
        );
        if records.last().is_some_and(|(last, _)| *last >= record.0) {
            return None;
        }
        records.push(record);
        at += 4 + key + value;
    }
    let is_sound =
        number(block, 8, 2) as usize == at && zero(block, 10, 16) && zero(block, at, BLOCK);
    is_sound.then_some(records)
}

/// A pointer, its level, and the bounds of its keys.
type Below = (Pointer, u64, Vec<u8>, Option<Vec<u8>>);

/// What the items of a tree say.
#[derive(Default)]
struct Items {
    /// Kind, size, directory above.
    inodes: BTreeMap<u64, (u64, u64, u64)>,
    /// Names of each directory.
    entries: BTreeMap<u64, u64>,
    /// Inode, kind, directory.
    named: Vec<(u64, u64, u64)>,
    /// Inode and block of the file.
    extents: BTreeSet<(u64, u64)>,
    /// Inodes of objects, by address.
    objects: BTreeMap<Vec<u8>, u64>,
    /// Addresses that names are bound to, and the numbers of the bindings.
    bound: Vec<(Vec<u8>, u64)>,
    orphans: BTreeSet<u64>,
    /// Group, tree, level.
    snapshots: Vec<(u64, Pointer, u64)>,
    /// Groups of snapshots that were let go.
    gone: BTreeSet<u64>,
    dead: Vec<(u64, u64, u64)>,
}

/// Checks the live tree and those of snapshots.
pub fn check<D: Disk>(walk: &mut Walk<'_, D>, head: &Head) {
    let mut live = BTreeSet::new();
    let items = walk_tree(walk, head.tree, head.height, head.txg, &mut live);
    walk.live = live;
    agree(walk, head, &items);
    for (txg, tree, level) in &items.snapshots {
        let mut kept = BTreeSet::new();
        walk_tree(walk, *tree, *level, *txg, &mut kept);
        walk.kept.append(&mut kept);
    }
    for (snapshot, lba, birth) in &items.dead {
        let is_kept = items.snapshots.iter().any(|(txg, ..)| txg == snapshot);
        let is_known = is_kept || items.gone.contains(snapshot);
        if !is_known || birth > snapshot || !walk.dead.insert(*lba) {
            walk.report.say(
                *lba,
                "a block is kept for a snapshot that cannot reach it, or twice",
            );
        }
    }
    walk.report.inodes = items.inodes.len() as u64;
}

fn walk_tree<D: Disk>(
    walk: &mut Walk<'_, D>,
    top: Pointer,
    height: u64,
    newest: u64,
    seen: &mut BTreeSet<u64>,
) -> Items {
    let mut items = Items::default();
    let mut left: Vec<Below> = Vec::new();
    left.push((top, height, Vec::new(), None));
    while let Some((at, level, low, high)) = left.pop() {
        if !seen.insert(at.lba) {
            walk.report
                .say(at.lba, "two pointers of one tree lead to one block");
            continue;
        }
        let Some(block) = walk.fetch(&at, TREE, level) else {
            continue;
        };
        let Some(records) = records(&block, level) else {
            walk.report.say(
                at.lba,
                format!("it is no node of level {level} in its one form"),
            );
            continue;
        };
        if records.is_empty() && (level > 0 || level != height) {
            walk.report.say(at.lba, "a node without records");
        }
        for (index, (key, value)) in records.iter().enumerate() {
            let above_low = *key >= low.as_slice();
            if !above_low || high.as_deref().is_some_and(|high| *key >= high) {
                walk.report
                    .say(at.lba, "a key outside the bounds of its node");
            }
            if level > 0 {
                let Some(below) = pointer(value, NODE, walk.blocks, at.birth) else {
                    walk.report
                        .say(at.lba, format!("record {index} is no pointer to a node"));
                    continue;
                };
                if index == 0 && *key != low.as_slice() {
                    walk.report
                        .say(at.lba, "the first key is not the node's bound");
                }
                let next = records.get(index + 1).map(|(key, _)| key.to_vec());
                left.push((
                    below,
                    level - 1,
                    key.to_vec(),
                    next.or_else(|| high.clone()),
                ));
            } else if item(walk, &mut items, key, value, newest, seen).is_none() {
                walk.report
                    .say(at.lba, format!("record {index} is no item of the format"));
            }
        }
    }
    items
}

fn item<D: Disk>(
    walk: &mut Walk<'_, D>,
    items: &mut Items,
    key: &[u8],
    value: &[u8],
    newest: u64,
    seen: &mut BTreeSet<u64>,
) -> Option<()> {
    let name_fits = (10..=264).contains(&key.len());
    let first = big(key, 1);
    match (*key.first()?, key.len(), value.len()) {
        (1, 9, 56) if zero(value, 1, 8) && stamp(value, 24) && stamp(value, 40) => {
            let kind = number(value, 0, 1);
            let inode = (kind, number(value, 8, 8), number(value, 16, 8));
            items.inodes.insert(first, inode);
            (1..=3).contains(&kind).then_some(())
        }
        (2, _, 9) if name_fits => {
            let name = key.get(9..)?;
            let is_sound =
                name != b"." && name != b".." && !name.contains(&0) && !name.contains(&b'/');
            *items.entries.entry(first).or_default() += 1;
            items
                .named
                .push((number(value, 0, 8), number(value, 8, 1), first));
            is_sound.then_some(())
        }
        (3, 17, 40) => {
            let at = pointer(value, DATA, walk.blocks, newest)?;
            let position = big(key, 9);
            items.extents.insert((first, position));
            if !seen.insert(at.lba) {
                walk.report.say(at.lba, "two files have one block");
            }
            walk.fetch(&at, first, position);
            Some(())
        }
        (4, 33, 8) => {
            let address = key.get(1..)?.to_vec();
            items.objects.insert(address, number(value, 0, 8));
            Some(())
        }
        (5, _, 40) if name_fits && number(value, 32, 8) > 0 => {
            let address = value.get(..32)?.to_vec();
            items.bound.push((address, number(value, 32, 8)));
            Some(())
        }
        (6, 9, 64) if zero(value, 57, 64) && stamp(value, 40) => {
            let tree = pointer(value.get(..40)?, NODE, walk.blocks, first)?;
            items.snapshots.push((first, tree, number(value, 56, 1)));
            Some(())
        }
        (7, 17, 8) => {
            items.dead.push((first, big(key, 9), number(value, 0, 8)));
            Some(())
        }
        (8, 9, 0) => {
            items.orphans.insert(first);
            Some(())
        }
        (9, 9, 0) => {
            items.gone.insert(first);
            Some(())
        }
        _ => None,
    }
}

fn stamp(bytes: &[u8], at: usize) -> bool {
    number(bytes, at + 12, 1) <= 5 && zero(bytes, at + 13, at + 16)
}

/// Whether names lead to objects that are there, which count them, and whether the numbers of bindings are their own.
fn bindings(items: &Items, next: u64, said: &mut Vec<String>) {
    let mut names: BTreeMap<u64, u64> = BTreeMap::new();
    let mut numbers = BTreeSet::new();
    for (address, number) in &items.bound {
        if *number >= next {
            said.push(format!(
                "a binding has the number {number}, which was not given yet"
            ));
        }
        if !numbers.insert(*number) {
            said.push(format!("two bindings have the number {number}"));
        }
        match items.objects.get(address) {
            Some(id) => *names.entry(*id).or_default() += 1,
            None => said.push("a name is bound to an object that is not there".into()),
        }
    }
    for id in items.objects.values() {
        let Some((3, _, counted)) = items.inodes.get(id) else {
            said.push(format!("an object has inode {id}, which is none"));
            continue;
        };
        let found = names.get(id).unwrap_or(&0);
        if counted != found {
            said.push(format!(
                "the object with inode {id} counts {counted} names, and {found} are bound to it"
            ));
        }
    }
}

/// Whether names, inodes, blocks and objects fit each other.
fn agree<D>(walk: &mut Walk<'_, D>, head: &Head, items: &Items) {
    let at = head.tree.lba;
    let mut said = Vec::new();
    if items.inodes.get(&1).map(|inode| (inode.0, inode.2)) != Some((2, 0)) {
        said.push("inode 1 is no root directory".into());
    }
    bindings(items, head.next, &mut said);
    let mut owners: BTreeMap<u64, u64> = BTreeMap::new();
    for (id, kind, dir) in &items.named {
        *owners.entry(*id).or_default() += 1;
        if items.inodes.get(id).map(|inode| (inode.0, inode.2)) != Some((*kind, *dir)) {
            said.push(format!("a name in directory {dir} and inode {id} disagree"));
        }
        if items.inodes.get(dir).map(|inode| inode.0) != Some(2) {
            said.push(format!("a name lies in {dir}, which is no directory"));
        }
    }
    for id in items.objects.values() {
        *owners.entry(*id).or_default() += 1;
    }
    for id in &items.orphans {
        *owners.entry(*id).or_default() += 1;
    }
    for (id, (kind, size, _)) in &items.inodes {
        if *id >= head.next {
            said.push(format!("inode {id} has a number that was not given yet"));
        }
        if *id != 1 && owners.get(id) != Some(&1) {
            said.push(format!("inode {id} is not reached once"));
        }
        if *kind == 2 && items.entries.get(id).copied().unwrap_or(0) != *size {
            said.push(format!("directory {id} does not have {size} entries"));
        }
    }
    for (id, position) in &items.extents {
        let size = items
            .inodes
            .get(id)
            .filter(|inode| inode.0 != 2)
            .map(|inode| inode.1);
        if size.is_none_or(|size| *position >= size.div_ceil(BLOCK as u64)) {
            said.push(format!("block {position} of inode {id} lies beyond it"));
        }
    }
    let newest = items
        .snapshots
        .iter()
        .map(|(txg, ..)| *txg)
        .max()
        .unwrap_or(0);
    if newest != head.snapshot {
        said.push(format!(
            "the newest snapshot is {newest}, not {}",
            head.snapshot
        ));
    }
    for text in said {
        walk.report.say(at, text);
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn a_binding_has_a_number_of_its_own_that_was_given() {
        let mut items = Items::default();
        items.objects.insert(vec![7; 32], 2);
        items.inodes.insert(2, (3, 0, 2));
        items.bound = vec![(vec![7; 32], 3), (vec![7; 32], 4)];
        let judged = |items: &Items, next| {
            let mut said = Vec::new();
            bindings(items, next, &mut said);
            said
        };
        assert_eq!(judged(&items, 5), Vec::<String>::new());
        assert_eq!(
            judged(&items, 4),
            ["a binding has the number 4, which was not given yet"]
        );
        items.bound[1].1 = 3;
        assert_eq!(judged(&items, 5), ["two bindings have the number 3"]);
    }
}
