//! Commands that no provider may give.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::sabotage::{Break, Sabotage};

const OPCODES: &str = r#"@abuse.opcodes admin="02 06 09 0a" io="00 01 02 08""#;
const BITS: &str =
    "@abuse.bits of=read plain=ok identifiers_refused=24 addresses_refused=256 others_refused=110";
const SELECTORS: &str = r#"@abuse.selectors set_features="06 08 09" get_features="01 02 04 05 06 07 08 09 0a 0b" log_pages="01 02 03 05" identify="00 01 02 03""#;
const LENGTHS: &str = "@abuse.lengths nothing=lengthMismatch zero=zeroLength zero_beside=zeroLength a_byte_less=lengthMismatch a_byte_more=lengthMismatch a_block_less=lengthMismatch a_page_more=lengthMismatch over_the_end=outOfRange beyond=outOfRange wraps=outOfRange longest=outOfRange odd_start=misaligned hole=misaligned too_many=outOfRange to_device=badArgument mixed=badArgument over_the_transfer_limit=outOfRange";

inventory::submit! {
    Smoke {
        name: "descriptor-abuse",
        question: "Of every opcode, every bit, every selector and every length, what gets past the broker?",
        rows: &["DA-27", "DA-28", "DA-31", "DA-49", "NV-05"],
        manifest: "smoke/descriptor-abuse",
        disks: &[SmokeDisk { name: "one.img", make: raw, bytes_per_s: 0 }],
        required: &[
            OPCODES,
            SELECTORS,
            BITS,
            "@abuse.bits of=identify plain=ok identifiers_refused=24 addresses_refused=256 others_refused=190",
            "@abuse.templates empty=templateRefused short=templateRefused long=templateRefused",
            LENGTHS,
            "@abuse.batches before_the_bad_one=1 why=templateRefused first=1 of_40=16 then=queueFull each_once=true",
            "@abuse.queues again=wrongState zero=outOfRange beyond=outOfRange far_beyond=outOfRange kind=outOfRange second_admin=outOfRange no_entries=outOfRange too_deep=outOfRange source=outOfRange page_size=wrongState",
            "@abuse.balance admin_answered=true io_answered=true admin_in_flight=0 io_in_flight=0 buffer_in_flight=0 nothing_more=0",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::LET_FORMAT_THROUGH,
        smoke: "descriptor-abuse",
        breaks: Break::Missing(OPCODES),
    }
}

inventory::submit! {
    Sabotage {
        point: points::ANY_TEMPLATE_BIT,
        smoke: "descriptor-abuse",
        breaks: Break::Missing(BITS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::ANY_SELECTOR,
        smoke: "descriptor-abuse",
        breaks: Break::Missing(SELECTORS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_LENGTH_CHECK,
        smoke: "descriptor-abuse",
        breaks: Break::Missing(LENGTHS),
    }
}
