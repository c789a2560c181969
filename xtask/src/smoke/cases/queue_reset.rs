//! One queue is reset while the rest of the device runs on.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::sabotage::{Break, Sabotage};

inventory::submit! {
    Smoke {
        name: "queue-reset",
        question: "Does the reset of one queue give its pages back only once the device let go of them, and leave the others alone?",
        rows: &["DA-50", "DA-52"],
        manifest: "smoke/queue-reset",
        disks: &[SmokeDisk { name: "one.img", make: raw, bytes_per_s: 262_144 }],
        required: &[
            "@queue-reset.in-flight commands=4 free=busy administration=notSupported",
            "@device.queue-reset proof=submission-queue-deleted",
            "@queue-reset.stopped reset=ok revoked=4 freed=4 quiet=true",
            "@queue-reset.other-queue status=0 filled=true",
            "@queue-reset.again status=0 filled=true",
            "@queue-reset.done",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::QUEUE_RECEIPT_WITHOUT_DELETE,
        smoke: "queue-reset",
        breaks: Break::Missing("@queue-reset.stopped reset=ok revoked=4 freed=4 quiet=true"),
    }
}
