//! Tables as firmware makes them, and as an enemy would.

use mp_tables::{HEADER_BYTES, IoApic, MpError, MpTable, PinRoute, find_table, table_bytes};
use proptest::prelude::*;

fn seal(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[at] = 0u8.wrapping_sub(sum);
}

fn table(entries: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    bytes[..4].copy_from_slice(b"PCMP");
    bytes[6] = 4;
    for entry in entries {
        bytes.extend_from_slice(entry);
    }
    let length = bytes.len() as u16;
    bytes[4..6].copy_from_slice(&length.to_le_bytes());
    bytes[34..36].copy_from_slice(&(entries.len() as u16).to_le_bytes());
    seal(&mut bytes, 7);
    bytes
}

const CPU: [u8; 20] = [0; 20];
const PCI: [u8; 8] = *b"\x01\x00PCI   ";
const ISA: [u8; 8] = *b"\x01\x01ISA   ";
const IO_APIC: [u8; 8] = [2, 0, 0x11, 1, 0, 0, 0xc0, 0xfe];

/// What QEMU's firmware says of a machine with devices 1 and 2.
fn usual() -> Vec<u8> {
    table(&[
        &CPU,
        &PCI,
        &ISA,
        &IO_APIC,
        &[3, 0, 0, 0, 0, 4, 0, 10],
        &[3, 0, 0, 0, 0, 8, 0, 11],
        &[3, 0, 0x0d, 0, 0, 9, 0, 12],
        &[3, 0, 0, 0, 1, 1, 0, 1],
        &[4, 3, 0, 0, 1, 0, 0, 0],
    ])
}

#[test]
fn pins_are_found() {
    let bytes = usual();
    let table = MpTable::parse(&bytes).unwrap();
    let io_apic = IoApic {
        id: 0,
        address: 0xfec0_0000,
    };
    let route = |input, active_low, level| {
        Some(PinRoute {
            io_apic,
            input,
            active_low,
            level,
        })
    };
    assert_eq!(table.pin(0, 1, 0), route(10, true, true));
    assert_eq!(table.pin(0, 2, 0), route(11, true, true));
    // An entry that says otherwise than the bus.
    assert_eq!(table.pin(0, 2, 1), route(12, false, true));
    for (bus, device, pin) in [
        (0, 3, 0),
        (0, 1, 1),
        (0, 1, 4),
        (0, 32, 0),
        (1, 0, 1),
        (7, 1, 0),
    ] {
        assert_eq!(table.pin(bus, device, pin), None);
    }
}

#[test]
fn a_contradiction_or_an_io_apic_that_is_not_there_is_no_answer() {
    let two = table(&[
        &PCI,
        &IO_APIC,
        &[3, 0, 0, 0, 0, 4, 0, 10],
        &[3, 0, 0, 0, 0, 4, 0, 11],
        &[3, 0, 0, 0, 0, 8, 9, 11],
    ]);
    let it = MpTable::parse(&two).unwrap();
    assert_eq!((it.pin(0, 1, 0), it.pin(0, 2, 0)), (None, None));
    let disabled = table(&[
        &PCI,
        &[2, 0, 0x11, 0, 0, 0, 0xc0, 0xfe],
        &[3, 0, 0, 0, 0, 4, 0, 10],
    ]);
    assert_eq!(MpTable::parse(&disabled).unwrap().pin(0, 1, 0), None);
}

#[test]
fn what_does_not_add_up_is_refused() {
    let refused = |change: &dyn Fn(&mut Vec<u8>), sealed: bool| {
        let mut bytes = usual();
        change(&mut bytes);
        if sealed && bytes.len() > 7 {
            seal(&mut bytes, 7);
        }
        MpTable::parse(&bytes).err()
    };
    assert_eq!(refused(&|_| (), true), None);
    assert_eq!(refused(&|b| b[50] ^= 1, false), Some(MpError::Checksum));
    assert_eq!(refused(&|b| b[0] = b'X', true), Some(MpError::Signature));
    assert_eq!(
        refused(&|b| b.truncate(43), false),
        Some(MpError::Truncated)
    );
    assert_eq!(
        refused(&|b| b.truncate(60), false),
        Some(MpError::Truncated)
    );
    assert_eq!(
        refused(&|b| b[4..6].fill(0), true),
        Some(MpError::Truncated)
    );
    assert_eq!(refused(&|b| b[34] += 1, true), Some(MpError::Count));
    assert_eq!(refused(&|b| b[44] = 5, true), Some(MpError::Entry));
    // A processor's entry is longer than what is left.
    let last = usual().len() - 8;
    assert_eq!(refused(&|b| b[last] = 0, true), Some(MpError::Entry));
    // A reserved polarity.
    assert_eq!(
        refused(&|b| b[last - 8 + 2] = 2, true),
        Some(MpError::Entry)
    );
}

#[test]
fn the_pointer_is_found_on_its_boundary_and_with_its_sum() {
    let mut pointer = *b"_MP_\xa0\x5b\x0f\x00\x01\x04\x00\x00\x00\x00\x00\x00";
    seal(&mut pointer, 10);
    let mut area = vec![0; 64];
    area[32..48].copy_from_slice(&pointer);
    assert_eq!(find_table(&area), Some(0xf5ba0));
    assert_eq!(find_table(&area[1..]), None);
    assert_eq!(find_table(&area[..47]), None);
    area[42] ^= 1;
    assert_eq!(find_table(&area), None);
    // A default configuration.
    pointer[11] = 5;
    seal(&mut pointer, 10);
    area[32..48].copy_from_slice(&pointer);
    assert_eq!(find_table(&area), None);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..400), bus: u8, device: u8, pin: u8) {
        let _ = find_table(&bytes);
        let _ = table_bytes(&bytes);
        let _ = MpTable::parse(&bytes);
        if bytes.len() >= HEADER_BYTES {
            bytes[..4].copy_from_slice(b"PCMP");
            let length = bytes.len() as u16;
            bytes[4..6].copy_from_slice(&length.to_le_bytes());
            for kind in bytes[HEADER_BYTES..].iter_mut() {
                *kind %= 6;
            }
            let count = (0..=64u16).find(|count| {
                bytes[34..36].copy_from_slice(&count.to_le_bytes());
                seal(&mut bytes, 7);
                MpTable::parse(&bytes).is_ok()
            });
            if count.is_some() {
                let table = MpTable::parse(&bytes).unwrap();
                let _ = table.pin(bus, device, pin);
                prop_assert!(table.interrupts().count() <= bytes.len() / 8);
            }
        }
    }
}
