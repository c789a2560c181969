//! A driver that keeps the rules is served; one that breaks one is told which, and gets no further.

mod driver;

use driver::*;
use gve_format::registers::{self, device_status, irq};
use gve_format::{Command, Descriptor, Parameter, QueueFormat, Status, gqi};
use gve_model::{Fault, Shape};
use vfio_user::Model;

const LAST_PAGE: u64 = u64::MAX - 0xfff;

#[test]
fn a_driver_that_keeps_the_rules_is_served_and_not_blamed() {
    let mut it = Driver::new(&[]);
    assert_eq!(it.get(registers::DEVICE_STATUS), device_status::LINK);
    assert_eq!(it.get(registers::MAX_TX_QUEUES), 1);
    it.attach();
    let describe = Command::DescribeDevice {
        address: SCRATCH,
        version: 1,
        available: 4096,
    };
    assert_eq!(it.give(&describe), Status::PASSED);
    let bytes: [u8; 64] = it.at(SCRATCH);
    let (descriptor, _) = Descriptor::read(&bytes).unwrap();
    assert_eq!((descriptor.mtu, descriptor.rx_pages), (1460, 256));
    it.configure();
    it.lists();
    assert_eq!(it.give(&Command::CreateTx(tx())), Status::PASSED);
    assert_eq!(it.give(&Command::CreateRx(rx())), Status::PASSED);
    it.fill(ENTRIES);
    it.device.write(0, registers::DRIVER_VERSION, b"1");
    for round in 0..600u16 {
        let frame = [&[round as u8; 60][..], &round.to_be_bytes()].concat();
        it.send(&frame);
        assert_eq!(it.counter(), u32::from(round) + 1);
        assert_eq!(it.wire.sent.borrow_mut().pop(), Some(frame.clone()));
        it.arrive(&frame);
        let slot = u64::from(round) % 256;
        let found = it.received(slot);
        assert_eq!(found.sequence, (round % 7) as u8 + 1);
        assert_eq!(found.frame_bytes(2048), Some(62));
        let data: [u8; 62] = it.at(RX_PAGES + slot * 4096 + 2);
        assert_eq!(data[..], frame);
        it.fill(1);
    }
    assert_eq!(it.host.interrupts.len(), 1200);
    for end in [
        Command::DestroyTx { queue: 0 },
        Command::DestroyRx { queue: 0 },
        Command::UnregisterPageList { list: 0 },
        Command::UnregisterPageList { list: 1 },
        Command::DeconfigureResources,
    ] {
        assert_eq!(it.give(&end), Status::PASSED, "{end:?}");
    }
    it.set(0, registers::ADMIN_PFN, 0);
    assert_eq!(it.get(registers::ADMIN_PFN), 0);
    assert_eq!((it.broken(), it.device.violations()), (vec![], 0));
}

#[test]
fn masks_hold_interrupts_back_and_lose_none() {
    let mut it = Driver::ready(&[]);
    it.send(&[1; 60]);
    assert_eq!(it.host.interrupts, [0]);
    it.mask(0, irq::MASK);
    it.send(&[1; 60]);
    assert_eq!(it.host.interrupts, [0]);
    it.mask(0, SEEN);
    assert_eq!(it.host.interrupts, [0, 0]);
    it.mask(0, SEEN);
    assert_eq!(it.host.interrupts, [0, 0]);
    it.mask(1, 1);
    it.mask(1, irq::ACK | irq::MASK);
    assert_eq!(it.broken(), ["interrupt-doorbell"; 2]);
}

#[test]
fn checksums_are_written_where_they_were_asked_for() {
    let mut it = Driver::ready(&[]);
    let mut frame = vec![0; 60];
    frame[34..60].fill(3);
    frame[40..42].copy_from_slice(&[0x12, 0x34]);
    it.put(TX_PAGES, &frame);
    let sum = |header, field| gqi::Tx::Packet {
        segmented: false,
        checksum: Some(gqi::Checksum { header, field }),
        descriptors: 1,
        frame_bytes: 60,
        bytes: 60,
        at: 0,
    };
    it.transmit(&[sum(17, 3)]);
    let sent = it.wire.sent.borrow_mut().pop().unwrap();
    let total: u32 = sent[34..]
        .chunks(2)
        .map(|two| u32::from(two[0]) << 8 | u32::from(two[1]))
        .sum();
    // What stood there (the sum of the pseudo header) is part of the sum.
    assert_eq!((total & 0xffff) + (total >> 16) + 0x1234, 0xffff);
    assert_eq!(it.broken(), [""; 0]);
    it.transmit(&[sum(17, 13)]);
    assert_eq!(it.broken(), ["tx-checksum"]);
}

