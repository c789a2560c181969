//! What a running guest wrote, as QEMU's `blklogwrites` recorded it: a log in the form of Linux's dm-log-writes, and the states
//! that a power cut could have left at each place of it.
//!
//! The log is another witness than the guest: QEMU writes down each command when it is done. A write that was done while a
//! flush was under way may stand before that flush and not be covered by it; whoever sends one command after the other, as
//! the store does, makes no such writes.

use std::rc::Rc;

use volume_core::{Access, Volume};
use volume_format::BLOCK;

pub use crate::disk::{Block, Event};
use crate::disk::{Image, View};
use crate::work::{self, Content};

/// The first eight bytes (`Documentation/admin-guide/device-mapper/log-writes.rst`).
const MAGIC: u64 = 0x006a_7366_7773_6872;
const FLUSH: u64 = 1;
const FUA: u64 = 2;
const DISCARD: u64 = 4;
/// Bytes of a sector, which the log says as well.
const SECTOR: usize = 512;

/// Bytes of the volume as they lie in a file.
#[must_use]
pub fn image(bytes: &[u8]) -> Image {
    let blocks = bytes.chunks(BLOCK).enumerate();
    let content = blocks.filter(|(_, block)| block.iter().any(|byte| *byte != 0));
    Image {
        blocks: (bytes.len() / BLOCK) as u64,
        content: content
            .map(|(lba, block)| (lba as u64, Rc::new(block.to_vec())))
            .collect(),
    }
}

fn word(log: &[u8], at: usize) -> Option<u64> {
    let bytes = log.get(at..at + 8)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

/// Reads a log. Every write is of whole blocks, as the store's are.
///
/// # Errors
/// What is wrong with the log.
pub fn events(log: &[u8]) -> Result<Vec<Event>, String> {
    // Nothing at all was written.
    if log.is_empty() {
        return Ok(Vec::new());
    }
    let (magic, count) = (word(log, 0), word(log, 16));
    let (Some(MAGIC), Some(count)) = (magic, count) else {
        return Err(format!("no log of writes: it begins with {magic:x?}"));
    };
    let mut events = Vec::new();
    let mut at = SECTOR;
    for entry in 0..count {
        let field = |index: usize| word(log, at + 8 * index).ok_or("the log is cut");
        let (sector, sectors, flags) = (field(0)?, field(1)?, field(2)?);
        at += SECTOR;
        if flags & FLUSH != 0 {
            events.push(Event::Flush);
        }
        if flags & DISCARD != 0 || sectors == 0 {
            continue;
        }
        let bytes = sectors as usize * SECTOR;
        let data = log.get(at..at + bytes).ok_or("the log is cut")?;
        at += bytes;
        if !(sector as usize * SECTOR).is_multiple_of(BLOCK) || !bytes.is_multiple_of(BLOCK) {
            return Err(format!(
                "entry {entry} writes {sectors} sectors at {sector}"
            ));
        }
        let first = sector * SECTOR as u64 / BLOCK as u64;
        for (lba, block) in (first..).zip(data.chunks(BLOCK)) {
            events.push(Event::Write(lba, Rc::new(block.to_vec())));
        }
        if flags & FUA != 0 {
            events.push(Event::Flush);
        }
    }
    Ok(events)
}

/// What was tried of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// States built and judged.
    pub states: u64,
    /// Flushes in the log.
    pub flushes: u64,
    /// States that were older than what had been written by then, so that something unflushed was seen to go back.
    pub rolled_back: u64,
}

/// Only what was flushed.
#[must_use]
pub fn durable(before: &Image, events: &[Event]) -> Image {
    let (mut base, mut pending) = (before.clone(), Vec::new());
    for event in events {
        match event {
            Event::Write(lba, block) => pending.push((*lba, block.clone())),
            Event::Flush => base.content.extend(pending.drain(..)),
            Event::Acknowledged(_) | Event::Submitted(_) | Event::Told(_) => {}
        }
    }
    base
}

