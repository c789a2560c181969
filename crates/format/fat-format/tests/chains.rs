//! Chains of clusters that are wrong in one chosen way.

mod common;

use common::{DIR, FILE, Forge, WIDTHS, forge, list, read_file, read_runs};
use fat_format::{ChainFault, Error, FileCursor, Volume};

#[test]
fn fragmented_files_come_in_few_runs() {
    for width in WIDTHS {
        let mut forge = forge(width);
        let chain: Vec<u32> = (100..200).chain([50]).chain(300..350).collect();
        forge.chain(&chain);
        let data = forge.stamp(&chain);
        forge.root_entry(0, b"FRAG    BIN", FILE, 100, data.len() as u32 - 100);
        let (mut memory, volume) = forge.mount();
        let node = volume
            .resolve(&mut memory, &volume.root(), "/frag.bin")
            .unwrap();
        let mut file = FileCursor::new::<&str>(&node).unwrap();
        let mut lens = Vec::new();
        while let Some(run) = file.next_run(&volume, &mut memory, 1 << 20).unwrap() {
            lens.push(run.len);
        }
        assert_eq!(lens, [100 * 512, 512, 50 * 512 - 100]);
        let size = data.len() - 100;
        for max in [1, 511, 512, 513, 4096] {
            file.seek(0);
            assert_eq!(
                read_runs(&mut memory, &volume, &mut file, max),
                (data[..size].to_vec(), None)
            );
        }
        // Backwards in odd pieces.
        let mut buf = [0; 777];
        for at in (0..size).rev().step_by(701) {
            let n = file
                .read_at(&volume, &mut memory, at as u64, &mut buf)
                .unwrap();
            assert_eq!(buf[..n], data[at..size.min(at + 777)]);
        }
        assert_eq!(
            file.read_at(&volume, &mut memory, size as u64, &mut buf),
            Ok(0)
        );
        assert_eq!(
            file.read_at(&volume, &mut memory, u64::MAX, &mut buf),
            Ok(0)
        );
    }
}

#[test]
fn sequential_reads_ask_for_each_part_of_the_fat_once() {
    let mut forge = Forge::new(32, 60_000);
    let chain: Vec<u32> = (10..50_010).collect();
    forge.chain(&chain);
    forge.root_entry(0, b"BIG        ", FILE, 10, 50_000 * 512);
    let (mut memory, volume) = forge.mount();
    let node = volume.resolve(&mut memory, &volume.root(), "BIG").unwrap();
    let mut file = FileCursor::new::<&str>(&node).unwrap();
    memory.reads = 0;
    let mut runs = 0;
    while let Some(run) = file.next_run(&volume, &mut memory, 128 << 10).unwrap() {
        assert_eq!(run.len % 512, 0);
        runs += 1;
    }
    assert_eq!(runs, 50_000u64.div_ceil(256));
    assert!(memory.reads <= 50_000 / 64 + 2, "{} reads", memory.reads);
    // A seek back costs a thirty-second part of the chain at most.
    for at in [49_000u64, 20_000, 1, 33_333] {
        memory.reads = 0;
        file.seek(at * 512);
        let run = file.next_run(&volume, &mut memory, 512).unwrap().unwrap();
        assert_eq!(run.byte_offset, (at + 10 - 2) * 512 + node_base(&volume));
        assert!(memory.reads <= 2048 / 64 + 2, "{} reads", memory.reads);
    }
}

/// Where cluster 2 begins on a volume with one FAT and 32 reserved sectors.
fn node_base(volume: &Volume) -> u64 {
    volume.total_bytes() - u64::from(volume.clusters()) * 512
}

#[test]
fn a_loop_is_read_up_to_its_exact_beginning() {
    for width in WIDTHS {
        for (lead, length) in [(0, 1), (0, 3), (1, 1), (5, 7), (64, 3), (100, 300)] {
            let mut forge = forge(width);
            let chain: Vec<u32> = (10..10 + lead + length).collect();
            forge.chain(&chain);
            forge.set(*chain.last().unwrap(), 10 + lead);
            let data = forge.stamp(&chain);
            forge.root_entry(0, b"LOOP       ", FILE, 10, 1 << 20);
            forge.root_entry(1, b"DIR        ", DIR, 10, 0);
            let (mut memory, volume) = forge.mount();
            memory.budget = memory.reads + 3000;
            let node = volume.resolve(&mut memory, &volume.root(), "loop").unwrap();
            let mut file = FileCursor::new::<&str>(&node).unwrap();
            assert_eq!(file.survey(&volume, &mut memory), Ok(data.len() as u64));
            let (read, error) = read_runs(&mut memory, &volume, &mut file, 4096);
            assert_eq!(read, data, "{width} {lead} {length}");
            assert!(matches!(
                error,
                Some(Error::Chain { fault: ChainFault::Loop { .. }, readable_bytes }) if readable_bytes == data.len() as u64
            ));
            // Without the survey the loop is found as well.
            let (read, error) = read_file(&mut memory, &volume, &node);
            assert!(read.starts_with(&data) && read.len() <= data.len() * 3 + 1024);
            assert!(matches!(
                error,
                Some(Error::Chain {
                    fault: ChainFault::Loop { .. },
                    ..
                })
            ));
            // And as a directory; cluster 256 would begin with a zero, which ends a directory.
            if chain.len() < 200 {
                let dir = volume.resolve(&mut memory, &volume.root(), "dir").unwrap();
                let (_, error) = list(&mut memory, &volume, &dir, 10);
                assert!(matches!(
                    error,
                    Some(Error::Chain {
                        fault: ChainFault::Loop { .. },
                        ..
                    })
                ));
            }
        }
    }
}

