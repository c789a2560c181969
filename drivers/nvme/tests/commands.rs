//! Submissions, completions and refusals, against a controller model.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

mod model;

use driver_core::{Direction, Refusal};
use model::{Harness, from_device, pair, read, to_device, write};
use nvme_format::{Command, admin};

#[test]
fn reads_land_where_the_segments_say() {
    let mut it = Harness::up(16);
    // Byte offset in the buffer, blocks of 512, first block.
    for (offset, blocks, lba) in [
        (0, 1, 0),
        (512, 7, 3),
        (3584, 1, 9),
        (3584, 2, 1),
        (0, 8, 8),
        (4, 16, 0),
        (2048, 64, 100),
        (4092, 1024, 7),
    ] {
        let buffer = it.buffer(130);
        it.fill_buffer(&buffer, 0xee);
        let length = blocks * 512;
        it.submit(
            1,
            5,
            &read(lba, blocks),
            &[from_device(&buffer, offset, length)],
        )
        .unwrap();
        let done = it.finish(1).unwrap();
        assert_eq!((done.len(), done[0].slot, done[0].status), (1, 5, 0));
        let (offset, length, from) = (offset as usize, length as usize, lba as usize * 512);
        assert_eq!(
            it.read_buffer(&buffer, offset, length),
            it.device.disk[from..from + length]
        );
        let after = it.read_buffer(&buffer, offset + length, 4096);
        assert!(after.iter().all(|byte| *byte == 0xee), "not a byte more");
        it.io_rewind();
    }
}

#[test]
fn several_segments_make_one_transfer() {
    let mut it = Harness::up(16);
    let (a, b, c) = (it.buffer(3), it.buffer(2), it.buffer(1));
    let segments = [
        from_device(&a, 4096 + 512, 7680),
        from_device(&b, 0, 8192),
        from_device(&c, 0, 512),
    ];
    it.submit(1, 0, &read(0, 32), &segments).unwrap();
    assert_eq!(it.finish(1).unwrap().len(), 1);
    let mut all = it.read_buffer(&a, 4608, 7680);
    all.extend(it.read_buffer(&b, 0, 8192));
    all.extend(it.read_buffer(&c, 0, 512));
    assert_eq!(all, it.device.disk[..16384]);
}

#[test]
fn long_transfers_chain_their_lists() {
    let mut it = Harness::new();
    it.device.mdts = 0;
    it.device.block_shift = 12;
    it.bring_up(4);
    let bytes = 1023 << 12;
    for offset in [0, 4092] {
        let buffer = it.buffer(1024);
        let command = read(64, 1023);
        it.submit(1, 3, &command, &[from_device(&buffer, offset, bytes)])
            .unwrap();
        let neighbour = it.buffer(1024);
        it.submit(1, 2, &read(8, 1023), &[from_device(&neighbour, 0, bytes)])
            .unwrap();
        assert_eq!(it.finish(1).unwrap().len(), 2);
        let read_back = it.read_buffer(&buffer, offset as usize, bytes as usize);
        assert!(read_back == it.device.disk[64 << 12..1087 << 12]);
        let read_back = it.read_buffer(&neighbour, 0, bytes as usize);
        assert!(read_back == it.device.disk[8 << 12..1031 << 12]);
        it.io_rewind();
    }
    assert!(it.device.chains.get() >= 4);
    let buffer = it.buffer(1024);
    let longer = [from_device(&buffer, 0, 1024 << 12)];
    assert_eq!(
        it.submit(1, 0, &read(0, 1024), &longer),
        Err(Refusal::OutOfRange)
    );
}

#[test]
fn writes_reach_the_disk_and_read_back() {
    let mut it = Harness::up(16);
    let (out, back) = (it.buffer(4), it.buffer(4));
    it.fill_buffer(&out, 0xa5);
    it.submit(1, 0, &write(100, 20), &[to_device(&out, 1024, 10240)])
        .unwrap();
    it.submit(1, 1, &Command::flush(1).to_bytes(), &[]).unwrap();
    assert_eq!(it.finish(1).unwrap().len(), 2);
    it.submit(1, 2, &read(99, 22), &[from_device(&back, 0, 11264)])
        .unwrap();
    it.finish(1).unwrap();
    let bytes = it.read_buffer(&back, 0, 11264);
    assert!(bytes[512..10752].iter().all(|byte| *byte == 0xa5));
    assert_eq!(bytes[..512], it.device.disk[99 * 512..100 * 512]);
    assert_eq!(bytes[10752..], it.device.disk[120 * 512..121 * 512]);
}

