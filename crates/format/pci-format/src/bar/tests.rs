//! BARs as devices have them, and as a hostile one would.

use super::*;
use crate::testing::{BDF, Fake};

fn run(fake: &mut Fake) -> Result<BarSet, ConfigError> {
    let before: std::vec::Vec<u32> = (0..64).map(|dword| fake.get(dword * 4)).collect();
    let result = size_bars(fake, BDF, HeaderKind::Endpoint);
    let after: std::vec::Vec<u32> = (0..64).map(|dword| fake.get(dword * 4)).collect();
    if result.is_ok() {
        assert_eq!(before, after);
    }
    result
}

/// Sizes an endpoint with one slot filled.
fn one(slot: u16, value: u32, mask: u32) -> Result<BarSet, ConfigError> {
    let mut fake = Fake::endpoint();
    fake.set(reg::COMMAND, 0x0010_0007);
    fake.writable(reg::COMMAND, 0x0547);
    fake.bar(slot, value, mask);
    let result = run(&mut fake);
    assert_eq!(
        fake.get(reg::COMMAND),
        0x0010_0007,
        "the command register is restored"
    );
    assert_eq!(fake.get(reg::BAR0 + 4 * slot), value, "the BAR is restored");
    result
}

fn rule(slot: u16, value: u32, mask: u32) -> Option<Rule> {
    one(slot, value, mask).err().map(|error| {
        assert_eq!(error.offset, reg::BAR0 + 4 * slot);
        error.rule
    })
}

#[test]
fn every_kind_decodes_with_its_size() {
    let mut fake = Fake::endpoint();
    fake.bar(0, 0xfebf_0000, 0xffff_c000);
    fake.bar(1, 0xc041, 0x0000_ffc0);
    fake.bar(2, 0x0000_000c, 0x0000_0000);
    fake.bar(3, 0x0000_0040, 0xffff_fff0);
    fake.bar(5, 0xd000_0008, 0xf000_0000);
    let bars = run(&mut fake).unwrap();
    let bar = |index, kind, prefetchable, address, size_bytes| Bar {
        index,
        kind,
        prefetchable,
        address,
        size_bytes,
    };
    let seen: std::vec::Vec<Bar> = bars.iter().copied().collect();
    let expected = [
        bar(0, BarKind::Memory32, false, 0xfebf_0000, 0x4000),
        bar(1, BarKind::Io, false, 0xc040, 64),
        bar(2, BarKind::Memory64, true, 0x40_0000_0000, 1 << 36),
        bar(5, BarKind::Memory32, true, 0xd000_0000, 0x1000_0000),
    ];
    assert_eq!(seen, expected);
    assert_eq!(bars.get(3), None);
    assert_eq!(bars.get(4), None);
    assert_eq!(bars.get(255), None);
}

#[test]
fn decoding_is_off_while_ones_are_written() {
    let mut fake = Fake::endpoint();
    fake.set(reg::COMMAND, 0x0007);
    fake.writable(reg::COMMAND, 0x0007);
    fake.bar(0, 0xfebf_0000, 0xffff_c000);
    run(&mut fake).unwrap();
    let writes = fake.writes();
    assert_eq!(writes.first(), Some(&(reg::COMMAND, 4)));
    assert_eq!(writes.last(), Some(&(reg::COMMAND, 7)));
    assert_eq!(writes[1..3], [(0x10, u32::MAX), (0x10, 0xfebf_0000)]);
}

#[test]
fn an_empty_slot_is_nothing_and_a_zero_size_is_refused() {
    assert_eq!(one(3, 0, 0), Ok(BarSet::default()));
    assert_eq!(rule(0, 0x4, 0), Some(Rule::BarSize));
    assert_eq!(rule(0, 0x1, 0), Some(Rule::BarSize));
    assert_eq!(rule(0, 0x8, 0), Some(Rule::BarSize));
    // A fixed address: nothing can be written, so no size can be read.
    assert_eq!(rule(0, 0xfebf_0000, 0), Some(Rule::BarSize));
}

#[test]
fn absurd_sizes_are_refused() {
    assert_eq!(rule(0, 0, 0xff0f_0000), Some(Rule::BarSize));
    assert_eq!(rule(0, 0, 0x7fff_0000), Some(Rule::BarSize));
    assert_eq!(rule(0, 1, 0xfffe_0000), Some(Rule::BarSize));
    assert_eq!(rule(0, 1, 0x0000_ff00), None);
    let wide = |mask: u32| {
        let mut fake = Fake::endpoint();
        fake.bar(0, 4, 0);
        fake.bar(1, 0, mask);
        run(&mut fake).err().map(|error| error.rule)
    };
    assert_eq!(wide(0xffff_f000), None);
    assert_eq!(wide(0xffff_e000), Some(Rule::BarSize));
    assert_eq!(wide(0x0000_ffff), Some(Rule::BarSize));
    assert_eq!(wide(0), Some(Rule::BarSize));
}

#[test]
fn reserved_types_and_missing_halves_are_refused() {
    assert_eq!(rule(0, 0x2, 0xffff_f000), Some(Rule::BarType));
    assert_eq!(rule(0, 0x6, 0xffff_f000), Some(Rule::BarType));
    assert_eq!(rule(0, 0x3, 0xffff_fff0), Some(Rule::BarType));
    // The type must not follow what is written.
    assert_eq!(rule(0, 0x0, 0xffff_f004), Some(Rule::BarType));
    assert_eq!(rule(0, 0x0, 0xffff_f001), Some(Rule::BarType));
    assert_eq!(rule(5, 0x4, 0xffff_f000), Some(Rule::BarSlot));
}

