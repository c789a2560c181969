//! How processes end, and what they leave.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const CYCLES: &str = "@spawn.cycles done=300 leaked_kib=0";

inventory::submit! {
    Smoke {
        name: "spawn-exit",
        question: "Is the end of a process told as it was, and is everything given back?",
        manifest: "smoke/spawn-exit",
        required: &[
            "@spawn.own_room submissions=64 messages=53120",
            "@spawn.room stack=4 area=1 kind=exited code=0 shows=\"(16, 1920)\" panics=\"no more apples\" recurses=stack-overflow charged=true",
            "@spawn.room stack=5 area=3 kind=exited code=0 shows=\"(32, 8064)\" panics=\"no more apples\" recurses=stack-overflow charged=true",
            "@spawn.room stack=0 area=0 kind=exited code=0 shows=\"(64, 57216)\" panics=\"no more apples\" recurses=stack-overflow charged=true",
            "@spawn.room stack=64 area=16 kind=exited code=0 shows=\"(64, 57216)\" panics=\"no more apples\" recurses=stack-overflow charged=true",
            "@spawn.room_refused little_stack=outOfRange large_stack=outOfRange large_area=outOfRange",
            "@spawn.ended role=exits kind=exited code=42 text=\"all 7 done\"",
            "@spawn.ended role=panics kind=panicked code=101 text=\"no more apples\"",
            "@spawn.ended role=faults kind=faulted text=page-fault",
            "@spawn.ended role=recurses kind=faulted text=stack-overflow",
            "@spawn.ended role=recurses-in-thread kind=faulted text=stack-overflow",
            "@spawn.callers told_of=4",
            "@spawn.killed role=spins before=true kind=killed after=false told_again=killed",
            "@spawn.killed role=sleeps before=true kind=killed after=false told_again=killed",
            "@spawn.refused image=notFound memory=overBudget doubled_grant=alreadyExists",
            "@spawn.from_memory mib=32 kind=exited code=77 longer=outOfRange without_end=badImage kept_kib=0",
            CYCLES,
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAK_FRAME,
        smoke: "spawn-exit",
        breaks: Break::Missing(CYCLES),
    }
}