#[test]
fn one_doorbell_for_a_batch() {
    let mut it = Harness::up(64);
    let buffer = it.buffer(64);
    let before = it.device.doorbells();
    for slot in 0..64 {
        it.submit(
            1,
            slot,
            &read(u64::from(slot), 8),
            &[from_device(&buffer, u32::from(slot) * 4096, 4096)],
        )
        .unwrap();
        assert_eq!(it.device.doorbells(), before);
    }
    assert_eq!(
        it.submit(1, 0, &read(0, 8), &[from_device(&buffer, 0, 4096)]),
        Err(Refusal::Busy)
    );
    assert_eq!(it.finish(1).unwrap().len(), 64);
    assert_eq!(it.device.doorbells()[2], 64);
    assert_eq!(it.device.doorbells()[3], 64);
}

#[test]
fn rings_wrap_and_identifiers_change() {
    let mut it = Harness::up(3);
    let buffer = it.buffer(1);
    let mut last = None;
    for round in 0..1000u64 {
        it.submit(1, 1, &read(round, 8), &[from_device(&buffer, 0, 4096)])
            .unwrap();
        if round % 3 == 0 {
            it.submit(1, 2, &Command::flush(1).to_bytes(), &[]).unwrap();
        }
        assert_eq!(
            it.finish(1).unwrap().len(),
            if round % 3 == 0 { 2 } else { 1 }
        );
        let from = round as usize * 512;
        assert_eq!(
            it.read_buffer(&buffer, 0, 512),
            it.device.disk[from..from + 512]
        );
        let cid = it
            .device
            .seen
            .iter()
            .rev()
            .find(|(_, c)| c[0] == 2)
            .map(|(_, c)| [c[2], c[3]]);
        assert_ne!(cid, last);
        assert_ne!(cid, Some([0xff, 0xff]));
        last = cid;
    }
}

#[test]
fn doorbells_follow_the_stride() {
    let mut it = Harness::new();
    it.set_stride(3);
    it.bring_up(8);
    let buffer = it.buffer(1);
    it.submit(1, 0, &read(1, 8), &[from_device(&buffer, 0, 4096)])
        .unwrap();
    assert_eq!(it.finish(1).unwrap().len(), 1);
}

#[test]
fn administration_commands_of_a_provider() {
    let mut it = Harness::up(8);
    let buffer = it.buffer(2);
    let log = Command {
        opcode: admin::GET_LOG_PAGE,
        cdw: [127 << 16 | 2, 0, 0, 0, 0, 0],
        ..Command::default()
    };
    it.submit(
        0,
        0,
        &Command::identify(1, 0, 0).to_bytes(),
        &[from_device(&buffer, 0, 4096)],
    )
    .unwrap();
    it.submit(0, 31, &log.to_bytes(), &[from_device(&buffer, 4096, 512)])
        .unwrap();
    let done = it.finish(0).unwrap();
    assert_eq!(
        done.iter().map(|c| (c.slot, c.status)).collect::<Vec<_>>(),
        [(0, 0), (31, 0)]
    );
    assert_eq!(it.read_buffer(&buffer, 24, 5), b"Model");
    assert_eq!(it.read_buffer(&buffer, 4096, 2), [0x5a; 2]);
    // The broker's own slot is not the provider's.
    let more = [from_device(&buffer, 0, 4096)];
    assert_eq!(
        it.submit(0, 32, &Command::identify(1, 0, 0).to_bytes(), &more),
        Err(Refusal::OutOfRange)
    );
}