/// Commands that are refused before there is anything.
#[test]
fn commands_out_of_order_are_refused() {
    let mut it = Driver::new(&[]);
    it.set(0, registers::ADMIN_DOORBELL, 1);
    assert_eq!(it.broken(), ["admin-doorbell"]);
    it.attach();
    it.attach();
    assert_eq!(
        it.give(&Command::CreateTx(tx())),
        Status::FAILED_PRECONDITION
    );
    assert_eq!(
        it.give(&Command::DeconfigureResources),
        Status::FAILED_PRECONDITION
    );
    assert_eq!(it.give(&Command::DestroyRx { queue: 0 }), Status::NOT_FOUND);
    assert_eq!(
        it.give(&Command::UnregisterPageList { list: 0 }),
        Status::NOT_FOUND
    );
    it.configure();
    assert_eq!(
        it.give(&Command::ConfigureResources(resources())),
        Status::FAILED_PRECONDITION
    );
    assert_eq!(it.give(&Command::CreateTx(tx())), Status::INVALID_ARGUMENT);
    let rules = [
        "admin-doorbell",
        "admin-twice",
        "order",
        "order",
        "queue",
        "list",
        "order",
        "list",
    ];
    assert_eq!(it.broken(), rules);
}

#[test]
fn commands_with_wrong_fields_are_refused_with_their_rule() {
    let mut it = Driver::new(&[]);
    it.attach();
    let mut dirty = Command::DeconfigureResources.bytes();
    dirty[63] = 1;
    let mut done = Command::DeconfigureResources.bytes();
    done[7] = 1;
    for bytes in [dirty, done] {
        assert_eq!(it.give_bytes(&bytes), Status::INVALID_ARGUMENT);
    }
    let mut unknown = [0; 64];
    unknown[3] = 0x12;
    assert_eq!(it.give_bytes(&unknown), Status::UNIMPLEMENTED);
    let describe = |address, version, available| Command::DescribeDevice {
        address,
        version,
        available,
    };
    let value = 1461;
    let parameter = Parameter::Mtu;
    for wrong in [
        describe(SCRATCH, 2, 4096),
        describe(SCRATCH, 1, 39),
        describe(SCRATCH + 4, 1, 4096),
        describe(0xffff_f000, 1, 4096),
        Command::SetParameter { parameter, value },
    ] {
        assert_ne!(it.give(&wrong), Status::PASSED, "{wrong:?}");
    }
    let first = [
        "command-reserved",
        "command-reserved",
        "descriptor-version",
        "descriptor-room",
        "alignment",
        "memory",
        "mtu",
    ];
    assert_eq!(it.broken(), first);
}

#[test]
fn resources_are_what_was_described() {
    let mut it = Driver::new(&[]);
    it.attach();
    let mut wrong = [resources(); 9];
    wrong[0].format = QueueFormat::DqoRda;
    wrong[1].counters = 1;
    wrong[2].counters_at += 2;
    wrong[3].stride = 2;
    wrong[4].blocks = 3;
    wrong[5].first_vector = 2;
    wrong[6].doorbells_at = 0x1000_0000;
    wrong[7].doorbells_at = LAST_PAGE + 0xfc0;
    wrong[8].counters_at = u64::MAX - 3;
    for wrong in wrong {
        assert_ne!(it.give(&Command::ConfigureResources(wrong)), Status::PASSED);
    }
    let rules = [
        "format",
        "counters",
        "alignment",
        "stride",
        "blocks",
        "first-vector",
        "memory",
        "address",
        "address",
    ];
    assert_eq!(it.broken(), rules);
}

