//! A holder of DMA memory who wants more of it, for longer.

use std::path::Path;

use anyhow::Result;

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const SIZES: &str = "@pool.sizes pool_of_nothing=zeroLength pool_of_too_much=overBudget zero=zeroLength over_contiguity=outOfRange endless=outOfRange full=true a_page_over=overBudget one_byte=4096 used_then=4096 buffers_then=1";
const MAPPED: &str = "@pool.freed-while-mapped written=true own_mapping_sees=0 writer=exited window=revoked next_owner_sees=0";
const REUSED: &str = "@pool.reused-slot generation_rises=true info=stale map=stale unmap=stale window=stale free=stale submit=stale new_untouched=true new_in_flight=0";
const FOREIGN: &str = "@pool.foreign other_function=foreignBuffer released=stale released_and_reused=stale next_generation=badHandle nobody_s=badHandle zero=badHandle pool=wrongKind queue=wrongKind ours_in_flight=0 theirs_in_flight=0";
const ACCOUNT: &str =
    "@pool.account contiguous_mib=4 unpaid_bytes=0 some=true within=true refused=overBudget";
const ENDED: &str = "@pool.claim-ended generation=1 pool_info=stale allocate=stale buffer_info=stale buffer_map=stale buffer_free=stale mmio_info=stale mmio_read=stale mmio_write=stale mmio_map=stale queue_info=stale submit=stale complete=stale queue_reset=stale wait=stale acknowledge=stale unmask=stale mask=stale";

/// Bytes that a page table takes for absent entries: where pages are not wiped on purpose, it is the smoke that must
/// notice, and not the kernel that must crash.
pub(super) fn even(path: &Path) -> Result<()> {
    Ok(std::fs::write(path, vec![0x42; 8 << 20])?)
}

inventory::submit! {
    Smoke {
        name: "dmapool-grant",
        question: "Do pools, buffers and whatever else derives from a claim end when they end, on real frames that go round?",
        rows: &["DA-13", "DA-14", "DA-18", "DA-20", "DA-23", "DA-24", "DA-26", "DA-29", "DA-30", "DA-48", "DA-54"],
        manifest: "smoke/dmapool-grant",
        disks: &[
            SmokeDisk { name: "one.img", make: even, bytes_per_s: 0 },
            SmokeDisk { name: "slow.img", make: even, bytes_per_s: 1 << 20 },
        ],
        required: &[
            SIZES,
            "@pool.protections none=badArgument read=ok write=badArgument read_write=ok execute=badArgument read_execute=writeExecute write_execute=writeExecute unknown=badArgument",
            "@pool.read-only-window writable=false map_writable=readOnly raise=readOnly raise_to_execute=writeExecute part_of_a_page=misaligned over_the_buffer=outOfRange nothing=zeroLength whole_page=ok revoke=notSupported",
            MAPPED,
            "@pool.in-flight segments=2 free=busy window_stays=ok afterwards=0 free_afterwards=ok free_twice=stale",
            REUSED,
            FOREIGN,
            "@pool.frames filled=200 empty_before=200",
            ACCOUNT,
            ENDED,
            "@pool.successor read_status=0 buffers=1 used=4096",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::DMA_FOR_NOTHING,
        smoke: "dmapool-grant",
        breaks: Break::Missing(ACCOUNT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::ROUNDING_FOR_NOTHING,
        smoke: "dmapool-grant",
        breaks: Break::Missing(ACCOUNT),
    }
}

inventory::submit! {
    Sabotage {
        point: points::BUDGET_OFF_BY_A_PAGE,
        smoke: "dmapool-grant",
        breaks: Break::Missing(SIZES),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_WINDOWS,
        smoke: "dmapool-grant",
        breaks: Break::Missing(MAPPED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_SCRUB,
        smoke: "dmapool-grant",
        breaks: Break::Missing(MAPPED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_BUFFER_GENERATION,
        smoke: "dmapool-grant",
        breaks: Break::Missing(REUSED),
    }
}

inventory::submit! {
    Sabotage {
        point: points::ACCEPT_FOREIGN_BUFFER,
        smoke: "dmapool-grant",
        breaks: Break::Missing(FOREIGN),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_CLAIM_CHECK,
        smoke: "dmapool-grant",
        breaks: Break::Missing(ENDED),
    }
}
