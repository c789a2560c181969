//! Who holds what, as a SystemGraph tells it.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::virtio_blk::DISK;
use crate::smoke::sabotage::{Break, Sabotage};

const STRANGER: &str = "@graph.stranger named=false handed=0";
const REACH: &str = "@graph.reach disk=0 volume=1 reader=2 stranger=-1 count=4";

inventory::submit! {
    Smoke {
        name: "graph",
        question: "Does a SystemGraph show who holds what, as it is, to whom it was granted and to nobody else?",
        rows: &["UI-08"],
        manifest: "smoke/graph",
        disks: &[DISK],
        disk_device: "virtio-blk-pci",
        required: &[
            STRANGER,
            "@graph.given names=20",
            "@graph.processes same=true by_init=true within=true",
            "@graph.counts differ=0 left_out=0",
            "@graph.pages bounded=true whole=true beyond=true",
            "@graph.facets mine=2 differ=true same_endpoint=true copy_is_first=true served=true",
            "@graph.revoked done=ok mine=true copy=true",
            "@graph.named holds=4 none=badHandle twice=alreadyExists over=outOfRange",
            REACH,
            "@graph.lost claim=true volume_waits=true endpoint_ends=false",
            "@graph.nobody held=notFound",
        ],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
        ],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::GRAPH_FOR_EVERYBODY,
        smoke: "graph",
        breaks: Break::Missing(STRANGER),
    }
}

inventory::submit! {
    Sabotage {
        point: points::GRAPH_HIDES_DEVICES,
        smoke: "graph",
        breaks: Break::Missing(REACH),
    }
}
