//! Workloads, and what they mean: a plain map of paths to bytes.

use std::collections::BTreeMap;
use std::fmt::Debug;

use volume_core::{
    Access, Blocks, Durability, Error, Expect, NewVolume, ROOT_DIR, View, Volume, format,
};
use volume_format::{Kind, Stamp};

use crate::disk::{Event, Image, Recorder};

/// What a volume holds: files by path, directories as paths that end in `/` with nothing, objects as `#hash`, names of
/// objects as `@name`.
pub type Content = BTreeMap<String, Vec<u8>>;

/// One step of a workload. Names are small numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Makes a file.
    Create(u8),
    /// Makes a directory.
    MakeDir(u8),
    /// Writes so many bytes at an offset of a file.
    Write(u8, u32, u32),
    /// Cuts a file or lets it grow.
    Truncate(u8, u32),
    /// Another name for a file.
    Rename(u8, u8),
    /// Removes a file or a directory.
    Remove(u8),
    /// Puts an object.
    Put(u8, u32),
    /// Deletes an object, unless a name is bound to it.
    Delete(u8),
    /// Binds a name to an object.
    Bind(u8, u8),
    /// Takes a name of an object away.
    Unbind(u8),
    /// Makes a snapshot, which commits.
    Snapshot,
    /// Deletes the oldest snapshot, which commits.
    DropSnapshot,
    /// One flush.
    Sync,
    /// Two flushes.
    Checkpoint,
    /// Drops what is open.
    RollBack,
}

/// A recorded run: the disk before, what happened, and the content at each commit.
#[derive(Debug)]
pub struct Run {
    /// Durable before the first event.
    pub before: Image,
    /// What the disk was told.
    pub events: Vec<Event>,
    /// `states[n]` is what state `n` holds; 0 is that of `before`.
    pub states: Vec<Content>,
}

/// The namespace of all names.
const SPACE: u64 = 1;
/// No time, so that runs are the same.
pub const NOW: Stamp = Stamp::NONE;

/// An empty volume, durable.
///
/// # Panics
/// If there is no such volume.
#[must_use]
pub fn empty(blocks: u64) -> Image {
    let new = NewVolume {
        uuid: *b"crash-laboratory",
        name: [0; 64],
        max_file: 1 << 40,
        now: NOW,
    };
    let volume = format(Recorder::new(Image::new(blocks)), &new).expect("a volume is made");
    volume.into_disk().now
}

