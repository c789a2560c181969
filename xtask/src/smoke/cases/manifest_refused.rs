//! Manifests that init does not start. Every rule has its fixture in `manifests/bad`, checked on the host; three of them
//! are booted.

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;

inventory::submit! {
    Smoke {
        name: "manifest-refused",
        question: "Does init start nothing of a system whose services wait for each other, and say which?",
        rows: &["BI-08"],
        manifest: "bad/cycle",
        required: &[r#"@manifest.refused reason="manifest: services wait for each other: x -> y -> z -> x""#],
        forbidden: &["@kernel.panic", "@service.started"],
        // Init says it in the log.
        cmdline: "",
        exit: 3,
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "manifest-refused-binary",
        question: "Does init start nothing of a system that names a binary the boot package does not hold?",
        rows: &["BI-08"],
        manifest: "bad/missing-binary",
        required: &[r#"@manifest.refused reason="service \"a\": the boot package holds no binary \"not-there\"""#],
        forbidden: &["@kernel.panic", "@service.started"],
        // Init says it in the log.
        cmdline: "",
        exit: 3,
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "manifest-refused-upward",
        question: "Does init start nothing of a system in which a service would call one of a lower priority?",
        rows: &["BI-08"],
        manifest: "bad/upward-call",
        required: &[
            r#"@manifest.refused reason="service \"high\", grant \"block\": priority 11 may not call service \"low\" of the lower priority 10""#,
        ],
        forbidden: &["@kernel.panic", "@service.started"],
        // Init says it in the log.
        cmdline: "",
        exit: 3,
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "manifest-refused-storage",
        question: "Does init start nothing of a system that asks the kernel for storage, which it has none to give?",
        rows: &["BD-07", "ST-22"],
        manifest: "bad/kernel-storage",
        required: &[
            r#"@manifest.refused reason="service \"a\", grant \"disk\": kernel has a value that this system does not know""#,
        ],
        forbidden: &["@kernel.panic", "@service.started"],
        // Init says it in the log.
        cmdline: "",
        exit: 3,
        ..PROGRAM
    }
}
