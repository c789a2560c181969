//! Tables and registers of units that agree with each other, and that do not.

use super::*;
use acpi_tables::Dmar;
use iommu_format::{
    Cover, FirmwareTables, Neighbours, Path, Plan, Policy, Posture, Situation, UnitState, plan,
};
use pci_format::BusNumbers;
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

/// A unit of a DMAR table: of the rest of its segment, or of what its scopes name.
fn drhd(segment: u8, base: u64, scopes: &[[u8; 8]]) -> Vec<u8> {
    let length = 16 + scopes.len() * 8;
    let rest = u8::from(scopes.is_empty());
    let mut bytes = vec![0, 0, length as u8, 0, rest, 0, segment, 0];
    bytes.extend_from_slice(&base.to_le_bytes());
    bytes.extend(scopes.concat());
    bytes
}

/// Scopes of a function of bus 0, and of a bridge there with all that is below it.
const fn function(device: u8) -> [u8; 8] {
    [1, 8, 0, 0, 0, 0, device, 0]
}
const fn below(device: u8) -> [u8; 8] {
    [2, 8, 0, 0, 0, 0, device, 0]
}

fn dmar(units: &[Vec<u8>]) -> Vec<u8> {
    let body = [&[38, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &units.concat()[..]].concat();
    let mut bytes = b"DMAR".to_vec();
    bytes.extend_from_slice(&u32::try_from(36 + body.len()).unwrap().to_le_bytes());
    bytes.resize(36, 1);
    bytes.extend_from_slice(&body);
    bytes[9] = 0;
    bytes[9] = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    bytes
}

/// What becomes of functions below the units of a table, of which those that are verified do what they are told.
fn postures(table: &[u8], bridges: &[BusNumbers], functions: &[Bdf]) -> Vec<&'static str> {
    let tables = FirmwareTables {
        dmar: Some(Dmar::parse(table)),
        ..FirmwareTables::default()
    };
    let mut record = Record::new(tables, bridges);
    let in_memory = |start: u64, bytes: u64| start < 0x1000_0000 && bytes > 0;
    Units::look(&mut record, &mut Space, map, &in_memory);
    let states: Vec<_> = plan(Policy::Auto, &record)
        .map(|plan| match plan {
            Plan::Leave => UnitState::Off,
            Plan::TurnOn => UnitState::On,
            Plan::Distrust => UnitState::Failed,
        })
        .collect();
    let posture = |function: &Bdf| {
        let cover = record.cover(*function, bridges);
        let unit = match cover {
            Cover::Unit(unit) => states[usize::from(unit)],
            Cover::None => UnitState::Off,
            Cover::Uncertain => UnitState::On,
        };
        let of = Situation {
            policy: Policy::Auto,
            cover,
            unit,
            path: Path::Bus,
            requester: record.requester(*function),
            reserved: record.reserved(*function, bridges),
            neighbours: Neighbours::NoneHeld,
        };
        Posture::decide(of).reason()
    };
    functions.iter().map(posture).collect()
}

#[test]
fn units_of_several_segments_stand_for_themselves_alone() {
    const GOOD: u64 = 0xfed9_0000;
    const SILENT: u64 = 0xfed9_1000;
    let at = |segment, bus, device| Bdf::new(segment, bus, device, 0).unwrap();
    // A root port of segment 0 with a switch below it, and the same place in segment 1.
    let port = |segment| BusNumbers {
        bdf: at(segment, 0, 1),
        primary: 0,
        secondary: 1,
        subordinate: 4,
    };
    let bridges = [port(0), port(1)];
    let functions = [
        at(0, 4, 0),
        at(0, 0, 5),
        at(0, 0, 2),
        at(1, 4, 0),
        at(1, 0, 5),
        at(2, 0, 0),
    ];
    let of = |units: &[Vec<u8>]| postures(&dmar(units), &bridges, &functions);
    // Below the port one that works, for a function one that is silent, and one in memory for the rest of segment 1.
    let mixed = of(&[
        drhd(0, GOOD, &[below(1)]),
        drhd(0, SILENT, &[function(5)]),
        drhd(1, 0x8000, &[]),
    ]);
    let failed = "unit-failed";
    let expected = ["own-domain", failed, "no-unit", failed, failed, "no-unit"];
    assert_eq!(mixed, expected);
    // The other way round: the silent one serves what is below the port.
    let mixed = of(&[
        drhd(0, SILENT, &[below(1)]),
        drhd(0, GOOD + 0x2000, &[function(5)]),
        drhd(1, GOOD, &[]),
    ]);
    let expected = [
        failed,
        failed,
        "no-unit",
        "own-domain",
        "own-domain",
        "no-unit",
    ];
    assert_eq!(mixed, expected);
    // Where none answers, nothing is turned on and nothing refused.
    let silent = of(&[drhd(0, SILENT, &[]), drhd(1, 0x8000, &[])]);
    let expected = [
        "unit-off", "unit-off", "unit-off", "unit-off", "unit-off", "no-unit",
    ];
    assert_eq!(silent, expected);
    // A path that leads nowhere may have meant any function of the rest, and two units for one function are none.
    let mut lost = drhd(0, GOOD, &[function(7)]);
    (lost[2], lost[17]) = (26, 10);
    lost.extend_from_slice(&[0, 0]);
    let uncertain = of(&[lost, drhd(0, SILENT, &[])]);
    assert_eq!(uncertain[..3], ["uncertain-unit"; 3]);
    let twice = of(&[drhd(0, GOOD, &[below(1)]), drhd(0, SILENT, &[below(1)])]);
    assert_eq!(twice[0], "uncertain-unit");
}
