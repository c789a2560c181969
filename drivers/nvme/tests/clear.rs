//! Zeros, discards and durable writes, against a controller model.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod model;

use driver_core::{Opcode, Refusal, Transfer};
use model::{Harness, to_device};

fn bare(opcode: Opcode, unit: u16, block: u64, length: u32) -> Transfer<'static> {
    Transfer {
        opcode,
        unit,
        block,
        length,
        data: None,
    }
}

#[test]
fn what_is_cleared_is_what_was_named_and_nothing_else() {
    // The smallest lists have no room for a range but for what the broker adds.
    for mdts in [0, 1, 5] {
        let mut it = Harness::new();
        it.device.mdts = mdts;
        it.bring_up(8);
        let mut expected = it.device.disk.clone();
        for slot in 0..8 {
            let (at, opcode, value) = match slot % 2 {
                0 => (slot, Opcode::Zero, 0),
                _ => (slot, Opcode::Discard, 0xdd),
            };
            let block = 16 * u64::from(at);
            it.transfer(slot, &bare(opcode, 1, block, 3 * 512)).unwrap();
            expected[16 * usize::from(at) * 512..][..3 * 512].fill(value);
        }
        // All are in flight at once: each slot has a range of its own.
        let done = it.finish(1).unwrap();
        assert_eq!(done.len(), 8, "mdts {mdts}");
        assert!(done.iter().all(|one| one.status == 0));
        assert_eq!(it.device.disk, expected, "mdts {mdts}");
    }
}

#[test]
fn what_is_no_range_of_the_namespace_is_refused() {
    let mut it = Harness::up(8);
    let before = it.device.disk.clone();
    let blocks = before.len() as u64 / 512;
    for opcode in [Opcode::Zero, Opcode::Discard] {
        for (unit, block, length) in [
            (0, 0, 512),
            // It has metadata.
            (2, 0, 512),
            (9, 0, 512),
            (1, blocks, 512),
            (1, blocks - 1, 1024),
            (1, u64::MAX, 512),
            (1, 0, 0),
            (1, 0, 511),
            (1, 0, 513),
            (1, 0, u32::MAX),
        ] {
            let tried = it.transfer(0, &bare(opcode, unit, block, length));
            let what = format!("{opcode:?} {unit} {block} {length}");
            assert_eq!(tried, Err(Refusal::OutOfRange), "{what}");
        }
        it.transfer(0, &bare(opcode, 1, blocks - 1, 512)).unwrap();
        assert_eq!(
            it.transfer(0, &bare(opcode, 1, 0, 512)),
            Err(Refusal::Busy),
            "its range is being read"
        );
        it.finish(1).unwrap();
    }
    assert_eq!(it.device.disk[..512 * 8], before[..512 * 8]);
}

#[test]
fn a_durable_write_says_so() {
    let mut it = Harness::up(8);
    let buffer = it.buffer(1);
    it.fill_buffer(&buffer, 0x77);
    for (opcode, fua) in [(Opcode::Write, 0), (Opcode::WriteThrough, 0x40)] {
        let transfer = Transfer {
            length: 512,
            data: Some(to_device(&buffer, 0, 512)),
            ..bare(opcode, 1, 5, 0)
        };
        it.transfer(0, &transfer).unwrap();
        assert_eq!(it.finish(1).unwrap()[0].status, 0);
        let (_, command) = it.device.seen.last().unwrap();
        assert_eq!((command[0], command[51]), (0x01, fua), "{opcode:?}");
        assert!(
            it.device.disk[5 * 512..6 * 512]
                .iter()
                .all(|byte| *byte == 0x77)
        );
    }
}
