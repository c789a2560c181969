//! The same for DQO queues, with addresses and with page lists.

mod driver;

use driver::*;
use gve_format::{
    Command, CreateRx, CreateTx, Descriptor, Formats, QueueFormat, RAW_LIST, Resources, Status, dqo,
};
use gve_model::{Fault, Shape};

/// Where completions go.
const TX_DONE: u64 = 0x1_8000;
const RX_DONE: u64 = 0x2_0000;

fn ready(format: QueueFormat, faults: &[Fault]) -> Driver {
    let mut it = Driver::shaped(Shape {
        format,
        faults: faults.to_vec(),
        ..Shape::default()
    });
    it.attach();
    let asked = Resources {
        format,
        ..resources()
    };
    assert_eq!(it.give(&Command::ConfigureResources(asked)), Status::PASSED);
    let (mut first, mut second) = (RAW_LIST, RAW_LIST);
    if format.has_lists() {
        it.lists();
        (first, second) = (0, 1);
    }
    let create = CreateTx {
        list: first,
        completions_at: TX_DONE,
        entries: 256,
        completions: 256,
        ..tx()
    };
    assert_eq!(it.give(&Command::CreateTx(create)), Status::PASSED);
    let create = CreateRx {
        list: second,
        ring_at: RX_DONE,
        data_at: RX_RING,
        entries: 256,
        buffers: 256,
        ..rx()
    };
    assert_eq!(it.give(&Command::CreateRx(create)), Status::PASSED);
    for block in 0..2 {
        it.mask(block, 1u32.swap_bytes());
    }
    it
}

fn piece(bytes: u16) -> dqo::Tx {
    dqo::Tx::Packet {
        at: TX_PAGES,
        bytes,
        tag: 7,
        end: true,
        checksum: false,
        report: false,
    }
}

/// The same with something changed.
#[expect(clippy::fn_params_excessive_bools, reason = "they are the fields")]
fn other(at: u64, tag: u16, end: bool, report: bool) -> dqo::Tx {
    dqo::Tx::Packet {
        at,
        bytes: 30,
        tag,
        end,
        checksum: false,
        report,
    }
}

fn send(it: &mut Driver, descriptors: &[dqo::Tx]) {
    for one in descriptors {
        it.put(TX_RING + u64::from(it.head) * 16, &one.bytes());
        it.head = (it.head + 1) % 256;
    }
    let doorbell = it.doorbell(TX_RESOURCES);
    it.set(2, doorbell, it.head.swap_bytes());
}

fn post(it: &mut Driver, buffer: u16, at: u64) {
    let one = dqo::Rx {
        buffer,
        at,
        headers_at: 0,
    };
    it.put(RX_RING + u64::from(it.buffers) * 32, &one.bytes());
    it.buffers = (it.buffers + 1) % 256;
    let doorbell = it.doorbell(RX_RESOURCES);
    it.set(2, doorbell, it.buffers.swap_bytes());
}

#[test]
fn a_driver_that_keeps_the_rules_is_served_and_not_blamed() {
    for format in [QueueFormat::DqoRda, QueueFormat::DqoQpl] {
        let mut it = ready(format, &[]);
        let (address, bytes) = (SCRATCH, 2048);
        assert_eq!(
            it.give(&Command::GetPtypeMap { bytes, address }),
            Status::PASSED
        );
        let describe = Command::DescribeDevice {
            address: SCRATCH,
            version: 1,
            available: 4096,
        };
        assert_eq!(it.give(&describe), Status::PASSED);
        let description: [u8; 64] = it.at(SCRATCH);
        let (_, options) = Descriptor::read(&description).unwrap();
        assert!(Formats::of(options).unwrap().has(format));
        for round in 0..600u16 {
            let (slot, generation) = (u64::from(round) % 256, round / 256 % 2 == 0);
            let frame = [&[round as u8; 60][..], &round.to_be_bytes()].concat();
            it.put(TX_PAGES, &frame);
            send(&mut it, &[dqo::Tx::GeneralContext, piece(62)]);
            assert_eq!(it.wire.sent.borrow_mut().pop(), Some(frame.clone()));
            let done = dqo::TxCompletion {
                queue: 0,
                event: dqo::TxEvent::Packet(7),
                generation,
            };
            assert_eq!(
                dqo::TxCompletion::read(&it.at(TX_DONE + slot * 8)),
                Ok(done)
            );
            post(&mut it, round, RX_PAGES);
            it.arrive(&frame);
            let found = dqo::RxCompletion::read(&it.at(RX_DONE + slot * 32)).unwrap();
            assert_eq!(
                (found.buffer, found.bytes, found.generation),
                (round, 62, generation)
            );
            let data: [u8; 62] = it.at(RX_PAGES);
            assert_eq!(data[..], frame);
            it.mask(0, 1u32.swap_bytes());
            it.mask(1, 1u32.swap_bytes());
        }
        assert_eq!(it.host.interrupts.len(), 1200);
        assert_eq!(it.broken(), [""; 0]);
    }
}

