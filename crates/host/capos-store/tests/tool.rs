//! The tool as a person uses it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
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
    // What is whole is saved, and what is not is said.
    let saved = volume.with_file_name("saved");
    let output = tool(volume, &["export", saved.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("saved/large: ") && said.contains("left out: 1 damaged files"),
        "{said}"
    );
    assert!(!saved.join("large").exists());
    assert_eq!(
        fs::read(saved.join("below/deeper/small")).unwrap(),
        b"small"
    );
}

/// A folder's files, by name.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(Result::unwrap);
    let file = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        (name, fs::read(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

/// A folder with files of awkward names, and one beside it with objects and names. Returns both and the addresses of two objects.
fn filled(home: &Path, large: &[u8]) -> (PathBuf, PathBuf, [String; 2]) {
    let (folder, beside) = (home.join("in"), home.join("in.objects"));
    for folder in [&folder, &beside] {
        fs::create_dir(folder).unwrap();
    }
    for name in ["in.objects", "names", "#objects"] {
        fs::write(folder.join(name), name).unwrap();
    }
    let [a, b, _] = [large, b"small", b""].map(|bytes| {
        let address = blake3::hash(bytes).to_hex().to_string();
        fs::write(beside.join(&address), bytes).unwrap();
        address
    });
    let list =
        format!("capos-store names 1\n{b} 1 boot/next\n{a} 1 boot/now\n{a} 7 \\xff and\\n\n");
    fs::write(beside.join("names"), &list).unwrap();
    (folder, beside, [a, b])
}

fn diff(one: &Path, other: &Path) -> (Option<i32>, String) {
    let output = tool(one, &["diff", other.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), said)
}

/// Objects and names go to another volume with the files, whatever those are called, and are part of what differs.
#[test]
fn objects_and_names_are_exported_imported_and_compared() {
    let home = tempfile::tempdir().unwrap();
    let (one, other) = (home.path().join("one"), home.path().join("other"));
    let (folder, beside, [a, b]) = filled(home.path(), &[0xd3; 9000]);
    works(&one, &["mkfs", "--mib", "8"]);
    works(&other, &["mkfs", "--mib", "8"]);
    works(&one, &["import", folder.to_str().unwrap()]);
    works(&one, &["check"]);
    assert!(works(&one, &["objects"]).contains(&format!("{a} 9000 2\n")));
    assert_eq!(works(&one, &["object", &b]), "small");
    let (code, said) = diff(&one, &other);
    assert_eq!(code, Some(1));
    for line in [
        &format!("- object {a}\n"),
        "- name boot/next\n",
        "- name \\xff and\\n of namespace 7\n",
    ] {
        assert!(said.contains(line), "{said}");
    }

    let out = home.path().join("out");
    let said = works(&one, &["export", &format!("{}/", out.display())]);
    assert!(said.starts_with("3 objects and 3 names are in "), "{said}");
    assert_eq!(files(&out), files(&folder));
    assert_eq!(files(&home.path().join("out.objects")), files(&beside));
    works(&other, &["import", out.to_str().unwrap()]);
    works(&other, &["check"]);
    assert_eq!(diff(&one, &other), (Some(0), String::new()));
    bound_anew(&one, &other, home.path());
    damaged_object(&one, &a, home.path());
}

/// A name leads to another object, another one to none, and there is what is no object.
fn bound_anew(one: &Path, other: &Path, home: &Path) {
    let (more, beside) = (home.join("more"), home.join("more.objects"));
    for folder in [&more, &beside] {
        fs::create_dir(folder).unwrap();
    }
    let object = blake3::hash(b"more").to_hex().to_string();
    fs::write(beside.join(&object), b"more").unwrap();
    let import = || tool(other, &["import", more.to_str().unwrap()]);
    assert!(import().status.success(), "no export made that folder");
    assert_eq!(diff(one, other).0, Some(0));
    let nothing = "0".repeat(64);
    let list = format!("capos-store names 1\n{object} 1 boot/now\n{nothing} 1 lost\n");
    fs::write(beside.join("names"), list).unwrap();
    let output = import();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains(" 1 lost"),
        "{said}"
    );
    let said = format!("+ object {object}\n~ name boot/now: another object\n");
    assert_eq!(diff(one, other), (Some(1), said));
    fs::write(beside.join(&object), b"moss").unwrap();
    assert!(!import().status.success());
}

/// An object's byte rots: it is named by its address, and the others are saved.
fn damaged_object(volume: &Path, address: &str, home: &Path) {
    let mut bytes = fs::read(volume).unwrap();
    let at = bytes.windows(64).position(|window| window == [0xd3; 64]);
    bytes[at.unwrap() + 5] ^= 1;
    fs::write(volume, &bytes).unwrap();
    let output = tool(volume, &["scrub"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains(&format!("object {address}: damaged: block ")),
        "{said}"
    );
    let saved = home.join("saved");
    let output = tool(volume, &["export", saved.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(&format!("left out: object {address}: "))
            && said.contains(", 1 damaged objects"),
        "{said}"
    );
    let saved = files(&home.join("saved.objects"));
    assert_eq!(saved.len(), 3, "two objects and the list");
    assert!(!saved.contains_key(address));
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
