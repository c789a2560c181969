//! Ways out of an account.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const LENDER: &str =
    r#"@escapes.lender ended=exited said="before=91 each=[8, 8, 8] alive=67 ended=91 after=99""#;
const MEMORY: &str = "@escapes.device-memory some=true within=true unpaid=0 unpaid_runs=0 difference_after=0 kept_bytes=0";
const AREAS: &str = "@escapes.thread-areas some=true within=true unpaid=0";
const CHILDREN: &str = "@escapes.children first=overBudget from_package=0 package_refused=overBudget from_memory=0 memory_refused=overBudget high=0 high_refused=overBudget high_memory_refused=overBudget kept_bytes=0";

const WAITS: &str = "@escapes.claim-waits refused=39 got_it=1 few_waited=true otherwise=0";

inventory::submit! {
    Smoke {
        name: "account-escapes",
        question: "Is there a way out of an account by minting on what was lent, by memory of devices, by areas of threads, or by children?",
        rows: &["CF-03", "CF-07"],
        manifest: "smoke/account-escapes",
        extra: &["-device", "edu"],
        required: &[
            CHILDREN,
            LENDER,
            AREAS,
            MEMORY,
            "@escapes.lists within=true unpaid=0",
            WAITS,
            "@escapes.shares some=true refused=overBudget same_again=true",
            r#"@escapes.nested ended=exited said="overBudget overBudget overBudget overBudget overBudget overBudget" difference_after=0 kept_bytes=0"#,
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::MAKER_PAYS_FACETS,
        smoke: "account-escapes",
        breaks: Break::Missing(LENDER),
    }
}

inventory::submit! {
    Sabotage {
        point: points::DMA_FOR_NOTHING,
        smoke: "account-escapes",
        breaks: Break::Missing(MEMORY),
    }
}

inventory::submit! {
    Sabotage {
        point: points::ROUNDING_FOR_NOTHING,
        smoke: "account-escapes",
        breaks: Break::Missing(AREAS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::AREAS_FOR_NOTHING,
        smoke: "account-escapes",
        breaks: Break::Missing(AREAS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SPAWN_OUT_OF_NOTHING,
        smoke: "account-escapes",
        breaks: Break::Missing(CHILDREN),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SHARE_CLAIM_WAITS,
        smoke: "account-escapes",
        breaks: Break::Missing(WAITS),
    }
}