/// Judges, at each write and flush, what is left of the unflushed writes: none, each prefix, all but one, one alone, and
/// some random sets. `age` says of a content how far the workload had come, or what is wrong with it; it never goes back
/// behind what was flushed.
///
/// # Errors
/// The first state that is wrong.
pub fn explore(
    before: &Image,
    events: &[Event],
    age: &dyn Fn(&Content) -> Result<u64, String>,
) -> Result<Tried, String> {
    let mut tried = Tried::default();
    let mut base = before.clone();
    let mut pending: Vec<(u64, Block)> = Vec::new();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut least = judge(&base, &[], age)?;
    for (number, event) in events.iter().enumerate() {
        let at = |error: String| format!("after event {number}: {error}");
        match event {
            Event::Write(lba, block) => {
                pending.push((*lba, block.clone()));
                let most = judge(&base, &pending, age).map_err(at)?;
                tried.states += 1;
                for set in sets(pending.len(), &mut random) {
                    let both = pending.iter().zip(&set);
                    let kept = both.filter(|(_, is_kept)| **is_kept);
                    let kept: Vec<_> = kept.map(|(write, _)| write.clone()).collect();
                    let found = judge(&base, &kept, age).map_err(at)?;
                    tried.states += 1;
                    tried.rolled_back += u64::from(found < most);
                    if found < least {
                        return Err(at(format!(
                            "{found} of the workload is there, and {least} was flushed"
                        )));
                    }
                }
            }
            Event::Flush => {
                tried.flushes += 1;
                base.content.extend(pending.drain(..));
                least = judge(&base, &[], age).map_err(at)?;
                tried.states += 1;
            }
            Event::Acknowledged(_) | Event::Submitted(_) | Event::Told(_) => {}
        }
    }
    Ok(tried)
}

/// Sets of `count` writes; the newest write is in each but for the empty one, as the others were tried before it came.
fn sets(count: usize, random: &mut u64) -> Vec<Vec<bool>> {
    let mut sets = vec![vec![false; count]];
    let last = count - 1;
    for one in 0..last {
        let mut all_but_one = vec![true; count];
        all_but_one[one] = false;
        sets.push(all_but_one);
    }
    sets.push((0..count).map(|at| at == last).collect());
    for _ in 0..4 {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        let bits = *random;
        sets.push(
            (0..count)
                .map(|at| at == last || bits >> (at % 64) & 1 == 1)
                .collect(),
        );
    }
    sets
}

fn judge(
    base: &Image,
    kept: &[(u64, Block)],
    age: &dyn Fn(&Content) -> Result<u64, String>,
) -> Result<u64, String> {
    let mut view = View::new(base);
    for (lba, block) in kept {
        view.tear(*lba, block, 0xff);
    }
    let report = volume_check::check(&mut view);
    if let Some(problem) = report.problems.first() {
        return Err(format!("check: block {}: {}", problem.lba, problem.text));
    }
    let mut volume = Volume::mount(view, Access::Read)
        .map_err(|error| format!("mount: {error}"))?
        .volume;
    let live = volume.live();
    let content = work::content(&mut volume, &live).map_err(|error| format!("read: {error}"))?;
    age(&content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(sector: u64, flags: u64, data: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in [sector, (data.len() / SECTOR) as u64, flags, 0] {
            bytes.extend_from_slice(&field.to_le_bytes());
        }
        bytes.resize(SECTOR, 0);
        bytes.extend_from_slice(data);
        bytes
    }

    #[test]
    fn a_log_is_read_and_what_is_none_is_not() {
        let mut log = Vec::new();
        for field in [MAGIC, 1, 3] {
            log.extend_from_slice(&field.to_le_bytes());
        }
        log.resize(SECTOR, 0);
        log.extend(entry(8, 0, &[1; 2 * BLOCK]));
        log.extend(entry(0, FLUSH, &[]));
        log.extend(entry(8, FUA, &[2; BLOCK]));
        let found = events(&log).unwrap();
        let shape: Vec<u64> = found
            .iter()
            .map(|event| match event {
                Event::Write(lba, block) => lba * 10 + u64::from(block[0]),
                _ => 0,
            })
            .collect();
        assert_eq!(shape, [11, 21, 0, 12, 0]);
        assert!(events(&log[..log.len() - 1]).is_err());
        assert!(events(&[0; 1024]).is_err());
        let before = image(&[0; 4 * BLOCK]);
        assert_eq!(durable(&before, &found[..2]).content.len(), 0);
        assert_eq!(durable(&before, &found).content[&1][0], 2);
    }
}
