//! The bounded run: every target on its corpus and on mutations of it, the same ones each time.

use std::fs;
use std::path::{Path, PathBuf};

use fuzz_targets::{TARGETS, Target, exercise, target};

/// Mutations of each target, unless `FUZZ_MUTATIONS` says how many; and what they are made from.
const MUTATIONS: u64 = 4000;
const SEED: u64 = 0x0ca9_05f0_220e_5eed;

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../fuzz/corpus");
    let mut files: Vec<PathBuf> = fs::read_dir(folder.join(name))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn run(name: &str) {
    let target = target(name).unwrap();
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "{name} has no corpus");
    let mutations = std::env::var("FUZZ_MUTATIONS").map_or(MUTATIONS, |text| text.parse().unwrap());
    match exercise(&target, &corpus, mutations, SEED) {
        Ok(report) => assert_eq!(report.inputs, corpus.len() as u64 + mutations),
        Err(failure) => {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-failure"));
            fs::write(&kept, &failure.input).unwrap();
            panic!("{failure}; the input is {}", kept.display());
        }
    }
}

macro_rules! runs {
    ($($test:ident = $name:literal,)*) => {
        $(#[test] fn $test() { run($name); })*

        #[test]
        fn every_target_is_run() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

runs! {
    acpi = "acpi",
    acpi_walk = "acpi-walk",
    capsule = "capsule",
    dhcp4 = "dhcp4",
    dns = "dns",
    elf = "elf",
    exfat = "exfat",
    ext = "ext",
    fat = "fat",
    gve = "gve",
    http = "http",
    iommu = "iommu",
    ipv6_host = "ipv6-host",
    iso9660 = "iso9660",
    kept = "kept",
    line_editor = "line-editor",
    manifest = "manifest",
    mp_table = "mp-table",
    net_stack = "net-stack",
    newc = "newc",
    nvme = "nvme",
    partition = "partition",
    pci = "pci",
    ring = "ring",
    save = "save",
    shell = "shell",
    stub = "stub",
    virtio = "virtio",
    volume = "volume",
    volume_sealed = "volume-sealed",
}

/// A reader that refuses a seed at once shows nothing of what lies behind.
#[test]
fn every_seed_is_taken_by_its_reader() {
    for target in TARGETS {
        for (number, seed) in corpus(target.name).iter().enumerate() {
            assert!((target.run)(seed), "{}, seed {number}", target.name);
        }
    }
}

#[test]
fn the_corpus_stays_small() {
    let bytes: usize = TARGETS
        .iter()
        .flat_map(|target| corpus(target.name))
        .map(|input| input.len())
        .sum();
    assert!(bytes < 256 << 10, "{bytes} bytes");
}

/// Panics on inputs that only mutations reach.
fn brittle(data: &[u8]) -> bool {
    let length = data.first().copied().unwrap_or(0);
    assert!(
        usize::from(length) < 128 || data.len() < 4,
        "a length was believed"
    );
    true
}

#[test]
fn a_panic_is_noticed_and_its_input_kept() {
    let target = Target {
        name: "brittle",
        run: brittle,
    };
    let corpus = [vec![3, 0, 0, 0, 0, 0]];
    let failure = exercise(&target, &corpus, MUTATIONS, SEED).unwrap_err();
    assert!(failure.message.contains("a length was believed"));
    let again = exercise(&target, &[failure.input], 0, SEED).unwrap_err();
    assert_eq!(again.target, "brittle");
    assert!(exercise(&target, &corpus, 0, SEED).is_ok());
}

#[test]
fn the_same_seed_makes_the_same_inputs() {
    let target = Target {
        name: "nothing",
        run: |_| true,
    };
    let corpus = [vec![1; 40], vec![2; 9]];
    let digest = |seed| exercise(&target, &corpus, 500, seed).unwrap().digest;
    assert_eq!(digest(7), digest(7));
    assert_ne!(digest(7), digest(9));
}
