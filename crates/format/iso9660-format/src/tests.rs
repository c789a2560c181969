//! Volumes that are right, that are wrong by one rule each, and that another program made.

use std::format;
use std::process::Command;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use crate::testing::{BOOT, Bad, FILE_BYTES, HEAD, Image, PRIMARY, ROOT, SECTORS, image, record};
use crate::{Entry, Error, Fault, Kind, Name, Rule, SECTOR_BYTES, Volume};

fn open(image: &mut Image) -> Result<Volume, Error<Bad>> {
    let sectors = image.sectors();
    Volume::open(image, sectors)
}

fn find(image: &mut Image, path: &str) -> Result<Entry, Error<Bad>> {
    open(image)?.find(image, path)
}

/// Every file by path, with its bytes, as far as the volume can be read.
fn walk(image: &mut Image) -> Result<Vec<(String, Vec<u8>)>, Error<Bad>> {
    let volume = open(image)?;
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), volume.root_entries())];
    // A hostile volume can have directories without end for whoever remembers no parents.
    for _ in 0..64 {
        let Some((path, mut entries)) = folders.pop() else {
            break;
        };
        while let Some(entry) = entries.next(image)? {
            let path = format!("{path}/{}", entry.name);
            match entry.kind {
                Kind::Directory => folders.push((path, volume.entries(&entry)?)),
                Kind::File => {
                    let mut bytes = vec![0; (entry.extent.bytes as usize).min(1 << 20)];
                    let len = volume.read(image, &entry, 0, &mut bytes)?;
                    assert_eq!(len, bytes.len());
                    files.push((path, bytes));
                }
            }
        }
    }
    files.sort();
    Ok(files)
}

#[test]
fn a_file_is_found_and_read() {
    let mut image = image();
    let volume = open(&mut image).unwrap();
    assert_eq!(volume.blocks(), SECTORS);
    assert_eq!(volume.identity(), b"CAPOS_1");
    let file = volume.find(&mut image, "boot/init").unwrap();
    assert_eq!(
        (file.kind, file.extent.lba, file.extent.bytes, file.modified),
        (Kind::File, 20, FILE_BYTES, Some(315_532_800))
    );
    let mut bytes = [0xaa; 4096];
    assert_eq!(volume.read(&mut image, &file, 0, &mut bytes), Ok(3000));
    assert!((0..3000).all(|at| bytes[at] == at as u8) && bytes[3000] == 0xaa);
    for (offset, len) in [
        (0, 2048),
        (1, 2047),
        (2047, 2),
        (2048, 952),
        (2999, 100),
        (3000, 5),
        (9000, 5),
    ] {
        let mut part = vec![0; len];
        let read = volume.read(&mut image, &file, offset, &mut part).unwrap();
        assert_eq!(read, len.min(3000usize.saturating_sub(offset as usize)));
        assert!(
            (0..read).all(|at| part[at] == (offset as usize + at) as u8),
            "{offset}"
        );
    }
}

#[test]
fn paths_lead_down_only() {
    let mut image = image();
    for path in [
        "",
        "/boot",
        "boot/",
        "boot//init",
        "boot/../boot",
        ".",
        "..",
        "boot/./init",
    ] {
        assert_eq!(find(&mut image, path), Err(Error::BadPath), "{path:?}");
    }
    let deep = "boot/".repeat(9) + "x";
    let long = format!("boot/{}", "x".repeat(32));
    assert_eq!(find(&mut image, &long), Err(Error::BadPath));
    assert_eq!(find(&mut image, "boot/none"), Err(Error::NotFound));
    assert_eq!(find(&mut image, "boot/init/x"), Err(Error::WrongKind));
    assert_eq!(find(&mut image, &deep), Err(Error::NotFound));
    let volume = open(&mut image).unwrap();
    let boot = volume.find(&mut image, "boot").unwrap();
    let init = volume.find_in(&mut image, Some(&boot), "init").unwrap();
    assert_eq!(init, volume.find(&mut image, "boot/init").unwrap());
    let up = volume.find_in(&mut image, Some(&boot), "../boot");
    assert_eq!(up, Err(Error::BadPath));
    let file = volume.find_in(&mut image, Some(&init), "x");
    assert_eq!(file, Err(Error::WrongKind));
    assert_eq!(
        volume.read(&mut image, &boot, 0, &mut [0; 8]),
        Err(Error::WrongKind)
    );
}

