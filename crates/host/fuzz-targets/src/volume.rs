//! A volume from a stranger: as it is, and with its sums made anew, so that what lies behind them is reached.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use volume_core::{Access, Blocks, Durability, Error, Expect, NewVolume, ROOT_DIR, Volume, format};
use volume_format::{
    BLOCK, Key, Kind, Label, Layout, Node, PTR_BYTES, RING_SLOTS, Root, Seed, Stamp, parse, sum,
};

/// Blocks of every volume here.
const BLOCKS: u64 = 260;
/// Commands until the disk fails, so that no volume takes long.
const COMMANDS: u64 = 20_000;

/// A disk of blocks; what was not written is zero.
#[derive(Clone, Default)]
struct Sparse {
    blocks: BTreeMap<u64, Vec<u8>>,
    commands: Cell<u64>,
}

impl Sparse {
    fn command(&self) -> Result<(), &'static str> {
        self.commands.set(self.commands.get() + 1);
        if self.commands.get() > COMMANDS {
            return Err("too long");
        }
        Ok(())
    }

    /// The blocks of an input: number (2), then runs of a count (2, the highest bit for a fill) and its bytes, until the block is full.
    fn unpack(mut data: &[u8]) -> Self {
        let mut disk = Self::default();
        while let Some((number, mut rest)) = data.split_first_chunk::<2>() {
            let mut block = Vec::with_capacity(BLOCK);
            while block.len() < BLOCK {
                let Some((head, tail)) = rest.split_first_chunk::<2>() else {
                    break;
                };
                let head = u16::from_le_bytes(*head);
                let count = usize::from(head & 0x7fff).min(BLOCK - block.len());
                let taken = if head & 0x8000 == 0 { count } else { 1 }.min(tail.len());
                let (bytes, after) = tail.split_at(taken);
                match (head & 0x8000, bytes) {
                    (0, bytes) => block.extend_from_slice(bytes),
                    (_, [fill, ..]) => block.resize(block.len() + count, *fill),
                    (_, []) => {}
                }
                rest = after;
                if head & 0x7fff == 0 {
                    break;
                }
            }
            block.resize(BLOCK, 0);
            let number = u64::from(u16::from_le_bytes(*number)) % BLOCKS;
            disk.blocks.insert(number, block);
            data = rest;
        }
        disk
    }

    fn pack(&self) -> Vec<u8> {
        let mut packed = Vec::new();
        for (number, block) in &self.blocks {
            packed.extend_from_slice(&(*number as u16).to_le_bytes());
            let mut at = 0;
            while at < BLOCK {
                let same = |from: usize| {
                    block[from..]
                        .iter()
                        .take_while(|b| **b == block[from])
                        .count()
                };
                let fill = same(at);
                if fill > 4 {
                    packed.extend_from_slice(&(0x8000 | fill as u16).to_le_bytes());
                    packed.push(block[at]);
                    at += fill;
                    continue;
                }
                let mut end = at;
                while end < BLOCK && same(end) <= 4 {
                    end += 1;
                }
                packed.extend_from_slice(&((end - at) as u16).to_le_bytes());
                packed.extend_from_slice(&block[at..end]);
                at = end;
            }
        }
        packed
    }

    /// Makes the sums anew: of labels, of roots, and of everything that they lead to.
    fn seal(&mut self) {
        let Some(first) = self.blocks.get_mut(&0) else {
            return;
        };
        let uuid: [u8; 16] = first[16..32].try_into().unwrap_or([0; 16]);
        for lba in [0, BLOCKS - 1] {
            if let Some(label) = self.blocks.get_mut(&lba) {
                let seed = seed(&uuid, [0; 40], (Seed::LABEL, 0), lba);
                let sealed = sum(&seed, &label[..504]);
                label[504..512].copy_from_slice(&sealed.to_le_bytes());
            }
        }
        let Some(layout) = Layout::new(BLOCKS) else {
            return;
        };
        let mut seen = BTreeSet::new();
        for ring in layout.rings() {
            for slot in 0..RING_SLOTS {
                let Some(mut root) = self.blocks.get(&(ring + slot)).cloned() else {
                    continue;
                };
                if root[..8] == [0; 8] {
                    continue;
                }
                let (level, height) = (root[96].min(8), layout.space_height());
                self.seal_below(&uuid, &mut root[56..96], Below::Node(level), &mut seen);
                self.seal_below(
                    &uuid,
                    &mut root[104..144],
                    Below::Table(height, 0),
                    &mut seen,
                );
                let seed = seed(&uuid, [0; 40], (Seed::ROOT, slot), 0);
                let sealed = sum(&seed, &root[..504]);
                root[504..512].copy_from_slice(&sealed.to_le_bytes());
                self.blocks.insert(ring + slot, root);
            }
        }
    }

    /// Seals what a pointer leads to, and puts the sum into the pointer.
    fn seal_below(
        &mut self,
        uuid: &[u8; 16],
        ptr: &mut [u8],
        below: Below,
        seen: &mut BTreeSet<u64>,
    ) {
        let Ok(raw) = <[u8; PTR_BYTES]>::try_from(&*ptr) else {
            return;
        };
        // A table's entry that leads nowhere.
        if raw == [0; PTR_BYTES] {
            return;
        }
        let lba = u64::from_le_bytes([raw[0], raw[1], raw[2], raw[3], raw[4], raw[5], 0, 0]);
        let Some(mut block) = self.blocks.get(&lba).cloned() else {
            return;
        };
        if seen.insert(lba) {
            match below {
                Below::Node(level) => self.seal_node(uuid, &mut block, level, seen),
                Below::Table(level @ 1.., index) => {
                    for slot in 0..85 {
                        let at = 16 + 48 * slot;
                        let child = Below::Table(level - 1, index * 85 + slot as u64);
                        self.seal_below(uuid, &mut block[at..at + 40], child, seen);
                    }
                }
                Below::Table(0, _) | Below::Data(..) => {}
            }
            self.blocks.insert(lba, block.clone());
        }
        let whose = match below {
            Below::Node(level) => (Seed::TREE, u64::from(level)),
            Below::Table(level, index) => (Seed::SPACE, u64::from(level) << 56 | index),
            Below::Data(owner, position) => (owner, position),
        };
        let sealed = sum(&seed(uuid, raw, whose, lba), &block);
        ptr[16..24].copy_from_slice(&sealed.to_le_bytes());
    }

    fn seal_node(
        &mut self,
        uuid: &[u8; 16],
        block: &mut [u8],
        level: u8,
        seen: &mut BTreeSet<u64>,
    ) {
        let copy = block.to_vec();
        let Ok(node) = Node::check(&copy, level) else {
            return;
        };
        for index in 0..node.len() {
            let value = node.value(index);
            let below = match (level, parse(node.key(index))) {
                (1.., _) => Below::Node(level - 1),
                (0, Some(Key::Extent(owner, position))) => Below::Data(owner, position),
                (0, Some(Key::Snap(_))) => Below::Node(value.get(56).copied().unwrap_or(0).min(8)),
                _ => continue,
            };
            // The value lies in the block itself: where its slice begins says at which byte.
            let at = value.as_ptr() as usize - copy.as_ptr() as usize;
            if let Some(ptr) = block.get_mut(at..at + PTR_BYTES) {
                self.seal_below(uuid, ptr, below, seen);
            }
        }
    }
}