#[test]
fn page_lists_are_whole_pages_each_once_and_there() {
    let mut it = Driver::new(&[]);
    it.attach();
    it.configure();
    it.put(LIST, &0x10_0800u64.to_be_bytes());
    assert_ne!(it.give(&register(0, 1)), Status::PASSED);
    it.put(LIST, &0x10_0000u64.to_be_bytes());
    it.put(LIST + 8, &0x10_0000u64.to_be_bytes());
    assert_ne!(it.give(&register(0, 2)), Status::PASSED);
    it.put(LIST, &0x1000_0000u64.to_be_bytes());
    assert_ne!(it.give(&register(0, 1)), Status::PASSED);
    assert_ne!(it.give(&register(0, 0)), Status::PASSED);
    assert_ne!(it.give(&register(0, 321)), Status::PASSED);
    assert_ne!(it.give(&register(0xffff_ffff, 1)), Status::PASSED);
    it.lists();
    assert_ne!(it.list(0, 0x30_0000, 1), Status::PASSED);
    let rules = [
        "page-alignment",
        "page-twice",
        "memory",
        "list-pages",
        "list-pages",
        "list-id",
        "list-twice",
    ];
    assert_eq!(it.broken(), rules);
    assert_eq!(it.give(&Command::CreateTx(tx())), Status::PASSED);
    assert_ne!(
        it.give(&Command::UnregisterPageList { list: 0 }),
        Status::PASSED
    );
    assert_eq!(it.broken().last().unwrap(), "list-in-use");
}

#[test]
fn queues_are_what_was_described() {
    let mut it = Driver::new(&[]);
    it.attach();
    it.configure();
    it.lists();
    let mut wrong = [tx(); 7];
    wrong[0].queue = 1;
    wrong[1].entries = 128;
    wrong[2].block = 2;
    wrong[3].list = 7;
    wrong[4].completions = 256;
    wrong[5].ring_at += 16;
    wrong[6].resources_at += 4;
    for wrong in wrong {
        assert_ne!(it.give(&Command::CreateTx(wrong)), Status::PASSED);
    }
    let rules = [
        "queue",
        "entries",
        "block",
        "list",
        "format",
        "alignment",
        "alignment",
    ];
    assert_eq!(it.broken(), rules);
    assert_eq!(it.give(&Command::CreateTx(tx())), Status::PASSED);
    let mut wrong = [rx(); 7];
    wrong[0].block = 0;
    wrong[1].list = 0;
    wrong[2].index = 1;
    wrong[3].buffer_bytes = 2000;
    wrong[4].buffers = 256;
    wrong[5].ring_at = LAST_PAGE;
    wrong[6].data_at = LAST_PAGE + 0xff8;
    for wrong in wrong {
        assert_ne!(it.give(&Command::CreateRx(wrong)), Status::PASSED);
    }
    let then = [
        "block",
        "list-in-use",
        "queue-index",
        "buffer-bytes",
        "format",
        "address",
        "address",
    ];
    assert_eq!(it.broken()[rules.len()..], then);
    assert_eq!(
        it.give(&Command::DeconfigureResources),
        Status::FAILED_PRECONDITION
    );
}