#[test]
fn broken_links_are_named_and_what_precedes_them_is_read() {
    for width in WIDTHS {
        let mask = (1u32 << (width.min(28) - 1) << 1).wrapping_sub(1);
        let cases = [
            (0, ChainFault::Free { cluster: 12 }),
            (1, ChainFault::Reserved { cluster: 12 }),
            (0x0fff_fff7 & mask, ChainFault::Bad { cluster: 12 }),
            (0x0fff_fff3 & mask, ChainFault::Reserved { cluster: 12 }),
            (
                0xa00 & mask,
                ChainFault::Outside {
                    cluster: 12,
                    next: 0xa00,
                },
            ),
        ];
        for (value, fault) in cases {
            let mut forge = Forge::new(width, if width == 16 { 5000 } else { 1000 });
            if width == 16 && value == 0xa00 {
                continue;
            }
            forge.chain(&[10, 11, 12, 13]);
            forge.set(12, value);
            let data = forge.stamp(&[10, 11, 12]);
            forge.root_entry(0, b"F          ", FILE, 10, 2000);
            let (mut memory, volume) = forge.mount();
            let node = volume.resolve(&mut memory, &volume.root(), "f").unwrap();
            let error = Error::Chain {
                fault,
                readable_bytes: 1536,
            };
            assert_eq!(
                read_file(&mut memory, &volume, &node),
                (data.clone(), Some(error))
            );
            let mut buf = [0; 2000];
            let mut file = FileCursor::new::<&str>(&node).unwrap();
            assert_eq!(file.read_at(&volume, &mut memory, 0, &mut buf), Ok(1536));
            assert_eq!(
                file.read_at(&volume, &mut memory, 1536, &mut buf),
                Err(error)
            );
            assert!(error.to_string().contains("the first 1536 bytes are good"));
        }
    }
}

#[test]
fn short_chains_bad_starts_and_long_chains() {
    for width in WIDTHS {
        let mut forge = forge(width);
        forge.chain(&[10, 11]);
        let data = forge.stamp(&[10, 11]);
        forge.root_entry(0, b"SHORT      ", FILE, 10, 2000);
        forge.root_entry(1, b"NOSTART    ", FILE, 0, 2000);
        forge.root_entry(2, b"WILD       ", FILE, 65_000, 2000);
        forge.root_entry(3, b"LONG       ", FILE, 10, 600);
        forge.root_entry(4, b"EMPTY      ", FILE, 0, 0);
        forge.root_entry(5, b"EMPTYW     ", FILE, 77_777, 0);
        forge.root_entry(6, b"NODIR      ", DIR, 0, 0);
        let (mut memory, volume) = forge.mount();
        let mut read = |name| {
            let node = volume.resolve(&mut memory, &volume.root(), name).unwrap();
            read_file(&mut memory, &volume, &node)
        };
        let truncated = Error::Truncated {
            readable_bytes: 1024,
            size_bytes: 2000,
        };
        assert_eq!(read("SHORT"), (data.clone(), Some(truncated)));
        let start = |cluster| Error::Chain {
            fault: ChainFault::Start { cluster },
            readable_bytes: 0,
        };
        assert_eq!(read("NOSTART"), (vec![], Some(start(0))));
        assert_eq!(read("WILD"), (vec![], Some(start(65_000))));
        assert_eq!(read("LONG"), (data[..600].to_vec(), None));
        assert_eq!(read("EMPTY"), (vec![], None));
        assert_eq!(read("EMPTYW"), (vec![], None));
        let dir = volume
            .resolve(&mut memory, &volume.root(), "NODIR")
            .unwrap();
        assert_eq!(
            list(&mut memory, &volume, &dir, 10),
            (vec![], Some(start(0)))
        );
    }
}

#[test]
fn cross_linked_files_both_read() {
    let mut forge = forge(32);
    forge.chain(&[10, 11, 12]);
    forge.set(20, 11);
    let a = forge.stamp(&[10, 11, 12]);
    let b = [forge.stamp(&[20]), a[512..].to_vec()].concat();
    forge.root_entry(0, b"A          ", FILE, 10, 1536);
    forge.root_entry(1, b"B          ", FILE, 20, 1536);
    let (mut memory, volume) = forge.mount();
    for (name, data) in [("a", a), ("b", b)] {
        let node = volume.resolve(&mut memory, &volume.root(), name).unwrap();
        assert_eq!(read_file(&mut memory, &volume, &node), (data, None));
    }
}
