//! Tables and registers of units that agree with each other, and that do not.

use super::*;
use std::boxed::Box;
use std::string::String;
use std::vec;

/// Configuration space in which one function has the capability of a unit at 0x40.
struct Space;

impl ConfigAccess for Space {
    fn read32(&self, bdf: Bdf, offset: u16) -> u32 {
        match (bdf.as_u32(), offset) {
            (0x0010, 0x40) => 0x190b_640f,
            (0x0010, 0x44) => 0xfed8_0001,
            (0x0010, 0x48) => 0,
            _ => u32::MAX,
        }
    }

    fn write32(&mut self, _: Bdf, _: u16, _: u32) {
        unreachable!("this crate writes nothing");
    }
}

/// A page of registers for each address that the tests use.
fn map(physical: u64, bytes: u64) -> Option<*mut u8> {
    let words = vec![0u64; bytes as usize / 8].into_boxed_slice();
    let words = Box::leak(words);
    match physical {
        0xfed9_0000 => {
            words[0] = 0x10;
            words[1] = 0x00d2_0080_2226_0206;
            words[2] = 0x00f0_0f5a;
            // Global status in the high half, fault status in the high half of the seventh.
            words[3] = 1 << 63;
            words[6] = 2 << 32;
        }
        0xfed9_1000 => words.fill(u64::MAX),
        0xfed8_0000 => words[0x18 / 8] = 1,
        _ => return None,
    }
    Some(words.as_mut_ptr().cast())
}

fn unit(vendor: Vendor, base: u64, register_bytes: u64) -> UnitRecord {
    UnitRecord {
        vendor,
        segment: 0,
        base,
        register_bytes,
        include_all: true,
        status: UnitStatus::Unread,
    }
}

fn look(units: &[UnitRecord]) -> (Record, Units) {
    let mut record = Record {
        discovery: Discovery::Listed,
        units: units.to_vec(),
        ..Record::ABSENT
    };
    let in_memory = |start: u64, bytes: u64| start < 0x1000_0000 && bytes > 0;
    let units = Units::look(&mut record, &mut Space, map, &in_memory);
    (record, units)
}

fn amd(device_id: u16, capability_offset: u16) -> Vendor {
    Vendor::Amd {
        device_id,
        capability_offset,
    }
}

#[test]
fn each_unit_is_verified_or_refused_by_rule() {
    let (record, units) = look(&[
        unit(Vendor::Intel, 0xfed9_0000, 4096),
        unit(Vendor::Intel, 0xfed9_1000, 4096),
        unit(Vendor::Intel, 0x8000, 4096),
        unit(Vendor::Intel, 0xfed9_2000, 4096),
        unit(amd(0x10, 0x40), 0xfed8_0000, 0x4000),
        unit(amd(0x10, 0x44), 0xfed8_0000, 0x4000),
        unit(amd(0x10, 0xf8), 0xfed8_0000, 0x4000),
        unit(amd(0x18, 0x40), 0xfed8_0000, 0x4000),
        unit(amd(0x10, 0x40), 0xfed9_0000, 0x4000),
    ]);
    let faults: Vec<_> = record
        .units
        .iter()
        .map(|unit| match unit.status {
            UnitStatus::Refused(fault) => Some(fault),
            _ => None,
        })
        .collect();
    use UnitFault::{Address, Capability, InMemory, Silent, Unmappable};
    assert_eq!(
        faults,
        [
            None,
            Some(Silent),
            Some(InMemory),
            Some(Unmappable),
            None,
            Some(Capability),
            Some(Capability),
            Some(Capability),
            Some(Address),
        ]
    );
    let status = units.status(0).unwrap();
    assert_eq!((status.translating, status.faults), (true, 2));
    assert!(units.status(4).unwrap().translating);
    assert_eq!(units.status(1), None);
    assert_eq!(units.status(99), None);
}

#[test]
fn an_incomplete_record_is_not_looked_at() {
    let mut record = Record {
        discovery: Discovery::Capped,
        units: vec![unit(Vendor::Intel, 0xfed9_0000, 4096)],
        ..Record::ABSENT
    };
    let units = Units::look(&mut record, &mut Space, |_, _| unreachable!(), &|_, _| {
        false
    });
    assert_eq!(record.units[0].status, UnitStatus::Unread);
    assert_eq!(units.status(0), None);
}

#[test]
fn facts_name_state_and_rule() {
    let (record, _) = look(&[
        unit(Vendor::Intel, 0xfed9_0000, 4096),
        unit(Vendor::Intel, 0xfed9_1000, 4096),
    ]);
    let mut lines = String::new();
    write_table(&mut lines, &record).unwrap();
    for (number, unit) in record.units.iter().enumerate() {
        write_unit(&mut lines, number, unit).unwrap();
    }
    assert_eq!(
        lines,
        "@iommu.table state=listed units=2 scopes=0 ranges=0 unknown=0\n\
         @iommu.unit number=0 kind=vt-d segment=0 serves_rest=true base~0xfed90000 status=verified version=\"1.0\" \
         address_bits=39 domains=65536 translating=true\n\
         @iommu.unit number=1 kind=vt-d segment=0 serves_rest=true base~0xfed91000 status=refused rule=silent\n"
    );
}
