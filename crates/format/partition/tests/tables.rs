//! Tables made by hand, good and bad, on devices of 512 and 4096 byte blocks.

mod disk;

use disk::{Disk, GptPlan, extended, fat_boot_sector, faults, ranges, reseal};
use partition::{BlockRead, EntryFault, Error, GptFault, Scheme, VolumeKind};
use proptest::prelude::*;

#[test]
fn bare_fat_is_the_whole_device() {
    let mut disk = Disk::new(512, 1000);
    fat_boot_sector(&mut disk, 0);
    let layout = disk.find().unwrap();
    assert_eq!(layout.scheme, Scheme::Bare);
    assert_eq!(ranges(&layout), [(0, 0, 1000)]);
}

#[test]
fn bare_fat_with_text_where_the_table_would_be() {
    let mut disk = Disk::new(512, 1000);
    fat_boot_sector(&mut disk, 0);
    disk.put(
        0,
        446,
        b"Remove disks or other media. Press any key to restart.",
    );
    assert_eq!(disk.find().unwrap().scheme, Scheme::Bare);
}

#[test]
fn other_file_systems_are_named() {
    let mut disk = Disk::new(512, 100);
    disk.put(0, 3, b"EXFAT   ");
    disk.sign(0);
    assert_eq!(
        disk.find(),
        Err(Error::OtherFileSystem {
            name: "an exFAT volume"
        })
    );
    assert!(disk.find().unwrap_err().to_string().contains("exFAT"));
}

#[test]
fn an_empty_device_has_no_table() {
    assert_eq!(Disk::new(512, 100).find(), Err(Error::NoTable));
    assert_eq!(Disk::new(512, 0).find(), Err(Error::Empty));
    assert_eq!(
        Disk::new(256, 10).find(),
        Err(Error::BlockSize { block_bytes: 256 })
    );
    assert_eq!(
        Disk::new(8192, 10).find(),
        Err(Error::BlockSize { block_bytes: 8192 })
    );
}

#[test]
fn a_signed_block_without_entries_is_an_empty_table() {
    let mut disk = Disk::new(512, 100);
    disk.sign(0);
    let layout = disk.find().unwrap();
    assert_eq!((layout.scheme, layout.volumes.len()), (Scheme::Mbr, 0));
}

#[test]
fn boot_code_is_not_a_table() {
    let mut disk = Disk::new(512, 100);
    disk.put(0, 446 + 16, b"x");
    disk.sign(0);
    assert_eq!(
        disk.find(),
        Err(Error::NotMbr {
            number: 2,
            status: b'x'
        })
    );
}

#[test]
fn primaries_are_listed_and_bad_ones_named() {
    let mut disk = Disk::new(512, 1000);
    disk.entry(0, 0, 0x0c, 100, 200);
    disk.entry(0, 1, 0x83, 250, 100);
    disk.entry(0, 2, 0x0c, 1000, 101);
    disk.entry(0, 3, 0x0c, 400, 0);
    let layout = disk.find().unwrap();
    assert_eq!(ranges(&layout), [(1, 100, 200)]);
    assert!(layout.volumes[0].kind.suggests_fat());
    assert_eq!(
        faults(&layout),
        [
            (2, EntryFault::Overlaps { other: 1 }),
            (
                3,
                EntryFault::BeyondDevice {
                    first: 1000,
                    device_blocks: 1000
                }
            ),
            (4, EntryFault::ZeroLength)
        ]
    );
    assert_eq!(
        layout.refused[1].to_string(),
        "partition 3 at block 1000 is refused: it begins at block 1000, the device has 1000"
    );
}

#[test]
fn a_partition_may_end_with_the_device() {
    let mut disk = Disk::new(4096, 100);
    disk.entry(0, 0, 0x0c, 1, 99);
    assert_eq!(ranges(&disk.find().unwrap()), [(1, 1, 99)]);
}

#[test]
fn logical_partitions_count_from_five() {
    let mut disk = extended();
    disk.entry(100, 0, 0x0c, 10, 100);
    disk.entry(100, 1, 0x05, 200, 200);
    disk.entry(300, 0, 0, 0, 0);
    disk.entry(300, 1, 0x05, 400, 200);
    disk.entry(500, 0, 0x0b, 1, 499);
    let layout = disk.find().unwrap();
    assert_eq!(ranges(&layout), [(1, 10, 50), (5, 110, 100), (6, 501, 499)]);
    assert!(layout.refused.is_empty());
}

#[test]
fn a_looping_chain_ends_and_is_named() {
    let mut disk = extended();
    disk.entry(100, 0, 0x0c, 10, 100);
    disk.entry(100, 1, 0x05, 200, 200);
    disk.entry(300, 0, 0x0c, 10, 100);
    disk.entry(300, 1, 0x05, 0, 200);
    let layout = disk.find().unwrap();
    assert_eq!(ranges(&layout).len(), 3);
    assert_eq!(faults(&layout), [(7, EntryFault::ChainLoop { lba: 100 })]);
}

