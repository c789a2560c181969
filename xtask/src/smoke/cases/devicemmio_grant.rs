//! A holder of registers who wants others.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const OUTSIDE: &str = "@mmio.outside identity=windowRefused engine_source=windowRefused engine_start=windowRefused engine_start_4=windowRefused nothing_there=windowRefused width_8=misaligned width_2=windowRefused width_1=windowRefused second_half=windowRefused unaligned=misaligned past_the_end=outOfRange overflow=outOfRange";
const MASK: &str = "@mmio.mask own_bit=ok read_back=128 other_bit=windowRefused all_bits=windowRefused high_half=windowRefused off_again=ok at_last=0";
const UNLISTED: &str = "@mmio.map-refused pages_listed=2 registers=windowRefused with_registers=windowRefused past_the_list=windowRefused beside_the_list=windowRefused nothing=zeroLength unaligned=misaligned past_the_bar=outOfRange over_the_bar=outOfRange overflow=outOfRange endless=outOfRange";
const ENDED: &str = "@mmio.claim-ended other_before=true own_before=true other_after=0 own_after=0 read=stale write=stale map=stale unmap=stale info=stale keeper=exited";

inventory::submit! {
    Smoke {
        name: "devicemmio-grant",
        question: "Is a register written only where its broker says so, and does a mapping of registers end with its claim?",
        rows: &["DA-11", "DA-12", "DA-36", "DA-37", "DA-38", "DA-39", "DA-40", "DA-41", "DA-65"],
        manifest: "smoke/devicemmio-grant",
        // It inverts what is written to one of its registers, so that a write shows.
        extra: &["-device", "edu"],
        required: &[
            "@mmio.reads identity=true unaligned=misaligned half=ok zero_width=badArgument width_3=badArgument width_16=badArgument last=windowRefused past_the_end=outOfRange over_the_end=outOfRange overflow=outOfRange unlisted=windowRefused",
            "@mmio.window read_back=true",
            OUTSIDE,
            "@mmio.no-effect same=true",
            MASK,
            UNLISTED,
            "@mmio.map holds_ones=true unmap=ok unmap_twice=notFound unmap_nothing=notFound again_holds_ones=true park=notSupported writer=faulted rule=page-fault",
            ENDED,
            "@mmio.successor write=true map=true",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::WRITE_ANYWHERE,
        smoke: "devicemmio-grant",
        breaks: Break::Missing(OUTSIDE),
    }
}

inventory::submit! {
    Sabotage {
        point: points::WRITE_ANY_BIT,
        smoke: "devicemmio-grant",
        breaks: Break::Missing(MASK),
    }
}

inventory::submit! {
    Sabotage {
        point: points::MAP_ANY_PAGE,
        smoke: "devicemmio-grant",
        breaks: Break::Missing(UNLISTED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_WINDOWS,
        smoke: "devicemmio-grant",
        breaks: Break::Missing(ENDED),
    }
}
