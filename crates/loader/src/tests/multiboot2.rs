//! What GRUB hands over.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::fake::{Fake, GIB};
use crate::{Direct, Error, Fact, Kind, MemoryMap, multiboot2};

const AT: u64 = 0x8_0000;

fn tag(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = kind.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(body.len() as u32 + 8).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn memory_map() -> Vec<u8> {
    tag(
        6,
        &words(&[24, 0, 0, 0, 0x9_f000, 0, 1, 0, 0x9_f000, 0, 0x1000, 0, 2, 0]),
    )
}

fn module(first: u32, last: u32) -> Vec<u8> {
    tag(3, &[words(&[first, last]), b"archive\0".to_vec()].concat())
}

fn end() -> Vec<u8> {
    tag(0, &[])
}

fn memory(tags: &[Vec<u8>]) -> Fake {
    let tags = tags.concat();
    let mut memory = Fake::new(GIB);
    memory.put(AT, &(tags.len() as u32 + 8).to_le_bytes());
    memory.put(AT + 8, &tags);
    memory
}

fn read(tags: &[Vec<u8>]) -> Result<Direct, Error> {
    multiboot2::read(&memory(tags), AT, &mut MemoryMap::new())
}

#[test]
fn everything_is_read_and_claimed() {
    let tags = [
        tag(1, b"a b\0"),
        tag(14, &[1; 20]),
        tag(15, &[2; 36]),
        module(0x1000, 0x2800),
        memory_map(),
        end(),
    ];
    let mut map = MemoryMap::new();
    let direct = multiboot2::read(&memory(&tags), AT, &mut map).unwrap();
    assert_eq!(direct.archive, (0x1000, 0x1800));
    assert_eq!(direct.command_line, (AT + 16, 3));
    assert_eq!(direct.rsdp, Some(AT + 8 + 16 + 32 + 8), "the newer copy");
    let kinds: Vec<_> = map
        .regions()
        .iter()
        .map(|region| (region.base, region.kind))
        .collect();
    let expected = [
        (0, Kind::Reserved),
        (0x1000, Kind::Reclaimable),
        (0x3000, Kind::Usable),
        (AT, Kind::Reclaimable),
        (AT + 0x1000, Kind::Usable),
        (0x9_f000, Kind::Reserved),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn the_first_module_is_the_archive_and_the_old_root_pointer_serves() {
    let direct = read(&[
        module(0x1000, 0x2000),
        tag(14, &[1; 20]),
        module(0x5000, 0x6000),
        memory_map(),
        end(),
    ])
    .unwrap();
    assert_eq!(direct.archive, (0x1000, 0x1000));
    assert_eq!(direct.rsdp, Some(AT + 8 + 24 + 8));
}

#[test]
fn missing_facts_are_named() {
    assert_eq!(
        read(&[module(1, 2), end()]),
        Err(Error::Missing(Fact::MemoryMap))
    );
    assert_eq!(
        read(&[memory_map(), end()]),
        Err(Error::Missing(Fact::Archive))
    );
}

#[test]
fn malformed_structures_are_refused() {
    let malformed = Err(Error::Unknown(Fact::StartInfo));
    assert_eq!(read(&[memory_map(), module(1, 2)]), malformed, "no end tag");
    assert_eq!(
        read(&[words(&[5, 0]), end()]),
        malformed,
        "a tag of no size"
    );
    assert_eq!(
        read(&[words(&[5, 7]), end()]),
        malformed,
        "a tag shorter than its head"
    );
    assert_eq!(
        read(&[words(&[5, u32::MAX]), end()]),
        malformed,
        "a tag longer than the structure"
    );
    assert_eq!(
        read(&[module(2, 1), end()]),
        malformed,
        "a module that ends before it starts"
    );
    assert_eq!(read(&[]), malformed);
    for bad in [words(&[23, 0]), words(&[0, 0]), vec![0; 4]] {
        assert_eq!(
            read(&[tag(6, &bad), end()]),
            Err(Error::Unknown(Fact::MemoryMap))
        );
    }
}

#[test]
fn a_module_or_structure_out_of_reach_is_refused() {
    let far = |fact, at| Err(Error::OutOfReach { fact, at });
    let gib = GIB as u32;
    assert_eq!(
        read(&[module(gib - 1, gib + 1), memory_map(), end()]),
        far(Fact::Archive, GIB - 1)
    );
    let mut map = MemoryMap::new();
    assert_eq!(
        multiboot2::read(&memory(&[]), GIB - 4, &mut map),
        far(Fact::StartInfo, GIB - 4)
    );
    let mut long = memory(&[end()]);
    long.put(AT, &u32::MAX.to_le_bytes());
    assert_eq!(
        multiboot2::read(&long, AT, &mut map),
        far(Fact::StartInfo, AT)
    );
}

proptest! {
    #[test]
    fn any_structure_is_read_without_panic(hits in proptest::collection::vec((0u64..160, any::<u8>()), 1..8)) {
        let mut memory = memory(&[tag(1, b"a\0"), tag(15, &[2; 36]), module(0x1000, 0x2800), memory_map(), end()]);
        for (at, value) in hits {
            memory.put(AT + at, &[value]);
        }
        let _ = multiboot2::read(&memory, AT, &mut MemoryMap::new());
    }
}
