//! Disks as strangers bring them: copied to a smaller one, made for another block size, used for something else before.

mod disk;

use disk::{Disk, GptPlan, extended, fat_boot_sector, faults, ranges, reseal};
use partition::{Besides, EntryFault, Error, GptFault, Scheme};

#[test]
fn a_gpt_on_a_device_that_ends_early_loses_only_what_is_not_there() {
    let mut disk = Disk::new(512, 1000);
    GptPlan::new(&[(100, 199, "a"), (400, 599, "b"), (700, 799, "c")]).write(&mut disk);
    disk.bytes.truncate(512 * 500);
    let layout = disk.find().unwrap();
    assert_eq!(ranges(&layout), [(1, 100, 100), (2, 400, 100)]);
    let missing: Vec<_> = layout.volumes.iter().map(|v| v.missing).collect();
    assert_eq!(missing, [0, 100]);
    let fault = EntryFault::BeyondDevice {
        first: 700,
        device_blocks: 500,
    };
    assert_eq!(faults(&layout), [(3, fault)]);
    disk.bytes.truncate(512);
    assert!(matches!(
        disk.find(),
        Err(Error::Gpt {
            primary: GptFault::Missing,
            backup: GptFault::Missing
        })
    ));
}

#[test]
fn an_mbr_partition_that_the_device_is_too_small_for_is_cut() {
    let mut disk = Disk::new(512, 1000);
    disk.entry(0, 0, 0x0c, 100, 950);
    let layout = disk.find().unwrap();
    assert_eq!(ranges(&layout), [(1, 100, 900)]);
    assert_eq!(layout.volumes[0].missing, 50);
    // An extended one with its logical partitions as well.
    let mut disk = extended();
    disk.entry(0, 1, 0x05, 100, 2000);
    disk.entry(100, 0, 0x0c, 10, 100);
    disk.entry(100, 1, 0x05, 500, 200);
    disk.entry(600, 0, 0x0c, 100, 1000);
    disk.entry(600, 1, 0x05, 1500, 10);
    let layout = disk.find().unwrap();
    assert_eq!(ranges(&layout), [(1, 10, 50), (5, 110, 100), (6, 700, 300)]);
    assert_eq!(layout.volumes[2].missing, 700);
    let fault = EntryFault::BeyondDevice {
        first: 1600,
        device_blocks: 1000,
    };
    assert_eq!(faults(&layout), [(7, fault)]);
}

#[test]
fn a_table_beside_a_stale_boot_sector_is_used_and_the_rest_is_named() {
    let mut disk = Disk::new(512, 1000);
    fat_boot_sector(&mut disk, 0);
    disk.entry(0, 0, 0x0c, 100, 200);
    let layout = disk.find().unwrap();
    assert_eq!(layout.scheme, Scheme::Mbr);
    assert_eq!(ranges(&layout), [(1, 100, 200)]);
    assert_eq!(layout.besides, Some(Besides::Fat));
    // The entry that mkfs.fat makes for Windows begins in block 0; one that begins behind the device is boot code.
    for (first, blocks) in [(0, 1000), (1000, 10), (100, 0)] {
        let mut disk = Disk::new(512, 1000);
        fat_boot_sector(&mut disk, 0);
        disk.entry(0, 0, 0x0c, first, blocks);
        assert_eq!(disk.find().unwrap().scheme, Scheme::Bare, "{first}");
    }
    let mut disk = Disk::new(512, 1000);
    fat_boot_sector(&mut disk, 0);
    disk.entry(0, 0, 0x0c, 100, 200);
    disk.entry(0, 2, 0x83, 150, 200);
    assert_eq!(disk.find().unwrap().scheme, Scheme::Bare, "they overlap");
    let mut disk = Disk::new(512, 1000);
    disk.put(0, 3, b"NTFS    ");
    disk.entry(0, 0, 0x0c, 100, 200);
    let layout = disk.find().unwrap();
    assert_eq!(layout.besides, Some(Besides::Other("an NTFS volume")));
}