/// Reads all of a volume.
///
/// # Errors
/// What the volume says.
pub fn content<B: Blocks>(volume: &mut Volume<B>, view: &View) -> Result<Content, Error<B::Error>> {
    let mut found = Content::new();
    let mut left = vec![(ROOT_DIR, String::new())];
    while let Some((dir, path)) = left.pop() {
        let mut after = Vec::new();
        let mut count = 0;
        while let Some((name, named)) = volume.next_name(view, dir, &after)? {
            let full = format!("{path}{}", String::from_utf8_lossy(&name));
            if named.kind == Kind::Dir {
                found.insert(format!("{full}/"), Vec::new());
                left.push((named.id, format!("{full}/")));
            } else {
                let mut bytes = vec![0; volume.stat(view, named.id)?.size as usize];
                volume.read(view, named.id, 0, &mut bytes)?;
                found.insert(full, bytes);
            }
            after = name;
            count += 1;
        }
        assert_eq!(
            volume.stat(view, dir)?.size,
            count,
            "a directory counts itself"
        );
    }
    let mut after = Vec::new();
    let mut names = [0; 4];
    while let Some((name, bind)) = volume.next_bind(view, SPACE, &after)? {
        let object = bind.hash[0];
        names[usize::from(object)] += 1;
        found.insert(format!("@{}", String::from_utf8_lossy(&name)), vec![object]);
        after = name;
    }
    for object in 0..4u8 {
        match volume.object(view, [object; 32]) {
            Ok(id) => {
                let count = names[usize::from(object)];
                assert_eq!(
                    volume.stat(view, id)?.parent,
                    count,
                    "an object counts its names"
                );
                let mut bytes = vec![0; volume.stat(view, id)?.size as usize];
                volume.read(view, id, 0, &mut bytes)?;
                found.insert(format!("#{object}"), bytes);
            }
            Err(Error::NotFound) => {
                assert_eq!(names[usize::from(object)], 0, "a name leads nowhere")
            }
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Bytes that nobody writes twice.
fn pattern(salt: usize, len: u32) -> Vec<u8> {
    (0..len)
        .map(|at| (salt as u32 * 89 + at * 7 + at / 251 + 1) as u8)
        .collect()
}

fn name(number: u8) -> String {
    // Long enough that a few fill a node.
    format!("{number:03}-{}", "n".repeat(usize::from(number) % 200))
}

/// What a step refuses is no failure: the model refuses it, too.
fn settle<E: Debug>(result: Result<(), Error<E>>) -> Result<bool, Error<E>> {
    match result {
        Ok(()) => Ok(true),
        Err(
            Error::Exists
            | Error::NotFound
            | Error::NotEmpty
            | Error::WrongKind
            | Error::NoSpace
            | Error::Bound,
        ) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Does a step to a volume; says whether it was done.
///
/// # Errors
/// What is no refusal.
pub fn apply<B: Blocks<Error: Debug>>(
    volume: &mut Volume<B>,
    step: Step,
    salt: usize,
) -> Result<bool, Error<B::Error>> {
    let live = volume.live();
    let file = |volume: &mut Volume<B>, number: u8| {
        volume
            .lookup(&live, ROOT_DIR, name(number).as_bytes())
            .map(|named| named.id)
    };
    settle(match step {
        Step::Create(number) => volume
            .create(ROOT_DIR, name(number).as_bytes(), Kind::File, NOW)
            .map(drop),
        Step::MakeDir(number) => volume
            .create(ROOT_DIR, name(number).as_bytes(), Kind::Dir, NOW)
            .map(drop),
        Step::Write(number, offset, len) => file(volume, number)
            .and_then(|id| volume.write(id, offset.into(), &pattern(salt, len), NOW)),
        Step::Truncate(number, size) => {
            file(volume, number).and_then(|id| volume.truncate(id, size.into(), NOW))
        }
        Step::Rename(from, to) => volume.rename(
            (ROOT_DIR, name(from).as_bytes()),
            (ROOT_DIR, name(to).as_bytes()),
            NOW,
        ),
        Step::Remove(number) => volume.remove(ROOT_DIR, name(number).as_bytes(), NOW),
        Step::Put(object, len) => {
            let bytes = pattern(usize::from(object), len);
            volume.put_object([object % 4; 32], &bytes, NOW).map(drop)
        }
        Step::Delete(object) => volume.delete_object([object % 4; 32], NOW),
        Step::Bind(number, object) => {
            let (name, hash) = (name(number), [object % 4; 32]);
            let bound = volume.bind(SPACE, name.as_bytes(), hash, Expect::Anything, NOW);
            bound.map(drop)
        }
        Step::Unbind(number) => {
            volume.unbind(SPACE, name(number).as_bytes(), Expect::Anything, NOW)
        }
        Step::Snapshot => volume.create_snapshot(NOW).map(drop),
        Step::DropSnapshot => match volume.next_snapshot(0)? {
            Some(txg) => volume.delete_snapshot(txg, NOW),
            None => Ok(()),
        },
        Step::Sync => volume.commit(Durability::Sync, NOW),
        Step::Checkpoint => volume.commit(Durability::Checkpoint, NOW),
        Step::RollBack => {
            volume.roll_back();
            Ok(())
        }
    })
}

/// Does a step to the model, which the volume has done.
pub fn model(content: &mut Content, step: Step, salt: usize) {
    match step {
        Step::Create(number) => drop(content.insert(name(number), Vec::new())),
        Step::MakeDir(number) => drop(content.insert(name(number) + "/", Vec::new())),
        Step::Write(number, offset, len) => {
            if let Some(bytes) = content.get_mut(&name(number)) {
                let (from, to) = (offset as usize, (offset + len) as usize);
                bytes.resize(bytes.len().max(to), 0);
                bytes[from..to].copy_from_slice(&pattern(salt, len));
            }
        }
        Step::Truncate(number, size) => {
            if let Some(bytes) = content.get_mut(&name(number)) {
                bytes.resize(size as usize, 0);
            }
        }
        Step::Rename(from, to) => {
            for end in ["", "/"] {
                if let Some(bytes) = content.remove(&(name(from) + end)) {
                    content.insert(name(to) + end, bytes);
                }
            }
        }
        Step::Remove(number) => {
            content.remove(&name(number));
            content.remove(&(name(number) + "/"));
        }
        Step::Put(object, len) => {
            content
                .entry(format!("#{}", object % 4))
                .or_insert_with(|| pattern(usize::from(object), len));
        }
        Step::Delete(object) => drop(content.remove(&format!("#{}", object % 4))),
        Step::Bind(number, object) => {
            content.insert(format!("@{}", name(number)), vec![object % 4]);
        }
        Step::Unbind(number) => drop(content.remove(&format!("@{}", name(number)))),
        _ => {}
    }
}

/// Runs a workload on a volume and records it. Steps that commit on their own are states, too.
///
/// # Panics
/// Where the volume and the model differ.
#[must_use]
pub fn record(before: &Image, steps: &[Step]) -> Run {
    let disk = Recorder::new(before.clone());
    let mut volume = Volume::mount(disk, Access::Write)
        .expect("it mounts")
        .volume;
    volume.disk_mut().events.clear();
    let live = volume.live();
    let start = content(&mut volume, &live).expect("it is sound");
    let (mut states, mut open) = (vec![start.clone()], start);
    for (salt, step) in steps.iter().enumerate() {
        let txg = volume.txg();
        // Whatever this step commits holds what was open before it or what is open after it.
        let next = states.len();
        let mut after = open.clone();
        model(&mut after, *step, salt);
        if *step == Step::RollBack {
            after = states[states.len() - 1].clone();
        }
        volume.disk_mut().events.push(Event::Submitted(next + 1));
        let done = apply(&mut volume, *step, salt).expect("a step is done or refused");
        let after = if done { after } else { open.clone() };
        if volume.txg() > txg {
            states.push(open.clone());
            states.push(after.clone());
            let commits = matches!(step, Step::Sync | Step::Checkpoint | Step::Snapshot);
            let durable = if commits { next + 1 } else { next };
            volume.disk_mut().events.push(Event::Acknowledged(durable));
        } else {
            // Nothing was committed: the states that were announced are never reached.
            volume.disk_mut().events.push(Event::Submitted(next - 1));
        }
        if let (true, Step::Bind(number, _)) = (done, step) {
            let live = volume.live();
            let bound = volume.resolve(&live, SPACE, name(*number).as_bytes());
            let version = bound.expect("it is bound").version;
            volume.disk_mut().events.push(Event::Told(version));
        }
        open = after;
        let live = volume.live();
        assert_eq!(
            content(&mut volume, &live).expect("it is sound"),
            open,
            "{step:?}"
        );
    }
    Run {
        before: before.clone(),
        events: volume.into_disk().events,
        states,
    }
}

#[cfg(test)]
mod tests {
    use volume_format::BLOCK;

    use super::*;

    /// Who has a file open that went with a dropped group must not find another one under its number.
    #[test]
    fn the_number_of_a_dropped_file_is_given_to_nobody_else() {
        let disk = Recorder::new(empty(300));
        let mut volume = Volume::mount(disk, Access::Write).unwrap().volume;
        let dropped = volume.create(ROOT_DIR, b"one", Kind::File, NOW);
        let dropped = dropped.unwrap();
        volume.roll_back();
        let other = volume.create(ROOT_DIR, b"other", Kind::File, NOW);
        assert_ne!(other.unwrap(), dropped);
        let live = volume.live();
        assert!(volume.stat(&live, dropped).is_err());
    }

    /// However much is lost and however often, a binding's number is new, and few groups are committed for that.
    #[test]
    fn no_binding_has_the_number_of_one_that_was_lost() {
        let mut image = empty(300);
        let mut newest = 0;
        for round in 0..6 {
            let disk = Recorder::new(image.clone());
            let mut volume = Volume::mount(disk, Access::Write).unwrap().volume;
            if round == 0 {
                volume.put_object([1; 32], b"bytes", NOW).unwrap();
                volume.commit(Durability::Sync, NOW).unwrap();
            }
            let group = volume.txg();
            for count in 0..3000 {
                let version = volume.bind(SPACE, b"name", [1; 32], Expect::Anything, NOW);
                let version = version.unwrap();
                assert!(version > newest, "{version} after {newest}");
                newest = version;
                match (round, count % 100) {
                    (4, 99) => volume.roll_back(),
                    (5, 99) => volume.commit(Durability::Sync, NOW).unwrap(),
                    _ => {}
                }
                if round == 1 && count == 10 || round == 2 {
                    break;
                }
            }
            let more = volume.txg() - group;
            assert!(round == 5 || more <= 3, "{more} groups");
            image = crate::recorded::durable(&image, &volume.into_disk().events);
        }
    }

    /// Fills a file until the volume is full, and then with what reclaiming frees.
    fn fill(volume: &mut Volume<Recorder>, id: u64) -> u64 {
        let block = pattern(1, BLOCK as u32);
        let mut at = volume.stat(&volume.live(), id).unwrap().size;
        loop {
            match volume.write(id, at, &block, NOW) {
                Ok(()) => at += BLOCK as u64,
                Err(Error::NoSpace) if volume.can_reclaim() => {
                    volume.reclaim(NOW).unwrap();
                    assert!(!volume.can_reclaim());
                }
                Err(Error::NoSpace) => return at,
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    /// Otherwise each refused write to a full volume would commit two groups, or what was removed would never come free.
    #[test]
    fn a_full_volume_is_reclaimed_once_for_each_change() {
        let disk = Recorder::new(empty(400));
        let mut volume = Volume::mount(disk, Access::Write).unwrap().volume;
        let file = volume.create(ROOT_DIR, b"file", Kind::File, NOW).unwrap();
        let full = fill(&mut volume, file);
        let group = volume.txg();
        assert_eq!(fill(&mut volume, file), full);
        assert_eq!(volume.txg(), group, "a refused write commits nothing");
        // What is freed comes back whether the group that freed it is open or was committed.
        for is_committed in [false, true] {
            volume
                .truncate(file, full - 80 * BLOCK as u64, NOW)
                .unwrap();
            if is_committed {
                volume.commit(Durability::Sync, NOW).unwrap();
            }
            assert_eq!(fill(&mut volume, file), full, "{is_committed}");
        }
    }
}
