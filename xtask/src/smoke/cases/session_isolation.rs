//! Two clients of one disk.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::sabotage::{Break, Sabotage};

inventory::submit! {
    Smoke {
        name: "session-isolation",
        question: "Does a session see its own transfers and nothing of anybody else's, before or after, and write only to blocks that it alone may?",
        rows: &["BD-04", "DA-29", "DA-30"],
        manifest: "smoke/session-isolation",
        disks: &[SmokeDisk { name: "one.img", make: raw, bytes_per_s: 0 }],
        required: &[
            "@session.fresh a=0 b=0",
            "@session.one-read a_filled=true b_sees=0",
            "@session.bounds beyond=outOfRange over=outOfRange wide=outOfRange",
            "@session.reopened times=16 empty=16",
            "@session.other-goes-on b_filled=true",
            "@claim.bounds unclaimed=notGranted far=outOfRange none=zeroLength again=duplicate within=ok before=notGranted behind=notGranted",
            "@claim.exclusive stranger=notGranted overlap=busy reads=ok",
            "@claim.others beside=ok beside_write=ok inherits=ok",
            "@claim.reader claim=readOnly write=readOnly unit_claim=readOnly reads=ok",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::SHARE_WINDOW,
        smoke: "session-isolation",
        breaks: Break::Missing("@session.one-read a_filled=true b_sees=0"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::BLOCK_SHARE_RANGE,
        smoke: "session-isolation",
        breaks: Break::Missing("@claim.exclusive stranger=notGranted overlap=busy reads=ok"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::BLOCK_WRITE_ANYWHERE,
        smoke: "session-isolation",
        breaks: Break::Missing("@claim.bounds unclaimed=notGranted far=outOfRange none=zeroLength again=duplicate within=ok before=notGranted behind=notGranted"),
    }
}
