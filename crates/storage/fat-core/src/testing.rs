//! A disk in memory, and volumes on it.
extern crate std;
use std::{
    io::{Cursor, Write},
    vec::Vec,
};

use crate::{Cache, Disk, Mounted, Volume, survey};

pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    pub(crate) window_bytes: u32,
    pub(crate) fetches: usize,
    /// Fetches that touch this block or a later one fail with error 7.
    pub(crate) fail_from: Option<u64>,
    /// Fetches that touch one of these blocks fail with error 7.
    pub(crate) bad: Vec<u64>,
    block_bytes: u32,
    window: Vec<u8>,
}

impl Image {
    pub(crate) fn new(bytes: Vec<u8>, block_bytes: u32) -> Self {
        Self {
            bytes,
            window_bytes: 128 * 1024,
            fetches: 0,
            fail_from: None,
            bad: Vec::new(),
            block_bytes,
            window: Vec::new(),
        }
    }

    pub(crate) fn pattern(bytes: usize, block_bytes: u32, window_bytes: u32) -> Self {
        Self {
            window_bytes,
            ..Self::new(noise(bytes), block_bytes)
        }
    }
}

impl Disk for Image {
    type Error = u8;
    type Target = Vec<u8>;

    fn block_bytes(&self) -> u32 {
        self.block_bytes
    }
    fn blocks(&self) -> u64 {
        self.bytes.len() as u64 / u64::from(self.block_bytes)
    }
    fn window_bytes(&self) -> u32 {
        self.window_bytes
    }
    fn is_local(error: &u8) -> bool {
        *error == 7
    }
    fn fetch(&mut self, block: u64, blocks: u32) -> Result<(), u8> {
        self.fetches += 1;
        self.window.clear();
        let end = block + u64::from(blocks);
        if self.fail_from.is_some_and(|bad| end > bad)
            || self.bad.iter().any(|bad| (block..end).contains(bad))
        {
            return Err(7);
        }
        let (begin, length) = (
            block * u64::from(self.block_bytes),
            blocks * self.block_bytes,
        );
        assert!(length > 0 && length <= self.window_bytes);
        self.window
            .extend_from_slice(&self.bytes[begin as usize..][..length as usize]);
        Ok(())
    }
    fn copy_out(&self, window_offset: usize, to: &mut [u8]) {
        to.copy_from_slice(&self.window[window_offset..][..to.len()]);
    }
    fn copy_to(
        &self,
        window_offset: usize,
        target: &mut Vec<u8>,
        target_offset: usize,
        bytes: usize,
    ) {
        target[target_offset..][..bytes].copy_from_slice(&self.window[window_offset..][..bytes]);
    }
    fn zero_to(&self, target: &mut Vec<u8>, target_offset: usize, bytes: usize) {
        target[target_offset..][..bytes].fill(0);
    }
}

impl Cache<Image> {
    pub(crate) fn disk_mut(&mut self) -> &mut Image {
        self.disk_for_test()
    }
}

/// The volume that stands for the disk.
pub(crate) fn mounted(cache: &mut Cache<Image>) -> Mounted {
    let survey = survey(cache).unwrap_or_else(|e| panic!("{e}"));
    let place = survey
        .main
        .and_then(|main| survey.places.into_iter().nth(main));
    place
        .and_then(|place| place.content.ok())
        .expect("a volume")
}

impl Mounted {
    /// The volume, which is a FAT one.
    pub(crate) fn fat(&self) -> &fat_format::Volume {
        match &self.volume {
            Volume::Fat(volume) => volume,
            Volume::Ext(_) | Volume::Exfat(_) => panic!("no FAT volume"),
        }
    }
}

/// Bytes without a pattern that a wrong offset could hide in.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

/// A FAT volume of 4 MiB with these files in its root, made by somebody else's code.
pub(crate) fn fat_image(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut image = std::vec![0; 4 << 20];
    {
        let mut cursor = Cursor::new(&mut image[..]);
        fatfs::format_volume(&mut cursor, fatfs::FormatVolumeOptions::new()).unwrap();
        let volume = fatfs::FileSystem::new(&mut cursor, fatfs::FsOptions::new()).unwrap();
        for (name, data) in files {
            if let Some((folder, _)) = name.split_once('/') {
                volume.root_dir().create_dir(folder).unwrap();
            }
            volume
                .root_dir()
                .create_file(name)
                .unwrap()
                .write_all(data)
                .unwrap();
        }
    }
    image
}
