//! What the author of a service reads who got something wrong.

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;

inventory::submit! {
    Smoke {
        name: "mistakes",
        question: "Does each mistake of an author end in a line that says what was wrong, and where?",
        rows: &["MA-11"],
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
            "init: recursion faulted: stack-overflow: ",
            "init: asks ended with code 1: noReply: the server dropped the call without an answer (",
            "@mistakes.waits name=waits of=EntropySource method=fill itself=false",
            "@mistakes.waits name=itself of=EntropySource method=fill itself=true",
            "@mistakes.waits name=starts of=EntropySource method=fill itself=false",
        ],
        ..PROGRAM
    }
}