/// What each broken image is refused with, and the sector that is named.
#[test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn hostile_images_are_refused_by_rule() {
    let file = BOOT + HEAD;
    let sub = ROOT + HEAD;
    type Change = fn(&mut Image);
    let cases: [(Rule, u32, Change); 27] = [
        (Rule::Signature, 16, |i| i.put(PRIMARY + 1, b"CD002")),
        (Rule::Signature, 16, |i| i.put(PRIMARY + 6, &[2])),
        (Rule::NoPrimary, 17, |i| i.put(PRIMARY, &[2])),
        (Rule::Shape, 16, |i| i.put(PRIMARY + 128, &[0, 2, 2, 0])),
        (Rule::Shape, 16, |i| i.put(PRIMARY + 881, &[2])),
        (Rule::BothOrders, 16, |i| i.put(PRIMARY + 80, &[21])),
        (Rule::BothOrders, 16, |i| i.put(PRIMARY + 128, &[1])),
        (Rule::Truncated, 16, |i| {
            i.put(
                PRIMARY + 80,
                &[SECTORS as u8 + 1, 0, 0, 0, 0, 0, 0, SECTORS as u8 + 1],
            );
        }),
        (Rule::Record, 16, |i| i.put(PRIMARY + 156, &[20])),
        (Rule::Record, 16, |i| i.put(PRIMARY + 156 + 25, &[0])),
        (Rule::Extent, 16, |i| {
            i.put(PRIMARY + 156, &record(&[0], SECTORS, 2048, 2))
        }),
        (Rule::Extent, 16, |i| {
            i.put(PRIMARY + 156, &record(&[0], u32::MAX, 2048, 2))
        }),
        (Rule::DirectorySize, 16, |i| {
            i.put(PRIMARY + 156, &record(&[0], 18, 0, 2))
        }),
        (Rule::DirectorySize, 16, |i| {
            i.put(PRIMARY + 156, &record(&[0], 18, 2047, 2))
        }),
        (Rule::Loop, 18, |i| i.put(ROOT, &record(&[0], 19, 2048, 2))),
        (Rule::Loop, 18, |i| i.put(ROOT, &record(b"A", 18, 2048, 2))),
        (Rule::Loop, 18, |i| {
            i.put(ROOT + HEAD, &record(b"BOOT", 18, 2048, 2))
        }),
        (Rule::Record, 18, |i| {
            i.put(ROOT + 34, &record(b"B", 18, 2048, 2))
        }),
        (Rule::Record, 19, |i| {
            i.put(BOOT + HEAD, &record(&[0], 20, 2048, 0))
        }),
        (Rule::Extent, 19, |i| {
            i.put(BOOT + HEAD, &record(b"INIT.;1", 20, 5000, 0))
        }),
        (Rule::Extent, 19, |i| {
            i.put(BOOT + HEAD, &record(b"INIT.;1", u32::MAX, u32::MAX, 0))
        }),
        (Rule::BothOrders, 19, |i| i.put(BOOT + HEAD + 2, &[19])),
        (Rule::BothOrders, 19, |i| i.put(BOOT + HEAD + 14, &[1])),
        (Rule::MultiExtent, 19, |i| {
            i.put(BOOT + HEAD, &record(b"INIT.;1", 20, 2048, 0x80))
        }),
        (Rule::Interleaved, 19, |i| i.put(BOOT + HEAD + 26, &[1])),
        (Rule::Interleaved, 19, |i| i.put(BOOT + HEAD + 1, &[1])),
        (Rule::Name, 19, |i| {
            i.put(BOOT + HEAD, &record(b"init", 20, 2048, 0))
        }),
    ];
    assert_eq!(sub + SECTOR_BYTES, file);
    for (number, (rule, lba, change)) in cases.into_iter().enumerate() {
        let mut image = image();
        change(&mut image);
        let fault = Error::Malformed(Fault { lba, rule });
        assert_eq!(find(&mut image, "boot/init"), Err(fault), "case {number}");
        assert!(image.reads < 40, "case {number}");
    }
}

#[test]
fn a_record_that_leaves_its_sector_is_refused() {
    let mut image = image();
    // Records fill the sector to its last bytes; the last one says it goes on.
    let mut at = BOOT + HEAD;
    while at + 40 <= BOOT + SECTOR_BYTES {
        image.put(at, &record(b"OTHER.;", 20, 1, 0)[..32]);
        image.put(at, &record(b"OTHER.", 20, 1, 0));
        at += 40;
    }
    image.put(at, &[80]);
    let fault = Fault {
        lba: 19,
        rule: Rule::Record,
    };
    assert_eq!(find(&mut image, "boot/init"), Err(Error::Malformed(fault)));
}

#[test]
fn a_long_chain_of_directories_ends() {
    let mut image = image();
    // BOOT holds BOOT, which is the root.
    image.put(BOOT + HEAD, &record(b"BOOT", 18, 2048, 2));
    let fault = Fault {
        lba: 19,
        rule: Rule::Loop,
    };
    assert_eq!(
        find(&mut image, "boot/boot/boot/init"),
        Err(Error::Malformed(fault))
    );
}

#[test]
fn bad_sectors_are_the_mediums_to_tell() {
    for bad in [16, 18, 19] {
        let mut image = image();
        image.bad = Some(bad);
        assert_eq!(find(&mut image, "boot/init"), Err(Error::Medium(Bad(bad))));
    }
    let mut image = image();
    let volume = open(&mut image).unwrap();
    let file = volume.find(&mut image, "boot/init").unwrap();
    image.bad = Some(21);
    let mut bytes = [0; 3000];
    assert_eq!(
        volume.read(&mut image, &file, 0, &mut bytes),
        Err(Error::Medium(Bad(21)))
    );
    assert_eq!(
        volume.read(&mut image, &file, 0, &mut bytes[..2048]),
        Ok(2048)
    );
}

