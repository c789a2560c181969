//! Every manifest of `manifests/` passes; every one of `manifests/bad/` is refused with exactly the words beside it.
//! Needs the `capnp` tool, as packaging a manifest does.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use manifest::{Error, Manifest, Source, check, read};
use proptest::prelude::*;

const IMAGES: &[&str] = &[
    "init",
    "a",
    "b",
    "nvme-provider",
    "virtio-blk-provider",
    "virtio-net-provider",
    "netstack",
    "resolver",
    "web-ui",
    "fat",
    "store",
    "diagnostics",
    "shell",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../..")
        .canonicalize()
        .unwrap()
}

/// Evaluates a manifest as packaging does; the error is the tool's first line.
fn evaluate(file: &str) -> Result<Vec<u8>, String> {
    let out = Command::new("capnp")
        .current_dir(root())
        .args(["eval", "-b", file, "manifest"])
        .output()
        .expect("the capnp tool (Debian: capnproto) is installed");
    if out.status.success() {
        Ok(out.stdout)
    } else {
        Err(String::from_utf8_lossy(&out.stderr)
            .lines()
            .next()
            .unwrap_or("")
            .to_string())
    }
}

fn default_manifest() -> Vec<u8> {
    evaluate("manifests/default.capnp").unwrap()
}

#[test]
fn every_bad_manifest_is_refused_with_its_exact_error() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root().join("manifests/bad")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        let bytes = match path.extension().and_then(|e| e.to_str()) {
            Some("capnp") => evaluate(&format!("manifests/bad/{name}")),
            Some("bin") => Ok(fs::read(&path).unwrap()),
            _ => continue,
        };
        let found = match bytes {
            Ok(bytes) => {
                check(&bytes, IMAGES).map_or_else(|e| e.to_string(), |_| "accepted".into())
            }
            Err(line) => line,
        };
        let expected = fs::read_to_string(path.with_extension("expected")).unwrap();
        if found != expected.trim_end() {
            wrong.push(format!(
                "{name}:\n  expected {}\n  found    {found}",
                expected.trim_end()
            ));
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 30, "only {seen} fixtures");
}

