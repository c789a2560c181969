//! What each request gets.

use std::vec::Vec;

use limine::request as theirs;

use super::fake::{ARCHIVE, BASE, DATA, GIB, HHDM_ID, MIB, Machine, request};
use crate::{Error, HHDM, KERNEL_BASE, Kind};

const INFO: [u64; 2] = [0xf550_38d8_e2a1_202f, 0x2794_26fc_f5f5_9740];
const FILE: [u64; 2] = [0xad97_e90e_83f1_ed67, 0x31eb_5d1c_5ff2_3b69];
const MODULES: [u64; 2] = [0x3e7e_2797_02be_32af, 0xca1c_4f3b_d128_0cee];
const MAP: [u64; 2] = [0x67cf_3d9d_378a_806f, 0xe304_acdf_c50c_3c62];
const STACK: [u64; 2] = [0x224e_f046_0a8e_8926, 0xe1cb_0fc2_5f46_ea3d];
const PAGING: [u64; 2] = [0x95c1_a0ed_ab09_44cb, 0xa4e5_cb38_42f7_488a];
const ENTRY: [u64; 2] = [0x13d8_6c03_5a1c_d3e1, 0x2b0c_aa89_d8f3_026a];
const RSDP: [u64; 2] = [0xc5e7_7b6b_397e_7b43, 0x2763_7845_accd_cf3c];

/// The identifier words of one of the `limine` crate's requests.
macro_rules! id {
    ($request:ident) => {{
        let request = theirs::$request::new();
        let id = request.id();
        [id[2], id[3]]
    }};
}

#[test]
fn identifiers_are_those_of_the_limine_crate() {
    let answered = [
        id!(BootloaderInfoRequest),
        id!(FirmwareTypeRequest),
        id!(StackSizeRequest),
        id!(HhdmRequest),
        id!(PagingModeRequest),
        id!(MemoryMapRequest),
        id!(ExecutableFileRequest),
        id!(ExecutableCmdlineRequest),
        id!(ModuleRequest),
        id!(RsdpRequest),
        id!(SmbiosRequest),
        id!(EfiSystemTableRequest),
        id!(DateAtBootRequest),
        id!(ExecutableAddressRequest),
    ];
    for id in answered {
        assert_ne!(
            Machine::with(id, 0, &[]).start().unwrap().response(),
            0,
            "{id:x?}"
        );
    }
}

#[test]
fn a_supported_base_revision_sets_the_tag_to_zero() {
    assert_eq!(
        Machine::with_words(BASE.to_vec())
            .start()
            .unwrap()
            .at(DATA + 16),
        0
    );
}

#[test]
fn a_newer_base_revision_leaves_the_tag_alone() {
    let mut machine = Machine::with(HHDM_ID, 0, &[]);
    machine.words[2] = 3;
    let started = machine.start().unwrap();
    assert_eq!(started.at(DATA + 16), 3);
    assert_eq!(started.field(8), HHDM);
}

#[test]
fn a_feature_that_is_not_provided_is_left_untouched() {
    for id in [
        id!(MpRequest),
        id!(FramebufferRequest),
        id!(DeviceTreeBlobRequest),
        [1, 2],
    ] {
        assert_eq!(Machine::with(id, 0, &[]).start().unwrap().response(), 0);
    }
    // Provided, but there is no EFI memory map here.
    assert_eq!(
        Machine::with(id!(EfiMemoryMapRequest), 0, &[])
            .start()
            .unwrap()
            .response(),
        0
    );
}

#[test]
fn requests_count_only_on_eight_byte_boundaries() {
    let mut machine = Machine::with(HHDM_ID, 0, &[]);
    let shifted: Vec<u8> = machine.words[3..]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    machine.words.truncate(3);
    let mut bytes = [0; 4].to_vec();
    bytes.extend_from_slice(&shifted);
    bytes.resize(bytes.len() + 4, 0);
    let words = bytes
        .chunks_exact(8)
        .map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    machine.words.extend(words);
    assert_eq!(machine.start().unwrap().at(DATA + 24 + 4 + 40 - 4) >> 32, 0);
}

const START_MARK: [u64; 4] = [
    0xf6b8_f4b3_9de7_d1ae,
    0xfab9_1a69_40fc_b9cf,
    0x785c_6ed0_15d3_e316,
    0x181e_920a_7852_b9d9,
];
const END_MARK: [u64; 2] = [0xadc0_e053_1bb1_0d03, 0x9572_709f_3176_4c62];

#[test]
fn requests_count_only_between_the_last_start_and_the_first_end_marker() {
    let outside = request(INFO, 0, &[]);
    let words = [
        &START_MARK[..],
        &outside,
        &START_MARK,
        &BASE,
        &request(HHDM_ID, 0, &[]),
        &END_MARK,
        &outside,
        &END_MARK,
    ]
    .concat();
    let mut machine = Machine::with_words(words);
    let started = machine.start().unwrap();
    let hhdm = DATA + 8 * (4 + 6 + 4 + 3) + 40;
    assert_ne!(started.at(hhdm), 0);
    assert_eq!(started.at(DATA + 8 * 4 + 40), 0, "before the start");
    assert_eq!(started.at(hhdm + 8 * (1 + 2) + 40), 0, "after the end");
}

