//! Firmware tables that break rules, on the running system.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeFile};
use crate::smoke::sabotage::{Break, Sabotage};
use crate::smoke::tables::{dmar, drhd, ivrs, mcfg, table};

/// A scope whose path goes through device 40, which no bus has.
const NO_SUCH_DEVICE: &[u8] = &[1, 8, 0, 0, 0, 0, 40, 0];
/// The start of a range of requester ids without its end.
const NO_END: &[u8] = &[3, 0, 1, 0];
/// An address between memory and the devices of either machine, where nothing answers.
const NOWHERE: u64 = 0xa000_0000;

/// A MADT that names one processor as local APIC 7.
fn madt() -> Vec<u8> {
    let mut body = 0xfee0_0000u32.to_le_bytes().to_vec();
    body.extend_from_slice(&[1, 0, 0, 0]);
    body.extend_from_slice(&[0, 8, 0, 7, 1, 0, 0, 0]);
    table(b"APIC", &body)
}

inventory::submit! {
    Smoke {
        name: "acpi-hostile",
        question: "Does the machine boot, and refuse by rule, when tables are malformed or there twice?",
        rows: &["PC-02", "PC-03", "PC-04", "PC-16", "IO-02"],
        manifest: "smoke/boot",
        smp: 2,
        files: &[
            SmokeFile { name: "madt", bytes: madt },
            SmokeFile { name: "mcfg", bytes: || mcfg(&[(NOWHERE, 0, 0, 255)]) },
            SmokeFile { name: "dmar", bytes: || dmar(&[drhd(0xfed9_0000, NO_SUCH_DEVICE)]) },
            SmokeFile { name: "ivrs", bytes: || ivrs(0xfed8_0000, NO_END) },
        ],
        extra: &[
            "-acpitable", "file={work}/madt",
            "-acpitable", "file={work}/mcfg",
            "-acpitable", "file={work}/dmar",
            "-acpitable", "file={work}/ivrs",
        ],
        required: &[
            "@acpi.refused reason=\"APIC: duplicate\"",
            "@acpi.refused reason=\"MCFG: duplicate\"",
            "@boot.cpus online=1 listed=1",
            "@pci.scan buses=256",
            "@pci.access windows=0 ports=1",
            "@acpi.refused reason=\"DMAR: field\"",
            "@acpi.refused reason=\"IVRS: unpaired\"",
            "@dma.backend chosen=bounce reason=no-verified-iommu iommu=malformed-fail-closed missing=manager-owned-domain",
            "@hello.done arguments=2",
        ],
        forbidden: &["@kernel.panic"],
        keeps_boot: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::FIRST_OF_TWO_TABLES,
        smoke: "acpi-hostile",
        breaks: Break::Missing("@acpi.refused reason=\"APIC: duplicate\""),
    }
}

inventory::submit! {
    Smoke {
        name: "mcfg-lies",
        question: "Is a window that does not show what the ports show left alone?",
        rows: &["PC-03", "PC-04", "PC-05", "PC-16"],
        manifest: "smoke/boot",
        model: "pc",
        files: &[SmokeFile { name: "mcfg", bytes: || mcfg(&[(NOWHERE, 0, 0, 63), (NOWHERE + (64 << 20), 1, 0, 3)]) }],
        extra: &["-acpitable", "file={work}/mcfg"],
        required: &[
            "@acpi.mcfg windows=2",
            "@pci.scan buses=260",
            "@pci.access windows=0 ports=1 disagreeing=1 skipped=0",
            "@hello.done arguments=2",
        ],
        forbidden: &["@kernel.panic"],
        keeps_boot: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::TRUST_ECAM,
        smoke: "mcfg-lies",
        breaks: Break::Missing("@pci.access windows=0 ports=1 disagreeing=1 skipped=0"),
    }
}

inventory::submit! {
    Smoke {
        name: "mcfg-in-memory",
        question: "Is a window refused that lies in memory, where configuration writes would land?",
        rows: &["PC-03", "PC-16"],
        manifest: "smoke/boot",
        model: "pc",
        files: &[SmokeFile { name: "mcfg", bytes: || mcfg(&[(16 << 20, 0, 0, 255)]) }],
        extra: &["-acpitable", "file={work}/mcfg"],
        required: &[
            "@acpi.refused reason=\"MCFG: in-memory\"",
            "@pci.access windows=0 ports=1 disagreeing=0 skipped=0",
            "@hello.done arguments=2",
        ],
        forbidden: &["@kernel.panic", "@acpi.mcfg"],
        keeps_boot: true,
        ..Smoke::DEFAULT
    }
}