/// Every refusal, and that the next good command finds everything as it was.
#[test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn refusals_leave_the_queue_as_it_was() {
    let mut it = Harness::up(8);
    let buffer = it.buffer(200);
    let page = [from_device(&buffer, 0, 4096)];
    let patched = |at: usize, value: u8| {
        let mut template = read(0, 8);
        template[at] = value;
        template
    };
    let before = it.rings();
    let mut refuse = |slot: u16, template: &[u8], segments: &[_], why: Refusal| {
        assert_eq!(
            it.submit(1, slot, template, segments),
            Err(why),
            "{template:02x?}"
        );
        it.ring(1);
        assert!(it.rings() == before);
    };
    for (at, what) in [
        (1, "fuse"),
        (2, "cid"),
        (3, "cid"),
        (8, "cdw2"),
        (16, "mptr"),
        (24, "prp1"),
        (32, "prp2"),
        (56, "cdw14"),
    ] {
        let _ = what;
        refuse(0, &patched(at, 1), &page, Refusal::TemplateRefused);
    }
    refuse(0, &patched(1, 0x40), &page, Refusal::TemplateRefused);
    refuse(0, &patched(0, 0x09), &page, Refusal::TemplateRefused);
    // Zeros have no data.
    refuse(0, &patched(0, 0x08), &page, Refusal::LengthMismatch);
    refuse(0, &read(0, 8)[..63], &page, Refusal::TemplateRefused);
    refuse(0, &[], &page, Refusal::TemplateRefused);
    refuse(8, &read(0, 8), &page, Refusal::OutOfRange);
    refuse(u16::MAX, &read(0, 8), &page, Refusal::OutOfRange);
    refuse(0, &patched(4, 2), &page, Refusal::OutOfRange);
    refuse(0, &patched(4, 7), &page, Refusal::OutOfRange);
    refuse(0, &read(u64::MAX, 8), &page, Refusal::OutOfRange);
    refuse(0, &read(16_384 - 7, 8), &page, Refusal::OutOfRange);
    // Lengths: too little, too much, none, some where there is none.
    refuse(0, &read(0, 9), &page, Refusal::LengthMismatch);
    refuse(0, &read(0, 7), &page, Refusal::LengthMismatch);
    refuse(0, &read(0, 8), &[], Refusal::LengthMismatch);
    refuse(
        0,
        &read(0, 8),
        &[from_device(&buffer, 0, 4096), from_device(&buffer, 4096, 4)],
        Refusal::LengthMismatch,
    );
    refuse(
        0,
        &read(0, 8),
        &[from_device(&buffer, 0, 0)],
        Refusal::ZeroLength,
    );
    refuse(
        0,
        &Command::flush(1).to_bytes(),
        &page,
        Refusal::LengthMismatch,
    );
    let huge = [
        from_device(&buffer, 0, 819_200),
        from_device(&buffer, 0, 819_200),
    ];
    refuse(0, &read(0, 8), &huge, Refusal::LengthMismatch);
    refuse(
        0,
        &read(0, 1025),
        &[from_device(&buffer, 0, 524_800)],
        Refusal::OutOfRange,
    );
    // Segments: outside, misaligned, with gaps, the wrong way.
    refuse(
        0,
        &read(0, 8),
        &[from_device(&buffer, 819_200, 4096)],
        Refusal::OutOfRange,
    );
    refuse(
        0,
        &read(0, 8),
        &[from_device(&buffer, u32::MAX, 4096)],
        Refusal::OutOfRange,
    );
    refuse(
        0,
        &read(0, 8),
        &[from_device(&[], 0, 4096)],
        Refusal::OutOfRange,
    );
    refuse(
        0,
        &read(0, 8),
        &[from_device(&buffer, 2, 4096)],
        Refusal::Misaligned,
    );
    refuse(
        0,
        &read(0, 8),
        &[
            from_device(&buffer, 0, 2048),
            from_device(&buffer, 2048, 2048),
        ],
        Refusal::Misaligned,
    );
    refuse(
        0,
        &read(0, 8),
        &[to_device(&buffer, 0, 4096)],
        Refusal::BadArgument,
    );
    refuse(0, &write(0, 8), &page, Refusal::BadArgument);
    let mut mixed = [
        from_device(&buffer, 0, 4096),
        from_device(&buffer, 4096, 4096),
    ];
    mixed[1].direction = Direction::ToDevice;
    refuse(0, &read(0, 16), &mixed, Refusal::BadArgument);
    // And a good one goes where the first refused one would have gone.
    it.submit(1, 0, &read(0, 8), &page).unwrap();
    assert_eq!(it.finish(1).unwrap().len(), 1);
    assert_eq!(it.device.doorbells()[2], 1);
    assert_eq!(
        it.submit(7, 0, &read(0, 8), &page),
        Err(Refusal::OutOfRange),
        "no such queue"
    );
}