#[test]
fn a_base_revision_tag_outside_the_markers_does_not_count() {
    let words = [&BASE[..], &START_MARK, &END_MARK].concat();
    assert_eq!(
        Machine::with_words(words).start().unwrap_err(),
        Error::BaseRevision(0)
    );
}

#[test]
fn two_requests_of_one_kind_are_refused() {
    let mut machine = Machine::with(HHDM_ID, 0, &[]);
    machine.words.extend(request(HHDM_ID, 1, &[]));
    assert_eq!(
        machine.start().unwrap_err(),
        Error::DuplicateRequest(HHDM_ID[0])
    );
}

#[test]
fn responses_lie_in_reclaimable_memory_and_have_revision_zero() {
    let mut machine = Machine::with(INFO, 0, &[]);
    let started = machine.start().unwrap();
    assert_eq!(started.kind(started.response()), Some(Kind::Reclaimable));
    assert_eq!(started.kind(started.field(8)), Some(Kind::Reclaimable));
    assert_eq!(started.field(0), 0);
}

#[test]
fn bootloader_info_names_the_front_end() {
    let mut machine = Machine::with(INFO, 0, &[]);
    let started = machine.start().unwrap();
    assert_eq!(
        started.memory.text(started.field(8)),
        b"capOS loader (test)"
    );
    assert_eq!(
        started.memory.text(started.field(16)),
        env!("CARGO_PKG_VERSION").as_bytes()
    );
}

#[test]
fn the_executable_file_has_path_command_line_and_place() {
    let mut machine = Machine::with(FILE, 0, &[]);
    let started = machine.start().unwrap();
    let file = started.field(8);
    assert_eq!(started.at(file + 8), HHDM + ARCHIVE);
    assert_eq!(
        started.memory.text(started.at(file + 24)),
        b"/boot/kernel.elf"
    );
    assert_eq!(started.memory.text(started.at(file + 32)), b"quiet");
    // Where it came from is not known: media type, network, partition, disk and identifiers are zero.
    assert!(
        (40..112)
            .step_by(8)
            .all(|offset| started.at(file + offset) == 0)
    );
}

#[test]
fn the_command_line_ends_at_a_zero_byte() {
    let mut machine = Machine::with(id!(ExecutableCmdlineRequest), 0, &[]);
    machine.command_line = b"a=1\0b=2";
    let started = machine.start().unwrap();
    assert_eq!(started.memory.text(started.field(8)), b"a=1");
}

fn two_modules() -> Machine {
    let mut machine = Machine::with(MODULES, 1, &[0, 0]);
    machine
        .modules
        .push(("boot/manifest.bin", 0x8000, b"first".to_vec()));
    machine
        .modules
        .push(("boot/bins/init", 0x9010, [7; 5000].to_vec()));
    machine
}

#[test]
fn modules_come_in_order_with_their_content() {
    let mut machine = two_modules();
    let started = machine.start().unwrap();
    assert_eq!(started.field(8), 2);
    let [first, second] = [0, 8].map(|offset| started.at(started.field(16) + offset));
    assert_eq!(
        started.memory.text(started.at(first + 24)),
        b"/boot/manifest.bin"
    );
    assert_eq!(
        started.memory.text(started.at(second + 24)),
        b"/boot/bins/init"
    );
    assert_eq!([started.at(first + 16), started.at(second + 16)], [5, 5000]);
    assert_eq!(
        started.at(started.at(second + 8) + 4992),
        0x0707_0707_0707_0707
    );
}

#[test]
fn a_module_starts_on_a_page_in_memory_of_its_kind() {
    let mut machine = two_modules();
    let started = machine.start().unwrap();
    for offset in [0, 8] {
        let address = started.at(started.at(started.field(16) + offset) + 8);
        assert_eq!(address % 4096, 0);
        assert_eq!(started.kind(address), Some(Kind::Image));
    }
    let first = started.at(started.field(16));
    assert_eq!(
        started.at(first + 8),
        HHDM + ARCHIVE + 0x8000,
        "an aligned module stays where it is"
    );
}

#[test]
fn the_memory_map_is_what_was_built() {
    let mut machine = two_modules();
    machine.words.extend(request(MAP, 0, &[]));
    let started = machine.start().unwrap();
    let response = started.at(DATA + 24 + 64 + 40);
    let entries: Vec<[u64; 3]> = (0..started.at(response + 8))
        .map(|index| started.at(started.at(response + 16) + index * 8))
        .map(|entry| [0, 8, 16].map(|offset| started.at(entry + offset)))
        .collect();
    let told: Vec<[u64; 3]> = (started.map.regions().iter())
        .map(|region| [region.base, region.end - region.base, region.kind as u64])
        .collect();
    assert_eq!(entries, told);
    assert!(
        entries
            .windows(2)
            .all(|pair| pair[0][0] + pair[0][1] <= pair[1][0])
    );
}