#[test]
fn a_boot_sector_needs_no_jump() {
    for jump in [[0, 0, 0], [0xeb, 0x3c, 0], [0x55, 0xaa, 0x33]] {
        let mut disk = Disk::new(512, 1000);
        fat_boot_sector(&mut disk, 0);
        disk.put(0, 0, &jump);
        assert_eq!(disk.find().unwrap().scheme, Scheme::Bare);
        // But its numbers must come out.
        disk.put(0, 36, &600u32.to_le_bytes());
        assert_ne!(disk.find().unwrap().scheme, Scheme::Bare);
    }
}

#[test]
fn a_boot_sector_that_says_fat_needs_no_signature() {
    let mut disk = Disk::new(512, 1000);
    fat_boot_sector(&mut disk, 0);
    disk.put(0, 510, &[0, 0]);
    assert!(matches!(disk.find(), Err(Error::NoTable)));
    for (at, text) in [(54, b"FAT12   "), (82, b"FAT32   ")] {
        let mut disk = Disk::new(512, 1000);
        fat_boot_sector(&mut disk, 0);
        disk.put(0, at, text);
        disk.put(0, 510, &[0, 0]);
        // Without the signature there is no table either, whatever stands in its place.
        disk.entry(0, 0, 0x0c, 100, 200);
        disk.put(0, 510, &[0, 0]);
        assert_eq!(disk.find().unwrap().scheme, Scheme::Bare);
    }
}

#[test]
fn a_protective_entry_may_claim_any_number_of_blocks() {
    for blocks in [0, 17, 999, 5000, u32::MAX] {
        let mut disk = Disk::new(512, 1000);
        GptPlan::new(&[(100, 199, "a")]).write(&mut disk);
        disk.entry(0, 0, 0xee, 1, blocks);
        assert_eq!(ranges(&disk.find().unwrap()), [(1, 100, 100)], "{blocks}");
    }
}

#[test]
fn a_gpt_without_its_protective_entry_is_called_one() {
    let mut disk = Disk::new(512, 1000);
    GptPlan::new(&[(100, 199, "a")]).write(&mut disk);
    disk.put(0, 0, &[0; 512]);
    let error = disk.find().unwrap_err().to_string();
    assert!(
        error.contains("protective entry in block 0 is gone"),
        "{error}"
    );
    // One that is left under a newer table is named and not used.
    disk.entry(0, 0, 0x0c, 300, 200);
    let layout = disk.find().unwrap();
    assert_eq!(ranges(&layout), [(1, 300, 200)]);
    assert!(matches!(layout.besides, Some(Besides::Other(name)) if name.contains("a GPT")));
    let mut disk = Disk::new(512, 1000);
    GptPlan::new(&[(100, 199, "a")]).write(&mut disk);
    assert_eq!(disk.find().unwrap().besides, None, "it is the table itself");
}

#[test]
fn tables_for_another_block_size_are_found() {
    for (made_for, read_with) in [(4096, 512), (512, 4096), (2048, 512), (512, 1024)] {
        let mut disk = Disk::new(made_for, 8000);
        GptPlan::new(&[(800, 1599, "a")]).write(&mut disk);
        disk.block_bytes = read_with;
        for damage in [false, true] {
            if damage {
                disk.bytes[made_for + 50] ^= 1;
            }
            let layout = disk.find().unwrap();
            assert_eq!(layout.block_bytes as usize, made_for);
            assert_eq!(
                ranges(&layout),
                [(1, 800, 800)],
                "{made_for} on {read_with}"
            );
            let bytes = layout.bytes_of(&layout.volumes[0]);
            assert_eq!(bytes, (800 * made_for as u64, 800 * made_for as u64));
            assert_eq!(layout.scheme == Scheme::Gpt, !damage);
        }
        // In an MBR nothing says it but what stands at the places.
        let mut disk = Disk::new(made_for, 8000);
        disk.entry(0, 0, 0x0c, 800, 800);
        fat_boot_sector(&mut disk, 800);
        disk.block_bytes = read_with;
        let layout = disk.find().unwrap();
        if made_for != 2048 && read_with != 1024 {
            assert_eq!(layout.block_bytes as usize, made_for);
            assert_eq!(ranges(&layout), [(1, 800, 800)]);
        }
    }
}