#[test]
fn a_long_chain_is_cut_and_said() {
    let mut disk = extended();
    for step in 0..130 {
        disk.entry(100 + step, 1, 0x05, step as u32 + 1, 1);
    }
    assert_eq!(
        faults(&disk.find().unwrap()),
        [(5, EntryFault::ChainTooLong)]
    );
}

#[test]
fn bad_chain_blocks_and_ranges_are_named() {
    let mut disk = extended();
    assert_eq!(
        faults(&disk.find().unwrap()),
        [(5, EntryFault::ChainBlock { lba: 100 })]
    );
    disk.entry(100, 0, 0x0c, 10, 900);
    disk.entry(100, 1, 0x05, 900, 10);
    let layout = disk.find().unwrap();
    assert_eq!(
        faults(&layout),
        [
            (5, EntryFault::OutsideParent),
            (6, EntryFault::OutsideParent)
        ]
    );
    let mut disk = extended();
    disk.entry(0, 2, 0x0c, 500, 10);
    assert_eq!(
        faults(&disk.find().unwrap()),
        [(2, EntryFault::Overlaps { other: 3 })]
    );
}

#[test]
fn every_extended_partition_is_followed_and_links_stand_anywhere() {
    let mut disk = Disk::new(512, 1000);
    disk.entry(0, 1, 0x05, 100, 200);
    disk.entry(0, 2, 0x0f, 500, 100);
    // The link first, then two partitions of one sector.
    disk.entry(100, 0, 0x05, 100, 50);
    disk.entry(100, 1, 0x83, 1, 10);
    disk.entry(100, 3, 0x0c, 20, 10);
    disk.entry(200, 0, 0x0c, 1, 20);
    disk.entry(500, 0, 0x0c, 10, 20);
    let layout = disk.find().unwrap();
    let logical = [(5, 101, 10), (6, 120, 10), (7, 201, 20), (8, 510, 20)];
    assert_eq!(ranges(&layout), logical);
    assert_eq!(faults(&layout), []);
    // A chain that leads into another one ends there.
    disk.entry(0, 2, 0x0f, 150, 300);
    disk.entry(0, 1, 0x05, 100, 50);
    disk.entry(100, 0, 0x05, 50, 50);
    assert_eq!(
        faults(&disk.find().unwrap()),
        [
            (7, EntryFault::OutsideParent),
            (8, EntryFault::ChainBlock { lba: 150 })
        ]
    );
}

#[test]
fn gpt_partitions_with_names() {
    for block_bytes in [512, 1024, 4096] {
        let mut disk = Disk::new(block_bytes, 1000);
        GptPlan::new(&[(100, 199, "EFI"), (200, 200, "Größe 😀\u{1b}")]).write(&mut disk);
        let layout = disk.find().unwrap();
        assert_eq!(layout.scheme, Scheme::Gpt);
        assert_eq!(ranges(&layout), [(1, 100, 100), (2, 200, 1)]);
        assert_eq!(layout.volumes[0].label.as_str(), "EFI");
        assert_eq!(layout.volumes[1].label.as_str(), "Größe 😀\u{fffd}");
        let VolumeKind::Gpt { type_guid, .. } = layout.volumes[0].kind else {
            panic!("not GPT")
        };
        assert_eq!(
            type_guid.to_string(),
            "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7"
        );
    }
}

#[test]
fn gpt_entries_of_other_sizes() {
    for entry_bytes in [256, 1024, 4096] {
        let mut disk = Disk::new(512, 2000);
        let plan = GptPlan {
            entry_bytes,
            count: 8,
            parts: vec![(100, 199, "a"), (300, 301, "b")],
        };
        plan.write(&mut disk);
        assert_eq!(
            ranges(&disk.find().unwrap()),
            [(1, 100, 100), (2, 300, 2)],
            "{entry_bytes}"
        );
    }
}

#[test]
fn gpt_falls_back_to_the_backup_and_says_why() {
    let mut disk = Disk::new(512, 1000);
    GptPlan::new(&[(100, 199, "a")]).write(&mut disk);
    disk.put(1, 60, &[1]);
    let layout = disk.find().unwrap();
    let Scheme::GptBackup {
        primary: GptFault::HeaderCrc { stored, computed },
    } = layout.scheme
    else {
        panic!("{:?}", layout.scheme)
    };
    assert_ne!(stored, computed);
    assert_eq!(ranges(&layout), [(1, 100, 100)]);
    // An entry array that was tampered with is not used either.
    let mut disk = Disk::new(512, 1000);
    GptPlan::new(&[(100, 199, "a")]).write(&mut disk);
    disk.put(2, 40, &[1]);
    let layout = disk.find().unwrap();
    assert!(matches!(
        layout.scheme,
        Scheme::GptBackup {
            primary: GptFault::EntryCrc { .. }
        }
    ));
    // And a block that cannot be read.
    disk.fails_at = Some(1);
    assert_eq!(ranges(&disk.find().unwrap()), [(1, 100, 100)]);
}

