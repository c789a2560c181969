//! Volumes that are wrong in one chosen way.

mod common;

use common::{DIR, END, FILE, Forge, Memory, list, long_slots, read_file, read_runs, short_slot};
use fat_format::{BootFault, ChainFault, DirWalk, Error, FatKind, FileCursor, Volume};

const WIDTHS: [u32; 3] = [12, 16, 32];

/// Clusters enough for the type to be what `width` says.
fn forge(width: u32) -> Forge {
    Forge::new(width, if width == 16 { 5000 } else { 1000 })
}

fn names(found: &[(String, fat_format::Node)]) -> Vec<&str> {
    found.iter().map(|(name, _)| name.as_str()).collect()
}

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
fn a_looping_directory_lists_each_entry_once() {
    let mut forge = forge(32);
    forge.chain(&[5, 6, 7]);
    forge.set(7, 6);
    for (index, cluster) in [5, 6, 7].into_iter().enumerate() {
        for slot in 0..16 {
            let name = format!("F{index}{slot:02}       ");
            let slot_bytes = short_slot(name.as_bytes()[..11].try_into().unwrap(), FILE, 0, 0);
            forge.cluster(cluster)[slot * 32..][..32].copy_from_slice(&slot_bytes);
        }
    }
    forge.root_entry(0, b"D          ", DIR, 5, 0);
    let (mut memory, volume) = forge.mount();
    let dir = volume.resolve(&mut memory, &volume.root(), "D").unwrap();
    for page in [1, 7, 100] {
        let (found, error) = list(&mut memory, &volume, &dir, page);
        assert_eq!(found.len(), 48);
        assert_eq!(
            error,
            Some(Error::Chain {
                fault: ChainFault::Loop { cluster: 6 },
                readable_bytes: 3 * 512
            })
        );
    }
    assert_eq!(
        volume
            .lookup(&mut memory, &dir, "f215")
            .unwrap()
            .name
            .as_str(),
        "F215"
    );
    assert!(matches!(
        volume.lookup(&mut memory, &dir, "none"),
        Err(Error::Chain { .. })
    ));
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

#[test]
fn directories_that_contain_themselves_end_with_the_path() {
    let mut forge = forge(32);
    forge.chain(&[5]);
    forge.cluster(5)[..32].copy_from_slice(&short_slot(b"SELF       ", DIR, 5, 0));
    forge.root_entry(0, b"SELF       ", DIR, 5, 0);
    let (mut memory, volume) = forge.mount();
    let root = volume.root();
    assert!(
        volume
            .resolve(&mut memory, &root, &"self/".repeat(256))
            .is_ok()
    );
    assert!(
        volume
            .resolve(&mut memory, &root, &"self/".repeat(5000))
            .is_ok()
    );
    assert!(
        volume
            .resolve(&mut memory, &root, &("self/".repeat(256) + ".."))
            .is_ok()
    );
    assert_eq!(
        volume.resolve(&mut memory, &root, &("self/".repeat(257) + "..")),
        Err(Error::PathTooDeep)
    );
    // ".." follows the path and not the volume, and stops where it began.
    let back = volume
        .resolve(&mut memory, &root, "self/self/../self/../..")
        .unwrap();
    assert!(back.is_root());
    let node = volume.resolve(&mut memory, &root, "self").unwrap();
    assert_eq!(volume.resolve(&mut memory, &node, "../../.."), Ok(node));
    assert_eq!(volume.resolve(&mut memory, &node, "self/.."), Ok(node));
}

#[test]
fn a_truncated_image_reads_as_far_as_it_goes() {
    let mut forge = forge(32);
    let chain: Vec<u32> = (500..600).collect();
    forge.chain(&chain);
    let data = forge.stamp(&chain);
    forge.root_entry(0, b"F          ", FILE, 500, data.len() as u32);
    let cut = forge.bytes.len() - 450 * 512 - 100;
    forge.bytes.truncate(cut);
    let (mut memory, volume) = forge.mount();
    assert_eq!(volume.missing_bytes(), 450 * 512 + 100);
    let node = volume.resolve(&mut memory, &volume.root(), "f").unwrap();
    let (read, error) = read_file(&mut memory, &volume, &node);
    assert_eq!(read, data[..read.len()]);
    assert_eq!(
        error,
        Some(Error::BeyondDevice {
            offset: cut as u64,
            device_bytes: cut as u64
        })
    );
    assert_eq!(read.len() % 512, 412);
    // Cut inside the FAT: refused.
    let bytes = memory.bytes[..40 * 512].to_vec();
    let data_at = (32 + 8) * 512;
    let error = Volume::mount(&mut Memory::new(bytes)).unwrap_err();
    assert_eq!(
        error,
        Error::BootSector(BootFault::DeviceEnds {
            data_at,
            device_bytes: 40 * 512
        })
    );
    assert!(matches!(
        Volume::mount(&mut Memory::new(vec![0; 100])),
        Err(Error::BeyondDevice { .. })
    ));
}

#[test]
fn long_names_are_checked() {
    let mut forge = forge(32);
    let raw = b"LONGNA~1TXT";
    let good = long_slots("A long näme 😀 with slots.txt", raw);
    assert_eq!(good.len(), 3);
    let short = short_slot(raw, FILE, 0, 0);
    let mut slots: Vec<[u8; 32]> = good.clone();
    slots.push(short);
    // Wrong checksum; slots out of order; a slot missing; one that no entry follows; another entry between.
    let mut bad_sum = long_slots("wrong sum", raw);
    bad_sum[0][13] ^= 1;
    slots.extend([bad_sum[0], short_slot(b"SUM        ", FILE, 0, 0)]);
    slots.extend([
        good[1],
        good[0],
        good[2],
        short_slot(b"ORDER      ", FILE, 0, 0),
    ]);
    slots.extend([good[0], good[2], short]);
    let lone = long_slots("deleted", b"DEL        ");
    slots.extend([
        lone[0],
        short_slot(b"\xe5EL        ", FILE, 0, 0),
        short_slot(b"DEL        ", FILE, 0, 0),
    ]);
    forge.chain(&[2, 900]);
    for (at, slot) in slots.iter().enumerate() {
        let cluster = if at < 16 { 2 } else { 900 };
        forge.cluster(cluster)[at % 16 * 32..][..32].copy_from_slice(slot);
    }
    let (mut memory, volume) = forge.mount();
    let root = volume.root();
    let expected = [
        "A long näme 😀 with slots.txt",
        "SUM",
        "ORDER",
        "LONGNA~1.TXT",
        "DEL",
    ];
    for page in [1, 2, 100] {
        let (found, error) = list(&mut memory, &volume, &root, page);
        assert_eq!((names(&found), error), (expected.to_vec(), None));
    }
    for name in ["a LONG NÄME 😀 WITH slots.TXT", "longna~1.txt"] {
        let entry = volume.lookup(&mut memory, &root, name).unwrap();
        assert_eq!(entry.name.as_str(), expected[0]);
        assert_eq!(
            volume.node_at(&mut memory, entry.node.position),
            Ok(entry.node)
        );
    }
}

#[test]
fn names_cannot_leave_their_directory() {
    let mut forge = forge(16);
    let mut at = 0;
    for name in [
        "../etc",
        "..",
        "a/b",
        "nul\0x",
        "\u{1b}[2J",
        &"😀".repeat(127),
        &"x".repeat(255),
    ] {
        let raw: [u8; 11] = format!("N{at:<10}").as_bytes().try_into().unwrap();
        for slot in long_slots(name, &raw)
            .into_iter()
            .chain([short_slot(&raw, FILE, 0, 0)])
        {
            forge.root_slot(at, &slot);
            at += 1;
        }
    }
    let (mut memory, volume) = forge.mount();
    let root = volume.root();
    let (found, _) = list(&mut memory, &volume, &root, 100);
    let (smile, long) = ("😀".repeat(127), "x".repeat(255));
    assert_eq!(
        names(&found),
        [
            "..\u{fffd}etc",
            "N2",
            "a\u{fffd}b",
            "nul",
            "\u{fffd}[2J",
            smile.as_str(),
            long.as_str()
        ]
    );
    for (name, node) in &found {
        assert_eq!(volume.lookup(&mut memory, &root, name).unwrap().node, *node);
    }
    for name in ["", ".", "..", "a/b", "a\0", &"y".repeat(781)] {
        assert!(matches!(
            volume.lookup(&mut memory, &root, name),
            Err(Error::InvalidName)
        ));
    }
    assert_eq!(
        volume.resolve(&mut memory, &root, "nul/"),
        Err(Error::NotADirectory)
    );
    assert_eq!(
        volume.resolve(&mut memory, &root, "nul/x"),
        Err(Error::NotADirectory)
    );
    assert_eq!(
        volume.resolve(&mut memory, &root, "zzz"),
        Err(Error::NotFound)
    );
}

#[test]
fn positions_that_name_no_entry_are_refused() {
    for width in WIDTHS {
        let mut forge = forge(width);
        forge.root_entry(0, b"A          ", FILE, 0, 0);
        forge.root_entry(1, b"\xe5          ", FILE, 0, 0);
        forge.root_entry(2, b"LABEL      ", 8, 0, 0);
        let (mut memory, volume) = forge.mount();
        let a = volume.resolve(&mut memory, &volume.root(), "A").unwrap();
        assert_eq!(volume.node_at(&mut memory, a.position), Ok(a));
        assert_eq!(volume.label(), "LABEL");
        for position in [
            1,
            32,
            a.position + 1,
            a.position + 32,
            a.position + 64,
            a.position + 96,
            1 << 40,
            u64::MAX,
        ] {
            assert_eq!(
                volume.node_at(&mut memory, position),
                Err(Error::BadPosition),
                "{position}"
            );
        }
    }
}

#[test]
fn files_and_directories_are_not_confused() {
    let mut forge = forge(12);
    forge.root_entry(0, b"F          ", FILE, 0, 0);
    forge.root_entry(1, b"D          ", DIR, 9, 0);
    forge.set(9, END);
    let (mut memory, volume) = forge.mount();
    let file = volume.resolve(&mut memory, &volume.root(), "f").unwrap();
    let dir = volume.resolve(&mut memory, &volume.root(), "d").unwrap();
    assert!(matches!(
        FileCursor::new::<()>(&dir),
        Err(Error::IsADirectory)
    ));
    assert!(matches!(
        DirWalk::new::<()>(&volume, &file),
        Err(Error::NotADirectory)
    ));
}

#[test]
fn an_endless_directory_is_refused() {
    let mut forge = Forge::new(32, 140_000);
    let chain: Vec<u32> = (3..135_003).collect();
    forge.chain(&chain);
    let deleted = [0xe5; 512];
    for cluster in 3..135_003 {
        forge.cluster(cluster).copy_from_slice(&deleted);
    }
    forge.root_entry(0, b"D          ", DIR, 3, 0);
    let (mut memory, volume) = forge.mount();
    let dir = volume.resolve(&mut memory, &volume.root(), "D").unwrap();
    assert_eq!(
        list(&mut memory, &volume, &dir, 10),
        (vec![], Some(Error::DirectoryTooLong))
    );
}

#[test]
fn every_boot_sector_rule_bites() {
    type Case = (usize, &'static [u8], BootFault);
    let cases: [Case; 11] = [
        (11, &[0, 1], BootFault::SectorBytes(256)),
        (11, &[0, 3], BootFault::SectorBytes(768)),
        (13, &[3], BootFault::SectorsPerCluster(3)),
        (13, &[0], BootFault::SectorsPerCluster(0)),
        (14, &[0, 0], BootFault::ReservedSectors),
        (16, &[0], BootFault::FatCount),
        (17, &[1, 0], BootFault::RootEntries(1)),
        (32, &[0, 0, 0, 0], BootFault::TotalSectors),
        (36, &[0, 0, 0, 0], BootFault::FatSize),
        (42, &[1, 0], BootFault::Version(1)),
        (44, &[1, 0, 0, 0], BootFault::RootCluster(1)),
    ];
    let good = forge(32).bytes;
    for (at, bytes, fault) in cases {
        let mut image = good.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(
            Volume::mount(&mut Memory::new(image)).unwrap_err(),
            Error::BootSector(fault)
        );
    }
    let mount = |at: usize, bytes: &[u8]| {
        let mut image = good.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        Volume::mount(&mut Memory::new(image))
    };
    let fault = |outcome: Result<Volume, common::Fault>| outcome.unwrap_err();
    assert!(matches!(
        fault(mount(44, &1002u32.to_le_bytes())),
        Error::BootSector(BootFault::RootCluster(1002))
    ));
    assert!(matches!(
        fault(mount(40, &[0x81, 0])),
        Error::BootSector(BootFault::ActiveFat(1))
    ));
    assert!(matches!(
        fault(mount(32, &20u32.to_le_bytes())),
        Error::BootSector(BootFault::NoData { .. })
    ));
    assert!(matches!(
        fault(mount(36, &u32::MAX.to_le_bytes())),
        Error::BootSector(BootFault::NoData { .. })
    ));
    assert!(matches!(fault(mount(3, b"EXFAT   ")), Error::NotFat { .. }));
    assert!(matches!(fault(mount(510, &[0])), Error::NotFat { .. }));
    // A FAT that is too small for the clusters only hides the rest of them.
    assert_eq!(mount(36, &1u32.to_le_bytes()).unwrap().clusters(), 126);
    let volume = mount(488, &[]).unwrap();
    assert_eq!(
        (volume.kind(), volume.clusters(), volume.free_bytes_hint()),
        (FatKind::Fat32, 1000, Some(999 * 512))
    );
}
