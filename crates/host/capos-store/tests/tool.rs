//! The tool as a person uses it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn tool(volume: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_capos-store"))
        .arg(volume)
        .args(words)
        .output()
        .unwrap()
}

fn works(volume: &Path, words: &[&str]) -> String {
    let output = tool(volume, words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn what_goes_in_comes_out_and_damage_is_named() {
    let home = tempfile::tempdir().unwrap();
    let volume = home.path().join("volume");
    works(&volume, &["mkfs", "--mib", "8", "--name", "test"]);
    assert!(
        !tool(&volume, &["mkfs"]).status.success(),
        "it holds a volume"
    );

    let folder = home.path().join("in");
    fs::create_dir_all(folder.join("below/deeper")).unwrap();
    let large: Vec<u8> = (0..900_000u32).map(|at| (at * 31 / 7) as u8).collect();
    fs::write(folder.join("large"), &large).unwrap();
    fs::write(folder.join("below/deeper/small"), b"small").unwrap();
    fs::write(folder.join("below/empty"), b"").unwrap();
    let no_text = OsStr::from_bytes(b"below/deeper/\xff\xfe");
    fs::write(folder.join(no_text), b"no text").unwrap();
    works(&volume, &["import", folder.to_str().unwrap()]);
    works(&volume, &["check"]);
    let snapshot = works(&volume, &["snapshot"]);
    works(&volume, &["rm", "/below/empty"]);
    works(&volume, &["mkdir", "/new"]);
    assert!(works(&volume, &["ls", "/"]).contains("900000 large"));
    assert!(works(&volume, &["ls", "-l", "/"]).contains(" tool    large"));
    let then = ["ls", "/below", "--snapshot", snapshot.trim()];
    assert!(works(&volume, &then).contains("empty"));
    assert!(!works(&volume, &["ls", "/below"]).contains("empty"));
    // What changed since, in both directions; a volume is as itself.
    let since = tool(&volume, &["diff", "--other-snapshot", snapshot.trim()]);
    assert_eq!(since.status.code(), Some(1));
    let since = String::from_utf8_lossy(&since.stdout).into_owned();
    assert_eq!(since, "- /new\n+ /below/empty\n");
    works(&volume, &["diff"]);
    assert!(
        works(&volume, &["scrub"])
            .starts_with("read 7 files, 1800024 bytes, 1 snapshots; 0 damaged\n")
    );
    assert!(works(&volume, &["upgrade"]).contains("nothing to do"));
    works(&volume, &["drop-snapshot", snapshot.trim()]);
    works(&volume, &["check"]);

    let out = home.path().join("out");
    works(&volume, &["export", out.to_str().unwrap()]);
    assert_eq!(fs::read(out.join("large")).unwrap(), large);
    assert_eq!(fs::read(out.join("below/deeper/small")).unwrap(), b"small");
    assert_eq!(fs::read(out.join(no_text)).unwrap(), b"no text");

    // The first label goes; the second stands in, and a repair brings the first one back.
    let mut bytes = fs::read(&volume).unwrap();
    bytes[20] ^= 1;
    fs::write(&volume, &bytes).unwrap();
    assert!(!tool(&volume, &["check"]).status.success());
    assert_eq!(works(&volume, &["cat", "/below/deeper/small"]), "small");
    tool(&volume, &["check", "--repair"]);
    assert!(works(&volume, &["check"]).ends_with("0 problem(s)\n"));
    rot(&volume, &large);
}

/// A file's byte rots: the block is named, and the bytes do not come out.
fn rot(volume: &Path, large: &[u8]) {
    let mut bytes = fs::read(volume).unwrap();
    let at = bytes
        .windows(64)
        .position(|window| *window == large[..64])
        .unwrap();
    bytes[at + 5] ^= 1;
    fs::write(volume, &bytes).unwrap();
    let output = tool(volume, &["check"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains(&format!("block {}: data does not add up", at / 4096)),
        "{said}"
    );
    assert!(!tool(volume, &["cat", "/large"]).status.success());
    let output = tool(volume, &["scrub"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        !output.status.success() && said.contains("/large: damaged"),
        "{said}"
    );
    assert!(
        said.contains("3 files") && said.contains("1 damaged"),
        "{said}"
    );
}

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let home = tempfile::tempdir().unwrap();
    let volume = home.path().join("volume");
    let folder = home.path().join("in");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("file"), vec![7; 100_000]).unwrap();
    works(&volume, &["mkfs", "--mib", "8"]);
    works(&volume, &["import", folder.to_str().unwrap()]);
    for words in [
        &["ls"][..],
        &["cat", "file"],
        &["check"],
        &["df"],
        &["dump"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_capos-store"));
        command.arg(&volume).args(words);
        let output = command.stdout(writer).stderr(Stdio::piped()).output();
        let output = output.unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
        assert_eq!(output.status.code(), Some(141), "{words:?}");
    }
}

/// What somebody else keeps on a disk, wherever its label lies, and the file's length are as they were.
#[test]
fn what_holds_anything_is_neither_formatted_nor_made_longer() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("theirs");
    // Btrfs begins at 64 KiB, mdraid's older label and the last one of ZFS lie at the end.
    for at in [0x10040, (2 << 20) + 7, (8 << 20) - 4096] {
        let mut bytes = vec![0; 8 << 20];
        bytes[at] = b'_';
        fs::write(&file, &bytes).unwrap();
        for words in [&["mkfs"][..], &["mkfs", "--mib", "16"]] {
            let refused = tool(&file, words);
            assert!(!refused.status.success());
            let error = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(
                error.contains(&format!("holds something, at byte {at}")),
                "{error}"
            );
            assert_eq!(fs::read(&file).unwrap(), bytes);
        }
    }
    works(&file, &["mkfs", "--mib", "16", "--force"]);
    works(&file, &["check"]);
}

#[test]
fn a_size_that_cannot_be_made_says_what_can_and_leaves_no_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("new");
    let refused = |words: &[&str]| {
        let output = tool(&file, words);
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&["mkfs"]).contains("--mib says how large to make it"));
    let too_large = (1_u64 << 44).to_string();
    assert!(refused(&["mkfs", "--mib", &too_large]).contains("--mib is too large"));
    assert!(!file.exists());
    works(&file, &["mkfs", "--mib", "8"]);
    let smaller = refused(&["mkfs", "--mib", "7", "--force"]);
    assert!(
        smaller.contains("has 8388608 bytes already; without --mib"),
        "{smaller}"
    );
    works(&file, &["check"]);
}
