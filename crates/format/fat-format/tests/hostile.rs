//! Volumes whose head is wrong in one chosen way, or that end too early.

mod common;

use common::{FILE, Memory, forge, read_file};
use fat_format::{BootFault, Condition, Error, FatKind, ReadError, Volume};

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
        Some(Error::Read(ReadError::BeyondDevice {
            offset: cut as u64,
            device_bytes: cut as u64
        }))
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
        Err(Error::Read(ReadError::BeyondDevice { .. }))
    ));
}

#[test]
fn how_a_volume_was_left_is_known() {
    let condition = |kind, changes: &[(usize, u8)]| {
        let mut image = forge(kind).bytes;
        for (at, byte) in changes {
            image[*at] = *byte;
        }
        Volume::mount(&mut Memory::new(image)).unwrap().condition()
    };
    let good = forge(32).bytes;
    let fat = usize::from(u16::from_le_bytes([good[14], good[15]])) * 512;
    let entry = |last: u8| {
        [
            (fat + 4, 0xff),
            (fat + 5, 0xff),
            (fat + 6, 0xff),
            (fat + 7, last),
        ]
    };
    assert_eq!(condition(32, &entry(0x0f)), Condition::Clean);
    assert_eq!(condition(32, &entry(0x07)), Condition::Dirty);
    assert_eq!(condition(32, &entry(0x0b)), Condition::Failed);
    // An entry that is no chain's end says nothing.
    assert_eq!(
        condition(32, &[(fat + 4, 0), (fat + 7, 0)]),
        Condition::Clean
    );
    assert_eq!(condition(32, &[(65, 1)]), Condition::Dirty);
    assert_eq!(condition(32, &[(65, 3)]), Condition::Failed);
}