#[test]
fn bridges_have_two_slots() {
    let mut fake = Fake::endpoint();
    fake.bar(1, 4, 0xffff_f000);
    let error = size_bars(&mut fake, BDF, HeaderKind::Bridge).unwrap_err();
    assert_eq!(error, ConfigError::new(Rule::BarSlot, 0x14));
    fake.bar(1, 0, 0);
    fake.bar(2, 6, 0xff);
    assert_eq!(
        size_bars(&mut fake, BDF, HeaderKind::Bridge),
        Ok(BarSet::default())
    );
    assert_eq!(
        size_bars(&mut fake, BDF, HeaderKind::CardBus),
        Ok(BarSet::default())
    );
    let error = size_bars(&mut fake, BDF, HeaderKind::Unknown(5)).unwrap_err();
    assert_eq!(error.rule, Rule::HeaderKind);
}

#[test]
fn addresses_must_fit_their_space() {
    // Bit 12 is hardwired to one, below the size that the writable bits give.
    assert_eq!(rule(0, 0x0000_1000, 0xffff_0000), Some(Rule::BarSize));
    assert_eq!(rule(0, 0x0001_0001, 0xffff_ff00), Some(Rule::BarAddress));
    assert_eq!(rule(0, 0xffff_f000, 0xffff_f000), None);
    let mut fake = Fake::endpoint();
    fake.bar(0, 4, 0xffff_f000);
    fake.bar(1, 0x0010_0000, 0xffff_ffff);
    assert_eq!(run(&mut fake).unwrap_err().rule, Rule::BarAddress);
}

#[test]
fn bars_of_one_function_do_not_overlap() {
    let pair = |first, second| {
        let mut fake = Fake::endpoint();
        fake.bar(0, first, 0xffff_e000);
        fake.bar(3, second, 0xffff_f000);
        run(&mut fake).err()
    };
    let overlap = Some(ConfigError::new(Rule::BarOverlap, 0x1c));
    assert_eq!(pair(0xfebf_0000, 0xfebf_1000), overlap);
    assert_eq!(pair(0xfebf_0000, 0xfebf_0000), overlap);
    assert_eq!(pair(0xfebf_0000, 0xfebf_2000), None);
    assert_eq!(pair(0, 0), None, "unassigned BARs claim nothing");
}

#[test]
fn a_register_that_does_not_come_back_is_refused() {
    let mut fake = Fake::endpoint();
    fake.bar(0, 0xfebf_0000, 0xfff0_0000);
    fake.write_one_clears(reg::BAR0, 0x000f_0000);
    let error = run(&mut fake).unwrap_err();
    assert_eq!(error, ConfigError::new(Rule::BarRestore, reg::BAR0));
}

#[test]
fn a_command_register_that_stays_off_is_refused() {
    let mut fake = Fake::endpoint();
    fake.set(reg::COMMAND, 0x0003);
    // A bit that writing zero clears and writing one does not set.
    fake.write_one_clears(reg::COMMAND, 0);
    fake.writable(reg::COMMAND, 0x0003);
    assert!(run(&mut fake).is_ok());
    fake.set(reg::COMMAND, 0x0043);
    fake.write_one_clears(reg::COMMAND, 0x0040);
    let error = run(&mut fake).unwrap_err();
    assert_eq!(error, ConfigError::new(Rule::BarRestore, reg::COMMAND));
}

/// A BAR that answers the sizing pattern with whatever it likes.
struct Liar {
    value: u32,
    ones: u32,
    asked: bool,
}

impl ConfigAccess for Liar {
    fn read32(&self, _: Bdf, offset: u16) -> u32 {
        match (offset, self.asked) {
            (reg::BAR0, true) => self.ones,
            (reg::BAR0, false) => self.value,
            _ => 0,
        }
    }

    fn write32(&mut self, _: Bdf, offset: u16, value: u32) {
        if offset == reg::BAR0 {
            self.asked = value == u32::MAX;
        }
    }
}

#[test]
fn an_address_inside_its_own_size_is_refused() {
    let size = |value, ones| {
        let mut liar = Liar {
            value,
            ones,
            asked: false,
        };
        size_bars(&mut liar, BDF, HeaderKind::Endpoint)
    };
    assert!(size(0xfebf_0000, 0xffff_0000).is_ok());
    for (value, ones) in [(0xfebf_1000, 0xffff_0000), (0xc011, 0xffe1)] {
        let error = size(value, ones).unwrap_err();
        assert_eq!(error, ConfigError::new(Rule::BarAddress, reg::BAR0));
    }
}

#[test]
fn an_absent_function_is_not_written() {
    let mut fake = Fake::empty();
    let error = size_bars(&mut fake, BDF, HeaderKind::Endpoint).unwrap_err();
    assert_eq!(error.rule, Rule::Absent);
    assert!(fake.writes().is_empty());
}

#[test]
fn subregions_stay_inside() {
    let bars = one(0, 0xfebf_0000, 0xffff_c000).unwrap();
    let bar = *bars.get(0).unwrap();
    assert_eq!(bar.subregion(0, 0x4000), Ok(0xfebf_0000));
    assert_eq!(bar.subregion(0x3fff, 1), Ok(0xfebf_3fff));
    for (offset, length) in [
        (0, 0x4001),
        (0x4000, 1),
        (0x3fff, 2),
        (0, 0),
        (u64::MAX, 2),
        (1, u64::MAX),
    ] {
        let error = bar.subregion(offset, length).unwrap_err();
        assert_eq!(
            error,
            ConfigError::new(Rule::Subregion, 0x10),
            "{offset:#x} {length:#x}"
        );
    }
    let unassigned = one(0, 0, 0xffff_c000).unwrap();
    let error = unassigned.get(0).unwrap().subregion(0, 1).unwrap_err();
    assert_eq!(error.rule, Rule::BarAddress);
}
