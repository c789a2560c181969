//! Who pays for what the kernel holds.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const CHILDREN: &str = "@accounts.children memory=overBudget priority=overBudget handles=overBudget threads=overBudget endpoints=overBudget facets=overBudget own_priority=ok";
const FACETS: &str =
    r#"@accounts.facets minter=exited said="minted=8 refused=overBudget" others=64 lender=ok"#;
const RECEIVES: &str =
    r#"@accounts.receives receiver=exited said="refused=nothing some=true all=true others=true""#;
const LAST: &str = r#"@accounts.last child=exited said="page=overBudget facet=overBudget some_facets=true all_receives=false" lent_bytes=0"#;
const SUM: &str =
    "@accounts.sum difference_before=0 difference_while_held=0 difference_after=0 grows=false";
const ROUNDS: &str =
    "@rounds.sum rounds=1000 difference_before=0 differences=0 free_differs_kib=0 kept=false";
const COUNTS: &str = "@rounds.counts back=true lent_bytes=0";
const END_ACCOUNT: &str = "@end.account maker=killed held=true meanwhile=overBudget given_again=true claim_again=ok report=nothing difference=0";
const END_MEMORY: &str =
    "@end.memory reads_zeros=true map=revoked info=revoked narrower=revoked read_only=revoked";
const END_ENDPOINTS: &str = "@end.endpoints received=ok receive=revoked called=revoked renew=revoked mint=revoked own=revoked lent=timedOut passing=stale strangers=revoked";
const END_RIGHTS: &str = "@end.rights lent_on=revoked again=revoked lent_back=never own=never";
const END_OTHERS: &str =
    "@end.others waited=revoked bell=revoked ringer=revoked joined=ok join=revoked process=revoked";
const END_CLAIM: &str = "@end.claim device=revoked registers=revoked interrupt=revoked waited=revoked queue=revoked pool=revoked buffer=revoked reads_zeros=true";
const END_DERIVED: &str = "@end.derived device=ok pool=revoked buffer=revoked reads_zeros=true";
const END_PAGES: &str = "@end.pages kept=0";
/// Also where charges fail: they cost nothing but an answer.
const FAILED: &str =
    "@accounts.failed difference_before=0 difference_after=0 kept_bytes=0 works_again=true";
const NONE: &str = "@accounts.refusals none=true";

inventory::submit! {
    Smoke {
        name: "accounts",
        question: "Does everybody pay for what they cause, out of what they were given?",
        rows: &["CF-03"],
        manifest: "smoke/accounts",
        required: &[
            CHILDREN,
            "@accounts.shares children=3 again=3",
            r#"@accounts.grandchildren child=exited said="more=overBudget higher=overBudget own=ok""#,
            FACETS,
            RECEIVES,
            r#"@accounts.receives receiver=exited said="refused=overBudget some=true all=false others=true""#,
            LAST,
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "accounts-sum",
        question: "Is what all accounts pay for, to the byte, what the machine has lost, whatever was done?",
        rows: &["CF-03"],
        manifest: "smoke/accounts-sum",
        smp: 2,
        required: &[SUM],
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "account-rounds",
        question: "After a thousand rounds of everything, is every byte back, and everything else that an account counts?",
        rows: &["CF-03"],
        manifest: "smoke/account-rounds",
        smp: 2,
        extra: &["-device", "edu"],
        required: &[ROUNDS, COUNTS],
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "account-end",
        question: "When an account ends, is all gone that it paid for, whoever holds it, and is whoever holds it told so?",
        rows: &["CF-03"],
        manifest: "smoke/account-end",
        smp: 2,
        extra: &["-device", "edu", "-device", "edu"],
        required: &[
            END_ACCOUNT,
            END_MEMORY,
            END_ENDPOINTS,
            END_RIGHTS,
            END_OTHERS,
            END_CLAIM,
            END_DERIVED,
            "@end.arrived memory=revoked pool=revoked endpoint=revoked",
            END_PAGES,
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "accounts-fail",
        question: "Does whoever asked hear of it when a charge or an allocation is refused, and is nothing lost then?",
        rows: &["CF-04"],
        manifest: "smoke/accounts-fail",
        required: &[FAILED, NONE],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAK_FRAME,
        smoke: "account-rounds",
        breaks: Break::Missing(ROUNDS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::FAIL_ALLOC,
        smoke: "accounts-fail",
        breaks: Break::Missing(NONE),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEND_WHAT_CAN_BE_REFUSED,
        smoke: "accounts",
        breaks: Break::Missing(LAST),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SPAWN_OUT_OF_NOTHING,
        smoke: "accounts",
        breaks: Break::Missing(CHILDREN),
    }
}

inventory::submit! {
    Sabotage {
        point: points::MAKER_PAYS_FACETS,
        smoke: "accounts",
        breaks: Break::Missing(FACETS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::STACKS_FOR_NOTHING,
        smoke: "accounts-sum",
        breaks: Break::Missing(SUM),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_WHAT_ENDED_PAID,
        smoke: "account-end",
        breaks: Break::Missing(END_ACCOUNT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_ENDED_PAGES,
        smoke: "account-end",
        breaks: Break::Missing(END_ACCOUNT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_ENDED_CLAIMS,
        smoke: "account-end",
        breaks: Break::Missing(END_ACCOUNT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_LENT_RECEIVES,
        smoke: "account-end",
        breaks: Break::Missing(END_RIGHTS),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_ORPHANS,
        smoke: "account-end",
        breaks: Break::Missing(END_ACCOUNT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_HUSKS,
        smoke: "account-end",
        // What derives from the claim is in the table still, and stale.
        breaks: Break::Missing(END_CLAIM),
    }
}
