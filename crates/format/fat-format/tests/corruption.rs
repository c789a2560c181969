//! Thousands of damaged volumes, the same ones on every run: nothing panics, reads outside the device, repeats itself
//! or goes on for ever.

mod common;

use common::{DIR, FILE, Forge, Memory, long_slots, short_slot};
use fat_format::{DirWalk, FileCursor, Node, Step, Volume};

/// A xorshift generator, so that a failure can be repeated from its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// A small volume with files, long names, nested and long directories.
fn base(width: u32) -> Vec<u8> {
    let mut forge = Forge::new(width, if width == 16 { 4200 } else { 200 });
    let chain: Vec<u32> = (20..40).chain(60..70).collect();
    forge.chain(&chain);
    forge.stamp(&chain);
    forge.chain(&[5, 7, 6]);
    forge.chain(&[8]);
    for slot in 0..48 {
        let raw: [u8; 11] = format!("F{slot:02}        ").as_bytes().try_into().unwrap();
        let cluster = [5, 7, 6][slot / 16];
        let bytes = short_slot(&raw, FILE, 20 + slot as u32 % 20, 5000);
        forge.cluster(cluster)[slot % 16 * 32..][..32].copy_from_slice(&bytes);
    }
    forge.cluster(8)[..32].copy_from_slice(&short_slot(b".          ", DIR, 8, 0));
    forge.cluster(8)[32..64].copy_from_slice(&short_slot(b"..         ", DIR, 0, 0));
    forge.cluster(8)[64..96].copy_from_slice(&short_slot(b"SUB        ", DIR, 5, 0));
    let raw = b"LONGNA~1TXT";
    let mut at = 0;
    for slot in long_slots("Ein langer Näme 😀.txt", raw)
        .into_iter()
        .chain([short_slot(raw, FILE, 20, 15_000)])
    {
        forge.root_slot(at, &slot);
        at += 1;
    }
    forge.root_entry(at, b"DIR        ", DIR, 8, 0);
    forge.root_entry(at + 1, b"EMPTY      ", FILE, 0, 0);
    forge.root_entry(at + 2, b"VOLUME     ", 8, 0, 0);
    forge.bytes
}

/// Walks everything that can be reached, at most 60 directories and files each, and reads it in every way.
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn explore(memory: &mut Memory) {
    let Ok(volume) = Volume::mount(memory) else {
        return;
    };
    let mut dirs = vec![volume.root()];
    let mut files: Vec<Node> = Vec::new();
    let mut at = 0;
    while at < dirs.len().min(60) {
        let dir = dirs[at];
        at += 1;
        let mut walk = DirWalk::new::<()>(&volume, &dir).unwrap();
        let (mut cursor, mut pages) = (Some(0), 0);
        while let Some(from) = cursor {
            pages += 1;
            let mut seen = 0;
            let outcome = volume.list(memory, &mut walk, from, |entry| {
                assert!(
                    !entry.name.as_str().is_empty()
                        && !entry.name.as_str().contains(['/', '\0', '\x1b'])
                );
                if entry.node.is_directory() {
                    dirs.push(entry.node)
                } else {
                    files.push(entry.node)
                }
                seen += 1;
                if seen == 9 {
                    Step::StopAfter
                } else {
                    Step::Continue
                }
            });
            cursor = outcome.unwrap_or(None);
            assert!(cursor.is_none_or(|next| next > from));
            assert!(pages < 2000, "a directory that does not end");
        }
        let _ = volume.lookup(memory, &dir, "no such name");
    }
    let _ = volume.resolve(memory, &volume.root(), "dir/sub/f20");
    let device_bytes = memory.bytes.len() as u64;
    let mut buf = [0; 700];
    for node in files.iter().take(60) {
        assert_eq!(volume.node_at(memory, node.position).as_ref(), Ok(node));
        let mut file = FileCursor::new::<()>(node).unwrap();
        let mut total = 0;
        while let Ok(Some(run)) = file.next_run(&volume, memory, 4096) {
            assert!(run.len > 0 && run.end() <= device_bytes);
            total += run.len;
            assert!(total <= u64::from(node.size));
        }
        let mut file = FileCursor::new::<()>(node).unwrap();
        if let Ok(readable) = file.survey(&volume, memory) {
            assert!(
                readable <= device_bytes + volume.missing_bytes(),
                "more bytes than the volume has"
            );
        }
        for offset in [
            0,
            5000,
            u64::from(node.size) / 2,
            u64::from(node.size.saturating_sub(1)),
            700,
        ] {
            let _ = file.read_at(&volume, memory, offset, &mut buf);
        }
    }
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    // Everything but file data lies in the first clusters.
    let system = bytes.len().min(90 * 512 + 16 * 512);
    for _ in 0..=random.below(12) {
        let at = random.below(system - 8);
        match random.below(7) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            // A cluster number, in the FAT or in an entry.
            2 => bytes[at & !1..][..2].copy_from_slice(&(random.below(220) as u16).to_le_bytes()),
            3 => bytes[at & !3..][..4].copy_from_slice(&(random.next() as u32).to_le_bytes()),
            // A field of the boot sector.
            4 => {
                let field = 11 + random.below(53);
                bytes[field] = [0, 1, 2, 0x7f, 0x80, 0xff][random.below(6)];
            }
            // A stretch of one value.
            5 => {
                let len = random.below(600).min(bytes.len() - at);
                bytes[at..at + len].fill([0, 0xff, 0xe5, 0x0f, 0x41][random.below(5)]);
            }
            _ if random.below(4) == 0 => {
                let len = random.below(bytes.len());
                bytes.truncate(len.max(system));
            }
            _ => {
                let from = random.below(system - 64);
                bytes.copy_within(from..from + 32, at & !31);
            }
        }
    }
}

fn run(width: u32, rounds: u64) {
    let good = base(width);
    let mut memory = Memory::new(good.clone());
    explore(&mut memory);
    assert!(memory.reads > 100, "the good volume is not explored");
    for seed in 1..=rounds {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(width));
        let mut bytes = good.clone();
        damage(&mut bytes, &mut random);
        let mut memory = Memory::new(bytes);
        memory.budget = 400_000;
        let outcome =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| explore(&mut memory)));
        assert!(outcome.is_ok(), "FAT{width}, seed {seed}");
    }
}

#[test]
fn damaged_fat12() {
    run(12, 2000);
}

#[test]
fn damaged_fat16() {
    run(16, 2000);
}

#[test]
fn damaged_fat32() {
    run(32, 2000);
}

#[test]
fn every_truncation() {
    for width in [12, 32] {
        let good = base(width);
        for len in (0..good.len()).step_by(97) {
            let mut memory = Memory::new(good[..len].to_vec());
            memory.budget = 400_000;
            explore(&mut memory);
        }
    }
}

#[test]
fn noise_is_refused_or_survived() {
    let mut random = Random(7);
    for _ in 0..3000 {
        let mut bytes: Vec<u8> = (0..8192)
            .flat_map(|_| random.next().to_le_bytes())
            .collect();
        // Half-way plausible, so that it gets past the first checks.
        bytes[..64].copy_from_slice(&base_boot());
        bytes[11 + random.below(50)] = random.next() as u8;
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        let mut memory = Memory::new(bytes);
        memory.budget = 1_000_000;
        explore(&mut memory);
    }
}

fn base_boot() -> [u8; 64] {
    Forge::new(32, 100).bytes[..64].try_into().unwrap()
}
