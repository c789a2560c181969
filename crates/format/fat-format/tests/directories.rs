//! Directories that are wrong in one chosen way.

mod common;

use common::{DIR, END, FILE, Forge, WIDTHS, forge, list, long_slots, short_slot};
use fat_format::{ChainFault, DirWalk, Error, FileCursor};

fn names(found: &[(String, fat_format::Node)]) -> Vec<&str> {
    found.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn a_looping_directory_lists_each_entry_once() {
    let mut forge = forge(32);
    forge.chain(&[5, 6, 7]);
    forge.set(7, 6);
    for (index, cluster) in [5, 6, 7].into_iter().enumerate() {
        for slot in 0..16 {
            let name = format!("F{index}{slot:02}       ");
            let slot_bytes = short_slot(name.as_bytes()[..11].try_into().unwrap(), FILE, 0, 0);
            forge.cluster(cluster)[slot * 32..][..32].copy_from_slice(&slot_bytes);
        }
    }
    forge.root_entry(0, b"D          ", DIR, 5, 0);
    let (mut memory, volume) = forge.mount();
    let dir = volume.resolve(&mut memory, &volume.root(), "D").unwrap();
    for page in [1, 7, 100] {
        let (found, error) = list(&mut memory, &volume, &dir, page);
        assert_eq!(found.len(), 48);
        assert_eq!(
            error,
            Some(Error::Chain {
                fault: ChainFault::Loop { cluster: 6 },
                readable_bytes: 3 * 512
            })
        );
    }
    assert_eq!(
        volume
            .lookup(&mut memory, &dir, "f215")
            .unwrap()
            .name
            .as_str(),
        "F215"
    );
    assert!(matches!(
        volume.lookup(&mut memory, &dir, "none"),
        Err(Error::Chain { .. })
    ));
}

#[test]
fn directories_that_contain_themselves_end_with_the_path() {
    let mut forge = forge(32);
    forge.chain(&[5]);
    forge.cluster(5)[..32].copy_from_slice(&short_slot(b"SELF       ", DIR, 5, 0));
    forge.root_entry(0, b"SELF       ", DIR, 5, 0);
    let (mut memory, volume) = forge.mount();
    let root = volume.root();
    assert!(
        volume
            .resolve(&mut memory, &root, &"self/".repeat(256))
            .is_ok()
    );
    assert!(
        volume
            .resolve(&mut memory, &root, &"self/".repeat(5000))
            .is_ok()
    );
    assert!(
        volume
            .resolve(&mut memory, &root, &("self/".repeat(256) + ".."))
            .is_ok()
    );
    assert_eq!(
        volume.resolve(&mut memory, &root, &("self/".repeat(257) + "..")),
        Err(Error::PathTooDeep)
    );
    // ".." follows the path and not the volume, and stops where it began.
    let back = volume
        .resolve(&mut memory, &root, "self/self/../self/../..")
        .unwrap();
    assert!(back.is_root());
    let node = volume.resolve(&mut memory, &root, "self").unwrap();
    assert_eq!(volume.resolve(&mut memory, &node, "../../.."), Ok(node));
    assert_eq!(volume.resolve(&mut memory, &node, "self/.."), Ok(node));
}

#[test]
fn long_names_are_checked() {
    let mut forge = forge(32);
    let raw = b"LONGNA~1TXT";
    let good = long_slots("A long näme 😀 with slots.txt", raw);
    assert_eq!(good.len(), 3);
    let short = short_slot(raw, FILE, 0, 0);
    let mut slots: Vec<[u8; 32]> = good.clone();
    slots.push(short);
    // Wrong checksum; slots out of order; a slot missing; one that no entry follows; another entry between.
    let mut bad_sum = long_slots("wrong sum", raw);
    bad_sum[0][13] ^= 1;
    slots.extend([bad_sum[0], short_slot(b"SUM        ", FILE, 0, 0)]);
    slots.extend([
        good[1],
        good[0],
        good[2],
        short_slot(b"ORDER      ", FILE, 0, 0),
    ]);
    slots.extend([good[0], good[2], short]);
    let lone = long_slots("deleted", b"DEL        ");
    slots.extend([
        lone[0],
        short_slot(b"\xe5EL        ", FILE, 0, 0),
        short_slot(b"DEL        ", FILE, 0, 0),
    ]);
    forge.chain(&[2, 900]);
    for (at, slot) in slots.iter().enumerate() {
        let cluster = if at < 16 { 2 } else { 900 };
        forge.cluster(cluster)[at % 16 * 32..][..32].copy_from_slice(slot);
    }
    let (mut memory, volume) = forge.mount();
    let root = volume.root();
    let expected = [
        "A long näme 😀 with slots.txt",
        "SUM",
        "ORDER",
        "LONGNA~1.TXT",
        "DEL",
    ];
    for page in [1, 2, 100] {
        let (found, error) = list(&mut memory, &volume, &root, page);
        assert_eq!((names(&found), error), (expected.to_vec(), None));
    }
    for name in ["a LONG NÄME 😀 WITH slots.TXT", "longna~1.txt"] {
        let entry = volume.lookup(&mut memory, &root, name).unwrap();
        assert_eq!(entry.name.as_str(), expected[0]);
        assert_eq!(
            volume.node_at(&mut memory, entry.node.position),
            Ok(entry.node)
        );
    }
}

#[test]
fn names_cannot_leave_their_directory() {
    let mut forge = forge(16);
    let mut at = 0;
    for name in [
        "../etc",
        "..",
        "a/b",
        "nul\0x",
        "\u{1b}[2J",
        &"😀".repeat(127),
        &"x".repeat(255),
    ] {
        let raw: [u8; 11] = format!("N{at:<10}").as_bytes().try_into().unwrap();
        for slot in long_slots(name, &raw)
            .into_iter()
            .chain([short_slot(&raw, FILE, 0, 0)])
        {
            forge.root_slot(at, &slot);
            at += 1;
        }
    }
    let (mut memory, volume) = forge.mount();
    let root = volume.root();
    let (found, _) = list(&mut memory, &volume, &root, 100);
    let (smile, long) = ("😀".repeat(127), "x".repeat(255));
    assert_eq!(
        names(&found),
        [
            "..\u{fffd}etc",
            "N2",
            "a\u{fffd}b",
            "nul",
            "\u{fffd}[2J",
            smile.as_str(),
            long.as_str()
        ]
    );
    for (name, node) in &found {
        assert_eq!(volume.lookup(&mut memory, &root, name).unwrap().node, *node);
    }
    for name in ["", ".", "..", "a/b", "a\0", &"y".repeat(781)] {
        assert!(matches!(
            volume.lookup(&mut memory, &root, name),
            Err(Error::InvalidName)
        ));
    }
    assert_eq!(
        volume.resolve(&mut memory, &root, "nul/"),
        Err(Error::NotADirectory)
    );
    assert_eq!(
        volume.resolve(&mut memory, &root, "nul/x"),
        Err(Error::NotADirectory)
    );
    assert_eq!(
        volume.resolve(&mut memory, &root, "zzz"),
        Err(Error::NotFound)
    );
}

#[test]
fn positions_that_name_no_entry_are_refused() {
    for width in WIDTHS {
        let mut forge = forge(width);
        forge.root_entry(0, b"A          ", FILE, 0, 0);
        forge.root_entry(1, b"\xe5          ", FILE, 0, 0);
        forge.root_entry(2, b"LABEL      ", 8, 0, 0);
        let (mut memory, volume) = forge.mount();
        let a = volume.resolve(&mut memory, &volume.root(), "A").unwrap();
        assert_eq!(volume.node_at(&mut memory, a.position), Ok(a));
        assert_eq!(volume.label(), "LABEL");
        for position in [
            1,
            32,
            a.position + 1,
            a.position + 32,
            a.position + 64,
            a.position + 96,
            1 << 40,
            u64::MAX,
        ] {
            assert_eq!(
                volume.node_at(&mut memory, position),
                Err(Error::BadPosition),
                "{position}"
            );
        }
    }
}

#[test]
fn files_and_directories_are_not_confused() {
    let mut forge = forge(12);
    forge.root_entry(0, b"F          ", FILE, 0, 0);
    forge.root_entry(1, b"D          ", DIR, 9, 0);
    forge.set(9, END);
    let (mut memory, volume) = forge.mount();
    let file = volume.resolve(&mut memory, &volume.root(), "f").unwrap();
    let dir = volume.resolve(&mut memory, &volume.root(), "d").unwrap();
    assert!(matches!(
        FileCursor::new::<()>(&dir),
        Err(Error::IsADirectory)
    ));
    assert!(matches!(
        DirWalk::new::<()>(&volume, &file),
        Err(Error::NotADirectory)
    ));
}

#[test]
fn an_endless_directory_is_refused() {
    let mut forge = Forge::new(32, 140_000);
    let chain: Vec<u32> = (3..135_003).collect();
    forge.chain(&chain);
    let deleted = [0xe5; 512];
    for cluster in 3..135_003 {
        forge.cluster(cluster).copy_from_slice(&deleted);
    }
    forge.root_entry(0, b"D          ", DIR, 3, 0);
    let (mut memory, volume) = forge.mount();
    let dir = volume.resolve(&mut memory, &volume.root(), "D").unwrap();
    assert_eq!(
        list(&mut memory, &volume, &dir, 10),
        (vec![], Some(Error::DirectoryTooLong))
    );
}
