//! What direct boot hands over.

use proptest::prelude::*;

use super::fake::{Fake, GIB};
use crate::{Direct, Error, Fact, Kind, MemoryMap, pvh};

const AT: u64 = 0x1000;
const LINE: u64 = 0x2000;
const LIST: u64 = 0x3000;
const MAP: u64 = 0x4000;

pub(super) fn words(memory: &mut Fake, at: u64, words: &[u64]) {
    for (index, word) in (0u64..).zip(words) {
        memory.put(at + index * 8, &word.to_le_bytes());
    }
}

/// One module, two regions, a command line.
fn good() -> Fake {
    let mut memory = Fake::new(GIB);
    words(
        &mut memory,
        AT,
        &[1 << 32 | 0x336e_c578, 1 << 32, LIST, LINE, 0xf_0000, MAP, 2],
    );
    words(&mut memory, LIST, &[0x8_0000, 0x5000, 0, 0]);
    words(&mut memory, MAP, &[0, 0x9_f000, 1, 0x9_f000, 0x1000, 7]);
    memory.put(LINE, b"a b\0");
    memory
}

fn read(memory: &Fake, at: u64) -> Result<Direct, Error> {
    pvh::read(memory, at, &mut MemoryMap::new())
}

#[test]
fn everything_is_read_and_claimed() {
    let memory = good();
    let mut map = MemoryMap::new();
    let direct = pvh::read(&memory, AT, &mut map).unwrap();
    assert_eq!(direct.archive, (0x8_0000, 0x5000));
    assert_eq!(direct.command_line, (LINE, 3));
    assert_eq!(direct.rsdp, Some(0xf_0000));
    let kinds: std::vec::Vec<_> = map
        .regions()
        .iter()
        .map(|region| (region.base, region.kind))
        .collect();
    let expected = [
        (0, Kind::Reserved),
        (0x1000, Kind::Usable),
        (LINE, Kind::Reclaimable),
        (LINE + 0x1000, Kind::Usable),
        (0x8_0000, Kind::Reclaimable),
        (0x8_5000, Kind::Usable),
        (0x9_f000, Kind::Reserved),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn optional_facts_may_be_absent() {
    let mut memory = good();
    words(&mut memory, AT + 24, &[0, 0]);
    let direct = read(&memory, AT).unwrap();
    assert_eq!((direct.command_line, direct.rsdp), ((0, 0), None));
}

/// The error after one word of the structure was replaced.
fn with(at: u64, word: u64) -> Error {
    let mut memory = good();
    words(&mut memory, at, &[word]);
    read(&memory, AT).unwrap_err()
}

#[test]
fn wrong_magic_and_version_are_refused() {
    assert_eq!(
        with(AT, 1 << 32 | 0x336e_c579),
        Error::Unknown(Fact::StartInfo)
    );
    assert_eq!(with(AT, 0x336e_c578), Error::Unknown(Fact::StartInfo));
}

#[test]
fn missing_facts_are_named() {
    assert_eq!(with(AT + 8, 0), Error::Missing(Fact::Archive));
    assert_eq!(with(AT + 40, 0), Error::Missing(Fact::MemoryMap));
    assert_eq!(with(AT + 48, 0), Error::Missing(Fact::MemoryMap));
}

#[test]
fn addresses_out_of_reach_are_refused() {
    let far = |fact, at| Error::OutOfReach { fact, at };
    for at in [GIB - 1, u64::MAX] {
        assert_eq!(with(AT + 16, at), far(Fact::ModuleList, at));
        assert_eq!(with(AT + 24, at), far(Fact::CommandLine, GIB.max(at)));
        assert_eq!(with(AT + 40, at), far(Fact::MemoryMap, at));
        assert_eq!(with(LIST, at), far(Fact::Archive, at));
        assert_eq!(read(&good(), at), Err(far(Fact::StartInfo, at)));
    }
    assert_eq!(read(&good(), 0), Err(far(Fact::StartInfo, 0)));
    assert_eq!(with(LIST, 0), far(Fact::Archive, 0));
    assert_eq!(with(LIST + 8, u64::MAX), far(Fact::Archive, 0x8_0000));
}

#[test]
fn a_command_line_without_end_is_refused() {
    let mut memory = good();
    words(&mut memory, AT + 24, &[0x8000]);
    memory.put(0x8000, &[b'x'; 5000]);
    assert_eq!(read(&memory, AT), Err(Error::Unknown(Fact::CommandLine)));
}

proptest! {
    #[test]
    fn any_structure_is_read_without_panic(raw in proptest::collection::vec(any::<u8>(), 56)) {
        let mut memory = Fake::new(0x10_000);
        memory.put(AT, &raw);
        memory.put(AT, &0x336e_c578u32.to_le_bytes());
        let _ = read(&memory, AT);
    }
}