#[test]
fn administration_refusals() {
    let mut it = Harness::up(8);
    let buffer = it.buffer(1);
    let before = it.rings();
    for opcode in (0..=255u8).filter(|o| ![2, 6, 9, 10].contains(o)) {
        let template = Command {
            opcode,
            ..Command::default()
        }
        .to_bytes();
        for segments in [&[][..], &[from_device(&buffer, 0, 4096)]] {
            assert_eq!(
                it.submit(0, 0, &template, segments),
                Err(Refusal::TemplateRefused)
            );
        }
    }
    let hmb = Command {
        opcode: admin::SET_FEATURES,
        cdw: [0x0d, 1, 0, 0, 0, 0],
        ..Command::default()
    };
    assert_eq!(
        it.submit(0, 0, &hmb.to_bytes(), &[]),
        Err(Refusal::TemplateRefused)
    );
    assert!(it.rings() == before);
}

#[test]
fn two_pairs_do_not_mix() {
    let mut it = Harness::up(8);
    it.open(pair(2, 8)).unwrap();
    let buffer = it.buffer(2);
    it.submit(1, 0, &read(0, 8), &[from_device(&buffer, 0, 4096)])
        .unwrap();
    it.submit(2, 0, &read(8, 8), &[from_device(&buffer, 4096, 4096)])
        .unwrap();
    assert_eq!(it.finish(2).unwrap().len(), 1);
    assert_eq!(it.take(1).unwrap().len(), 0, "not rung yet");
    assert_eq!(it.finish(1).unwrap().len(), 1);
    assert_eq!(it.read_buffer(&buffer, 0, 8192), it.device.disk[..8192]);
}

#[test]
fn a_slot_in_flight_keeps_its_list() {
    let mut it = Harness::up(8);
    let (first, second) = (it.buffer(64), it.buffer(64));
    it.submit(1, 0, &read(0, 512), &[from_device(&first, 0, 262_144)])
        .unwrap();
    let again = it.submit(1, 0, &read(0, 512), &[from_device(&second, 0, 262_144)]);
    assert_eq!(again, Err(Refusal::Busy));
    assert_eq!(it.finish(1).unwrap().len(), 1);
    assert!(it.read_buffer(&first, 0, 262_144) == it.device.disk[..262_144]);
    assert!(
        it.read_buffer(&second, 0, 262_144)
            .iter()
            .all(|byte| *byte == 0)
    );
}

#[test]
fn doorbells_are_written_only_when_there_is_news() {
    let mut it = Harness::up(8);
    let buffer = it.buffer(1);
    it.submit(1, 0, &read(0, 8), &[from_device(&buffer, 0, 4096)])
        .unwrap();
    assert_eq!(it.finish(1).unwrap().len(), 1);
    // Values that the broker never writes: they stay.
    it.set_register(0x1008, 7777);
    it.set_register(0x100c, 8888);
    assert_eq!(it.take(1).unwrap().len(), 0);
    it.ring(1);
    assert_eq!(it.device.doorbells()[2..], [7777, 8888]);
}

#[test]
fn log_pages_keep_to_the_transfer_limit() {
    let mut it = Harness::new();
    it.device.mdts = 4;
    it.bring_up(8);
    let buffer = it.buffer(17);
    let log = |dwords: u32| {
        let cdw = [(dwords - 1) << 16 | 2, 0, 0, 0, 0, 0];
        Command {
            opcode: admin::GET_LOG_PAGE,
            cdw,
            ..Command::default()
        }
        .to_bytes()
    };
    let longer = [from_device(&buffer, 0, 65_540)];
    assert_eq!(
        it.submit(0, 0, &log(16_385), &longer),
        Err(Refusal::OutOfRange)
    );
    it.submit(0, 0, &log(16_384), &[from_device(&buffer, 0, 65_536)])
        .unwrap();
    assert_eq!(it.finish(0).unwrap()[0].status, 0);
}