#[test]
fn the_memory_map_lies_in_what_it_calls_reclaimable() {
    let mut machine = Machine::with(MAP, 0, &[]);
    let started = machine.start().unwrap();
    let last = started.field(16) + (started.field(8) - 1) * 8;
    for address in [
        started.response(),
        started.field(16),
        last,
        started.at(last),
    ] {
        assert_eq!(started.kind(address), Some(Kind::Reclaimable));
    }
}

#[test]
fn the_stack_has_at_least_the_size_asked_for() {
    for (asked, given) in [(0, 0x1_0000), (0x2_0001, 0x2_1000)] {
        let mut machine = Machine::with(STACK, 0, &[asked]);
        let started = machine.start().unwrap();
        assert_ne!(started.response(), 0);
        for below in [8, given] {
            assert_eq!(
                started.kind(started.start.stack - below),
                Some(Kind::Reclaimable)
            );
            assert!(
                started
                    .memory
                    .walk(started.start.tables, started.start.stack - below)
                    .unwrap()
                    .1
            );
        }
        assert_eq!(started.start.stack % 16, 0);
    }
    assert_eq!(
        Machine::with(STACK, 0, &[GIB]).start().unwrap_err(),
        Error::StackSize(GIB)
    );
}

#[test]
fn four_level_paging_is_reported_and_the_only_mode() {
    assert_eq!(Machine::with(PAGING, 0, &[1]).start().unwrap().field(8), 0);
    assert_eq!(
        Machine::with(PAGING, 1, &[1, 1, 0])
            .start()
            .unwrap()
            .field(8),
        0
    );
    assert_eq!(
        Machine::with(PAGING, 1, &[1, 1, 1]).start().unwrap_err(),
        Error::PagingMode
    );
}

#[test]
fn the_entry_point_is_the_requested_one_and_lies_in_code() {
    assert_eq!(
        Machine::with(HHDM_ID, 0, &[]).start().unwrap().start.entry,
        KERNEL_BASE + 4
    );
    assert_eq!(
        Machine::with(ENTRY, 0, &[KERNEL_BASE + 15])
            .start()
            .unwrap()
            .start
            .entry,
        KERNEL_BASE + 15
    );
    for outside in [0, KERNEL_BASE + 16, DATA] {
        assert_eq!(
            Machine::with(ENTRY, 0, &[outside]).start().unwrap_err(),
            Error::EntryPoint(outside)
        );
    }
}

#[test]
fn tables_of_the_firmware_are_given_in_the_direct_map() {
    assert_eq!(
        Machine::with(RSDP, 0, &[]).start().unwrap().field(8),
        HHDM + 0xf_5a00
    );
    let mut smbios = Machine::with(id!(SmbiosRequest), 0, &[]);
    let started = smbios.start().unwrap();
    assert_eq!([started.field(8), started.field(16)], [0, HHDM + 0x1000]);
    assert_eq!(
        Machine::with(id!(EfiSystemTableRequest), 0, &[])
            .start()
            .unwrap()
            .field(8),
        HHDM + 0x2000
    );
}

#[test]
fn without_a_root_pointer_its_request_is_not_answered() {
    let mut machine = Machine::with(RSDP, 0, &[]);
    machine.rsdp = None;
    assert_eq!(machine.start().unwrap().response(), 0);
}

#[test]
fn the_executable_address_is_where_its_first_page_is() {
    let mut machine = Machine::with(id!(ExecutableAddressRequest), 0, &[]);
    let started = machine.start().unwrap();
    assert_eq!(started.field(16), KERNEL_BASE);
    assert_eq!(
        started.field(8),
        started
            .memory
            .walk(started.start.tables, KERNEL_BASE)
            .unwrap()
            .0
    );
    assert!(started.field(8) >= MIB, "low memory stays free");
}

#[test]
fn firmware_and_time_are_passed_on() {
    assert_eq!(
        Machine::with(id!(FirmwareTypeRequest), 0, &[])
            .start()
            .unwrap()
            .field(8),
        2
    );
    assert_eq!(
        Machine::with(id!(DateAtBootRequest), 0, &[])
            .start()
            .unwrap()
            .field(8),
        u64::MAX
    );
}

#[test]
fn the_descriptor_table_is_the_protocols() {
    let mut machine = Machine::with(HHDM_ID, 0, &[]);
    let started = machine.start().unwrap();
    let operand = started.start.gdt;
    assert_eq!(started.at(operand) & 0xffff, 7 * 8 - 1);
    let table = started.at(operand) >> 16 | started.at(operand + 8) << 48;
    assert_eq!(started.kind(table), Some(Kind::Reclaimable));
    // Access byte and flags: code is 0x9b, data 0x93; 32-bit and granularity 0xc, 64-bit 0x2.
    let shape = |index: u64| {
        let descriptor = started.at(table + index * 8);
        (descriptor >> 40 & 0xff, descriptor >> 52 & 0xf)
    };
    let shapes: Vec<_> = (0..7).map(shape).collect();
    assert_eq!(
        shapes,
        [
            (0, 0),
            (0x9b, 0),
            (0x93, 0),
            (0x9b, 0xc),
            (0x93, 0xc),
            (0x9b, 2),
            (0x93, 0)
        ]
    );
}
