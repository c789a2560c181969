//! The network card: its header, its lengths, its queues.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

#[path = "../../../crates/kernel/virtio-transport/tests/model/mod.rs"]
mod model;

use driver_core::{Completed, Refusal};
use model::{FROM, Harness, KINDS, Kind, Piece, TO, ask, usual};
use pci_format::PciMatch;

const RX: u16 = 0;
const TX: u16 = 1;

fn up(kind: Kind) -> Harness {
    let mut one = Harness::new(kind, &[64, 32], virtio_net::ENTRY.probe);
    // MAC, STATUS, and offloads that must never be taken: CSUM, TSO4, MRG_RXBUF, CTRL_VQ.
    one.state().offered |= 1 << 5 | 1 << 16 | 1 | 1 << 11 | 1 << 15 | 1 << 17;
    let agreed = one.up(usual());
    assert_eq!(agreed.features & 0xffff_ffff, 1 << 5 | 1 << 16);
    one.open(RX, 64).unwrap();
    one.open(TX, 32).unwrap();
    one
}

fn done(slot: u16, result: u32) -> Result<Option<Completed>, Refusal> {
    Ok(Some(Completed {
        slot,
        status: 0,
        result,
    }))
}

#[test]
fn it_takes_network_cards() {
    let ids: &[PciMatch] = &[PciMatch::id(0x1af4, 0x1041), PciMatch::id(0x1af4, 0x1000)];
    assert_eq!(virtio_net::MATCHES, ids);
}

#[test]
fn offloads_cannot_be_wished_for() {
    for kind in KINDS {
        let mut one = Harness::new(kind, &[64, 32], virtio_net::ENTRY.probe);
        one.reset().unwrap();
        for bit in [0, 1, 2, 7, 10, 11, 12, 13, 14, 15, 17, 21, 22, 28, 29, 34] {
            assert_eq!(
                one.configure(ask(1 << bit, 0, 0)),
                Err(Refusal::BadArgument),
                "{bit}"
            );
        }
        // The configuration that can be read ends with the frame size.
        one.configure(usual()).unwrap();
        assert_eq!(one.broker.access().readable[0].2, 12);
    }
}

#[test]
fn a_frame_goes_out_behind_an_empty_header() {
    for kind in KINDS {
        let mut one = up(kind);
        let header = if kind.is_modern() { 12 } else { 10 };
        let buffer = one.buffer(1);
        one.submit(
            TX,
            2,
            &[],
            &[Piece(&buffer, 0, 14, TO), Piece(&buffer, 64, 46, TO)],
        )
        .unwrap();
        one.ring(TX);
        let (head, links) = one.state().take(TX).unwrap();
        let lengths: Vec<_> = links
            .iter()
            .map(|link| (link.length, link.device_writes))
            .collect();
        assert_eq!(lengths, [(header, false), (14, false), (46, false)]);
        assert!(one.read(links[0].address, 12).iter().all(|byte| *byte == 0));
        // What the device wrote into a header does not stay for the next frame of the slot.
        one.write(links[0].address, &[0xff; 12]);
        one.state().post(TX, head.into(), 0);
        assert_eq!(one.next(TX), done(2, 0));
        for slot in 0..11 {
            one.submit(TX, slot, &[], &[Piece(&buffer, 0, 60, TO)])
                .unwrap();
            one.ring(TX);
            let (head, links) = one.state().take(TX).unwrap();
            assert!(
                one.read(links[0].address, header as usize)
                    .iter()
                    .all(|byte| *byte == 0)
            );
            one.state().post(TX, head.into(), 0);
            assert_eq!(one.next(TX), done(slot, 0));
        }
        // The device says that it wrote into what it may only read.
        one.submit(TX, 0, &[], &[Piece(&buffer, 0, 60, TO)])
            .unwrap();
        one.ring(TX);
        let (head, _) = one.state().take(TX).unwrap();
        one.state().post(TX, head.into(), 1);
        assert_eq!(one.next(TX), Err(Refusal::Corrupt));
    }
}

