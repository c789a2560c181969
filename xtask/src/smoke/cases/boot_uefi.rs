//! The same through firmware.

use crate::smoke::case::{Boot, Smoke};

inventory::submit! {
    Smoke {
        name: "boot-uefi",
        question: "Does the same system come up through UEFI firmware and the UEFI loader?",
        rows: &["PC-01", "BI-12"],
        manifest: "smoke/boot",
        boot: Boot::Uefi,
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
