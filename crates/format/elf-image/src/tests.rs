//! Images that are right, and that break one rule each.

extern crate std;

use std::vec::Vec;

use proptest::prelude::*;

use crate::{Access, Error, Image, Segment};

const WINDOW: core::ops::Range<u64> = 0x40_0000..0x80_0000;
const R: u32 = 4;
const RW: u32 = 6;
const RX: u32 = 5;

/// A program header: type, flags, offset, address, file bytes, memory bytes.
type Header = (u32, u32, u64, u64, u64, u64);

fn file(entry: u64, headers: &[Header]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    for half in [2u16, 62] {
        out.extend_from_slice(&half.to_le_bytes());
    }
    out.extend_from_slice(&1u32.to_le_bytes());
    for word in [entry, 64, 0] {
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(&0u32.to_le_bytes());
    for half in [64u16, 56, headers.len() as u16, 64, 0, 0] {
        out.extend_from_slice(&half.to_le_bytes());
    }
    for &(kind, flags, offset, vaddr, filesz, memsz) in headers {
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&flags.to_le_bytes());
        for word in [offset, vaddr, vaddr, filesz, memsz, 0x1000] {
            out.extend_from_slice(&word.to_le_bytes());
        }
    }
    out.resize(0x3000, 0xa5);
    out
}

const CODE: Header = (1, RX, 0x1000, 0x40_1000, 0x20, 0x20);

fn refused(entry: u64, headers: &[Header]) -> Error {
    Image::parse(&file(entry, headers), WINDOW).unwrap_err()
}

#[test]
fn segments_come_sorted_with_their_access() {
    let bytes = file(
        0x40_1000,
        &[
            (1, RW, 0x2000, 0x40_2000, 8, 0x1800),
            CODE,
            (1, R, 0, 0x40_0000, 16, 16),
        ],
    );
    let image = Image::parse(&bytes, WINDOW).unwrap();
    let got: Vec<_> = image
        .segments()
        .iter()
        .map(|segment| (segment.vaddr, segment.access))
        .collect();
    assert_eq!(
        got,
        [
            (0x40_0000, Access::Read),
            (0x40_1000, Access::ReadExecute),
            (0x40_2000, Access::ReadWrite)
        ]
    );
    assert_eq!(image.segments()[2].pages(), 0x40_2000..0x40_4000);
    assert_eq!(image.bytes(&image.segments()[2]), &[0xa5; 8]);
    assert_eq!(image.span(), 0x40_0000..0x40_4000);
    assert_eq!(image.entry(), 0x40_1000);
}

#[test]
fn writable_code_is_refused() {
    assert_eq!(
        refused(0x40_1000, &[(1, 7, 0x1000, 0x40_1000, 0x20, 0x20)]),
        Error::WritableCode(0x40_1000)
    );
}

#[test]
fn a_segment_without_access_is_refused() {
    assert_eq!(
        refused(0x40_1000, &[CODE, (1, 0, 0, 0x40_4000, 1, 1)]),
        Error::NoAccess(0x40_4000)
    );
}

#[test]
fn a_page_has_one_permission() {
    assert_eq!(
        refused(0x40_1000, &[CODE, (1, RW, 0, 0x40_1800, 1, 1)]),
        Error::SharedPage(0x40_1800)
    );
    let same = [CODE, (1, RX, 0, 0x40_1800, 1, 1)];
    assert!(Image::parse(&file(0x40_1000, &same), WINDOW).is_ok());
}

#[test]
fn overlapping_bytes_are_refused() {
    assert_eq!(
        refused(0x40_1000, &[CODE, (1, RX, 0, 0x40_101f, 1, 1)]),
        Error::Overlap(0x40_101f)
    );
}

#[test]
fn memory_below_file_is_refused() {
    assert_eq!(
        refused(0x40_1000, &[(1, RX, 0, 0x40_1000, 2, 1)]),
        Error::MemoryBelowFile(0x40_1000)
    );
}

