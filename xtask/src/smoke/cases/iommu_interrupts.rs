//! Interrupts below a remapping unit that is on.

use std::fs;
use std::time::Duration;

use anyhow::{Result, bail};
use sabotage::points;
use vfio_user::card::Attack;

use crate::qemu::Feature;
use crate::smoke::case::{Peer, Smoke, SmokeDisk, Step};
use crate::smoke::cases::iommu_remapping::REMAPPED;
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::models::{DeviceModel, ModelKind};
use crate::smoke::qtest::{Card, Message, Qtest};
use crate::smoke::sabotage::{Break, Sabotage};
use crate::smoke::strangers;

/// Where the cards are.
const CARDS: [u8; 3] = [4, 5, 6];
/// Causes that are raised by a message of the card's own.
const OWN: u32 = 0x10;
/// The bit of a VT-d message's address that says that it names an entry.
const REMAPPABLE: u32 = 1 << 4;

const POSTURE: &str = "@dma.posture remapping_tables=on direct_dma=false hostile_hardware_isolation=memory-and-interrupts interrupts=remapped";

/// The message with an entry's number that is so much higher, round and round.
const fn beside((address, data): Message, by: u32) -> Message {
    match address & REMAPPABLE {
        0 => (address, (data + by) & 0x1ff),
        _ => {
            let index = ((address >> 5 & 0x7fff) + by) & 0x3ff;
            (address & 0xfff0_001f | index << 5, data)
        }
    }
}

struct Rig {
    port: Qtest,
    cards: [Card; 3],
}

impl Rig {
    fn new(peer: &Peer<'_>) -> Result<Self> {
        let mut port = Qtest::connect(peer.work)?;
        let [first, second, third] = CARDS;
        let cards = [
            Card::find(&mut port, first)?,
            Card::find(&mut port, second)?,
            Card::find(&mut port, third)?,
        ];
        Ok(Self { port, cards })
    }

    /// The first two cards' messages, which differ. The second one is kept for when its card has lost it.
    fn messages(&mut self, peer: &Peer<'_>) -> Result<(Message, Message)> {
        let [first, second, _] = &self.cards;
        let own = first.message(&mut self.port)?;
        let foreign = second.message(&mut self.port)?;
        if own == foreign {
            bail!("two cards have one message: {own:x?}");
        }
        fs::write(
            peer.work.join("foreign"),
            format!("{} {}", foreign.0, foreign.1),
        )?;
        Ok((own, foreign))
    }

    /// Has the first card send a message that it was not given.
    fn send(&mut self, message: Message) -> Result<()> {
        let [first, ..] = &self.cards;
        first.use_message(&mut self.port, message)?;
        first.raise(&mut self.port, 1)?;
        first.settle(&mut self.port)
    }

    /// Has the first card send the one that it was given.
    fn send_own(&mut self, own: Message) -> Result<()> {
        let [first, ..] = &self.cards;
        first.use_message(&mut self.port, own)?;
        first.raise(&mut self.port, OWN)
    }
}

/// QEMU's VT-d unit: its command register, with the queue and interrupt remapping on, and translation besides.
const VTD_COMMAND: u64 = 0xfed9_0018;
const VTD_OFF: u32 = 1 << 26 | 1 << 25;
const VTD_ON: u32 = VTD_OFF | 1 << 31;
/// QEMU's AMD-Vi unit: its control register, whose first bit is that it is on.
const AMD_CONTROL: u64 = 0xfed8_0018;

/// What a VT-d unit has to refuse of devices that nobody claimed.
fn attack_vtd(peer: &mut Peer<'_>) -> Result<()> {
    strangers::attack(
        &mut Qtest::connect(peer.work)?,
        [
            |port| port.write32(VTD_COMMAND, VTD_OFF),
            |port| port.write32(VTD_COMMAND, VTD_ON),
        ],
    )
}

/// The same of an AMD-Vi unit.
fn attack_amd(peer: &mut Peer<'_>) -> Result<()> {
    let switch = |port: &mut Qtest| {
        let control = port.read64(AMD_CONTROL)?;
        port.write64(AMD_CONTROL, control ^ 1)
    };
    strangers::attack(&mut Qtest::connect(peer.work)?, [switch, switch])
}

/// What a unit has to drop: the message of another, and those of nobody.
fn forge(peer: &mut Peer<'_>) -> Result<()> {
    let mut rig = Rig::new(peer)?;
    let (own, foreign) = rig.messages(peer)?;
    rig.send(foreign)?;
    // Few enough that the card keeps its claim where the unit tells of them.
    for by in [1, 0x40, 0xff, 0x180] {
        let absent = beside(foreign, by);
        if absent != own {
            rig.send(absent)?;
        }
    }
    if own.0 & REMAPPABLE != 0 {
        // The same by a transfer.
        let absent = beside(foreign, 0x100);
        rig.cards[0].write_zeros(&mut rig.port, absent.0)?;
    }
    rig.send_own(own)
}

