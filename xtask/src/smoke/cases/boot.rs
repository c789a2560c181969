//! Does the machine come up at all.

use crate::smoke::case::Smoke;

inventory::submit! {
    Smoke {
        name: "boot",
        question: "Does the machine start init and the one program of its manifest, and end with its exit code?",
        manifest: "smoke-boot",
        required: &[
            "@boot.loader base_revision=2",
            "@boot.cpus online=1",
            "@init.started services=1",
            "@hello.done arguments=2",
            "@service.ended name=hello kind=exited code=0",
        ],
        forbidden: &["@kernel.panic"],
        keeps_boot: true,
        ..Smoke::DEFAULT
    }
}
