//! The `acpi` crate reads the same tables: what this crate accepts says the same to both.
//!
//! Every difference is on the side of what is refused, and meant: this crate refuses a table as a whole where an entry is cut
//! short, has another length than its type, a reserved polarity, a zero or misaligned address, or contradicts another entry; the
//! other one skips or passes on. What neither decodes (entry types beyond 10) is left out of the comparison, as are the tables
//! that the other one does not read at all: DMAR, IVRS, and AML.
#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::rc::Rc;

use acpi::address::{AddressSpace, GenericAddress};
use acpi::sdt::hpet::HpetTable;
use acpi::sdt::{fadt, madt, mcfg};
use acpi::{AcpiTables, Handler, HpetInfo, PciAddress, RawPhysicalMapping};
use acpi_tables::{
    Fadt, Hpet, IoApic, LocalApicNmi, Madt, MadtEntry, Mcfg, NmiSource, PhysReader, Polarity,
    Processor, ReadError, Register, Root, Signature, SourceOverride, Space, Table, Trigger,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Where the memory of the test begins.
const BASE: usize = 0x10_0000;
const XSDT: usize = BASE + 0x100;
const FIRST_TABLE: usize = BASE + 0x1000;
/// Room for one table, and for what the other crate reads beyond a short one.
const TABLE_ROOM: usize = 0x4000;

/// Physical memory that both crates read.
#[derive(Clone)]
struct Memory(Rc<Vec<u8>>);

impl PhysReader for Memory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), ReadError> {
        let start = (address as usize).checked_sub(BASE).ok_or(ReadError)?;
        let piece = self
            .0
            .get(start..)
            .and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(piece.ok_or(ReadError)?);
        Ok(())
    }
}