/// What QEMU lets through: the old format, though it is off, and another's entry by a transfer, which has no source.
fn go_through_the_gap(peer: &mut Peer<'_>) -> Result<()> {
    let mut rig = Rig::new(peer)?;
    let (own, foreign) = rig.messages(peer)?;
    rig.send((0xfee0_0000, 0xee))?;
    rig.cards[0].write_zeros(&mut rig.port, foreign.0)?;
    rig.send_own(own)
}

/// The second card goes on with the message that it lost, and the third card uses its own.
fn use_what_ended(peer: &mut Peer<'_>) -> Result<()> {
    let mut rig = Rig::new(peer)?;
    let kept = fs::read_to_string(peer.work.join("foreign"))?;
    let mut numbers = kept.split(' ').map(str::parse);
    let (Some(Ok(address)), Some(Ok(data))) = (numbers.next(), numbers.next()) else {
        bail!("no message was kept");
    };
    let [_, second, third] = &rig.cards;
    second.use_message(&mut rig.port, (address, data))?;
    // One that were let through could fall together with the third card's own.
    for _ in 0..5 {
        second.raise(&mut rig.port, 1)?;
        std::thread::sleep(Duration::from_millis(20));
    }
    third.raise(&mut rig.port, OWN)
}

/// Devices that nobody claimed first, then messages.
macro_rules! forging {
    ($attack:ident) => {
        &[
            Step::Wait("@forge.ready"),
            Step::Peer($attack),
            Step::Peer(forge),
            Step::Wait("@forge.ended"),
            Step::Peer(use_what_ended),
        ]
    };
}

const OWN_ALONE: &str = "@forge.own dispatches=1 causes=16 after=timedOut other=timedOut unowned=0";
const AFTER: &str = "@forge.after dispatches=1 causes=16 after=timedOut unowned=0";

/// The port by which cards act, three cards that reach any bus address, and a unit.
macro_rules! cards {
    ($unit:literal) => {
        &[
            "-qtest",
            "unix:{work}/qtest,server=on,wait=off",
            "-qtest-log",
            "none",
            "-device",
            $unit,
            "-device",
            "edu,addr=4,dma_mask=0xffffffff",
            "-device",
            "edu,addr=5",
            "-device",
            "edu,addr=6",
        ]
    };
    ($unit:literal, beside strangers) => {{
        const CARDS: [&str; 12] = *cards!($unit);
        const ALL: [&str; CARDS.len() + strangers::DEVICES.len()] = {
            let mut all = [""; CARDS.len() + strangers::DEVICES.len()];
            let mut at = 0;
            while at < all.len() {
                all[at] = match at < CARDS.len() {
                    true => CARDS[at],
                    false => strangers::DEVICES[at - CARDS.len()],
                };
                at += 1;
            }
            all
        };
        &ALL
    }};
}

