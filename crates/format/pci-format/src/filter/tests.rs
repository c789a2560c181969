//! What a provider sees, and what it does not.

use super::*;
use crate::testing::{BDF, Fake};
use crate::{read_capabilities, read_extended, read_function};
use std::vec::Vec;

fn filter(fake: &Fake) -> ConfigFilter {
    let info = read_function(fake, BDF).unwrap();
    let capabilities = read_capabilities(fake, BDF, info.header).unwrap();
    let extended = read_extended(fake, BDF).unwrap();
    ConfigFilter::new(fake, &info, &capabilities, &extended)
}

fn allowed(fake: &Fake) -> Vec<u16> {
    let filter = filter(fake);
    (0..=u16::MAX).filter(|at| filter.allows(*at)).collect()
}

const HEADER: [u16; 13] = [
    0, 4, 8, 0xc, 0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x2c, 0x34, 0x3c,
];

#[test]
fn a_bare_endpoint_shows_its_header() {
    assert_eq!(allowed(&Fake::endpoint()), HEADER);
    let mut bridge = Fake::endpoint();
    bridge.set(reg::HEADER_TYPE, 0x0001_0000);
    assert_eq!(allowed(&bridge), HEADER[..4]);
}

#[test]
fn bars_show_what_they_decode_but_no_address() {
    let mut fake = Fake::endpoint();
    for (slot, value) in [
        0xfebf_000c,
        0xffff_ffff,
        0xc001,
        0xfebf_0000,
        0xfebf_0004,
        0x7f,
    ]
    .iter()
    .enumerate()
    {
        fake.bar(slot as u16, *value, 0);
    }
    let filter = filter(&fake);
    let shown = [0, 1, 2, 3, 4, 5].map(|slot| filter.read(&fake, reg::BAR0 + 4 * slot).unwrap());
    assert_eq!(shown, [0xc, 0, 1, 0, 4, 0]);
}

#[test]
fn message_addresses_stay_hidden() {
    let mut fake = Fake::endpoint();
    fake.capabilities(&[
        (1, 0x40),
        (5, 0x50),
        (0x11, 0x70),
        (0x10, 0x80),
        (0x33, 0xfc),
    ]);
    let expected = [
        0x40, 0x44, 0x50, 0x70, 0x74, 0x78, 0x80, 0x84, 0x88, 0x8c, 0x90, 0xfc,
    ];
    assert_eq!(allowed(&fake)[HEADER.len()..], expected);
    fake.set(0x54, 0xfee0_0000);
    let filter = filter(&fake);
    for at in [0x54, 0x58, 0x5c, 0x48, 0x94, 0x30, 0x41, 0x1000, 0xfffc] {
        let error = filter.read(&fake, at).unwrap_err();
        assert_eq!(error, ConfigError::new(Rule::NotReadable, at));
    }
    assert!(!fake.was_read(0x54));
}

#[test]
fn virtio_regions_are_shown_and_its_window_is_not() {
    let mut fake = Fake::endpoint();
    fake.set(reg::ID, 0x1041_1af4);
    fake.capabilities(&[(9, 0x40), (9, 0x54), (9, 0x70)]);
    for (at, kind, length) in [(0x40, 2, 20), (0x54, 5, 20), (0x70, 9, 255)] {
        let linked = fake.get(at) & 0xffff;
        fake.set(at, linked | length << 16 | kind << 24);
    }
    let expected = [0x40, 0x44, 0x48, 0x4c, 0x50, 0x54, 0x58, 0x5c, 0x60, 0x70];
    assert_eq!(allowed(&fake)[HEADER.len()..], expected);
    // The same bytes of another vendor mean something else.
    fake.set(reg::ID, 0x1041_8086);
    assert_eq!(allowed(&fake)[HEADER.len()..], [0x40, 0x54, 0x70]);
}

#[test]
fn a_structure_laid_over_a_hidden_one_opens_nothing() {
    let mut fake = Fake::endpoint();
    fake.set(reg::ID, 0x1041_1af4);
    // The window's data dword is at 0x60; PCI Express claims 0x58 to 0x68. MSI's address is at 0x84; so is MSI-X.
    fake.capabilities(&[(0x10, 0x58), (9, 0x50), (0x11, 0x84), (5, 0x80)]);
    fake.set(0x50, fake.get(0x50) | 20 << 16 | 5 << 24);
    let filter = filter(&fake);
    assert!(!filter.allows(0x60) && filter.allows(0x5c) && filter.allows(0x64));
    assert!(filter.allows(0x80));
    assert!([0x84, 0x88, 0x8c].iter().all(|at| !filter.allows(*at)));
}

#[test]
fn extended_capabilities_show_their_header_only() {
    let mut fake = Fake::endpoint();
    fake.set(0x100, 0x1501_0001);
    fake.set(0x150, 0xffc1_0003);
    fake.set(0xffc, 0x0001_0003);
    assert_eq!(
        allowed(&fake)[HEADER.len()..],
        [0x100, 0x150, 0x154, 0x158, 0xffc]
    );
}
