//! The disk: what a request may be, and what a device may answer.
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests may fail"
)]

#[path = "../../../crates/kernel/virtio-transport/tests/model/mod.rs"]
mod model;

use driver_core::{Completed, Opcode, Refusal};
use model::{FROM, Harness, KINDS, Kind, Piece, TO, ask, usual};
use pci_format::PciMatch;
use virtio_format::blk::{self, Kind as Do, Request};

const SECTORS: u64 = 1000;

/// A disk of 1000 sectors; `size_max` 8192, `seg_max` 3.
fn make(kind: Kind, features: u64) -> Harness {
    let one = Harness::new(kind, &[64], virtio_blk::ENTRY.probe);
    one.state().offered |= features;
    let words = [SECTORS as u32, 0, 8192, 3];
    for (word, at) in words.into_iter().zip((0..).step_by(4)) {
        one.state().config[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    one
}

fn up(kind: Kind, features: u64) -> Harness {
    let mut one = make(kind, features);
    one.up(usual());
    one.open(0, 64).unwrap();
    one
}

fn template(kind: Do, sector: u64) -> [u8; 16] {
    Request { kind, sector }.to_bytes()
}

fn finish(one: &mut Harness, status: u8, written: u32) -> Result<Option<Completed>, Refusal> {
    one.ring(0);
    let (head, links) = one.state().take(0).unwrap();
    one.write(links.last().unwrap().address, &[status]);
    one.state().post(0, head.into(), written);
    one.next(0)
}

#[test]
fn it_takes_disks() {
    let ids: &[PciMatch] = &[PciMatch::id(0x1af4, 0x1042), PciMatch::id(0x1af4, 0x1001)];
    assert_eq!(virtio_blk::MATCHES, ids);
}

#[test]
fn requests_of_each_kind_are_laid_out() {
    for kind in KINDS {
        let mut one = up(kind, blk::F_FLUSH);
        let buffer = one.buffer(2);
        let piece = |bytes, direction| [Piece(&buffer, 1024, bytes, direction)];
        let cases = [
            (template(Do::In, 7), piece(1024, FROM).to_vec(), 1025, 1024),
            (template(Do::Out, 999), piece(512, TO).to_vec(), 1, 0),
            (template(Do::Flush, 0), Vec::new(), 1, 0),
            (template(Do::GetId, 0), piece(20, FROM).to_vec(), 21, 20),
        ];
        for (template, pieces, written, result) in cases {
            one.submit(0, 5, &template, &pieces).unwrap();
            one.ring(0);
            let (head, links) = one.state().take(0).unwrap();
            assert_eq!(links.len(), 2 + pieces.len());
            assert_eq!(one.read(links[0].address, 16), template);
            assert!(!links[0].device_writes && links.last().unwrap().device_writes);
            one.write(links.last().unwrap().address, &[0]);
            one.state().post(0, head.into(), written);
            let done = Completed {
                slot: 5,
                status: 0,
                result,
            };
            assert_eq!(one.next(0), Ok(Some(done)));
        }
    }
}

#[test]
fn every_rule_has_its_refusal() {
    for kind in KINDS {
        let mut one = up(kind, 0);
        let buffer = one.buffer(2);
        let mut tried = |template: &[u8], pieces: &[Piece<'_>]| one.submit(0, 0, template, pieces);
        let one_sector = [Piece(&buffer, 0, 512, FROM)];
        for (template, refusal) in [
            (template(Do::In, SECTORS), Refusal::OutOfRange),
            (template(Do::In, u64::MAX), Refusal::OutOfRange),
            (template(Do::Out, 0), Refusal::BadArgument),
            // Not negotiated.
            (template(Do::Flush, 0), Refusal::TemplateRefused),
            (template(Do::GetId, 0), Refusal::LengthMismatch),
            (template(Do::GetId, 1), Refusal::TemplateRefused),
            (
                [11, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                Refusal::TemplateRefused,
            ),
            (
                [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
                Refusal::TemplateRefused,
            ),
        ] {
            assert_eq!(tried(&template, &one_sector), Err(refusal), "{template:?}");
        }
        assert_eq!(tried(&[0; 15], &one_sector), Err(Refusal::TemplateRefused));
        let read = template(Do::In, 0);
        for bytes in [1, 511, 513, 1000] {
            let piece = [Piece(&buffer, 0, bytes, FROM)];
            assert_eq!(tried(&read, &piece), Err(Refusal::LengthMismatch));
        }
        assert_eq!(tried(&read, &[]), Err(Refusal::LengthMismatch));
        let both = [Piece(&buffer, 0, 512, FROM), Piece(&buffer, 512, 512, TO)];
        assert_eq!(tried(&read, &both), Err(Refusal::BadArgument));
        let last = template(Do::In, SECTORS - 1);
        let two = [Piece(&buffer, 0, 1024, FROM)];
        assert_eq!(tried(&last, &two), Err(Refusal::OutOfRange));
        assert_eq!(tried(&last, &one_sector), Ok(()));
    }
}

#[test]
fn a_disk_that_cannot_be_written_is_not_whatever_was_wished_for() {
    for kind in KINDS {
        let mut one = make(kind, blk::F_RO | blk::F_FLUSH);
        one.reset().unwrap();
        let agreed = one.configure(ask(blk::F_FLUSH, 0, 0)).unwrap();
        assert_eq!(agreed.features & 0xffff_ffff, blk::F_RO | blk::F_FLUSH);
        one.enable().unwrap();
        one.open(0, 64).unwrap();
        let buffer = one.buffer(1);
        let write = one.submit(0, 0, &template(Do::Out, 0), &[Piece(&buffer, 0, 512, TO)]);
        assert_eq!(write, Err(Refusal::ReadOnly));
    }
}

#[test]
fn the_devices_own_limits_are_obeyed() {
    for kind in KINDS {
        let mut one = up(kind, blk::F_SIZE_MAX | blk::F_SEG_MAX);
        let mut buffer = one.buffer(1);
        let first = buffer.pages[0];
        // Six pages that follow one another.
        buffer.pages = (0..6).map(|page| first.offset(page * 4096)).collect();
        let read = template(Do::In, 0);
        one.submit(0, 0, &read, &[Piece(&buffer, 0, 6 * 4096, FROM)])
            .unwrap();
        one.ring(0);
        let (_, links) = one.state().take(0).unwrap();
        let lengths: Vec<_> = links.iter().map(|link| link.length).collect();
        assert_eq!(lengths, [16, 8192, 8192, 8192, 1]);
        let four: Vec<_> = (0..4)
            .map(|at| Piece(&buffer, at * 4096, 512, FROM))
            .collect();
        assert_eq!(one.submit(0, 1, &read, &four), Err(Refusal::OutOfRange));
        assert_eq!(one.submit(0, 1, &read, &four[..3]), Ok(()));
    }
}

#[test]
fn what_is_cleared_stands_behind_the_header_of_devices_that_take_it() {
    for kind in KINDS {
        let mut one = up(kind, blk::F_DISCARD | blk::F_WRITE_ZEROES);
        for (opcode, number) in [(Opcode::Discard, 11), (Opcode::Zero, 13)] {
            if !kind.is_modern() {
                let tried = one.bare(0, opcode, 0, 512);
                assert_eq!(tried, Err(Refusal::TemplateRefused), "{kind:?}");
                continue;
            }
            one.bare(5, opcode, 998, 1024).unwrap();
            one.ring(0);
            let (head, links) = one.state().take(0).unwrap();
            let lengths: Vec<_> = links.iter().map(|link| link.length).collect();
            assert_eq!(lengths, [32, 1]);
            assert!(!links[0].device_writes && links[1].device_writes);
            let mut expected = [0; 32];
            expected[0] = number;
            expected[16..18].copy_from_slice(&998u16.to_le_bytes());
            expected[24] = 2;
            assert_eq!(one.read(links[0].address, 32), expected);
            one.write(links[1].address, &[0]);
            one.state().post(0, head.into(), 1);
            assert_eq!(one.next(0).unwrap().map(|done| done.slot), Some(5));
            for (block, length, refusal) in [
                (998, 1536, Refusal::OutOfRange),
                (SECTORS, 512, Refusal::OutOfRange),
                (u64::MAX, 512, Refusal::OutOfRange),
                (0, 0, Refusal::LengthMismatch),
                (0, 513, Refusal::LengthMismatch),
            ] {
                assert_eq!(one.bare(0, opcode, block, length), Err(refusal));
            }
        }
        let mut plain = up(kind, 0);
        let tried = plain.bare(0, Opcode::Discard, 0, 512);
        assert_eq!(tried, Err(Refusal::TemplateRefused), "not offered");
        let mut fixed = up(kind, blk::F_RO | blk::F_DISCARD | blk::F_WRITE_ZEROES);
        assert!(fixed.bare(0, Opcode::Zero, 0, 512).is_err());
    }
}

#[test]
fn the_size_is_the_one_of_before_it_ran() {
    let mut one = up(KINDS[0], 0);
    let buffer = one.buffer(1);
    one.state().config[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let far = one.submit(
        0,
        0,
        &template(Do::In, SECTORS),
        &[Piece(&buffer, 0, 512, FROM)],
    );
    assert_eq!(far, Err(Refusal::OutOfRange));
    let mut one = make(KINDS[0], 0);
    one.state().restless = true;
    one.reset().unwrap();
    one.configure(usual()).unwrap();
    assert_eq!(one.enable(), Err(Refusal::DeviceError));
}

#[test]
fn answers_are_taken_as_far_as_they_make_sense() {
    for kind in [KINDS[0], KINDS[2]] {
        for (status, written, expected) in [
            (0, 513, Ok((0, 512))),
            (1, 1, Ok((1, 0))),
            (2, 0, Ok((2, 0))),
            (3, 513, Err(Refusal::Corrupt)),
            (0xff, 513, Err(Refusal::Corrupt)),
            (0, 514, Err(Refusal::Corrupt)),
        ] {
            let mut one = up(kind, 0);
            let buffer = one.buffer(1);
            one.submit(0, 9, &template(Do::In, 0), &[Piece(&buffer, 0, 512, FROM)])
                .unwrap();
            let seen = finish(&mut one, status, written);
            let seen = seen.map(|one| one.map(|one| (one.status, one.result)));
            assert_eq!(seen, expected.map(Some), "{status} {written}");
        }
    }
}
