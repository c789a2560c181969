//! Does the machine come up at all.

use crate::smoke::case::{Smoke, Step};

inventory::submit! {
    Smoke {
        name: "boot",
        question: "Does the default system boot to its shell and end when told to?",
        steps: &[Step::Type("halt")],
        required: &["@boot.loader base_revision=2", "@boot.cpus online=1", "@init.started services=any"],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}
