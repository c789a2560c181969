//! Messages that are longer than the buffers they go to.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const RECEIVED: &str = "@buffers.received form=registers fits=ok word_more=outOfRange long=outOfRange handle_fits=ok handle_more=outOfRange handles_long=outOfRange again=ok words_changed=0";

inventory::submit! {
    Smoke {
        name: "buffers",
        question: "Does nothing come behind a buffer, whoever sends how much, and by whichever way?",
        manifest: "smoke/buffers",
        required: &[
            RECEIVED,
            "@buffers.received form=ring fits=ok word_more=outOfRange long=outOfRange handle_fits=ok handle_more=outOfRange handles_long=outOfRange again=ok words_changed=0",
            "@buffers.answered form=registers fits=ok word_more=replyTooLarge long=replyTooLarge handle_fits=ok handle_more=replyTooLarge handles_long=replyTooLarge no_buffer=replyTooLarge words_fit=ok words_in_less=ok",
            "@buffers.behind-answers form=registers words_changed=0",
            "@buffers.of-kernel form=registers at_once=replyTooLarge later=replyTooLarge words_changed=0",
            "@buffers.answered form=ring fits=ok word_more=replyTooLarge long=replyTooLarge handle_fits=ok handle_more=replyTooLarge handles_long=replyTooLarge no_buffer=replyTooLarge words_fit=ok words_in_less=replyTooLarge",
            "@buffers.behind-answers form=ring words_changed=0",
            "@buffers.of-kernel form=ring at_once=replyTooLarge later=replyTooLarge words_changed=0",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::OVERRUN_BUFFER,
        smoke: "buffers",
        breaks: Break::Missing(RECEIVED),
    }
}