/// What a pointer leads to.
#[derive(Clone, Copy)]
enum Below {
    Node(u8),
    Table(u8, u64),
    Data(u64, u64),
}

fn seed(uuid: &[u8; 16], ptr: [u8; PTR_BYTES], whose: (u64, u64), lba: u64) -> Seed {
    Seed {
        uuid: *uuid,
        lba,
        birth: u64::from_le_bytes(ptr[8..16].try_into().unwrap_or([0; 8])),
        mount: u32::from_le_bytes(ptr[32..36].try_into().unwrap_or([0; 4])),
        owner: whose.0,
        position: whose.1,
    }
}

impl Blocks for Sparse {
    type Error = &'static str;

    fn blocks(&self) -> u64 {
        BLOCKS
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), &'static str> {
        self.command()?;
        for (at, part) in (lba..).zip(buf.chunks_mut(BLOCK)) {
            assert!(at < BLOCKS, "a read outside the disk");
            match self.blocks.get(&at) {
                Some(block) => part.copy_from_slice(block),
                None => part.fill(0),
            }
        }
        Ok(())
    }

    fn write(&mut self, lba: u64, block: &[u8]) -> Result<(), &'static str> {
        self.command()?;
        assert!(lba < BLOCKS, "a write outside the disk");
        self.blocks.insert(lba, block.to_vec());
        Ok(())
    }

    fn flush(&mut self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl volume_check::Disk for Sparse {
    fn blocks(&self) -> u64 {
        BLOCKS
    }

    fn read(&mut self, lba: u64, block: &mut [u8]) -> bool {
        lba < BLOCKS && Blocks::read(self, lba, block).is_ok()
    }
}

type Fault = Error<&'static str>;

/// Reads everything that names lead to, some levels deep.
fn read_all(volume: &mut Volume<Sparse>) -> Result<(), Fault> {
    let mut left = vec![(ROOT_DIR, 0)];
    let (mut names, mut bytes) = (0, vec![0; 3 * BLOCK]);
    let view = volume.live();
    while let Some((dir, depth)) = left.pop() {
        let mut after = Vec::new();
        while let Some((name, named)) = volume.next_name(&view, dir, &after)? {
            assert!(name > after, "names go on");
            names += 1;
            if names > 200 {
                return Ok(());
            }
            let inode = volume.stat(&view, named.id)?;
            match inode.kind {
                Kind::Dir if depth < 4 => left.push((named.id, depth + 1)),
                Kind::Dir => {}
                _ => {
                    volume.read(&view, named.id, 0, &mut bytes)?;
                    volume.read(&view, named.id, inode.size.saturating_sub(5), &mut bytes)?;
                }
            }
            after = name;
        }
    }
    Ok(())
}

/// Uses it as a person would.
fn change(volume: &mut Volume<Sparse>) -> Result<(), Fault> {
    let now = Stamp::NONE;
    volume.reap(now)?;
    let id = match volume.create(ROOT_DIR, b"new", Kind::File, now) {
        Ok(id) => id,
        Err(Error::Exists) => volume.lookup(&volume.live(), ROOT_DIR, b"new")?.id,
        Err(error) => return Err(error),
    };
    volume.write(id, 3000, &[7; 6000], now)?;
    volume.commit(Durability::Sync, now)?;
    volume.truncate(id, 100, now)?;
    if let Some((name, _)) = volume.next_name(&volume.live(), ROOT_DIR, &[])? {
        match volume.remove(ROOT_DIR, &name, now) {
            Ok(()) | Err(Error::NotEmpty) => {}
            Err(error) => return Err(error),
        }
    }
    let snapshot = volume.create_snapshot(now)?;
    volume.commit(Durability::Checkpoint, now)?;
    volume.delete_snapshot(snapshot, now)?;
    volume.commit(Durability::Checkpoint, now)
}

/// Whether it mounts; what it holds and what is done to it may be refused and must end.
fn run(mut disk: Sparse) -> bool {
    let report = volume_check::check(&mut disk);
    disk.commands.set(0);
    let Ok(mounted) = Volume::mount(disk.clone(), Access::Read) else {
        return false;
    };
    assert!(mounted.reads <= 200, "{} reads", mounted.reads);
    let mut volume = mounted.volume;
    let read = read_all(&mut volume);
    if report.problems.is_empty() && disk.commands.get() < COMMANDS / 2 {
        assert!(
            !matches!(read, Err(Error::Corrupt(_))),
            "the checker found nothing, and the reader {read:?}"
        );
    }
    if let Ok(mounted) = Volume::mount(disk, Access::Write) {
        let mut volume = mounted.volume;
        let _ = change(&mut volume);
    }
    true
}

/// A volume as it is.
pub fn volume(data: &[u8]) -> bool {
    run(Sparse::unpack(data))
}

/// A volume whose sums are made anew.
pub fn sealed(data: &[u8]) -> bool {
    let mut disk = Sparse::unpack(data);
    disk.seal();
    run(disk)
}

/// Volumes of version 1, the same each time.
///
/// # Panics
/// Where none can be made.
#[must_use]
pub fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let new = NewVolume {
        uuid: *b"a volume to fuzz",
        name: [0; 64],
        max_file: 1 << 40,
        now: Stamp::NONE,
    };
    let now = Stamp::NONE;
    let mut volume = format(Sparse::default(), &new).expect("a volume");
    let empty = volume.disk_mut().pack();
    let fill = |volume: &mut Volume<Sparse>| -> Result<(), Fault> {
        let dir = volume.create(ROOT_DIR, b"dir", Kind::Dir, now)?;
        let file = volume.create(dir, b"file", Kind::File, now)?;
        volume.write(file, 0, b"in a file", now)?;
        volume.commit(Durability::Checkpoint, now)?;
        volume.create_snapshot(now)?;
        volume.write(file, 9000, b"later", now)?;
        volume.put_object([3; 32], b"an object", now)?;
        volume.bind(7, b"name", [3; 32], Expect::Nothing, now)?;
        volume.commit(Durability::Sync, now)
    };
    fill(&mut volume).expect("a volume with something in it");
    let filled = volume.disk_mut().pack();
    let _: &Label = volume.label();
    let _: Option<&Root> = volume.root();
    vec![
        ("volume", "empty-v1", empty.clone()),
        ("volume", "filled-v1", filled.clone()),
        ("volume-sealed", "empty-v1", empty),
        ("volume-sealed", "filled-v1", filled),
    ]
}

