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
    named(first, last, b"archive\0")
}

fn named(first: u32, last: u32, text: &[u8]) -> Vec<u8> {
    tag(3, &[words(&[first, last]), text.to_vec()].concat())
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
fn modules_named_by_path_are_the_files_of_the_package() {
    let direct = read(&[
        module(0x1000, 0x2000),
        named(0x3000, 0x3010, b"boot/kernel.elf\0"),
        named(0, 0, b"boot/manifest.bin\0"),
        named(0x6000, 0x6001, b"boot/\0"),
        memory_map(),
        end(),
    ])
    .unwrap();
    assert_eq!(
        direct.archive,
        (0, 0),
        "files count, not an archive beside them"
    );
    let ranges: Vec<_> = direct.files.iter().map(|file| file.bytes).collect();
    // Each tag: head, range, text, filled up to 8 bytes; the first one's text is "archive".
    let [first, second] = [AT + 8 + 24 + 16, AT + 8 + 24 + 32 + 16];
    assert_eq!(
        ranges,
        [(0x3000, 0x10), (second, 0)],
        "an empty file lies at its path"
    );
    assert_eq!(direct.files.first().unwrap().path, (first, 15));
}

#[test]
fn too_many_files_are_refused() {
    let mut tags = vec![named(0x1000, 0x2000, b"boot/a\0"); crate::MAX_MODULES + 1];
    tags.extend([memory_map(), end()]);
    assert!(read(&tags).is_ok());
    tags.insert(0, named(0x1000, 0x2000, b"boot/a\0"));
    assert_eq!(read(&tags), Err(Error::TooManyModules));
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
        Err(Error::Unknown(Fact::ModuleList)),
        "a module that ends before it starts"
    );
    assert_eq!(
        read(&[tag(3, &words(&[1, 2])), end()]),
        Err(Error::Unknown(Fact::ModuleList)),
        "a module without a text"
    );
    assert_eq!(
        read(&[named(1, 2, b"boot/a"), end()]),
        Err(Error::Unknown(Fact::ModuleList)),
        "a text that does not end in its tag"
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
    fn any_structure_is_read_without_panic(hits in proptest::collection::vec((0u64..200, any::<u8>()), 1..8)) {
        let mut memory = memory(&[tag(1, b"a\0"), tag(15, &[2; 36]), module(0x1000, 0x2800), named(0x3000, 0x3800, b"boot/kernel.elf\0"), memory_map(), end()]);
        for (at, value) in hits {
            memory.put(AT + at, &[value]);
        }
        let _ = multiboot2::read(&memory, AT, &mut MemoryMap::new());
    }
}
