//! Devices behind bridges, below a unit that is on.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::iommu_remapping::REMAPPED;
use crate::smoke::sabotage::{Break, Sabotage};

const REFUSED: &str = "@iommu.function posture=refused reason=peer-held";
const ONE: &str = "@peers.claimed first=ok second=notSupported";

inventory::submit! {
    Smoke {
        name: "iommu-switch",
        question: "Of two cards behind a switch that sends requests from one to the other, is the second refused while the first is held?",
        rows: &["IO-25"],
        manifest: "smoke/card-peers",
        extra: &[
            "-device", "intel-iommu,aw-bits=39",
            "-device", "pcie-root-port,id=root,chassis=1,slot=1",
            "-device", "x3130-upstream,id=up,bus=root",
            "-device", "xio3130-downstream,id=left,bus=up,chassis=2,slot=2",
            "-device", "xio3130-downstream,id=right,bus=up,chassis=3,slot=3",
            "-device", "edu,bus=left",
            "-device", "edu,bus=right",
        ],
        required: &[
            "@iommu.bridges separating=1 others=3",
            REMAPPED,
            REFUSED,
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
        breaks: Break::Missing(REFUSED),
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
        name: "iommu-functions",
        question: "Is one function of a device refused while another of the same device is held, which it could reach?",
        rows: &["IO-25"],
        manifest: "smoke/card-peers",
        extra: &[
            "-device", "intel-iommu,aw-bits=39",
            "-device", "edu,addr=4.0,multifunction=on",
            "-device", "edu,addr=4.1",
        ],
        required: &[REMAPPED, REFUSED, ONE, "@peers.after second=ok"],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        sorted: true,
        ..Smoke::DEFAULT
    }
}