#[test]
fn bytes_outside_the_file_are_refused() {
    for offset in [0x3000, u64::MAX] {
        assert_eq!(
            refused(0x40_1000, &[(1, RX, offset, 0x40_1000, 1, 1)]),
            Error::OutsideFile(0x40_1000)
        );
    }
}

#[test]
fn addresses_outside_the_window_are_refused() {
    for at in [0x3f_ffff, 0x7f_ffff, 0x80_0000, u64::MAX] {
        assert_eq!(
            refused(at, &[(1, RX, 0, at, 2, 2)]),
            Error::OutsideWindow(at)
        );
    }
    assert!(Image::parse(&file(0x7f_fffe, &[(1, RX, 0, 0x7f_fffe, 2, 2)]), WINDOW).is_ok());
}

#[test]
fn the_entry_lies_in_code() {
    for entry in [0, 0x40_0fff, 0x40_1020, 0x40_2000] {
        assert_eq!(
            refused(entry, &[CODE, (1, RW, 0, 0x40_2000, 8, 8)]),
            Error::Entry(entry)
        );
    }
}

#[test]
fn runtime_linking_is_refused() {
    for kind in [2, 3, 7] {
        assert_eq!(
            refused(0x40_1000, &[CODE, (kind, R, 0, 0x40_4000, 1, 1)]),
            Error::NeedsRuntimeLinking
        );
    }
}

#[test]
fn other_machines_and_types_are_refused() {
    let good = file(0x40_1000, &[CODE]);
    let with = |at: usize, value: u8| {
        let mut copy = good.clone();
        copy[at] = value;
        Image::parse(&copy, WINDOW).unwrap_err()
    };
    assert_eq!(with(0, 0), Error::WrongMachine);
    assert_eq!(with(4, 3), Error::WrongMachine);
    assert_eq!(with(5, 2), Error::WrongMachine);
    assert_eq!(with(18, 3), Error::WrongMachine);
    assert_eq!(with(16, 3), Error::NotStatic);
    assert_eq!(with(54, 55), Error::Malformed);
}

#[test]
fn truncated_headers_are_malformed() {
    let good = file(0x40_1000, &[CODE]);
    for len in 16..64 + 56 {
        assert_eq!(
            Image::parse(&good[..len], WINDOW).unwrap_err(),
            Error::Malformed,
            "{len}"
        );
    }
}

#[test]
fn an_image_needs_a_segment_and_not_too_many() {
    assert_eq!(refused(0, &[]), Error::Empty);
    assert_eq!(refused(0, &[(4, R, 0, 0, 0, 0)]), Error::Empty);
    let many: Vec<Header> = (0..17)
        .map(|n| (1, RX, 0, 0x40_1000 + n * 0x1000, 1, 1))
        .collect();
    assert_eq!(refused(0x40_1000, &many), Error::TooManySegments);
}

#[test]
fn a_foreign_segment_reads_nothing() {
    let bytes = file(0x40_1000, &[CODE]);
    let image = Image::parse(&bytes, WINDOW).unwrap();
    let foreign = Segment {
        offset: usize::MAX,
        filesz: 9,
        ..image.segments()[0]
    };
    assert!(image.bytes(&foreign).is_empty());
}

proptest! {
    #[test]
    fn damage_never_breaks_the_invariant(hits in proptest::collection::vec((0usize..400, any::<u8>()), 1..12)) {
        let mut bytes = file(0x40_1000, &[CODE, (1, RW, 0x2000, 0x40_2000, 8, 0x1800), (1, R, 0, 0x40_0000, 16, 16)]);
        for (at, value) in hits {
            bytes[at] = value;
        }
        if let Ok(image) = Image::parse(&bytes, WINDOW) {
            let mut last_end = 0;
            for segment in image.segments() {
                prop_assert!(segment.vaddr >= last_end);
                last_end = segment.vaddr + segment.memsz;
                prop_assert!(segment.pages().start >= WINDOW.start && segment.pages().end <= WINDOW.end);
                prop_assert_eq!(image.bytes(segment).len(), segment.filesz);
            }
        }
    }
}
