//! A device queue's ring in the hands of a provider that writes what it likes.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::sabotage::{Break, Sabotage};

const LENGTHS: &str = "@ring.lengths page=ok zero=zeroLength a_byte_less=lengthMismatch a_byte_more=lengthMismatch over_the_end=outOfRange wraps=outOfRange odd_start=misaligned";
const CLEARS: &str = "@ring.clears what=discard good=ok last=ok past=outOfRange over=outOfRange far=outOfRange none=outOfRange part=outOfRange unit=outOfRange bound=templateRefused";
const BINDINGS: &str = "@ring.bindings stale=127 beyond=128 other=0 zero=stale before=stale after=stale unbound=stale same_place=true old=stale new=ok twice=stale";
const FREES: &str = "@ring.frees accepted=1 while_in_flight=busy then_bound=stale freed=ok after=stale old_in_new=stale new=ok";
const COUNTS: &str = "@ring.counts tried=8 refused=8 in_flight=0 goes_on=ok";

inventory::submit! {
    Smoke {
        name: "queue-ring",
        question: "Does the ring of a device queue take what the message form takes, and nothing more, whatever a provider writes into it?",
        rows: &["DA-27", "DA-28", "DP-02", "NV-39"],
        manifest: "smoke/queue-ring",
        disks: &[SmokeDisk { name: "one.img", make: raw, bytes_per_s: 1_048_576 }],
        required: &[
            "@ring.opened before=wrongState again=duplicate administration=ok",
            "@ring.compared same=260 differ=0",
            LENGTHS,
            "@ring.data written=ok flushed=ok back=ok message=ok same_by_ring=true same_by_message=true",
            "@ring.entries opcodes_refused=253 opcodes_known=0 bits_refused=168 accepted=1 changed_after=true",
            "@ring.clears what=zero good=ok last=ok past=outOfRange over=outOfRange far=outOfRange none=outOfRange part=outOfRange unit=outOfRange bound=templateRefused",
            CLEARS,
            BINDINGS,
            "@ring.bound places=128 then=overBudget no_handle=badHandle made_up=badHandle no_buffer=wrongKind",
            "@ring.full accepted=16 why=queueFull again=0 each_once=true refused=64 taken=64 rest=64",
            FREES,
            COUNTS,
            "@ring.queue-reset accepted=4 reset=ok owed=4 taken=0 revoked=true ended=stale gone=wrongState unbind=wrongState old=stale new=ok",
            "@ring.device-reset owed=ok revoked=true ended=stale bind=wrongState ring=wrongState",
            "@ring.balance in_flight=0 buffer_in_flight=0",
            "@ring.done",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::NVME_DISCARD_ANYWHERE,
        smoke: "queue-ring",
        breaks: Break::Missing(CLEARS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::BINDING_ANY_GENERATION,
        smoke: "queue-ring",
        breaks: Break::Missing(BINDINGS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::BINDING_OUTLIVES_FREE,
        smoke: "queue-ring",
        breaks: Break::Missing(FREES),
    }
}

inventory::submit! {
    Sabotage {
        point: points::QUEUE_BELIEVE_COUNTS,
        smoke: "queue-ring",
        breaks: Break::Missing(COUNTS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_LENGTH_CHECK,
        smoke: "queue-ring",
        breaks: Break::Missing(LENGTHS),
    }
}
