//! Devices behind bridges, below a unit that is on.

use sabotage::points;

use crate::qemu::Feature;
use crate::smoke::case::Smoke;
use crate::smoke::cases::iommu_remapping::REMAPPED;
use crate::smoke::sabotage::{Break, Sabotage};

const REFUSED: &str = "@iommu.function posture=refused reason=peer-held";
const OF_SWITCH: &str =
    "@iommu.function posture=refused reason=peer-held group=\"below-0000:01:00.0\"";
const OF_DEVICE: &str =
    "@iommu.function posture=refused reason=peer-held group=\"device-0000:00:04.0\"";
const OF_BRIDGE: &str =
    "@iommu.function posture=refused reason=shared-requester group=\"below-0000:00:06.0\"";
/// Two cards behind one switch, whose lower ends do not send every request up.
#[rustfmt::skip]
const SWITCH: &[&str] = &[
    "-device", "intel-iommu,aw-bits=39",
    "-device", "pcie-root-port,id=root,chassis=1,slot=1",
    "-device", "x3130-upstream,id=up,bus=root",
    "-device", "xio3130-downstream,id=left,bus=up,chassis=2,slot=2",
    "-device", "xio3130-downstream,id=right,bus=up,chassis=3,slot=3",
    "-device", "edu,bus=left",
    "-device", "edu,bus=right",
];
/// Trusted to one holder is not to two.
const OTHER: &str = "@peers.other code=1 second=notSupported";
const ONE: &str = "@peers.claimed first=ok second=notSupported";

inventory::submit! {
    Smoke {
        name: "iommu-switch",
        question: "Of two cards behind a switch that sends requests from one to the other, is the second refused while the first is held?",
        rows: &["IO-25"],
        manifest: "smoke/card-peers",
        extra: SWITCH,
        required: &[
            "@iommu.bridges separating=1 others=3",
            "@iommu.group name=\"below-0000:01:00.0\" functions=2 trusted=false",
            REMAPPED,
            OF_SWITCH,
            ONE,
            "@peers.after second=ok",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::IGNORE_PEERS,
        smoke: "iommu-switch",
        breaks: Break::Missing(OF_SWITCH),
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-trusted",
        question: "Are both of two cards that can reach each other given to one holder, in a domain each, and to nobody else meanwhile, where the manifest trusts their group?",
        rows: &["IO-25"],
        manifest: "smoke/card-trusted",
        extra: SWITCH,
        required: &[
            "@iommu.group name=\"below-0000:01:00.0\" functions=2 trusted=true",
            REMAPPED,
            "@iommu.function posture=remapped reason=own-domain group=\"below-0000:01:00.0\"",
            OTHER,
            "@peers.claimed first=ok second=ok",
            "@peers.after second=ok",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::TRUST_ANY_HOLDER,
        smoke: "iommu-trusted",
        breaks: Break::Missing(OTHER),
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-ports",
        question: "Are cards behind root ports that send every request up given out side by side?",
        rows: &["IO-25"],
        manifest: "smoke/card-peers",
        extra: &[
            "-device", "intel-iommu,aw-bits=39",
            "-device", "pcie-root-port,id=left,chassis=1,slot=1",
            "-device", "pcie-root-port,id=right,chassis=2,slot=2",
            "-device", "edu,bus=left",
            "-device", "edu,bus=right",
        ],
        required: &[
            "@iommu.bridges separating=2 others=0",
            REMAPPED,
            "@peers.claimed first=ok second=ok",
            "@peers.after second=ok",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined", REFUSED],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-amd-port",
        question: "Does a card behind a root port move bytes through its domain of an AMD-Vi unit?",
        rows: &["IO-22", "IO-25"],
        manifest: "smoke/irq-msi",
        memory_mib: 512,
        needs: Some(Feature::VfioUser),
        extra: &[
            "-device", "{amd-iommu}",
            "-device", "pcie-root-port,id=behind,chassis=1,slot=1",
            "-device", "edu,bus=behind",
        ],
        required: &[
            REMAPPED,
            "@msi.dma opcode=1 causes=256 completed=1",
            "@msi.dma opcode=2 causes=256 completed=1",
            "@msi.copied same=true",
            "@msi.done",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined", "@iommu.fault", REFUSED],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-functions",
        question: "Is one function of a device refused while another of the same device is held, which it could reach?",
        rows: &["IO-25"],
        manifest: "smoke/card-peers",
        extra: &[
            "-device", "intel-iommu,aw-bits=39",
            "-device", "edu,addr=4.0,multifunction=on",
            "-device", "edu,addr=4.1",
        ],
        required: &[
            "@iommu.group name=\"device-0000:00:04.0\" functions=2",
            REMAPPED,
            OF_DEVICE,
            ONE,
            "@peers.after second=ok",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "iommu-bridge",
        question: "Are cards refused by the name of their group whose requests carry the id of a bridge to conventional PCI?",
        rows: &["IO-25"],
        manifest: "smoke/card-peers",
        extra: &[
            "-device", "intel-iommu,aw-bits=39",
            "-device", "pcie-pci-bridge,id=behind,addr=6",
            "-device", "edu,bus=behind,addr=1",
            "-device", "edu,bus=behind,addr=2",
        ],
        required: &[
            "@iommu.group name=\"below-0000:00:06.0\" functions=2",
            OF_BRIDGE,
            "@peers.claimed first=notSupported second=notSupported",
            "@peers.after second=notSupported",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::BELIEVE_BRIDGES,
        smoke: "iommu-bridge",
        breaks: Break::Missing(OF_BRIDGE),
    }
}