#[test]
fn a_gpt_with_both_copies_bad_is_refused_with_both_reasons() {
    let mut disk = Disk::new(512, 1000);
    GptPlan::new(&[(100, 199, "a")]).write(&mut disk);
    disk.put(1, 0, b"x");
    disk.put(999, 20, b"x");
    let error = disk.find().unwrap_err();
    assert!(matches!(
        error,
        Error::Gpt {
            primary: GptFault::Signature,
            backup: GptFault::HeaderCrc { .. }
        }
    ));
    assert!(
        error
            .to_string()
            .contains("primary: header signature missing; backup: header CRC mismatch")
    );
}

#[test]
fn every_gpt_header_rule_bites() {
    /// Field offset, value, width in bytes, and the fault that it must give.
    type Case = (usize, u64, usize, fn(GptFault) -> bool);
    let cases: [Case; 9] = [
        (8, 0x0002_0000, 4, |f| {
            matches!(f, GptFault::Revision(0x0002_0000))
        }),
        (12, 91, 4, |f| matches!(f, GptFault::HeaderSize(91))),
        (12, 513, 4, |f| matches!(f, GptFault::HeaderSize(513))),
        (24, 7, 8, |f| matches!(f, GptFault::OwnLba(7))),
        (48, 33, 8, |f| {
            matches!(f, GptFault::UsableRange { last: 33, .. })
        }),
        (80, 0, 4, |f| {
            matches!(f, GptFault::EntryShape { count: 0, .. })
        }),
        (84, 192, 4, |f| {
            matches!(f, GptFault::EntryShape { bytes: 192, .. })
        }),
        (72, u64::MAX, 8, |f| {
            matches!(f, GptFault::EntryArray { .. })
        }),
        (72, 1, 8, |f| matches!(f, GptFault::EntryArray { lba: 1 })),
    ];
    for (at, value, width, expected) in cases {
        let mut disk = Disk::new(512, 1000);
        GptPlan::new(&[(100, 199, "a")]).write(&mut disk);
        disk.put(1, at, &value.to_le_bytes()[..width]);
        reseal(&mut disk, 1);
        let layout = disk.find().unwrap();
        let Scheme::GptBackup { primary } = layout.scheme else {
            panic!("field {at} was accepted")
        };
        assert!(expected(primary), "field {at}: {primary:?}");
    }
}

#[test]
fn gpt_entries_that_do_not_add_up_are_named() {
    let mut disk = Disk::new(512, 1000);
    GptPlan::new(&[
        (100, 199, "a"),
        (150, 160, "b"),
        (300, 299, "c"),
        (900, 999, "d"),
        (5, 6, "e"),
    ])
    .write(&mut disk);
    let layout = disk.find().unwrap();
    assert_eq!(ranges(&layout), [(1, 100, 100)]);
    assert_eq!(
        faults(&layout),
        [
            (2, EntryFault::Overlaps { other: 1 }),
            (3, EntryFault::ZeroLength),
            (4, EntryFault::CoversTable),
            (5, EntryFault::CoversTable)
        ]
    );
}

#[test]
fn more_partitions_than_fit_are_counted() {
    let mut disk = Disk::new(512, 2000);
    let parts: Vec<_> = (0..520).map(|n| (700 + n, 700 + n, "p")).collect();
    let plan = GptPlan {
        count: 1024,
        ..GptPlan::new(&parts)
    };
    plan.write(&mut disk);
    let layout = disk.find().unwrap();
    assert_eq!((layout.volumes.len(), layout.omitted), (512, 8));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Whatever stands in the tables, what comes out lies inside the device, does not overlap, and came in few reads.
    #[test]
    fn hostile_tables_never_yield_a_bad_range(
        base in 0..3u8,
        edits in prop::collection::vec((0usize..1024 * 34, any::<u64>(), 1usize..9, any::<bool>()), 1..12),
        blocks in 1usize..1100,
    ) {
        let mut disk = extended();
        match base {
            0 => {
                disk.entry(100, 0, 0x0c, 10, 100);
                disk.entry(100, 1, 0x05, 200, 200);
                disk.entry(300, 0, 0x0b, 1, 499);
            }
            1 => GptPlan::new(&[(100, 199, "a"), (200, 300, "b")]).write(&mut disk),
            _ => disk.sign(0),
        }
        for (at, value, width, table) in edits {
            // Half of the edits go right into the partition sector's table.
            let at = if table { 446 + at % 64 } else { at };
            disk.bytes[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        if base == 1 {
            reseal(&mut disk, 1);
        }
        disk.sign(0);
        disk.bytes.resize(blocks * 512, 0);
        let device_blocks = disk.blocks();
        if let Ok(layout) = disk.find() {
            for (index, volume) in layout.volumes.iter().enumerate() {
                prop_assert!(volume.blocks > 0 && volume.end() <= device_blocks);
                for other in &layout.volumes[..index] {
                    prop_assert!(volume.end() <= other.first_lba || other.end() <= volume.first_lba);
                }
            }
        }
        prop_assert!(disk.reads < 5000);
    }
}