/// Each way to give wrong descriptors, and its rule.
#[test]
fn descriptors_that_lie_stop_their_queue() {
    let context = dqo::Tx::GeneralContext;
    let cut = dqo::Tx::TsoContext {
        payload_bytes: 100,
        segment_bytes: 88,
        header_bytes: 54,
    };
    let many = [other(TX_PAGES, 7, false, false); 11];
    let (open, last) = (
        other(TX_PAGES, 7, false, false),
        other(TX_PAGES, 7, true, false),
    );
    let cases: &[(&[dqo::Tx], &str)] = &[
        (&[context], "tx-unfinished"),
        (&[open], "tx-unfinished"),
        (&[open, context], "tx-order"),
        (&[open, cut], "tx-order"),
        (&[context, cut, last], "tx-order"),
        (&[context, context, last], "tx-order"),
        (&many, "tx-pieces"),
        (&[open, other(TX_PAGES, 8, true, false)], "tx-tag"),
        (&[other(TX_PAGES, 7, false, true), last], "tx-report"),
        (
            &[
                other(TX_PAGES, 7, true, true),
                other(TX_PAGES, 7, true, true),
            ],
            "tx-report",
        ),
        (&[piece(0)], "tx-address"),
        (&[other(TX_PAGES + 4090, 7, true, false)], "tx-address"),
        (&[other(RX_PAGES, 7, true, false)], "tx-address"),
        (&[piece(13)], "tx-short"),
        (&[piece(1475)], "tx-long"),
        (&[cut, context, last], "tx-headers"),
    ];
    for (descriptors, rule) in cases {
        let mut it = ready(QueueFormat::DqoQpl, &[]);
        send(&mut it, descriptors);
        assert_eq!(it.broken(), [*rule], "{descriptors:?}");
    }
    let mut it = ready(QueueFormat::DqoRda, &[]);
    send(&mut it, &[other(0x1000_0000, 7, true, false)]);
    assert_eq!(it.broken(), ["memory"]);
    let mut it = ready(QueueFormat::DqoRda, &[]);
    let doorbell = it.doorbell(TX_RESOURCES);
    it.set(2, doorbell, 256u32.swap_bytes());
    it.mask(0, 1 << 31 | 1 << 2);
    assert_eq!(it.broken(), ["tx-doorbell", "interrupt-doorbell"]);
}

#[test]
fn buffers_are_in_their_list_and_given_once() {
    let wrong: [(u16, u64, &str); 4] = [
        (1, RX_PAGES, "rx-buffer-twice"),
        (0, RX_PAGES + 4096, "rx-buffer-twice"),
        (1, TX_PAGES, "rx-address"),
        (1, RX_PAGES + 4096 + 2049, "rx-address"),
    ];
    for (buffer, at, rule) in wrong {
        let mut it = ready(QueueFormat::DqoQpl, &[]);
        post(&mut it, 0, RX_PAGES);
        assert_eq!(it.broken(), [""; 0]);
        post(&mut it, buffer, at);
        assert_eq!(it.broken(), [rule]);
    }
}

#[test]
fn each_fault_happens_when_it_was_asked_for() {
    let faults = [
        Fault::Short(0),
        Fault::Long(1),
        Fault::Sequence(2),
        Fault::Spurious(0),
    ];
    let mut it = ready(QueueFormat::DqoRda, &faults);
    let found: Vec<_> = (0..3u64)
        .map(|slot| {
            post(&mut it, slot as u16, RX_PAGES);
            it.arrive(&[1; 60]);
            let one = dqo::RxCompletion::read(&it.at(RX_DONE + slot * 32)).unwrap();
            (one.buffer, one.bytes)
        })
        .collect();
    assert_eq!(found, [(0, 0), (1, 2049), (0xffff, 60)]);
    send(&mut it, &[piece(60)]);
    let spurious = dqo::TxCompletion::read(&it.at(TX_DONE + 8)).unwrap();
    assert_eq!(spurious.event, dqo::TxEvent::Packet(0x7fff));
    assert_eq!(it.faults(), ["short", "long", "sequence", "spurious"]);
    assert_eq!(it.broken(), [""; 0]);
}
