//! The space tree, and the count of everything against it.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use crate::bytes::{BITMAP, Pointer, SPACE, TABLE, number, pointer, zero};
use crate::{BLOCK, Disk, Head, Walk};

/// Blocks of a region: the bits of its bitmap.
const REGION: u64 = 32768;

/// The level of the topmost table.
pub fn height(blocks: u64) -> u64 {
    let regions = blocks.div_ceil(REGION);
    let (mut height, mut reach) = (1, 85u64);
    while reach < regions {
        height += 1;
        reach *= 85;
    }
    height
}

/// Blocks that can be allocated among these.
fn room(blocks: u64, from: u64, to: u64) -> u64 {
    let (low, high) = (from.max(65), to.min(blocks - 65));
    high.saturating_sub(low)
}

/// Walks the space tree, then compares it with what is reached.
pub fn check<D: Disk>(walk: &mut Walk<'_, D>, head: &Head) {
    let top = height(walk.blocks);
    let mut bitmaps = Vec::new();
    // Pointer, level, index, and the free blocks that the entry above says.
    let mut left: Vec<(Pointer, u64, u64, u64)> = alloc::vec![(head.space, top, 0, head.free)];
    while let Some((at, level, index, said)) = left.pop() {
        if !walk.live.insert(at.lba) {
            walk.report
                .say(at.lba, "two pointers of the space tree lead to one block");
            continue;
        }
        let Some(block) = walk.fetch(&at, SPACE, level << 56 | index) else {
            continue;
        };
        if level == 0 {
            bitmaps.push((index, at.lba, block, said));
            continue;
        }
        let is_table = number(&block, 0, 4) == 0x5350_5643 && number(&block, 4, 1) == level;
        if !is_table || !zero(&block, 5, 16) {
            walk.report.say(at.lba, "it is no table of its level");
            continue;
        }
        let span = REGION * 85u64.pow(level as u32 - 1);
        let mut free = 0;
        for slot in 0..85 {
            let child = index * 85 + slot;
            let from = 16 + 48 * slot as usize;
            let said = number(&block, from + 40, 8);
            let room = room(walk.blocks, child * span, (child + 1) * span);
            // From a stranger, so it may say anything.
            free = u64::saturating_add(free, said);
            if zero(&block, from, from + 40) {
                if said != room {
                    walk.report.say(
                        at.lba,
                        format!("entry {slot} leads nowhere and counts {said}"),
                    );
                }
                continue;
            }
            let kind = if level == 1 { BITMAP } else { TABLE };
            let bytes = block.get(from..from + 40).unwrap_or(&[]);
            match pointer(bytes, kind, walk.blocks, walk.newest) {
                Some(below) if said <= room => left.push((below, level - 1, child, said)),
                _ => walk
                    .report
                    .say(at.lba, format!("entry {slot} is no pointer")),
            }
        }
        if free != said {
            walk.report
                .say(at.lba, format!("{free} blocks are free below, not {said}"));
        }
    }
    recount(walk, head, bitmaps);
}

fn recount<D>(walk: &mut Walk<'_, D>, head: &Head, bitmaps: Vec<(u64, u64, Vec<u8>, u64)>) {
    for lba in walk.kept.difference(&walk.live) {
        if !walk.dead.contains(lba) {
            walk.report
                .say(*lba, "a snapshot reaches a block that nobody keeps for it");
        }
    }
    let both = walk.dead.intersection(&walk.live).next().copied();
    if let Some(lba) = both {
        walk.report
            .say(lba, "a block is both in use and kept for snapshots alone");
    }
    let used: BTreeSet<u64> = walk.live.union(&walk.dead).copied().collect();
    walk.report.used = used.len() as u64;
    let capacity = walk.blocks - 130;
    if head.free != capacity - walk.report.used.min(capacity) {
        let text = format!("{} blocks are in use, and {} free", used.len(), head.free);
        walk.report.say(head.space.lba, text);
    }
    if head.dead != walk.dead.len() as u64 {
        let text = format!(
            "{} blocks are kept for snapshots, not {}",
            walk.dead.len(),
            head.dead
        );
        walk.report.say(head.tree.lba, text);
    }
    let mut unseen = used.len();
    for (region, lba, bitmap, said) in bitmaps {
        let first = region * REGION;
        let (expected, seen) = expected(walk.blocks, first, &used);
        unseen -= seen;
        let mut free = 0;
        for (index, (is, want)) in bitmap.iter().zip(&expected).enumerate() {
            free += u64::from(is.count_zeros());
            for bit in (0..8).filter(|bit| (is ^ want) >> bit & 1 == 1) {
                let now = if is >> bit & 1 == 1 { "in use" } else { "free" };
                let at = first + index as u64 * 8 + bit;
                walk.report
                    .say(at, format!("the bitmap in block {lba} says {now}"));
            }
        }
        if free != said {
            walk.report
                .say(lba, format!("{free} blocks are free in it, not {said}"));
        }
    }
    if unseen != 0 {
        walk.report.say(
            head.space.lba,
            format!("{unseen} blocks in use have no bitmap"),
        );
    }
}

/// What the bitmap of the region from `first` on must be, and how many of the blocks in use lie there.
fn expected(blocks: u64, first: u64, used: &BTreeSet<u64>) -> (Vec<u8>, usize) {
    // In use for good: labels, rings, and what lies beyond the end.
    let usable = 65..blocks - 65;
    let byte = |at: u64| match (at >= usable.start, at + 8 <= usable.end) {
        (true, true) => 0,
        _ => (0..8).fold(0u8, |byte, bit| {
            byte | u8::from(!usable.contains(&(at + bit))) << bit
        }),
    };
    let beyond = usable.end.next_multiple_of(8).clamp(first, first + REGION);
    let mut map: Vec<u8> = (first..beyond).step_by(8).map(byte).collect();
    map.resize(BLOCK, 0xff);
    let mut seen = 0;
    for at in used.range(first..first + REGION) {
        let at = (at - first) as usize;
        if let Some(byte) = map.get_mut(at / 8) {
            *byte |= 1 << (at % 8);
            seen += 1;
        }
    }
    (map, seen)
}
