//! Archives that come back as they were written, and that are refused.

extern crate std;

use alloc::vec::Vec;

use proptest::prelude::*;

use crate::{Archive, DATA_ALIGN, Error, Node, Reason, Writer};

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (path, data) in files {
        writer.file(path, data).unwrap();
    }
    writer.finish().unwrap()
}

/// An archive as another tool would write it: names are not padded to a page.
fn plain(path: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, mode, body) in [
        (path, 0o100_644, data),
        (b"TRAILER!!!\0".as_slice(), 0, b"".as_slice()),
    ] {
        out.extend_from_slice(b"070701");
        for field in [
            7,
            mode,
            0,
            0,
            1,
            99,
            body.len() as u32,
            0,
            0,
            0,
            0,
            name.len() as u32,
            0,
        ] {
            out.extend_from_slice(std::format!("{field:08X}").as_bytes());
        }
        out.extend_from_slice(name);
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(body);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    out
}

fn reason(bytes: &[u8]) -> Reason {
    Archive::new(bytes)
        .entries()
        .find_map(Result::err)
        .expect("refused")
        .reason
}

#[test]
fn what_is_written_is_read() {
    let bytes = archive(&[
        ("boot/kernel.elf", b"kernel"),
        ("boot/bins/init", b""),
        ("x", &[7; 5000]),
    ]);
    let entries: Vec<_> = Archive::new(&bytes).entries().map(Result::unwrap).collect();
    let found: Vec<_> = entries
        .iter()
        .map(|entry| (entry.path, entry.data))
        .collect();
    assert_eq!(
        found,
        [
            ("boot/kernel.elf", b"kernel".as_slice()),
            ("boot/bins/init", b""),
            ("x", &[7; 5000])
        ]
    );
    assert!(entries.iter().all(crate::Entry::is_file));
}

#[test]
fn file_data_starts_on_a_page() {
    let long = "n".repeat(4000);
    let bytes = archive(&[("a", b"1"), (&long, &[3; 4097]), ("c", b"2")]);
    for entry in Archive::new(&bytes).entries() {
        assert_eq!(entry.unwrap().offset % DATA_ALIGN, 0);
    }
}

#[test]
fn two_runs_give_the_same_bytes() {
    let files: &[(&str, &[u8])] = &[("a", b"1"), ("b", b"22")];
    assert_eq!(archive(files), archive(files));
}

#[test]
fn an_archive_of_another_tool_is_read() {
    let bytes = plain(b"./boot/manifest.bin\0", b"abc");
    let entry = Archive::new(&bytes)
        .find("boot/manifest.bin")
        .unwrap()
        .unwrap();
    assert_eq!(entry.data, b"abc");
    assert_eq!(Archive::new(&bytes).find("boot/other").unwrap(), None);
}

#[test]
fn directories_are_not_files() {
    let mut bytes = plain(b"boot\0", b"");
    bytes[14..22].copy_from_slice(b"000041ED");
    assert!(
        !Archive::new(&bytes)
            .entries()
            .next()
            .unwrap()
            .unwrap()
            .is_file()
    );
    assert_eq!(Archive::new(&bytes).find("boot").unwrap(), None);
}

#[test]
fn every_truncation_is_refused() {
    let bytes = plain(b"file\0", b"0123456789");
    // The last byte that matters is the trailer's own name; its padding may be cut off.
    for len in 0..bytes.len() - 2 {
        let last = Archive::new(&bytes[..len]).entries().last();
        assert!(
            matches!(
                last,
                Some(Err(Error {
                    reason: Reason::Truncated,
                    ..
                }))
            ),
            "{len}: {last:?}"
        );
    }
}

#[test]
fn an_error_names_its_entry_and_ends_the_iteration() {
    let mut bytes = plain(b"file\0", b"0123");
    let second = 110 + 6 + 4;
    bytes[second] = b'x';
    let mut entries = Archive::new(&bytes).entries();
    assert!(entries.next().unwrap().is_ok());
    assert_eq!(
        entries.next().unwrap(),
        Err(Error {
            at: second,
            reason: Reason::Magic
        })
    );
    assert_eq!(entries.next(), None);
}

#[test]
fn nodes_have_their_mode_and_a_name_without_filling() {
    let mut writer = Writer::new(Vec::new());
    let Ok(()) = writer.node("bin", Node::Folder, &[]);
    let Ok(()) = writer.node("bin/sh", Node::Program, b"abcde");
    let Ok(()) = writer.node("data", Node::File, b"x");
    let Ok(bytes) = writer.finish();
    let field = |at: usize| std::str::from_utf8(&bytes[at..at + 8]).unwrap();
    assert_eq!((field(14), field(94)), ("000041ed", "00000004"));
    let second = 116;
    assert_eq!(
        (field(second + 14), field(second + 94)),
        ("000081ed", "00000007")
    );
    let entries: Result<Vec<_>, _> = Archive::new(&bytes).entries().collect();
    let files = entries.unwrap().into_iter().filter(|it| it.is_file());
    let found: Vec<_> = files.map(|it| (it.path, it.data)).collect();
    assert_eq!(found, [("bin/sh", &b"abcde"[..]), ("data", b"x")]);
}

#[test]
fn malformed_headers_are_refused() {
    let good = plain(b"file\0", b"0123");
    let with = |at: usize, bytes: &[u8]| {
        let mut copy = good.clone();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        copy
    };
    assert_eq!(reason(&with(54, b"0000000g")), Reason::Number);
    assert_eq!(reason(&with(54, b"+0000004")), Reason::Number);
    assert_eq!(reason(&with(54, b"FFFFFFFF")), Reason::Truncated);
    assert_eq!(reason(&with(94, b"FFFFFFFF")), Reason::Truncated);
    assert_eq!(reason(&with(94, b"00000000")), Reason::Name);
    assert_eq!(reason(&with(94, b"00000004")), Reason::Name);
    assert_eq!(reason(&with(110, b"a\0b")), Reason::Name);
    assert_eq!(reason(&with(110, b"\xff")), Reason::Name);
    assert_eq!(reason(&with(110, b"\0\0\0\0")), Reason::Name);
    assert_eq!(reason(&with(0, b"070702")), Reason::Magic);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        for _ in Archive::new(&bytes).entries() {}
    }

    #[test]
    fn any_damage_is_survived(at in 0usize..8192, value in any::<u8>()) {
        let mut bytes = archive(&[("a", &[1; 10]), ("b", &[2; 30])]);
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        let whole = bytes.len();
        for entry in Archive::new(&bytes).entries().flatten() {
            prop_assert!(entry.offset + entry.data.len() <= whole);
        }
    }
}