/// Each way to give wrong descriptors, and its rule.
#[test]
fn descriptors_that_lie_stop_their_queue() {
    let piece = |descriptors, frame_bytes, bytes, at| gqi::Tx::Packet {
        segmented: false,
        checksum: None,
        descriptors,
        frame_bytes,
        bytes,
        at,
    };
    let more = |bytes, at| gqi::Tx::Segment {
        ipv6: false,
        header: 0,
        segment_bytes: 0,
        bytes,
        at,
    };
    let metadata = gqi::Tx::Metadata { state: 0, hash: 0 };
    let segment = gqi::Tx::Segment {
        ipv6: true,
        header: 7,
        segment_bytes: 0,
        bytes: 30,
        at: 64,
    };
    let end = 64 * 4096;
    let cases: &[(&[gqi::Tx], &str)] = &[
        (&[more(60, 0)], "tx-order"),
        (&[metadata], "tx-order"),
        (&[piece(0, 60, 60, 0)], "tx-count"),
        (&[piece(2, 60, 60, 0)], "tx-unfinished"),
        (&[piece(2, 60, 30, 0), piece(1, 60, 60, 0)], "tx-order"),
        (&[piece(3, 60, 30, 0), more(30, 64), metadata], "tx-order"),
        (&[piece(1, 61, 60, 0)], "tx-length"),
        (&[piece(2, 60, 30, 0), more(31, 64)], "tx-length"),
        (&[piece(1, 60, 60, end - 59)], "tx-offset"),
        (&[piece(1, 60, 60, u64::MAX)], "tx-offset"),
        (&[piece(1, 0, 0, 0)], "tx-offset"),
        (&[piece(1, 13, 13, 0)], "tx-short"),
        (&[piece(1, 1475, 1475, 0)], "tx-long"),
        (&[piece(2, 60, 30, 0), segment], "tx-segment"),
    ];
    for (descriptors, rule) in cases {
        let mut it = Driver::ready(&[]);
        it.transmit(descriptors);
        assert_eq!(it.broken(), [*rule], "{descriptors:?}");
        let sent = it.wire.sent.borrow().len();
        it.send(&[1; 60]);
        assert_eq!(
            (it.wire.sent.borrow().len(), sent),
            (0, 0),
            "{rule}: it stands still"
        );
    }
    let mut it = Driver::ready(&[]);
    it.transmit(&[piece(1, 1474, 1474, end - 1474)]);
    it.transmit(&[piece(3, 60, 30, 0), metadata, more(30, 64)]);
    assert_eq!((it.broken().len(), it.wire.sent.borrow().len()), (0, 2));
}

#[test]
fn doorbells_are_of_somebody_and_inside_their_ring() {
    let mut it = Driver::ready(&[]);
    it.set(2, 0, 1);
    let tx_doorbell = it.doorbell(TX_RESOURCES);
    it.set(2, tx_doorbell + 4, 1);
    it.set(2, tx_doorbell, 257);
    assert_eq!(it.broken(), ["doorbell", "doorbell", "tx-doorbell"]);
    let mut it = Driver::ready(&[]);
    it.fill(1);
    assert_eq!(it.broken(), ["rx-doorbell"]);
    let mut it = Driver::ready(&[]);
    it.set(0, registers::ADMIN_DOORBELL, it.given + 65);
    it.set(0, registers::MAX_TX_QUEUES, 1);
    it.device.write(0, 0x10, &[0; 2]);
    it.device.read(2, 0, &mut [0; 4]);
    it.device.write(0, 0x11, &[0; 4]);
    it.device.read(0, registers::ADMIN_BASE_LOW, &mut [0; 4]);
    it.device.read(0, registers::ADMIN_DOORBELL, &mut [0; 4]);
    let rules = [
        "admin-doorbell",
        "register",
        "register",
        "register",
        "register",
        "register",
    ];
    it.set(0, registers::DRIVER_STATUS, 1);
    assert_eq!(it.broken(), rules);
}

#[test]
fn buffers_are_inside_their_list_and_given_once() {
    let mut it = Driver::ready(&[]);
    it.arrive(&[1; 60]);
    it.arrive(&[1; 60]);
    for (offset, rule) in [(0x800u64, None), (4096 * 5, Some("rx-buffer-twice"))] {
        let slot = u64::from(it.buffers % ENTRIES);
        it.put(RX_SLOTS + slot * 8, &offset.to_be_bytes());
        it.buffers += 1;
        let doorbell = it.doorbell(RX_RESOURCES);
        it.set(2, doorbell, it.buffers);
        assert_eq!(it.broken().last().map(String::as_str), rule);
    }
    for offset in [100u64, 256 * 4096] {
        let mut it = Driver::ready(&[]);
        it.arrive(&[1; 60]);
        it.put(RX_SLOTS, &offset.to_be_bytes());
        let doorbell = it.doorbell(RX_RESOURCES);
        it.set(2, doorbell, it.buffers + 1);
        assert_eq!(it.broken(), ["rx-offset"]);
    }
}

