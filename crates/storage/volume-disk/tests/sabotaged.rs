//! What each sabotage of the disk under a volume breaks. One test, because the choice is the whole program's.

#![cfg(sabotage)]

use std::collections::BTreeMap;

use sabotage::{Point, choose, points};
use volume_core::Blocks;
use volume_disk::{Device, VolumeDisk};
use volume_format::BLOCK;

/// A driver that ends once, between the writes and the flush.
#[derive(Default)]
struct Dying {
    durable: BTreeMap<u64, u8>,
    volatile: BTreeMap<u64, u8>,
    epoch: u64,
}

impl Device for Dying {
    type Error = ();

    fn blocks(&self) -> u64 {
        64
    }

    fn read(&mut self, _: u64, buf: &mut [u8]) -> Result<(), ()> {
        buf.fill(0);
        Ok(())
    }

    fn write(&mut self, lba: u64, bytes: &[u8]) -> Result<(), ()> {
        for (at, block) in (lba..).zip(bytes.chunks(BLOCK)) {
            self.volatile.insert(at, block[0]);
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ()> {
        if self.epoch == 0 {
            self.epoch = 1;
            self.volatile.clear();
        }
        self.durable.append(&mut self.volatile);
        Ok(())
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }
}

fn keeps(point: Point) -> bool {
    choose(point);
    let mut disk = VolumeDisk::new(Dying::default()).expect("memory");
    disk.write(9, &[3; BLOCK]).expect("it is held");
    disk.flush().expect("the driver ends once");
    disk.device().durable.get(&9) == Some(&3)
}

#[test]
fn each_point_loses_something() {
    assert!(
        keeps(points::VOLUME_SKIP_VERIFY),
        "a point that is elsewhere"
    );
    assert!(!keeps(points::STORE_SKIP_REPLAY));
    assert!(!keeps(points::STORE_SKIP_FLUSH));
}