#[test]
fn a_frame_that_comes_in_is_counted_without_its_header() {
    for kind in KINDS {
        let mut one = up(kind);
        let header = if kind.is_modern() { 12 } else { 10 };
        let buffer = one.buffer(1);
        for (slot, written, result) in [
            (0, header + 60, 60),
            (1, header, 0),
            (2, header + 1514, 1514),
        ] {
            one.submit(RX, slot, &[], &[Piece(&buffer, 0, 1514, FROM)])
                .unwrap();
            one.ring(RX);
            let (head, links) = one.state().take(RX).unwrap();
            assert_eq!((links.len(), links[0].length), (2, header));
            one.state().post(RX, head.into(), written);
            assert_eq!(one.next(RX), done(slot, result));
        }
        // Less than a header is no frame.
        one.submit(RX, 0, &[], &[Piece(&buffer, 0, 1514, FROM)])
            .unwrap();
        one.ring(RX);
        let (head, _) = one.state().take(RX).unwrap();
        one.state().post(RX, head.into(), header - 1);
        assert_eq!(one.next(RX), Err(Refusal::Corrupt));
    }
}

#[test]
fn lengths_and_directions_are_checked() {
    for kind in KINDS {
        let mut one = up(kind);
        let buffer = one.buffer(2);
        let mut tried = |queue, template: &[u8], length, direction| {
            one.submit(queue, 0, template, &[Piece(&buffer, 0, length, direction)])
        };
        for length in [1, 13, 1515, 8192] {
            assert_eq!(
                tried(TX, &[], length, TO),
                Err(Refusal::LengthMismatch),
                "{length}"
            );
        }
        for length in [1, 60, 1513] {
            assert_eq!(tried(RX, &[], length, FROM), Err(Refusal::LengthMismatch));
        }
        assert_eq!(tried(TX, &[], 60, FROM), Err(Refusal::BadArgument));
        assert_eq!(tried(RX, &[], 1514, TO), Err(Refusal::BadArgument));
        assert_eq!(tried(TX, &[0; 12], 60, TO), Err(Refusal::TemplateRefused));
        for length in [14, 60, 1514] {
            assert_eq!(tried(TX, &[], length, TO), Ok(()));
        }
        assert_eq!(tried(RX, &[], 8192, FROM), Ok(()));
    }
}

#[test]
fn large_receive_queues_are_as_large_as_the_device_says() {
    for kind in [Kind::Legacy { vectors: 0 }, Kind::Modern { vectors: 2 }] {
        let mut one = Harness::new(kind, &[1024, 256], virtio_net::ENTRY.probe);
        one.reset().unwrap();
        for wrong in [1000, 3] {
            assert_eq!(one.configure(ask(0, 0, wrong)), Err(Refusal::BadArgument));
        }
        for wrong in [2048, 32768, u16::MAX] {
            assert_eq!(one.configure(ask(0, 0, wrong)), Err(Refusal::OutOfRange));
        }
        assert_eq!(one.configure(ask(0, 0, 1024)).unwrap().depth, 1024);
        one.enable().unwrap();
        one.open(RX, 1024).unwrap();
        one.open(TX, 256).unwrap();
        let buffer = one.buffer(1);
        for slot in 0..512 {
            one.submit(RX, slot, &[], &[Piece(&buffer, 0, 2048, FROM)])
                .unwrap();
        }
        // Two descriptors each: the ring is full now.
        let more = one.submit(RX, 512, &[], &[Piece(&buffer, 0, 2048, FROM)]);
        assert_eq!(more, Err(Refusal::QueueFull));
        one.ring(RX);
        for slot in 0..512 {
            let (head, _) = one.state().take(RX).unwrap();
            one.state().post(RX, head.into(), 100);
            let header = if kind.is_modern() { 12 } else { 10 };
            assert_eq!(one.next(RX), done(slot, 100 - header));
        }
    }
}
