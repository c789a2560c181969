//! Unit tests; the fixtures of `manifests/` are in `tests/fixtures.rs`.
extern crate std;
use std::{fs, path::Path, string::String, vec::Vec};

use super::*;

fn schema_text(file: &str) -> String {
    fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../../schema")
            .join(file),
    )
    .unwrap()
}

#[test]
fn kernel_sources_stand_in_the_order_of_the_schema() {
    let text = schema_text("manifest.capnp");
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
            schema::interface_id(source.interface()).is_some(),
            "{}",
            source.interface()
        );
    }
}
