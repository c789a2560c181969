//! Labels and roots.

use alloc::vec::Vec;

use crate::bytes::{BITMAP, DATA, LABEL, NODE, Pointer, ROOT, SPACE, Seed, TABLE, TREE};
use crate::bytes::{big, number, pointer, sum, zero};
use crate::{BLOCK, Disk, Report, Walk, space, tree};

/// The root that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its group.
    pub txg: u64,
    /// The mount that wrote it.
    pub mount: u64,
    /// Whether it was written without a flush before it.
    pub verify: bool,
    pub(crate) tree: Pointer,
    pub(crate) height: u64,
    pub(crate) space: Pointer,
    /// Free blocks, as it says.
    pub free: u64,
    pub(crate) next: u64,
    pub(crate) snapshot: u64,
    pub(crate) dead: u64,
}

/// Finds the UUID and the size.
pub fn label<D: Disk>(disk: &mut D, report: &mut Report) -> Option<([u8; 16], u64)> {
    let mut block = alloc::vec![0; BLOCK];
    let mut good = None;
    let mut bad = Vec::new();
    let end = disk.blocks().saturating_sub(1);
    for lba in [0, end] {
        let read = disk.read(lba, &mut block);
        let uuid: [u8; 16] = block.get(16..32)?.try_into().ok()?;
        let blocks = number(&block, 32, 8);
        let seed = Seed {
            lba,
            birth: 0,
            mount: 0,
            owner: LABEL,
            position: 0,
        };
        let is_sound = read
            && block.starts_with(b"SOCvol1\0")
            && number(&block, 504, 8) == sum(&uuid, seed, block.get(..504)?);
        if !is_sound {
            bad.push(lba);
            continue;
        }
        if number(&block, 8, 4) != 1 || number(&block, 12, 4) != 4096 || number(&block, 56, 8) != 0
        {
            report.say(
                lba,
                "a label of another version, or with features that are not known",
            );
            return None;
        }
        if !(260..=1 << 44).contains(&blocks) || blocks > disk.blocks() {
            report.say(lba, "a label of another size than the disk's");
            return None;
        }
        good = good.or(Some((lba, uuid, blocks)));
    }
    let (from, uuid, blocks) = match good {
        Some(found) => found,
        None => {
            report.say(
                0,
                "no label: this is no capOS volume, or both copies are gone",
            );
            return None;
        }
    };
    for lba in bad {
        if lba == 0 || blocks == disk.blocks() {
            report.say(lba, "a copy of the label is bad");
            report.repairs.push((lba, from));
        }
    }
    Some((uuid, blocks))
}

fn decode<D>(walk: &Walk<'_, D>, block: &[u8], slot: u64) -> Option<Head> {
    let seed = Seed {
        lba: 0,
        birth: 0,
        mount: 0,
        owner: ROOT,
        position: slot,
    };
    let txg = number(block, 24, 8);
    let is_sound = number(block, 0, 8) == 0x3174_6f6f_724c_4f56
        && block.get(8..24)? == walk.uuid
        && number(block, 504, 8) == sum(&walk.uuid, seed, block.get(..504)?)
        && txg % 64 == slot
        && zero(block, 97, 104)
        && zero(block, 208, 504);
    if !is_sound || !fields_agree(walk.blocks, txg, block) {
        return None;
    }
    Some(Head {
        txg,
        mount: number(block, 48, 4),
        verify: number(block, 52, 4) == 1,
        tree: pointer(block.get(56..96)?, NODE, walk.blocks, txg)?,
        height: number(block, 96, 1),
        space: pointer(block.get(104..144)?, TABLE, walk.blocks, txg)?,
        free: number(block, 144, 8),
        next: number(block, 160, 8),
        snapshot: number(block, 168, 8),
        dead: number(block, 176, 8),
    })
}

