//! What is not started, and why.

use std::string::ToString;
use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::fake::{BASE, HHDM_ID, MIB, Machine, kernel, request};
use crate::{Error, Fact, Kind, MAX_MODULES, MAX_REQUESTS, MemoryMap, check_kernel};

#[test]
fn older_base_revisions_are_refused() {
    for old in [0, 1] {
        let mut machine = Machine::with(HHDM_ID, 0, &[]);
        machine.words[2] = old;
        assert_eq!(machine.start().unwrap_err(), Error::BaseRevision(old));
    }
    assert_eq!(
        Machine::with_words(vec![0; 8]).start().unwrap_err(),
        Error::BaseRevision(0)
    );
}

#[test]
fn a_corrupt_kernel_is_named() {
    let mut bytes = kernel(&BASE);
    bytes.truncate(0x1010);
    let error = Machine::with_words(Vec::new())
        .start_kernel(&bytes)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/boot/kernel.elf has a segment at 0xffffffff80001000"),
        "{error}"
    );
    assert_eq!(check_kernel(&bytes).unwrap_err(), error);
    let error = check_kernel(&bytes[..100]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/boot/kernel.elf is truncated or has malformed headers"
    );
}

#[test]
fn a_lower_half_kernel_is_refused() {
    let mut bytes = kernel(&BASE);
    // The first segment's address.
    bytes[64 + 16..64 + 24].copy_from_slice(&0x20_0000u64.to_le_bytes());
    let error = Machine::with_words(Vec::new())
        .start_kernel(&bytes)
        .unwrap_err();
    assert_eq!(
        error,
        Error::Kernel(elf_image::Error::OutsideWindow(0x20_0000))
    );
}

#[test]
fn no_memory_map_is_refused() {
    let mut machine = Machine::with(HHDM_ID, 0, &[]);
    machine.map = MemoryMap::new();
    assert_eq!(
        machine.start().unwrap_err(),
        Error::Missing(Fact::MemoryMap)
    );
}

#[test]
fn too_little_memory_says_for_what() {
    let mut machine = Machine::with(HHDM_ID, 0, &[]);
    machine.map = MemoryMap::new();
    machine.map.add(MIB, 0x4000, Kind::Usable).unwrap();
    assert_eq!(
        machine.start().unwrap_err(),
        Error::OutOfMemory {
            purpose: "the kernel",
            bytes: 0x6000
        }
    );
    let mut machine = Machine::with(HHDM_ID, 0, &[]);
    machine.map = MemoryMap::new();
    machine.map.add(MIB, 0x8000, Kind::Usable).unwrap();
    assert_eq!(
        machine.start().unwrap_err(),
        Error::OutOfMemory {
            purpose: "a page table",
            bytes: 0x1000
        }
    );
}

#[test]
fn every_shortage_is_an_error_and_never_a_panic() {
    // From too little for the kernel to just enough for everything.
    let tries = (1..64).map(|pages| {
        let mut machine = Machine::with(HHDM_ID, 0, &[]);
        machine.map = MemoryMap::new();
        machine.map.add(MIB, pages * 4096, Kind::Usable).unwrap();
        machine.start().map(|_| ())
    });
    let results: Vec<_> = tries.collect();
    let first = results
        .iter()
        .position(Result::is_ok)
        .expect("enough in the end");
    assert!(
        results[..first]
            .iter()
            .all(|result| matches!(result, Err(Error::OutOfMemory { .. })))
    );
    assert!(results[first..].iter().all(Result::is_ok));
}

#[test]
fn memory_that_cannot_be_mapped_is_refused() {
    let mut machine = Machine::with(HHDM_ID, 0, &[]);
    machine.map.add(255 << 39, MIB, Kind::Usable).unwrap();
    assert_eq!(machine.start().unwrap_err(), Error::MapTooHigh(255 << 39));
}

#[test]
fn a_file_out_of_reach_is_refused() {
    let mut machine = Machine::with(HHDM_ID, 0, &[]);
    machine.modules.push(("boot/bins/far", 0x8000, vec![0; 16]));
    machine.memory.reach = super::fake::ARCHIVE + 0x8008;
    let at = super::fake::ARCHIVE + 0x8000;
    assert_eq!(
        machine.start().unwrap_err(),
        Error::OutOfReach {
            fact: Fact::File,
            at
        }
    );
}

#[test]
fn too_many_modules_are_refused() {
    let mut machine = Machine::with([0x3e7e_2797_02be_32af, 0xca1c_4f3b_d128_0cee], 0, &[]);
    machine.modules = vec![("boot/bins/x", 0x8000, vec![1]); MAX_MODULES + 1];
    assert_eq!(machine.start().unwrap_err(), Error::TooManyModules);
}

#[test]
fn too_many_requests_are_refused() {
    let mut machine = Machine::with_words(BASE.to_vec());
    for id in 0..=MAX_REQUESTS as u64 {
        machine.words.extend(request([id, id], 0, &[]));
    }
    assert_eq!(machine.start().unwrap_err(), Error::TooManyRequests);
}

#[test]
fn a_request_that_the_image_cuts_off_is_refused() {
    let mut machine = Machine::with(HHDM_ID, 0, &[]);
    machine.words.pop();
    assert!(matches!(
        machine.start().unwrap_err(),
        Error::TruncatedRequest(_)
    ));
    let mut machine = Machine::with_words(BASE.to_vec());
    machine.words.pop();
    assert!(matches!(
        machine.start().unwrap_err(),
        Error::TruncatedRequest(_)
    ));
}

proptest! {
    #[test]
    fn a_damaged_kernel_never_panics(hits in proptest::collection::vec((0usize..0x1200, any::<u8>()), 1..16)) {
        let mut words = BASE.to_vec();
        words.extend(request(HHDM_ID, 0, &[]));
        let mut bytes = kernel(&words);
        let len = bytes.len();
        for (at, value) in hits {
            bytes[at % len] = value;
        }
        let checked = check_kernel(&bytes);
        let started = Machine::with_words(Vec::new()).start_kernel(&bytes).map(|_| ());
        if started.is_ok() {
            prop_assert_eq!(checked, Ok(()));
        }
    }
}
