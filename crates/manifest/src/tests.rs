//! Unit tests; the fixtures of `manifests/` are in `tests/fixtures.rs`.
extern crate std;
use std::{fs, path::Path, string::String, vec::Vec};

use super::*;

fn schema(file: &str) -> String {
    fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../schema")
            .join(file),
    )
    .unwrap()
}

#[test]
fn interfaces_are_those_of_the_schemas() {
    let mut found: Vec<(String, u64)> = Vec::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|e| e != "capnp") {
            continue;
        }
        for line in fs::read_to_string(path).unwrap().lines() {
            if let Some(rest) = line.strip_prefix("interface ") {
                let (name, rest) = rest.split_once(" @0x").unwrap();
                let number = rest.split(' ').next().unwrap();
                found.push((name.into(), u64::from_str_radix(number, 16).unwrap()));
            }
        }
    }
    found.sort();
    let ours: Vec<(String, u64)> = INTERFACES.iter().map(|(n, i)| ((*n).into(), *i)).collect();
    assert_eq!(ours, found);
    assert_eq!(interface_id("Volume").map(|(n, _)| n), Some("Volume"));
    assert_eq!(interface_id("Volumes"), None);
}

#[test]
fn kernel_sources_stand_in_the_order_of_the_schema() {
    let text = schema("manifest.capnp");
    let (_, body) = text.split_once("enum KernelSource {").unwrap();
    let (body, _) = body.split_once('}').unwrap();
    let mut names: Vec<(u16, &str)> = body
        .split(';')
        .filter_map(|item| item.trim().split_once(" @"))
        .map(|(name, number)| (number.parse().unwrap(), name))
        .collect();
    names.sort();
    let ours: Vec<&str> = KernelSource::ALL.iter().map(|s| s.name()).collect();
    assert_eq!(names.iter().map(|(_, n)| *n).collect::<Vec<_>>(), ours);
    for source in KernelSource::ALL {
        assert!(
            interface_id(source.interface()).is_some(),
            "{}",
            source.interface()
        );
    }
}