#[test]
fn an_entry_array_may_lie_among_the_partitions_and_one_over_it_is_refused() {
    let mut disk = Disk::new(512, 2000);
    let plan = GptPlan::new(&[
        (100, 199, "in front"),
        (300, 399, "over"),
        (400, 499, "behind"),
    ]);
    plan.write(&mut disk);
    disk.put(350, 0, &plan.array());
    disk.put(1, 72, &350u64.to_le_bytes());
    reseal(&mut disk, 1);
    // What the usable range says does not matter either: partitions of small boards stand in front of it.
    disk.put(1, 40, &450u64.to_le_bytes());
    reseal(&mut disk, 1);
    let layout = disk.find().unwrap();
    assert_eq!(layout.scheme, Scheme::Gpt);
    assert_eq!(ranges(&layout), [(1, 100, 100), (3, 400, 100)]);
    assert_eq!(faults(&layout), [(2, EntryFault::CoversTable)]);
}

#[test]
fn an_iso_image_on_a_stick_is_called_one() {
    let mut disk = Disk::new(512, 1000);
    disk.put(64, 1, b"CD001");
    disk.entry(0, 0, 0x17, 0, 1000);
    let name = "an ISO 9660 image";
    assert_eq!(disk.find(), Err(Error::OtherFileSystem { name }));
    // With a system partition inside, that is a volume, and the image is named beside it.
    disk.entry(0, 1, 0xef, 136, 200);
    let layout = disk.find().unwrap();
    assert_eq!(ranges(&layout), [(2, 136, 200)]);
    assert_eq!(layout.besides, Some(Besides::Other(name)));
    // What lies inside a partition says nothing about the disk.
    disk.entry(0, 1, 0xef, 36, 200);
    assert_eq!(disk.find().unwrap().besides, None);
}

#[test]
fn boot_code_where_a_table_would_be_does_not_hide_what_stands_there() {
    let mut disk = Disk::new(512, 1000);
    disk.put(0, 3, b"-FVE-FS-");
    disk.put(0, 446, &[0x31; 64]);
    disk.sign(0);
    let name = "a BitLocker volume (encrypted)";
    assert_eq!(disk.find(), Err(Error::OtherFileSystem { name }));
    let mut disk = Disk::new(512, 1000);
    disk.put(0, 446, &[0x31; 64]);
    disk.sign(0);
    disk.put(2, 56, b"\x53\xef");
    let name = "an ext2, ext3 or ext4 file system";
    assert_eq!(disk.find(), Err(Error::OtherFileSystem { name }));
}

#[test]
fn an_unreadable_block_costs_only_what_needs_it() {
    let mut disk = extended();
    disk.entry(100, 0, 0x0c, 10, 100);
    disk.entry(100, 1, 0x05, 200, 200);
    disk.fails_at = Some(300);
    let layout = disk.find().unwrap();
    assert_eq!(ranges(&layout), [(1, 10, 50), (5, 110, 100)]);
    let lba = 300;
    assert_eq!(faults(&layout), [(6, EntryFault::ChainUnreadable { lba })]);
    disk.fails_at = Some(0);
    let error = "medium error";
    assert_eq!(disk.find(), Err(Error::Read { lba: 0, error }));
    // A GPT has all that block 0 could say, and a second copy of the rest.
    for bad in [0, 1, 2, 20] {
        let mut disk = Disk::new(512, 1000);
        GptPlan::new(&[(100, 199, "a")]).write(&mut disk);
        disk.fails_at = Some(bad);
        assert_eq!(ranges(&disk.find().unwrap()), [(1, 100, 100)], "{bad}");
    }
}