inventory::submit! {
    Smoke {
        name: "iommu-msi-forge",
        question: "Are messages of a card dropped that name another's entry, an absent one, or one that ended, and does nobody's device reach memory?",
        rows: &["IO-17", "IO-21", "IO-23"],
        manifest: "smoke/msi-forge",
        extra: cards!("intel-iommu,aw-bits=39", beside strangers),
        steps: forging!(attack_vtd),
        required: &[
            POSTURE,
            REMAPPED,
            "@iommu.fault source=\"0000:00:08.0\" reason=context-absent",
            "@iommu.fault source=\"0000:00:09.0\" reason=context-absent",
            "@iommu.fault source=\"0000:00:0a.0\" reason=context-absent",
            OWN_ALONE,
            AFTER,
        ],
        forbidden: &["@kernel.panic", "@device.quarantined", "@interrupt.vector-lost"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::BELIEVE_ANY_SOURCE,
        smoke: "iommu-msi-forge",
        breaks: Break::Missing(OWN_ALONE),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_ENTRY,
        smoke: "iommu-msi-forge",
        breaks: Break::Missing(AFTER),
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-msi-forge",
        question: "Are messages of a card below an AMD-Vi unit dropped that name another's entry, an absent one, or one that ended, and does nobody's device reach memory?",
        rows: &["IO-21", "IO-22", "IO-23"],
        manifest: "smoke/msi-forge",
        extra: cards!("{amd-iommu}", beside strangers),
        steps: forging!(attack_amd),
        required: &[POSTURE, REMAPPED, OWN_ALONE, AFTER],
        forbidden: &["@kernel.panic", "@device.quarantined", "@interrupt.vector-lost"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_ENTRY,
        smoke: "iommu-amd-msi-forge",
        breaks: Break::Missing(AFTER),
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-msi-gap",
        question: "What does an emulated unit let through that a real one would not: the old format, and another's entry by a transfer?",
        rows: &["IO-21"],
        manifest: "smoke/msi-forge",
        extra: cards!("intel-iommu,aw-bits=39"),
        steps: &[
            Step::Wait("@forge.ready"),
            Step::Peer(go_through_the_gap),
            Step::Wait("@forge.ended"),
            Step::Peer(use_what_ended),
        ],
        required: &[
            POSTURE,
            REMAPPED,
            "@forge.own dispatches=1 causes=16 after=timedOut other=ok unowned=1",
            "@forge.after dispatches=1 causes=16 after=timedOut unowned=1",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined", "@interrupt.vector-lost"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

const MOVED: &str = "@affinity.load completed=800 waits_in_vain=0";

inventory::submit! {
    Smoke {
        name: "iommu-affinity",
        question: "Does every completion arrive while its entry is led from CPU to CPU, and the disk is told nothing?",
        rows: &["IO-23"],
        manifest: "smoke/irq-affinity",
        smp: 4,
        disks: &[SmokeDisk { name: "one.img", make: raw, bytes_per_s: 0 }],
        extra: &["-device", "intel-iommu,aw-bits=39"],
        sorted: true,
        required: &[
            POSTURE,
            REMAPPED,
            MOVED,
            "@affinity.moved cpus=4 times=200",
            // The unit's own vector is the third.
            "@affinity.end unowned=0 vectors=3",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_MOVED_ENTRY,
        smoke: "iommu-affinity",
        breaks: Break::Missing(MOVED),
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-affinity",
        question: "Does every completion arrive while its entry below an AMD-Vi unit is led from CPU to CPU?",
        rows: &["IO-23"],
        manifest: "smoke/irq-affinity",
        smp: 4,
        disks: &[SmokeDisk { name: "one.img", make: raw, bytes_per_s: 0 }],
        extra: &["-device", "{amd-iommu}"],
        sorted: true,
        required: &[
            POSTURE,
            REMAPPED,
            MOVED,
            "@affinity.moved cpus=4 times=200",
            "@affinity.end unowned=0 vectors=2",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        ..Smoke::DEFAULT
    }
}

/// A card in a process of its own, which writes what interrupt messages are.
const FORGER: DeviceModel = DeviceModel {
    socket: "card",
    kind: ModelKind::Card(&[
        // Two entries that nobody has, and the old format.
        Attack::Forge(0xfee0_0010 | 0x123 << 5, 0),
        Attack::Forge(0xfee0_0010 | 0x3ff << 5, 0),
        Attack::Forge(0xfee0_0000, 0xee),
    ]),
    reports: &[
        "card transfer accepted",
        "card forge refused",
        "card forge refused",
        // QEMU's gap.
        "card forge accepted",
    ],
};

const AMD_FORGER: DeviceModel = DeviceModel {
    socket: "card",
    kind: ModelKind::Card(&[
        Attack::Forge(0xfee0_0000, 0xee),
        Attack::Forge(0xfee0_0000, 0x1ef),
    ]),
    reports: &[
        "card transfer accepted",
        "card forge refused",
        "card forge refused",
    ],
};

inventory::submit! {
    Smoke {
        name: "iommu-msi-card",
        question: "Is a card refused that writes messages which name absent entries, with the production kernel, and is that told?",
        rows: &["IO-17", "IO-23"],
        manifest: "smoke/card-owner",
        model: "q35,memory-backend=mem",
        memory_mib: 512,
        needs: Some(Feature::VfioUser),
        device_model: Some(FORGER),
        extra: &[
            "-object",
            "memory-backend-memfd,id=mem,size=512M,share=on",
            "-device",
            "intel-iommu,aw-bits=39,caching-mode=on",
            "-device",
            r#"{"driver":"vfio-user-pci","addr":"5","socket":{"path":"{work}/card","type":"unix"}}"#,
        ],
        required: &[
            POSTURE,
            REMAPPED,
            "@iommu.fault reason=interrupt-absent request=interrupt",
            "@card.done accepted=3 unowned=3",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-msi-card",
        question: "Is a card below an AMD-Vi unit refused that writes messages as memory, by the entry of the I/O APIC?",
        rows: &["IO-23"],
        manifest: "smoke/card-owner",
        model: "q35,memory-backend=mem",
        memory_mib: 512,
        needs: Some(Feature::VfioUser),
        device_model: Some(AMD_FORGER),
        extra: &[
            "-object",
            "memory-backend-memfd,id=mem,size=512M,share=on",
            "-device",
            "amd-iommu,dma-remap=on",
            "-device",
            r#"{"driver":"vfio-user-pci","addr":"5","socket":{"path":"{work}/card","type":"unix"}}"#,
        ],
        required: &[POSTURE, REMAPPED, "@card.done accepted=0 unowned=0"],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_INTERRUPTS_OPEN,
        smoke: "iommu-amd-msi-card",
        breaks: Break::Missing("@card.done accepted=0 unowned=0"),
    }
}

/// The first that is heard of a line.
const HEARD: &str = "@intx.first heard=1 other=timedOut causes=1 quiet=timedOut";

/// What two cards on one line say, as without a unit.
const LINE: &[&str] = &[
    POSTURE,
    REMAPPED,
    "@interrupt.line pin=a level=true",
    HEARD,
    "@intx.level again=ok causes=2",
    "@intx.shared a=50 b=50",
    "@intx.left causes=4 unowned=0",
];

inventory::submit! {
    Smoke {
        name: "iommu-intx",
        question: "Do two devices on one line of an I/O APIC get their interrupts by an entry of a VT-d unit?",
        rows: &["IO-23"],
        manifest: "smoke/irq-intx",
        memory_mib: 256,
        extra: &[
            "-device", "intel-iommu,aw-bits=39",
            "-device", "edu,addr=2",
            "-device", "edu,addr=3",
        ],
        required: LINE,
        forbidden: &["@kernel.panic", "@device.quarantined"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-intx",
        question: "Do two devices on one line get their interrupts by an entry of an AMD-Vi unit, whose number ends them?",
        rows: &["IO-23"],
        manifest: "smoke/irq-intx",
        memory_mib: 256,
        extra: &["-device", "{amd-iommu}", "-device", "edu,addr=2", "-device", "edu,addr=3"],
        required: LINE,
        forbidden: &["@kernel.panic", "@device.quarantined"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::NAME_ENTRY_BEHIND,
        smoke: "iommu-intx",
        breaks: Break::Missing(HEARD),
    }
}

inventory::submit! {
    Sabotage {
        point: points::NAME_ENTRY_BEHIND,
        smoke: "iommu-amd-intx",
        breaks: Break::Missing(HEARD),
    }
}

/// Has a card that nobody claimed write where it may not.
fn be_refused(peer: &mut Peer<'_>) -> Result<()> {
    let mut port = Qtest::connect(peer.work)?;
    let [first, ..] = CARDS;
    port.open(first)?;
    let card = Card::find(&mut port, first)?;
    card.write_zeros(&mut port, 0x6_0000)
}

inventory::submit! {
    Smoke {
        name: "iommu-console",
        question: "Does the console say of a unit that is on how many domains, pages and interrupts it has while a disk is held, and what it refused?",
        rows: &["IO-21"],
        manifest: "smoke/serial-reboot",
        disks: &[SmokeDisk { name: "disk.img", make: raw, bytes_per_s: 0 }],
        extra: cards!("intel-iommu,aw-bits=39"),
        steps: &[
            Step::Wait("@holder.enabled"),
            Step::Type("iommu"),
            Step::Peer(be_refused),
            Step::Wait("@iommu.fault"),
            Step::Type("iommu"),
            Step::Type("halt"),
        ],
        required: &[
            POSTURE,
            REMAPPED,
            // The disk's domain, and the serial line's interrupt beside its own.
            "1 domains map 10 pages, 2 interrupts have entries, 0 requests refused",
            "@iommu.fault source=\"0000:00:04.0\" reason=context-absent request=write",
            "1 domains map 10 pages, 2 interrupts have entries, 1 requests refused",
        ],
        forbidden: &["@kernel.panic"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-x2apic",
        question: "Do entries of a VT-d unit name processors by 32 bits where local APICs are in x2APIC mode?",
        rows: &["IO-23"],
        manifest: "smoke/irq-affinity",
        smp: 4,
        disks: &[SmokeDisk { name: "one.img", make: raw, bytes_per_s: 0 }],
        extra: &[
            "-device", "intel-iommu,aw-bits=39,eim=on",
            "-cpu", "max,-erms,-fsrm,+x2apic",
        ],
        needs: Some(Feature::X2apic),
        sorted: true,
        required: &[
            "@boot.apic x2apic=true",
            POSTURE,
            REMAPPED,
            MOVED,
            "@affinity.moved cpus=4 times=200",
            "@affinity.end unowned=0 vectors=3",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        ..Smoke::DEFAULT
    }
}