#[test]
fn an_extent_from_elsewhere_is_refused() {
    let mut image = image();
    let volume = open(&mut image).unwrap();
    let mut file = volume.find(&mut image, "boot/init").unwrap();
    file.extent.lba = SECTORS - 1;
    let fault = Fault {
        lba: SECTORS - 1,
        rule: Rule::Extent,
    };
    assert_eq!(
        volume.read(&mut image, &file, 0, &mut [0; 8]),
        Err(Error::Malformed(fault))
    );
}

#[test]
fn names_are_spelled_plainly() {
    for (name, plain) in [
        ("nvme-provider", "NVME_PROVIDER"),
        ("manifest.bin", "MANIFEST.BIN"),
        ("a.b.c", "A_B.C"),
        ("x.", "X"),
        ("\u{e4}", "_"),
    ] {
        assert_eq!(Name::plain(name).unwrap().as_str(), plain);
    }
    assert_eq!(Name::plain(""), None);
    assert_eq!(Name::plain("."), None);
    assert_eq!(Name::plain(&"a".repeat(31)), None);
    assert_eq!(Name::plain(&"a".repeat(30)).unwrap().to_string().len(), 30);
    assert_eq!(Name::plain(&format!("{}.b", "a".repeat(30))), None);
    assert_eq!(
        Name::plain(&format!("{}.b", "a".repeat(29)))
            .unwrap()
            .to_string()
            .len(),
        31
    );
    for (raw, name) in [("A.B;1", "A.B"), ("A.;32767", "A"), ("A", "A")] {
        assert_eq!(Name::parse(raw.as_bytes()).unwrap().as_str(), name);
    }
    for raw in ["", ".", "a", "A;", "A;x", "A;123456", "A.B.C", "A B", "A/B"] {
        assert_eq!(Name::parse(raw.as_bytes()), None, "{raw}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Bytes changed anywhere in the tables: whatever comes out, nothing outside the medium is read and nothing panics.
    #[test]
    fn changed_bytes_do_no_harm(changes in prop::collection::vec((0usize..4 * SECTOR_BYTES, any::<u8>()), 1..12)) {
        let mut image = image();
        for (at, byte) in changes {
            image.bytes[PRIMARY + at] = byte;
        }
        let _ = walk(&mut image);
        let _ = find(&mut image, "boot/init");
        prop_assert!(image.reads < 64 * 70);
    }

    #[test]
    fn noise_is_no_volume(bytes in prop::collection::vec(any::<u8>(), 2 * SECTOR_BYTES)) {
        let mut image = image();
        image.put(PRIMARY, &bytes);
        prop_assert!(walk(&mut image).is_err());
    }
}

/// What xorriso writes with the options of `xtask image iso` is read back whole.
#[test]
#[expect(clippy::too_many_lines, reason = "one case after the other")]
fn images_of_xorriso_are_read() {
    if Command::new("xorriso").arg("-version").output().is_err() {
        std::eprintln!("xorriso is not installed: nothing is compared");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let tree = folder.path().join("tree");
    let long = "a".repeat(30);
    let dotted = format!("{}.b", "a".repeat(29));
    let mut wanted = Vec::new();
    let mut names: Vec<String> = (0..90)
        .map(|n| format!("boot/bins/service-{n:02}"))
        .collect();
    names.extend([
        "boot/kernel.elf".into(),
        "EFI/BOOT/BOOTX64.EFI".into(),
        format!("boot/{long}"),
        format!("boot/x/{dotted}"),
    ]);
    for (number, name) in names.iter().enumerate() {
        let bytes: Vec<u8> = (0..number * 777)
            .map(|at| (at * 7 + number) as u8)
            .collect();
        let path = tree.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &bytes).unwrap();
        let plain: Vec<_> = name
            .split('/')
            .map(|part| Name::plain(part).unwrap().to_string())
            .collect();
        wanted.push((format!("/{}", plain.join("/")), bytes));
    }
    wanted.sort();
    let iso = folder.path().join("a.iso");
    let output = Command::new("xorriso")
        .args([
            "-as",
            "mkisofs",
            "-quiet",
            "-iso-level",
            "3",
            "-rational-rock",
            "-volset",
            "CAPOS_X",
        ])
        .arg("-output")
        .args([&iso, &tree])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut image = Image {
        bytes: std::fs::read(&iso).unwrap(),
        bad: None,
        reads: 0,
    };
    assert_eq!(open(&mut image).unwrap().identity(), b"CAPOS_X");
    let read = walk(&mut image).unwrap();
    let paths = |files: &[(String, Vec<u8>)]| {
        files
            .iter()
            .map(|(path, _)| path.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(paths(&read), paths(&wanted));
    assert!(read == wanted, "the bytes differ");
    let found = find(&mut image, "boot/bins/service-89").unwrap();
    assert_eq!(found.extent.bytes, 89 * 777);
}