#[cfg(test)]
mod tests {
    use super::{Sparse, sealed, seeds, volume};

    #[test]
    fn seeds_come_back_and_are_sealed_as_they_were() {
        for (_, name, seed) in seeds() {
            let mut disk = Sparse::unpack(&seed);
            assert_eq!(disk.pack(), seed, "{name}");
            let before = disk.blocks.clone();
            disk.seal();
            assert!(disk.blocks == before, "{name}");
        }
    }

    #[test]
    fn a_changed_name_is_found_by_its_sum_and_read_behind_it() {
        for (target, name, mut seed) in seeds() {
            let Some(at) = seed.windows(4).position(|bytes| bytes == b"file") else {
                continue;
            };
            seed[at] = b'F';
            assert!(volume(&seed) || target == "volume" || name.is_empty());
            assert!(sealed(&seed));
        }
    }

    /// Images of a released version stay readable: what lies in the corpus is what this code makes, until it makes another
    /// version, and then it is the older one's.
    #[test]
    fn version_1_is_what_it_was() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus");
        for (target, name, seed) in seeds() {
            let kept = std::fs::read(folder.join(target).join(name)).unwrap();
            assert!(kept == seed, "{target}/{name}");
            assert!(volume(&kept));
            let report = volume_check::check(&mut Sparse::unpack(&kept));
            assert_eq!(report.problems, []);
        }
    }
}
