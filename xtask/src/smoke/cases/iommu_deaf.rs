//! Units that stop answering while devices are below them.

use anyhow::Result;
use sabotage::points;

use crate::smoke::case::{Peer, Smoke, Step};
use crate::smoke::cases::iommu_remapping::REMAPPED;
use crate::smoke::qtest::{Card, Qtest};
use crate::smoke::sabotage::{Break, Sabotage};

/// QEMU's VT-d unit: its command register, with translation and interrupt remapping on and the queue off.
const VTD_COMMAND: u64 = 0xfed9_0018;
const VTD_WITHOUT_QUEUE: u32 = 1 << 31 | 1 << 25;
/// QEMU's AMD-Vi unit: its control register, and what turns its command buffer on there.
const AMD_CONTROL: u64 = 0xfed8_0018;
const AMD_COMMANDS: u64 = 1 << 12;
/// The first card.
const CARD: u8 = 4;

const LOST: &str = "@interrupt.vector-lost";
const QUARANTINED: &str = "@device.quarantined reason=unit-does-not-forget";

/// Has the first card raise its interrupt, which its holder waits for before it ends.
pub(super) fn go_on(port: &mut Qtest) -> Result<()> {
    let card = Card::find(port, CARD)?;
    card.raise(port, 0x10)
}

fn deafen_vtd(peer: &mut Peer<'_>) -> Result<()> {
    let mut port = Qtest::connect(peer.work)?;
    port.write32(VTD_COMMAND, VTD_WITHOUT_QUEUE)?;
    go_on(&mut port)
}

fn deafen_amd(peer: &mut Peer<'_>) -> Result<()> {
    let mut port = Qtest::connect(peer.work)?;
    let control = port.read64(AMD_CONTROL)?;
    port.write64(AMD_CONTROL, control & !AMD_COMMANDS)?;
    go_on(&mut port)
}

/// Cards below a unit, and the port by which it goes deaf.
macro_rules! below {
    ($unit:literal) => {
        &[
            "-qtest",
            "unix:{work}/qtest,server=on,wait=off",
            "-qtest-log",
            "none",
            "-device",
            $unit,
            "-device",
            "edu,addr=4",
            "-device",
            "edu,addr=5",
            "-device",
            "edu,addr=6",
        ]
    };
}

const REQUIRED: &[&str] = &[
    REMAPPED,
    "@forge.own dispatches=1 causes=16",
    LOST,
    QUARANTINED,
];
const FORBIDDEN: &[&str] = &["@kernel.panic"];

inventory::submit! {
    Smoke {
        name: "iommu-deaf",
        question: "Is nothing of a device used again whose VT-d unit goes deaf, neither its vector nor its pages?",
        rows: &["IO-13"],
        manifest: "smoke/unit-deaf",
        extra: below!("intel-iommu,aw-bits=39"),
        steps: &[Step::Wait("@forge.ready"), Step::Peer(deafen_vtd)],
        required: REQUIRED,
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-deaf",
        question: "Is nothing of a device used again whose AMD-Vi unit goes deaf?",
        rows: &["IO-13", "IO-22"],
        manifest: "smoke/unit-deaf",
        extra: below!("{amd-iommu}"),
        steps: &[Step::Wait("@forge.ready"), Step::Peer(deafen_amd)],
        required: REQUIRED,
        forbidden: FORBIDDEN,
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::BELIEVE_DEAF_UNIT,
        smoke: "iommu-deaf",
        breaks: Break::Missing(LOST),
    }
}
