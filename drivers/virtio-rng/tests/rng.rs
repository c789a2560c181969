//! The entropy source: what it matches, what it takes, what comes of it.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

#[path = "../../../crates/kernel/virtio-transport/tests/model/mod.rs"]
mod model;

use driver_core::{Completed, Refusal};
use model::{FROM, Harness, KINDS, Piece, TO, usual};
use pci_format::{FunctionInfo, HeaderKind, best_match};
use units::{Bdf, ClassCode, DeviceId};

fn function(vendor: u16, device: u16) -> FunctionInfo {
    FunctionInfo {
        bdf: Bdf::from_u32(0),
        id: DeviceId::new(vendor, device),
        revision: 0,
        class: ClassCode {
            base: 0,
            sub: 0xff,
            interface: 0,
        },
        header: HeaderKind::Endpoint,
        multifunction: false,
        subsystem: DeviceId::new(0, 0),
        interrupt_pin: 1,
        interrupt_line: 0,
    }
}

#[test]
fn it_takes_entropy_sources_and_nothing_else() {
    let takes =
        |vendor, device| best_match(virtio_rng::MATCHES, &function(vendor, device)).is_some();
    assert!(takes(0x1af4, 0x1005) && takes(0x1af4, 0x1044));
    // Network card, disk, balloon, console, SCSI; another vendor's device of the same number.
    for device in [
        0x1000, 0x1001, 0x1002, 0x1003, 0x1004, 0x1041, 0x1042, 0x1043, 0x1045, 0x1048,
    ] {
        assert!(!takes(0x1af4, device), "{device:#x}");
    }
    assert!(!takes(0x1b36, 0x1005));
}

#[test]
fn a_request_is_pieces_that_the_device_fills() {
    for kind in KINDS {
        let mut one = Harness::new(kind, &[8], virtio_rng::ENTRY.probe);
        let agreed = one.up(usual());
        assert_eq!((agreed.queues, agreed.depth), (1, 8));
        assert_eq!(agreed.config, None, "no configuration to read");
        assert!(one.broker.access().readable.is_empty());
        one.open(0, 8).unwrap();
        let buffer = one.buffer(2);
        let pieces = [
            Piece(&buffer, 100, 50, FROM),
            Piece(&buffer, 4000, 200, FROM),
        ];
        one.submit(0, 3, &[], &pieces).unwrap();
        one.ring(0);
        let (head, links) = one.state().take(0).unwrap();
        let lengths: Vec<_> = links
            .iter()
            .map(|link| (link.length, link.device_writes))
            .collect();
        assert_eq!(lengths, [(50, true), (96, true), (104, true)]);
        one.state().post(0, head.into(), 77);
        let done = Completed {
            slot: 3,
            status: 0,
            result: 77,
        };
        assert_eq!(one.next(0), Ok(Some(done)));

        let refused = |one: &mut Harness, template: &[u8], pieces: &[Piece<'_>]| {
            one.submit(0, 1, template, pieces).unwrap_err()
        };
        assert_eq!(refused(&mut one, &[0], &pieces), Refusal::TemplateRefused);
        assert_eq!(refused(&mut one, &[], &[]), Refusal::LengthMismatch);
        let out = [Piece(&buffer, 0, 16, TO)];
        assert_eq!(refused(&mut one, &[], &out), Refusal::BadArgument);
        let many = [
            Piece(&buffer, 0, u32::MAX, FROM),
            Piece(&buffer, 0, 16, FROM),
        ];
        assert_eq!(refused(&mut one, &[], &many), Refusal::OutOfRange);
    }
}