#[test]
fn every_kind_of_error_has_a_fixture() {
    // The opening words of each sentence; `MissingInit` depends on the images alone and is tested below.
    let texts: BTreeSet<String> = fs::read_dir(root().join("manifests/bad"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "expected"))
        .map(|p| fs::read_to_string(p).unwrap())
        .collect();
    for words in [
        "bytes, at most",
        "not a manifest",
        "version 2",
        "that this system does not know",
        "no field of this system's schema",
        "no services",
        "at most 32 are allowed",
        "is empty",
        "not a well-formed name",
        "argument 1 has",
        "are named",
        "no interface is named",
        "no service is named",
        "exports nothing named",
        "not among the manifest's drivers",
        "not granted its endpoint",
        "already granted",
        "allowed is",
        "cannot be restarted",
        "exitWith",
        "wait for each other",
        "may not call",
        "holds no binary",
    ] {
        assert!(
            texts.iter().any(|t| t.contains(words)),
            "no fixture says {words:?}"
        );
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn every_manifest_passes() {
    let mut seen = 0;
    let folders = ["manifests", "manifests/smoke", "manifests/bench"];
    for path in folders.iter().flat_map(|folder| files(folder)) {
        if path.extension().is_none_or(|e| e != "capnp") {
            continue;
        }
        let file = path
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        let bytes = evaluate(&file).unwrap();
        let manifest = read(&bytes).unwrap_or_else(|e| panic!("{file}: {e}"));
        check(&bytes, &manifest.images()).unwrap();
        seen += 1;
    }
    assert!(seen > 0);
}

#[test]
fn default_starts_providers_first() {
    let manifest = check(&default_manifest(), IMAGES).unwrap();
    let names: Vec<&str> = manifest
        .start_order
        .iter()
        .map(|i| manifest.services[*i].name.as_str())
        .collect();
    let providers = ["nvme", "nvme1", "virtio"];
    assert_eq!(names[..3], providers);
    assert_eq!(names.last(), Some(&"shell"));
    let shell = manifest.exit_with.and_then(|at| manifest.services.get(at));
    assert_eq!(shell.unwrap().name, "shell");
    let programs = [
        "diagnostics",
        "fat",
        "init",
        "netstack",
        "nvme-provider",
        "resolver",
        "shell",
        "store",
        "virtio-blk-provider",
        "virtio-net-provider",
        "web-ui",
    ];
    assert_eq!(manifest.images(), programs);
    let fat = manifest.services.iter().find(|s| s.name == "fat").unwrap();
    let block = fat.grants.iter().find(|g| g.name == "block").unwrap();
    let Source::Export(reference) = block.source else {
        panic!()
    };
    assert_eq!(manifest.export(reference).unwrap().interface, "BlockDevice");
    let without_init = programs.into_iter().filter(|name| *name != "init");
    let without_init: Vec<&str> = without_init.collect();
    assert!(matches!(
        check(&default_manifest(), &without_init),
        Err(Error::MissingInit)
    ));
}

#[test]
fn order_comes_from_need_not_from_the_file() {
    let manifest = evaluated(
        "reversed",
        r#"@0xd1c0a5e5b0a73001;
using M = import "/manifest.capnp";
const manifest :M.Manifest = (name = "reversed", services = [
  (name = "c", binary = "a", priority = 3, grants = [(export = (service = "b", export = "x"))]),
  (name = "b", binary = "a", priority = 4, grants = [(export = (service = "a", export = "x")), (name = "e", endpoint = void)],
    exports = [(name = "x", interface = "Volume")]),
  (name = "a", binary = "a", priority = 4, grants = [(name = "e", endpoint = void)],
    exports = [(name = "x", interface = "BlockDevice")]),
]);"#,
    );
    assert_eq!(manifest.start_order, [2, 1, 0]);
}

#[test]
fn a_grant_without_a_name_is_called_like_its_source() {
    let manifest = evaluated(
        "names",
        r#"@0xd1c0a5e5b0a73002;
using M = import "/manifest.capnp";
const manifest :M.Manifest = (name = "names", drivers = ["nvme"], services = [
  (name = "a", binary = "a", priority = 4, grants = [(endpoint = void), (kernel = rawConsole), (name = "log", kernel = logSink)],
    exports = [(name = "files", interface = "Volume")]),
  (name = "b", binary = "a", priority = 3,
    grants = [(export = (service = "a", export = "files")), (device = (driver = "nvme", nth = 0))]),
]);"#,
    );
    let named = |at: usize| manifest.services[at].grants.iter().map(|g| &*g.name);
    assert_eq!(
        named(0).collect::<Vec<_>>(),
        ["endpoint", "rawConsole", "log"]
    );
    assert_eq!(named(1).collect::<Vec<_>>(), ["files", "device"]);
}

/// A manifest, written as text.
fn evaluated(name: &str, text: &str) -> Manifest {
    let dir = std::env::temp_dir().join(format!("manifest-test-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let file = dir.join("manifest.capnp");
    fs::write(&file, text).unwrap();
    let out = Command::new("capnp")
        .arg("eval")
        .arg("-I")
        .arg(root().join("schema"))
        .arg("-b")
        .arg(&file)
        .arg("manifest")
        .output()
        .unwrap();
    fs::remove_dir_all(dir).unwrap();
    read(&out.stdout).unwrap()
}

#[test]
fn it_does_not_matter_where_a_manifest_lies() {
    let bytes = default_manifest();
    for skip in 0..8 {
        let mut moved = vec![0; skip];
        moved.extend_from_slice(&bytes);
        assert!(read(&moved[skip..]).is_ok());
    }
}

#[test]
fn every_truncation_is_refused() {
    let bytes = default_manifest();
    for length in 0..bytes.len() {
        assert!(read(&bytes[..length]).is_err(), "{length}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    // What survives a mutation still obeys the promises that callers rely on.
    #[test]
    fn mutations_never_panic(
        changes in prop::collection::vec((8usize..2104, any::<u8>()), 1..6),
    ) {
        thread_local! { static GOOD: Vec<u8> = default_manifest(); }
        let mut bytes = GOOD.with(Clone::clone);
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        if let Ok(manifest) = read(&bytes) {
            let mut order = manifest.start_order.clone();
            order.sort_unstable();
            prop_assert_eq!(order, (0..manifest.services.len()).collect::<Vec<_>>());
            for service in &manifest.services {
                for (_, reference) in service.providers() {
                    prop_assert!(manifest.export(reference).is_some());
                }
            }
        }
    }

    #[test]
    fn noise_never_panics(words in prop::collection::vec(any::<u64>(), 1..64)) {
        let mut bytes = (words.len() as u64).to_le_bytes().to_vec();
        bytes.rotate_right(4);
        bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        prop_assert!(read(&bytes).is_err());
    }
}
