//! Does the machine come up at all.

use crate::smoke::case::{Smoke, Step};

inventory::submit! {
    Smoke {
        name: "boot",
        question: "Does the default system boot to its shell and end when told to?",
        steps: &[Step::Type("halt")],
        required: &["@kernel.start"],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}
