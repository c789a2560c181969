//! A device that dies at chosen commands and loses what was not flushed, against a model.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use volume_core::Blocks;
use volume_disk::{ATTEMPTS, Device, Error, HELD_BLOCKS, VolumeDisk};
use volume_format::BLOCK;

const BLOCKS: u64 = 2048;

/// Like a driver behind a session: a command after a death is answered by the successor, and the epoch is another one.
#[derive(Default)]
struct Mortal {
    durable: BTreeMap<u64, u8>,
    volatile: BTreeMap<u64, u8>,
    epoch: u64,
    commands: u64,
    /// Dies before each command whose number is among these.
    deaths: Vec<u64>,
    always: bool,
    bad: Option<u64>,
}

impl Mortal {
    fn command(&mut self) {
        self.commands += 1;
        if self.always || self.deaths.contains(&self.commands) {
            self.volatile.clear();
            self.epoch += 1;
        }
    }

    fn at(&self, lba: u64) -> u8 {
        let seen = self.volatile.get(&lba).or_else(|| self.durable.get(&lba));
        seen.copied().unwrap_or(0)
    }
}

impl Device for Mortal {
    type Error = &'static str;

    fn blocks(&self) -> u64 {
        BLOCKS
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), &'static str> {
        self.command();
        for (at, block) in (lba..).zip(buf.chunks_mut(BLOCK)) {
            assert!(at < BLOCKS);
            if self.bad == Some(at) {
                return Err("bad");
            }
            block.fill(self.at(at));
        }
        Ok(())
    }

    fn write(&mut self, lba: u64, bytes: &[u8]) -> Result<(), &'static str> {
        self.command();
        for (at, block) in (lba..).zip(bytes.chunks_exact(BLOCK)) {
            assert!(at < BLOCKS);
            self.volatile.insert(at, block[0]);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), &'static str> {
        self.command();
        let volatile = std::mem::take(&mut self.volatile);
        self.durable.extend(volatile);
        Ok(())
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}

fn disk(device: Mortal) -> VolumeDisk<Mortal> {
    VolumeDisk::new(device).unwrap()
}

fn read(disk: &mut VolumeDisk<Mortal>, lba: u64) -> u8 {
    let mut block = [0; BLOCK];
    disk.read(lba, &mut block).unwrap();
    assert!(block.iter().all(|byte| *byte == block[0]));
    block[0]
}

#[derive(Clone, Debug)]
enum Op {
    Write(u64, u8),
    Read(u64),
    Ring(u64),
    Flush,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..40_u64, 1..=255_u8).prop_map(|(lba, byte)| Op::Write(lba, byte)),
        3 => (0..40_u64).prop_map(Op::Read),
        1 => (0..40_u64).prop_map(Op::Ring),
        1 => Just(Op::Flush),
    ]
}

proptest! {
    #[test]
    fn what_was_flushed_is_durable_whenever_the_driver_dies(
        ops in proptest::collection::vec(op(), 1..120),
        deaths in proptest::collection::vec(1..150_u64, 0..6),
    ) {
        let mut disk = disk(Mortal { deaths, ..Mortal::default() });
        let mut model = [0_u8; BLOCKS as usize];
        for op in ops {
            match op {
                Op::Write(lba, byte) => {
                    disk.write(lba, &[byte; BLOCK]).unwrap();
                    model[lba as usize] = byte;
                }
                Op::Read(lba) => prop_assert_eq!(read(&mut disk, lba), model[lba as usize]),
                Op::Ring(lba) => {
                    let mut ring = vec![0; 8 * BLOCK];
                    disk.read(lba, &mut ring).unwrap();
                    for (at, block) in (lba as usize..).zip(ring.chunks(BLOCK)) {
                        prop_assert_eq!(block[0], model[at]);
                    }
                }
                Op::Flush => {
                    disk.flush().unwrap();
                    for lba in 0..48 {
                        let durable = disk.device().durable.get(&lba).copied().unwrap_or(0);
                        prop_assert_eq!(durable, model[lba as usize]);
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_held_is_bounded_and_goes_in_long_runs() {
    let mut disk = disk(Mortal::default());
    for lba in 0..HELD_BLOCKS as u64 + 1 {
        disk.write(lba, &[7; BLOCK]).unwrap();
    }
    assert_eq!(disk.device().durable.len(), HELD_BLOCKS);
    assert_eq!(disk.device().commands, 512 / 32 + 1);
}

#[test]
fn a_device_that_never_stays_is_given_up() {
    let mut disk = disk(Mortal {
        always: true,
        ..Mortal::default()
    });
    disk.write(3, &[1; BLOCK]).unwrap();
    assert_eq!(disk.flush(), Err(Error::Unsteady));
    assert_eq!(disk.replays(), u64::from(ATTEMPTS) - 1);
}

#[test]
fn a_bad_block_behind_the_one_that_is_read_does_no_harm() {
    let mut disk = disk(Mortal {
        bad: Some(5),
        ..Mortal::default()
    });
    assert_eq!(read(&mut disk, 4), 0);
    let mut block = [0; BLOCK];
    assert_eq!(disk.read(5, &mut block), Err(Error::Device("bad")));
    assert_eq!(read(&mut disk, BLOCKS - 1), 0);
}

#[test]
fn what_was_read_is_asked_for_again_when_forgotten() {
    let mut disk = disk(Mortal::default());
    read(&mut disk, 9);
    let commands = disk.device().commands;
    read(&mut disk, 9);
    read(&mut disk, 10);
    assert_eq!(disk.device().commands, commands);
    disk.forget();
    read(&mut disk, 9);
    assert_eq!(disk.device().commands, commands + 1);
}
