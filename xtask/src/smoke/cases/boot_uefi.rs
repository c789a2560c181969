//! The same through firmware.

use crate::smoke::case::{Boot, Smoke, Step};

inventory::submit! {
    Smoke {
        name: "boot-uefi",
        question: "Does the default system boot through UEFI firmware and the UEFI loader?",
        boot: Boot::Uefi,
        steps: &[Step::Type("halt")],
        required: &["@boot.loader base_revision=2", "@boot.cpus online=1", "@init.started services=any"],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}