#[test]
fn a_function_off_the_bus_reaches_nothing() {
    let mut it = Driver::new(&[]);
    it.attach();
    it.host.command = 0b010;
    it.give(&Command::ConfigureResources(resources()));
    assert_eq!(it.broken(), ["bus-master"]);
    assert_eq!(it.get(registers::ADMIN_EVENTS), 0);
}

#[test]
fn frames_wait_on_the_wire_while_there_is_no_buffer() {
    let mut it = Driver::ready(&[]);
    for round in 0..300u32 {
        it.arrive(&round.to_be_bytes().repeat(15));
    }
    assert_eq!(it.wire.coming.borrow().len(), 44);
    it.fill(10);
    assert_eq!(it.wire.coming.borrow().len(), 34);
    it.arrive(&[1; 1475]);
    assert_eq!(it.broken(), [""; 0]);
}

#[test]
fn a_frame_that_no_buffer_holds_takes_none() {
    let mut it = Driver::shaped(Shape {
        mtu: 9000,
        ..Shape::default()
    });
    it.attach();
    it.configure();
    it.lists();
    assert_eq!(it.give(&Command::CreateRx(rx())), Status::PASSED);
    it.fill(2);
    it.arrive(&[1; 2047]);
    it.arrive(&[1; 2046]);
    let found = it.received(0);
    assert_eq!((found.sequence, found.bytes), (1, 2048));
}

#[test]
fn each_fault_happens_when_it_was_asked_for_and_is_told() {
    let mut it = Driver::new(&[Fault::Refuse(2), Fault::Hang(3)]);
    it.attach();
    assert_eq!(
        it.give(&Command::ConfigureResources(resources())),
        Status::RESOURCE_EXHAUSTED
    );
    assert_eq!(it.give(&register(0, 1)), Status::UNSET);
    assert_eq!(it.get(registers::ADMIN_EVENTS), 1);
    assert_eq!(it.faults(), ["refuse", "hang"]);
    let faults = [
        Fault::Sequence(1),
        Fault::Short(2),
        Fault::Long(3),
        Fault::Spurious(1),
        Fault::Hostile(0x123_4567_8000),
        Fault::StuckReset,
        Fault::AskReset(4),
        Fault::LinkDown(5),
    ];
    let mut it = Driver::ready(&faults);
    for _ in 0..6 {
        it.arrive(&[1; 60]);
    }
    let found: Vec<_> = (0..4)
        .map(|slot| (it.received(slot).sequence, it.received(slot).bytes))
        .collect();
    assert_eq!(found, [(1, 62), (3, 62), (3, 1), (4, 2049)]);
    assert_eq!(it.get(registers::DEVICE_STATUS), device_status::RESET);
    it.send(&[1; 60]);
    it.send(&[1; 60]);
    assert_eq!(it.counter(), 2 + ENTRIES);
    it.set(0, registers::ADMIN_PFN, 0);
    assert_ne!(it.get(registers::ADMIN_PFN), 0);
    let mut told = it.faults();
    assert!(faults.iter().all(|fault| {
        let word = fault.word();
        told.iter().any(|one| one.starts_with(word))
    }));
    told.retain(|fault| fault != "hostile-dma");
    assert_eq!(
        told,
        [
            "sequence",
            "short",
            "long",
            "ask-reset",
            "link-down",
            "spurious",
            "stuck-reset"
        ]
    );
    assert!(
        it.told
            .borrow()
            .iter()
            .any(|line| line == "model.fault hostile-dma address=0x12345678000 refused")
    );
    assert_eq!(it.broken(), [""; 0]);
}

#[test]
fn faults_are_read_from_their_words() {
    assert_eq!(Fault::parse("hang 0x5"), Some(Fault::Hang(5)));
    assert_eq!(Fault::parse("stuck-reset"), Some(Fault::StuckReset));
    for wrong in [
        "",
        "hang",
        "stuck-reset 1",
        "hang 5 6",
        "hang x",
        "no 5",
        "refuse 0x100000000",
    ] {
        assert_eq!(Fault::parse(wrong), None, "{wrong:?}");
    }
}
