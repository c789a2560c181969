//! Capabilities that travel with messages.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const MOVED: &str = "@transfer.moved taken=1 sender=stale receiver=42";
const REPLY_RIGHT: &str = "@transfer.reply-right present=true copied=badTransfer otherwise=badTransfer moved=1 sender=stale answered=77";
const OVER_QUOTA: &str = "@transfer.over-quota refused=overBudget sender_lost=0 receiver_gained=0";

inventory::submit! {
    Smoke {
        name: "cap-transfer",
        question: "Do capabilities travel with messages as one transaction: all or none, moved ones away from the sender?",
        manifest: "smoke/cap-transfer",
        required: &[
            "@transfer.copied taken=1 sender=ok receiver=42",
            MOVED,
            "@transfer.many taken=24 one_more=badTransfer",
            "@transfer.refused doubled=badTransfer moved_and_copied=badTransfer stale=badTransfer no_mode=badTransfer still=ok",
            REPLY_RIGHT,
            OVER_QUOTA,
            "@transfer.within-quota taken=2 sender_lost=2 receiver_gained=2",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_MOVED,
        smoke: "cap-transfer",
        breaks: Break::Missing(MOVED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::COPY_REPLY_RIGHT,
        smoke: "cap-transfer",
        breaks: Break::Missing(REPLY_RIGHT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_ROLLBACK,
        smoke: "cap-transfer",
        breaks: Break::Missing(OVER_QUOTA),
    }
}
