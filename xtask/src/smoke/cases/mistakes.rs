//! What the author of a service reads who got something wrong.

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;

inventory::submit! {
    Smoke {
        name: "mistakes",
        question: "Does each mistake of an author end in a line that says what was wrong, and where?",
        rows: &["MA-13"],
        manifest: "smoke/mistakes",
        required: &[
            "init: absent cannot start: there is no device edu 0",
            "init: orphan cannot start: absent, which exports what it is granted, has ended for good",
            "init: index panicked: at services/smoke/smoke/src/bin/smoke-mistakes.rs:",
            "bytes failed: overBudget; `memoryPages` in the limits of the service says how much",
            "init: missing ended with code 1: no capability named clock was granted (Timer); granted: console, timer (",
            "init: interface ended with code 1: the capability named console is Console, not Timer (",
            "warning: the grant systemInfo is not used",
            "init: refused ended with code 1: notFound: nothing of that name exists (services/smoke/smoke/src/bin/smoke-mistakes.rs:",
            "init: stubborn ended too often and is not started again (the same 3 times more)",
            "init: recursion faulted: stack-overflow: ",
            "init: asks ended with code 1: noReply: the server dropped the call without an answer (",
            "@mistakes.waits name=waits of=EntropySource method=fill itself=false",
            "@mistakes.waits name=itself of=EntropySource method=fill itself=true",
            "@mistakes.waits name=starts of=EntropySource method=fill itself=false",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "dma-mistakes",
        question: "Does each mistake of a driver's author end in a line that says what was wrong, and in nothing else?",
        rows: &["MA-13"],
        manifest: "smoke/dma-mistakes",
        memory_mib: 224,
        extra: &[
            "-device", "edu,addr=3",
            "-device", "edu,addr=4",
            "-device", "edu,addr=5",
            "-device", "edu,addr=6",
            "-device", "edu,addr=7",
            "-device", "edu,addr=8",
            "-device", "edu,addr=9",
            "-device", "edu,addr=a",
            "-device", "edu,addr=b",
            "-device", "edu,addr=c",
            "-device", "edu,addr=d",
            "-device", "edu,addr=e",
            "-device", "edu,addr=f",
            "-device", "edu,addr=10",
            "-device", "edu,addr=11",
            "-device", "edu,addr=12",
            "-device", "edu,addr=13",
        ],
        required: &[
            "init: unnamed ended with code 1: no capability named card was granted (Device); granted: console, device (",
            "init: misread ended with code 1: the capability named device is Device, not DeviceMmio (",
            "init: unreset ended with code 1: wrongState: the object is not in a state that allows it (services/smoke/smoke-device/src/bin/dma-mistakes.rs:",
            "init: early ended with code 1: wrongState: ",
            "init: empty ended with code 1: outOfRange: ",
            "init: bar ended with code 1: outOfRange: ",
            "init: register ended with code 1: windowRefused: no register window allows this access (",
            "init: budget ended with code 1: overBudget: ",
            "init: freed ended with code 1: stale: the handle, generation or incarnation is an old one (",
            "init: offset ended with code 1: outOfRange: an offset, length or index lies outside the object (",
            "init: longer ended with code 1: outOfRange: ",
            "init: nothing ended with code 1: zeroLength: ",
            "init: backwards ended with code 1: badArgument: ",
            "init: unknown ended with code 1: templateRefused: ",
            "init: unasked ended with code 1: queueFull: the queue has no free slot (",
            "init: panics panicked: at services/smoke/smoke-device/src/bin/dma-mistakes.rs:",
            "@mistakes.cards work=16 held=1",
        ],
        forbidden: &["@kernel.panic", "@device.quarantined"],
        ..PROGRAM
    }
}
