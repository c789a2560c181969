//! Where things lie and how they are mapped.

use super::fake::{ARCHIVE, DATA, GIB, HHDM_ID, MIB, Machine};
use crate::{HHDM, KERNEL_BASE, Kind};

fn machine() -> Machine {
    Machine::with(HHDM_ID, 0, &[])
}

#[test]
fn segments_have_their_permissions() {
    let mut machine = machine();
    let started = machine.start().unwrap();
    let access = |virt| {
        started
            .memory
            .walk(started.start.tables, virt)
            .map(|(_, write, execute, size)| (write, execute, size))
    };
    assert_eq!(access(KERNEL_BASE), Some((false, true, 4096)));
    assert_eq!(access(KERNEL_BASE + 0x1000), Some((false, false, 4096)));
    assert_eq!(access(DATA), Some((true, false, 4096)));
    assert_eq!(access(DATA + 0x3000), Some((true, false, 4096)));
    assert_eq!(access(DATA + 0x4000), None);
}

#[test]
fn without_no_execute_the_bit_stays_clear() {
    let mut machine = machine();
    machine.cpu.no_execute = false;
    let started = machine.start().unwrap();
    assert!(started.memory.walk(started.start.tables, DATA).unwrap().2);
}

#[test]
fn the_kernel_is_contiguous_and_of_its_kind() {
    let mut machine = machine();
    let started = machine.start().unwrap();
    let base = started
        .memory
        .walk(started.start.tables, KERNEL_BASE)
        .unwrap()
        .0;
    for offset in (0..0x6000).step_by(0x1000) {
        let (phys, ..) = started
            .memory
            .walk(started.start.tables, KERNEL_BASE + offset)
            .unwrap();
        assert_eq!(phys, base + offset);
        assert_eq!(started.kind(HHDM + phys), Some(Kind::Image));
    }
}

#[test]
fn segments_hold_their_file_bytes_and_zeros() {
    let mut machine = machine();
    let started = machine.start().unwrap();
    assert_eq!(started.at(KERNEL_BASE + 8), 0xcccc_cccc_cccc_cccc);
    assert_eq!(started.at(KERNEL_BASE + 16), 0, "between segments");
    assert_eq!(started.at(KERNEL_BASE + 0x1008), 0xdddd_dddd_dddd_dddd);
    let data_end = DATA + 24 + 48;
    assert!(
        (data_end..DATA + 0x4000)
            .step_by(8)
            .all(|at| started.at(at) == 0)
    );
}

#[test]
fn the_direct_map_has_the_first_four_gib_writable_and_executable() {
    let mut machine = machine();
    let started = machine.start().unwrap();
    for phys in [0, 0xfff, MIB, GIB + 5, 0xfee0_0000, 4 * GIB - 1] {
        let (got, write, execute, _) = started
            .memory
            .walk(started.start.tables, HHDM + phys)
            .unwrap();
        assert_eq!((got, write, execute), (phys, true, true));
    }
    assert_eq!(
        started.memory.walk(started.start.tables, HHDM + 4 * GIB),
        None
    );
}

#[test]
fn the_direct_map_has_high_regions_but_not_reserved_or_bad_ones() {
    for gib_pages in [false, true] {
        let mut machine = machine();
        machine.cpu.gib_pages = gib_pages;
        let high = [
            (4 * GIB + 0x1000, 3 * GIB - 0x1000, Kind::Usable),
            (7 * GIB, MIB, Kind::AcpiNvs),
            (7 * GIB + MIB, 2 * GIB - MIB, Kind::Usable),
            (16 * GIB, GIB, Kind::Reserved),
            (20 * GIB, GIB, Kind::Bad),
        ];
        for (base, len, kind) in high {
            machine.map.add(base, len, kind).unwrap();
        }
        let started = machine.start().unwrap();
        let seen = |phys| {
            started
                .memory
                .walk(started.start.tables, HHDM + phys)
                .map(|(got, .., size)| (got == phys, size))
        };
        for phys in [
            4 * GIB + 0x1000,
            7 * GIB - 1,
            7 * GIB,
            7 * GIB + MIB,
            8 * GIB,
            9 * GIB - 1,
        ] {
            assert!(seen(phys).unwrap().0);
        }
        assert_eq!(
            seen(5 * GIB).unwrap().1,
            if gib_pages { GIB } else { 2 * MIB }
        );
        for phys in [9 * GIB, 16 * GIB, 20 * GIB] {
            assert_eq!(seen(phys), None);
        }
    }
}

#[test]
fn the_lower_half_is_empty_for_the_kernel_and_the_direct_map_for_the_bridge() {
    let mut machine = machine();
    machine.map.add(5 * GIB, GIB, Kind::Usable).unwrap();
    let started = machine.start().unwrap();
    for phys in [0, ARCHIVE, 4 * GIB - 1, 5 * GIB] {
        assert_eq!(started.memory.walk(started.start.tables, phys), None);
        assert_eq!(
            started.memory.walk(started.start.bridge, phys).unwrap().0,
            phys
        );
        assert_eq!(
            started
                .memory
                .walk(started.start.bridge, HHDM + phys)
                .unwrap()
                .0,
            phys
        );
    }
    let entry = started.start.entry;
    assert_eq!(
        started.memory.walk(started.start.bridge, entry),
        started.memory.walk(started.start.tables, entry)
    );
    assert_eq!(
        started
            .memory
            .walk(started.start.bridge, entry & 0x7fff_ffff_ffff),
        None
    );
}

#[test]
fn page_tables_lie_in_reclaimable_memory() {
    let mut machine = machine();
    let started = machine.start().unwrap();
    for root in [started.start.tables, started.start.bridge] {
        assert_eq!(started.kind(HHDM + root), Some(Kind::Reclaimable));
        for slot in 0..512 {
            let entry = started.memory.word(root + slot * 8);
            assert!(
                entry & 1 == 0 || started.kind(HHDM + (entry & !0xfff)) == Some(Kind::Reclaimable)
            );
        }
    }
}

#[test]
fn only_memory_that_was_usable_is_written_and_none_of_it_stays_usable() {
    let mut machine = machine();
    machine
        .modules
        .push(("boot/bins/odd", 0x8004, [1; 9000].to_vec()));
    let started = machine.start().unwrap();
    for &(at, len) in started.memory.written.iter().filter(|(_, len)| *len > 0) {
        let inside = |map: &crate::MemoryMap| {
            map.regions().iter().any(|region| {
                region.kind == Kind::Usable && region.base <= at && at + len <= region.end
            })
        };
        assert!(inside(&started.before) && !inside(started.map), "{at:#x}");
        assert!(
            at + len <= ARCHIVE || at >= ARCHIVE + MIB,
            "the boot files are left alone"
        );
    }
}
