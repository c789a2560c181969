//! Faults of the disk: errors, rot, writes that were lost or went elsewhere.
//!
//! The rule: never wrong bytes, and never silent loss of what was acknowledged. A fault may be noticed, or harmless.

use std::rc::Rc;

use volume_core::{Access, Volume};
use volume_format::{BLOCK, Layout};

use crate::disk::{Event, Fault, Image, Recorder, View};
use crate::work::{self, Content, Step};

/// How often a fault was noticed, and how often it made no difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// A refusal that names the damage.
    pub noticed: u64,
    /// All bytes came back.
    pub harmless: u64,
}

/// Reads all of a damaged volume and compares with what it must hold.
fn judge(image: &Image, expected: &Content, tally: &mut Tally) -> Result<(), String> {
    let found = Volume::mount(View::new(image), Access::Read).and_then(|mounted| {
        let mut volume = mounted.volume;
        let live = volume.live();
        work::content(&mut volume, &live)
    });
    match found {
        Ok(content) if content == *expected => tally.harmless += 1,
        Ok(_) => return Err("it gave wrong bytes".into()),
        Err(_) => tally.noticed += 1,
    }
    Ok(())
}

/// Changes one byte of each sector of every block that was written.
///
/// # Errors
/// The first fault that gave wrong bytes.
pub fn rot(image: &Image, expected: &Content) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for (lba, block) in &image.content {
        for sector in 0..8 {
            let mut bytes = block.to_vec();
            bytes[sector * 512 + (*lba as usize * 31) % 512] ^= 0x10;
            let mut rotten = image.clone();
            rotten.content.insert(*lba, Rc::new(bytes));
            judge(&rotten, expected, &mut tally)
                .map_err(|error| format!("block {lba}: {error}"))?;
        }
    }
    Ok(tally)
}

/// Puts each block where every other one is.
///
/// # Errors
/// The first fault that gave wrong bytes.
pub fn misdirected(image: &Image, expected: &Content) -> Result<Tally, String> {
    let mut tally = Tally::default();
    let layout = Layout::new(image.blocks).ok_or("no volume")?;
    let is_used = |lba: &u64| layout.holds(*lba);
    for from in image.content.keys().filter(|lba| is_used(lba)) {
        for to in image.content.keys().filter(|lba| is_used(lba)) {
            let mut wrong = image.clone();
            wrong.content.insert(*to, image.content[from].clone());
            judge(&wrong, expected, &mut tally)
                .map_err(|error| format!("{from} over {to}: {error}"))?;
        }
    }
    Ok(tally)
}

/// Loses each write of a run in turn, although the disk said it was durable. The two copies of the last root are one
/// structure: a disk that loses both at once shows the volume as it was before, which no single disk can tell.
///
/// # Errors
/// The first fault that gave wrong bytes.
pub fn lost(before: &Image, events: &[Event], expected: &Content) -> Result<Tally, String> {
    let mut tally = Tally::default();
    for (number, event) in events.iter().enumerate() {
        if !matches!(event, Event::Write(..)) {
            continue;
        }
        let mut image = before.clone();
        for (other, event) in events.iter().enumerate() {
            if let (Event::Write(lba, block), true) = (event, other != number) {
                image.content.insert(*lba, block.clone());
            }
        }
        judge(&image, expected, &mut tally).map_err(|error| format!("write {number}: {error}"))?;
    }
    Ok(tally)
}

/// Fails each command of a workload in turn: the volume must say so, and hold one of its states.
///
/// # Errors
/// The first failure that lost something.
pub fn errors(before: &Image, steps: &[Step]) -> Result<u64, String> {
    let run = work::record(before, steps);
    let mut failed = 0;
    for number in 1.. {
        let mut disk = Recorder::new(before.clone());
        disk.fault = Fault::Command(number);
        let mounted = Volume::mount(disk, Access::Write);
        let Ok(mounted) = mounted else {
            failed += 1;
            continue;
        };
        let mut volume = mounted.volume;
        let mut stopped = false;
        for (salt, step) in steps.iter().enumerate() {
            if work::apply(&mut volume, *step, salt).is_err() {
                stopped = true;
                break;
            }
        }
        let disk = volume.into_disk();
        if disk.commands < number {
            return Ok(failed);
        }
        failed += u64::from(stopped);
        let mut again = Volume::mount(View::new(&disk.now), Access::Read)
            .map_err(|error| format!("after command {number}: {error:?}"))?
            .volume;
        let live = again.live();
        let found = work::content(&mut again, &live)
            .map_err(|error| format!("after command {number}: {error:?}"))?;
        if !run.states.contains(&found) {
            return Err(format!("command {number}: it holds none of its states"));
        }
    }
    Ok(failed)
}

/// The image of a run's end.
#[must_use]
pub fn end(before: &Image, events: &[Event]) -> Image {
    let mut image = before.clone();
    for event in events {
        if let Event::Write(lba, block) = event {
            assert_eq!(block.len(), BLOCK, "a write is a block");
            image.content.insert(*lba, block.clone());
        }
    }
    image
}