macro_rules! never {
    ($($name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => { $(
        fn $name(&self, $($arg: $ty),*) $(-> $ret)? {
            $(let _ = $arg;)*
            panic!("reading tables needs nothing but memory")
        }
    )* };
}

impl Handler for Memory {
    unsafe fn map_physical_region<T>(&self, address: usize, size: usize) -> RawPhysicalMapping<T> {
        let start = address - BASE;
        let room = size.max(size_of::<T>());
        assert!(start + room <= self.0.len(), "{address:#x} + {room:#x}");
        let place = self.0.as_ptr().wrapping_add(start).cast_mut().cast::<T>();
        // SAFETY: inside the vector, which lives as long as every clone of this handler; nobody writes to it.
        unsafe { RawPhysicalMapping::new(address, NonNull::new(place).unwrap(), size, room) }
    }

    unsafe fn unmap_physical_region<T>(&self, _: RawPhysicalMapping<T>) {}

    never! {
        read_u8(a: usize) -> u8; read_u16(a: usize) -> u16; read_u32(a: usize) -> u32; read_u64(a: usize) -> u64;
        write_u8(a: usize, v: u8); write_u16(a: usize, v: u16); write_u32(a: usize, v: u32); write_u64(a: usize, v: u64);
        read_io_u8(p: u16) -> u8; read_io_u16(p: u16) -> u16; read_io_u32(p: u16) -> u32;
        write_io_u8(p: u16, v: u8); write_io_u16(p: u16, v: u16); write_io_u32(p: u16, v: u32);
        read_pci_u8(a: PciAddress, o: u16) -> u8; read_pci_u16(a: PciAddress, o: u16) -> u16;
        read_pci_u32(a: PciAddress, o: u16) -> u32;
        write_pci_u8(a: PciAddress, o: u16, v: u8); write_pci_u16(a: PciAddress, o: u16, v: u16);
        write_pci_u32(a: PciAddress, o: u16, v: u32);
        nanos_since_boot() -> u64; stall(t: u64); sleep(t: u64);
    }
}

fn seal(bytes: &mut [u8], at: usize) {
    bytes[at] = 0;
    bytes[at] = bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
}

/// A sealed table.
fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend_from_slice(&(36 + body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[revision, 0]);
    bytes.extend_from_slice(b"CAPOS TESTTABL\x01\0\0\0TEST\x01\0\0\0");
    bytes.extend_from_slice(body);
    seal(&mut bytes, 9);
    bytes
}

/// A machine with these tables, behind an XSDT.
fn memory(tables: &[Vec<u8>]) -> Memory {
    let mut bytes = vec![0; 0x1000 + tables.len() * TABLE_ROOM];
    let mut rsdp = b"RSD PTR \0CAPOS \x02".to_vec();
    rsdp.resize(36, 0);
    rsdp[20..24].copy_from_slice(&36_u32.to_le_bytes());
    rsdp[24..32].copy_from_slice(&(XSDT as u64).to_le_bytes());
    let sum = rsdp[..20]
        .iter()
        .fold(0_u8, |sum, byte| sum.wrapping_sub(*byte));
    rsdp[8] = sum;
    seal(&mut rsdp, 32);
    bytes[..36].copy_from_slice(&rsdp);
    let addresses: Vec<u8> = (0..tables.len())
        .flat_map(|at| ((FIRST_TABLE + at * TABLE_ROOM) as u64).to_le_bytes())
        .collect();
    let xsdt = table(b"XSDT", 1, &addresses);
    bytes[0x100..0x100 + xsdt.len()].copy_from_slice(&xsdt);
    for (at, one) in tables.iter().enumerate() {
        let start = 0x1000 + at * TABLE_ROOM;
        bytes[start..start + one.len()].copy_from_slice(one);
    }
    Memory(Rc::new(bytes))
}

fn theirs(memory: &Memory) -> AcpiTables<Memory> {
    // SAFETY: the RSDP lies there, and everything it leads to lies in the same memory.
    unsafe { AcpiTables::from_rsdp(memory.clone(), BASE) }.unwrap()
}

/// The first table of that signature as this crate finds and copies it.
fn ours(memory: &Memory, signature: Signature) -> Vec<u8> {
    let root = Root::locate(memory, BASE as u64).unwrap();
    let found = root.find(memory, signature).unwrap().unwrap();
    let mut copy = vec![0; found.length_bytes as usize];
    let table: Table<'_> = found.copy(memory, &mut copy).unwrap();
    table.bytes().to_vec()
}

fn polarity(flags: u16) -> Polarity {
    match flags & 3 {
        1 => Polarity::ActiveHigh,
        3 => Polarity::ActiveLow,
        _ => Polarity::BusDefault,
    }
}

fn trigger(flags: u16) -> Trigger {
    match flags >> 2 & 3 {
        1 => Trigger::Edge,
        3 => Trigger::Level,
        _ => Trigger::BusDefault,
    }
}

/// One of their entries in this crate's terms; `None` for a type that this crate does not decode.
fn translate(entry: &madt::MadtEntry<'_>) -> Option<MadtEntry> {
    let processor = |apic_id, uid, flags: u32, x2apic| {
        MadtEntry::Processor(Processor {
            apic_id,
            uid,
            enabled: flags & 1 != 0,
            online_capable: flags & 3 == 2,
            x2apic,
        })
    };
    Some(match entry {
        madt::MadtEntry::LocalApic(one) => processor(
            one.apic_id.into(),
            one.processor_id.into(),
            one.flags,
            false,
        ),
        madt::MadtEntry::LocalX2Apic(one) => {
            processor(one.x2apic_id, one.processor_uid, one.flags, true)
        }
        madt::MadtEntry::IoApic(one) => MadtEntry::IoApic(IoApic {
            id: one.io_apic_id,
            address: one.io_apic_address,
            gsi_base: one.global_system_interrupt_base,
        }),
        madt::MadtEntry::InterruptSourceOverride(one) => {
            MadtEntry::SourceOverride(SourceOverride {
                source: one.irq,
                gsi: one.global_system_interrupt,
                polarity: polarity(one.flags),
                trigger: trigger(one.flags),
            })
        }
        madt::MadtEntry::NmiSource(one) => MadtEntry::NmiSource(NmiSource {
            gsi: one.global_system_interrupt,
            polarity: polarity(one.flags),
            trigger: trigger(one.flags),
        }),
        madt::MadtEntry::LocalApicNmi(one) => MadtEntry::LocalApicNmi(LocalApicNmi {
            uid: (one.processor_id != 0xff).then_some(one.processor_id.into()),
            lint: one.nmi_line,
            polarity: polarity(one.flags),
            trigger: trigger(one.flags),
        }),
        madt::MadtEntry::X2ApicNmi(one) => MadtEntry::LocalApicNmi(LocalApicNmi {
            uid: ({ one.processor_uid } != u32::MAX).then_some(one.processor_uid),
            lint: one.nmi_line,
            polarity: polarity(one.flags),
            trigger: trigger(one.flags),
        }),
        madt::MadtEntry::LocalApicAddressOverride(one) => {
            MadtEntry::LocalApicAddress(one.local_apic_address)
        }
        _ => return None,
    })
}

/// Compares both readings of a MADT; whether this crate accepts it.
fn compare_madt(bytes: Vec<u8>) -> bool {
    let memory = memory(&[bytes]);
    let copy = ours(&memory, Signature::MADT);
    let Ok(madt) = Madt::parse(&copy) else {
        return false;
    };
    let tables = theirs(&memory);
    let mapping = tables.find_table::<madt::Madt>().unwrap();
    let other = mapping.get();
    let entries: Vec<MadtEntry> = other.entries().filter_map(|one| translate(&one)).collect();
    let known = |one: &MadtEntry| !matches!(one, MadtEntry::Unknown(_));
    assert_eq!(madt.entries().filter(known).collect::<Vec<_>>(), entries);
    assert_eq!(madt.has_8259(), other.supports_8259());
    let address = entries.iter().find_map(|one| match one {
        MadtEntry::LocalApicAddress(address) => Some(*address),
        _ => None,
    });
    let fixed = u64::from(other.local_apic_address);
    assert_eq!(madt.local_apic_address(), address.unwrap_or(fixed));
    true
}

/// An entry of a MADT that is well formed, as far as one entry alone can be.
fn madt_entry() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![Just(0_u16), Just(5), Just(13), Just(15), Just(7)];
    prop_oneof![
        (any::<u8>(), any::<u8>(), 0_u32..4)
            .prop_map(|(uid, id, flags)| { [&[0, 8, uid, id][..], &flags.to_le_bytes()].concat() }),
        (any::<u8>(), 1_u32..0x1000, 0_u32..256).prop_map(|(id, page, gsi)| {
            [
                &[1, 12, id, 0][..],
                &(page << 12).to_le_bytes(),
                &gsi.to_le_bytes(),
            ]
            .concat()
        }),
        (0_u8..16, 0_u32..64, flags.clone()).prop_map(|(line, gsi, flags)| {
            [
                &[2, 10, 0, line][..],
                &gsi.to_le_bytes(),
                &flags.to_le_bytes(),
            ]
            .concat()
        }),
        (any::<u32>(), flags.clone()).prop_map(|(gsi, flags)| {
            [&[3, 8][..], &flags.to_le_bytes(), &gsi.to_le_bytes()].concat()
        }),
        (any::<u8>(), flags.clone(), 0_u8..2).prop_map(|(uid, flags, lint)| {
            [&[4, 6, uid][..], &flags.to_le_bytes(), &[lint]].concat()
        }),
        (1_u64..0x1000)
            .prop_map(|page| { [&[5, 12, 0, 0][..], &(page << 12).to_le_bytes()].concat() }),
        (any::<u32>(), 0_u32..4, any::<u32>()).prop_map(|(id, flags, uid)| {
            [
                &[9, 16, 0, 0][..],
                &id.to_le_bytes(),
                &flags.to_le_bytes(),
                &uid.to_le_bytes(),
            ]
            .concat()
        }),
        (flags, any::<u32>(), 0_u8..2).prop_map(|(flags, uid, lint)| {
            [
                &[10, 12][..],
                &flags.to_le_bytes(),
                &uid.to_le_bytes(),
                &[lint, 0, 0, 0],
            ]
            .concat()
        }),
        // Not decoded by either.
        vec(any::<u8>(), 0..6)
            .prop_map(|rest| { [&[0x80, 2 + rest.len() as u8][..], &rest].concat() }),
    ]
}

fn madt_table(address: u32, flags: u32, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut body = address.to_le_bytes().to_vec();
    body.extend_from_slice(&flags.to_le_bytes());
    body.extend(entries.iter().flatten());
    table(b"APIC", 5, &body)
}

fn compare_mcfg(bytes: Vec<u8>) -> bool {
    let memory = memory(&[bytes]);
    let copy = ours(&memory, Signature::MCFG);
    let Ok(mcfg) = Mcfg::parse(&copy) else {
        return false;
    };
    let tables = theirs(&memory);
    let other = tables.find_table::<mcfg::Mcfg>().unwrap();
    let windows: Vec<_> = other
        .entries()
        .iter()
        .map(|one| {
            let start = one.base_address + (u64::from(one.bus_number_start) << 20);
            (
                one.pci_segment_group,
                one.bus_number_start,
                one.bus_number_end,
                start,
            )
        })
        .collect();
    let own = mcfg.windows().map(|one| {
        (
            one.segment,
            one.start_bus,
            one.end_bus,
            one.start().as_u64(),
        )
    });
    assert_eq!(own.collect::<Vec<_>>(), windows);
    true
}

fn compare_hpet(bytes: Vec<u8>) -> bool {
    let memory = memory(&[bytes]);
    let copy = ours(&memory, Signature::HPET);
    let Ok(hpet) = Hpet::parse(&copy) else {
        return false;
    };
    let tables = theirs(&memory);
    let other = HpetInfo::new(&tables).unwrap();
    let raw = tables.find_table::<HpetTable>().unwrap();
    assert_eq!(hpet.address, other.base_address as u64);
    assert_eq!(hpet.hardware_id, { raw.event_timer_block_id });
    assert_eq!(hpet.hardware_id as u8, other.hardware_rev);
    assert_eq!((hpet.hardware_id >> 16) as u16, other.pci_vendor_id);
    assert_eq!(
        (hpet.number, hpet.min_ticks),
        (other.hpet_number, other.clock_tick_unit)
    );
    true
}

/// A register of theirs in this crate's terms.
fn register(found: Option<GenericAddress>) -> Option<Register> {
    let found = found.filter(|one| one.address != 0)?;
    let space = match found.address_space {
        AddressSpace::SystemMemory => Space::Memory,
        AddressSpace::SystemIo => Space::Io,
        AddressSpace::PciConfigSpace => Space::PciConfig,
        other => panic!("accepted in {other:?}"),
    };
    Some(Register {
        space,
        address: found.address,
        width_bits: found.bit_width,
    })
}

fn compare_fadt(bytes: Vec<u8>) -> bool {
    let memory = memory(&[bytes]);
    let copy = ours(&memory, Signature::FADT);
    let Ok(own) = Fadt::parse(&copy) else {
        return false;
    };
    let tables = theirs(&memory);
    let other = tables.find_table::<fadt::Fadt>().unwrap();
    assert_eq!(
        own.dsdt,
        other.dsdt_address().ok().map(|address| address as u64)
    );
    assert_eq!(own.sci, { other.sci_interrupt });
    assert_eq!(own.century.unwrap_or(0), other.century);
    assert_eq!(own.smi_command.map_or(0, u32::from), { other.smi_cmd_port });
    assert_eq!(own.acpi_enable, other.acpi_enable);
    assert_eq!(own.pm1a_control, register(other.pm1a_control_block().ok()));
    assert_eq!(
        own.pm1b_control,
        register(other.pm1b_control_block().unwrap())
    );
    assert_eq!(own.pm_timer, register(other.pm_timer_block().unwrap()));
    assert_eq!(
        own.sleep_control,
        register(other.sleep_control_register().unwrap())
    );
    let flags = { other.flags };
    assert_eq!(own.flags.timer_32_bits(), flags.pm_timer_is_32_bit());
    assert_eq!(
        own.flags.reset_register(),
        flags.supports_system_reset_via_fadt()
    );
    assert_eq!(
        own.flags.hardware_reduced(),
        flags.system_is_hw_reduced_acpi()
    );
    let reset = own.reset.map(|reset| (Some(reset.register), reset.value));
    let other_reset = flags
        .supports_system_reset_via_fadt()
        .then(|| (register(other.reset_register().ok()), other.reset_value));
    assert_eq!(reset, other_reset);
    let boot = { other.iapc_boot_arch };
    assert_eq!(
        own.boot.legacy_devices(),
        boot.legacy_devices_are_accessible()
    );
    assert_eq!(own.boot.has_8042(), boot.motherboard_implements_8042());
    assert_eq!(own.boot.msi_not_supported(), boot.dont_enable_msi());
    assert_eq!(
        own.boot.no_cmos_rtc(),
        boot.use_time_and_alarm_namespace_for_rtc()
    );
    true
}

/// The fields of a FADT that somebody may get wrong: each may be zero, or something.
#[derive(Clone, Debug)]
struct FadtFields {
    dsdt: (u32, u64),
    control: [u32; 2],
    timer: (u32, u8),
    wide: [(u8, u64); 3],
    reset: (u64, u8),
    flags: u32,
    boot: u16,
}

fn fadt_fields() -> impl Strategy<Value = FadtFields> {
    let port = || prop_oneof![Just(0_u32), 0x400_u32..0x700];
    let wide = || {
        prop_oneof![
            Just((1_u8, 0_u64)),
            (Just(1_u8), 0x400_u64..0x700),
            (Just(0_u8), 0x1000_u64..0x9000)
        ]
    };
    (
        (any::<u32>(), prop_oneof![Just(0_u64), 1_u64..1 << 40]),
        [port(), port()],
        (port(), prop_oneof![Just(0_u8), Just(4)]),
        [wide(), wide(), wide()],
        (0x40_u64..0xd00, any::<u8>()),
        any::<u32>(),
        any::<u16>(),
    )
        .prop_map(
            |(dsdt, control, timer, wide, reset, flags, boot)| FadtFields {
                dsdt,
                control,
                timer,
                wide,
                reset,
                flags,
                boot,
            },
        )
}

fn fadt_table(fields: &FadtFields) -> Vec<u8> {
    let mut bytes = table(b"FACP", 6, &[0; 276 - 36]);
    let mut set = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    set(40, &fields.dsdt.0.to_le_bytes());
    set(46, &9_u16.to_le_bytes());
    set(48, &0xb2_u32.to_le_bytes());
    set(52, &[2, 3]);
    set(64, &fields.control[0].to_le_bytes());
    set(68, &fields.control[1].to_le_bytes());
    set(76, &fields.timer.0.to_le_bytes());
    set(88, &[4, 2, 0, fields.timer.1]);
    set(109, &fields.boot.to_le_bytes());
    set(112, &fields.flags.to_le_bytes());
    set(116, &[1, 8, 0, 1]);
    set(120, &fields.reset.0.to_le_bytes());
    set(128, &[fields.reset.1]);
    set(140, &fields.dsdt.1.to_le_bytes());
    for ((space, address), (at, width)) in fields.wide.iter().zip([(172, 16), (184, 16), (208, 32)])
    {
        set(at, &[*space, width, 0, 0]);
        set(at + 4, &address.to_le_bytes());
    }
    seal(&mut bytes, 9);
    bytes
}

#[test]
fn a_machine_like_qemus_is_accepted_and_reads_the_same() {
    let entries = [
        vec![0, 8, 0, 0, 1, 0, 0, 0],
        vec![1, 12, 0, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0],
        vec![2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
        vec![4, 6, 0xff, 0, 0, 1],
        vec![0x80, 3, 7],
    ];
    assert!(compare_madt(madt_table(0xfee0_0000, 1, &entries)));
    let mut window = 0xb000_0000_u64.to_le_bytes().to_vec();
    window.extend_from_slice(&[0, 0, 0, 0xff, 0, 0, 0, 0]);
    assert!(compare_mcfg(table(
        b"MCFG",
        1,
        &[&[0; 8][..], &window].concat()
    )));
    let mut body = 0x8086_a201_u32.to_le_bytes().to_vec();
    body.extend_from_slice(&[0, 64, 0, 0]);
    body.extend_from_slice(&0xfed0_0000_u64.to_le_bytes());
    body.extend_from_slice(&[0, 0x80, 0, 0]);
    assert!(compare_hpet(table(b"HPET", 1, &body)));
    assert!(compare_fadt(fadt_table(&FadtFields {
        dsdt: (0x7fe_0040, 0),
        control: [0x604, 0],
        timer: (0x608, 4),
        wide: [(1, 0x604), (1, 0), (1, 0x608)],
        reset: (0xcf9, 0x0f),
        flags: 0x84a5,
        boot: 2,
    })));
}

#[test]
fn the_same_tables_are_found() {
    let tables = [
        madt_table(0xfee0_0000, 1, &[]),
        table(b"MCFG", 1, &[0; 8]),
        table(b"SSDT", 2, b"\x10\x05_SB_"),
        table(b"SSDT", 2, b"\x10\x05_TZ_"),
    ];
    let memory = memory(&tables);
    let root = Root::locate(&memory, BASE as u64).unwrap();
    let own: Vec<_> = root
        .tables(&memory)
        .map(|found| found.unwrap())
        .map(|found| {
            (
                found.address as usize,
                found.length_bytes,
                found.signature.to_string(),
            )
        })
        .collect();
    let other: Vec<_> = theirs(&memory)
        .table_headers()
        .map(|(address, header)| (address, { header.length }, header.signature.to_string()))
        .collect();
    assert_eq!(own, other);
}

proptest! {
    #[test]
    fn interrupt_controllers_read_the_same(
        page in 1_u32..0x10_0000, flags in 0_u32..2, entries in vec(madt_entry(), 0..24),
    ) {
        compare_madt(madt_table(page << 12, flags, &entries));
    }

    #[test]
    fn one_entry_alone_is_accepted(entry in madt_entry()) {
        prop_assert!(compare_madt(madt_table(0xfee0_0000, 0, &[entry])));
    }

    #[test]
    fn windows_read_the_same(entries in vec((1_u64..64, 0_u16..3, any::<u8>(), any::<u8>()), 0..6)) {
        let mut body = vec![0; 8];
        for (base, segment, start, end) in entries {
            body.extend_from_slice(&(base << 28).to_le_bytes());
            body.extend_from_slice(&segment.to_le_bytes());
            body.extend_from_slice(&[start, end, 0, 0, 0, 0]);
        }
        compare_mcfg(table(b"MCFG", 1, &body));
    }

    #[test]
    fn timers_read_the_same(id in any::<u32>(), page in 1_u64..1 << 30, number in any::<u8>(), ticks in any::<u16>()) {
        let mut body = id.to_le_bytes().to_vec();
        body.extend_from_slice(&[0, 64, 0, 0]);
        body.extend_from_slice(&(page << 12).to_le_bytes());
        body.push(number);
        body.extend_from_slice(&ticks.to_le_bytes());
        body.push(0);
        prop_assert!(compare_hpet(table(b"HPET", 1, &body)));
    }

    #[test]
    fn fixed_hardware_reads_the_same(fields in fadt_fields()) {
        prop_assert!(compare_fadt(fadt_table(&fields)));
    }
}
