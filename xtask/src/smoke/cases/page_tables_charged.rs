//! Page tables and who pays for them.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const BACK: &str = "@tables.back mappings=100 some=true all=true";
const PAID: &str = "@tables.paid mapper=exited told=\"some=true refused=overBudget again=ok\"";

inventory::submit! {
    Smoke {
        name: "page-tables-charged",
        question: "Does who maps pay for the page tables, and does everybody get them back when they are empty?",
        rows: &["CF-03"],
        manifest: "smoke/page-tables-charged",
        required: &[BACK, PAID],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_EMPTY_TABLES,
        smoke: "page-tables-charged",
        breaks: Break::Missing(BACK),
    }
}

inventory::submit! {
    Sabotage {
        point: points::TABLES_FOR_FREE,
        smoke: "page-tables-charged",
        breaks: Break::Missing(PAID),
    }
}