/// Whether what a root counts can be, by the page's list.
fn fields_agree(blocks: u64, txg: u64, block: &[u8]) -> bool {
    let (flags, capacity) = (number(block, 52, 4), blocks - 130);
    let (free, freed) = (number(block, 144, 8), number(block, 152, 8));
    let (next, snapshot) = (number(block, 160, 8), number(block, 168, 8));
    let (dead, written) = (number(block, 176, 8), number(block, 184, 8));
    (1..u64::MAX - 128).contains(&txg)
        && number(block, 32, 8) < txg
        && snapshot < txg
        && flags <= 1
        && (flags == 0 || written <= 48)
        && number(block, 96, 1) <= 12
        && free <= capacity
        && freed <= free
        && dead <= capacity - free
        && next >= 2
        && number(block, 204, 1) <= 5
        && zero(block, 205, 208)
}

/// Finds the root that counts.
pub fn find<D: Disk>(walk: &mut Walk<'_, D>) -> Option<Head> {
    let mut found: Vec<(Head, [Option<u64>; 2])> = Vec::new();
    let mut block = alloc::vec![0; BLOCK];
    for (copy, ring) in [1, walk.blocks - 65].into_iter().enumerate() {
        for slot in 0..64 {
            if !walk.disk.read(ring + slot, &mut block) {
                walk.report.say(ring + slot, "a root cannot be read");
                continue;
            }
            if let Some(head) = decode(walk, &block, slot) {
                let lba = Some(ring + slot);
                match found.iter_mut().find(|(other, _)| *other == head) {
                    Some((_, places)) => places[copy] = lba,
                    None => {
                        let mut places = [None; 2];
                        places[copy] = lba;
                        found.push((head, places));
                    }
                }
            }
        }
    }
    found.sort_by_key(|(head, _)| core::cmp::Reverse((head.txg, head.mount)));
    for (head, places) in found {
        if head.verify && !is_whole(walk, &head) {
            walk.report.cut += 1;
            continue;
        }
        let slot = head.txg % 64;
        let homes = [1 + slot, walk.blocks - 65 + slot];
        for copy in 0..2 {
            if let (None, Some(good)) = (places[copy], places[1 - copy]) {
                // A cut can leave one copy behind; nothing is lost by it.
                walk.report.repairs.push((homes[copy], good));
            }
        }
        return Some(head);
    }
    None
}

/// Whether everything with the root's birth is there.
fn is_whole<D: Disk>(walk: &mut Walk<'_, D>, head: &Head) -> bool {
    let mut left = Vec::new();
    left.push((head.tree, TREE, head.height));
    left.push((head.space, SPACE, space::height(walk.blocks) << 56));
    let mut visited = 0;
    while let Some((at, owner, position)) = left.pop() {
        if at.birth != head.txg {
            continue;
        }
        visited += 1;
        let Some(block) = walk.quietly(&at, owner, position) else {
            return false;
        };
        if visited > 96 {
            return false;
        }
        let take = |bytes: &[u8], kind| pointer(bytes, kind, walk.blocks, head.txg);
        match owner {
            TREE => {
                let Some(records) = tree::records(&block, position) else {
                    return false;
                };
                for (key, value) in records {
                    if position > 0 {
                        left.extend(take(value, NODE).map(|below| (below, TREE, position - 1)));
                    } else if key.first() == Some(&3) {
                        let (of, place) = (big(key, 1), big(key, 9));
                        left.extend(take(value, DATA).map(|below| (below, of, place)));
                    }
                }
            }
            SPACE if position >> 56 > 0 => {
                let (level, index) = (position >> 56, position & ((1 << 56) - 1));
                let kind = if level == 1 { BITMAP } else { TABLE };
                for slot in 0..85 {
                    let from = 16 + 48 * slot as usize;
                    let below = take(block.get(from..from + 40).unwrap_or(&[]), kind);
                    let place = (level - 1) << 56 | (index * 85 + slot);
                    left.extend(below.map(|below| (below, SPACE, place)));
                }
            }
            _ => {}
        }
    }
    true
}
