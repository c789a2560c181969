//! Answers of real processors and of made-up ones, and what is decided for each.

use super::Answer::{
    AutomaticIbrs, BhiDisS, EnhancedIbrs, Ibrs, NoTransactions, NotAffected, NotAnswered,
    NotOffered, RrsbaDisS, Verw,
};
use super::{Answer, Decision, Leaves, Processor, Vendor};

/// One processor, and what follows: in the order of `Decision`, and then VERW, SPEC_CTRL, AIBRSE, IBPB.
type Row = (
    &'static str,
    Leaves,
    u64,
    [Answer; 8],
    (bool, Option<u64>, bool, bool),
);

const NOTHING: Leaves = Leaves {
    vendor: Vendor::Other,
    signature: 0,
    hypervisor: false,
    seven_ebx: 0,
    seven_edx: 0,
    seven_two_edx: 0,
    extended_8_ebx: 0,
    extended_21_eax: 0,
};
const CAPABILITIES: u32 = 1 << 29;
const MD_CLEAR: u32 = 1 << 10;
const IBRS: u32 = 1 << 26;
const L1D: u32 = 1 << 28;
const RTM: u32 = 1 << 11;

const fn intel(seven_ebx: u32, seven_edx: u32, seven_two_edx: u32) -> Leaves {
    Leaves {
        vendor: Vendor::Intel,
        signature: 0x0005_06e3,
        seven_ebx,
        seven_edx,
        seven_two_edx,
        ..NOTHING
    }
}

const fn amd(signature: u32, extended_8_ebx: u32, extended_21_eax: u32) -> Leaves {
    Leaves {
        vendor: Vendor::Amd,
        signature,
        extended_8_ebx,
        extended_21_eax,
        ..NOTHING
    }
}

const NO: Answer = NotAffected;
const TABLE: &[Row] = &[
    (
        "says nothing",
        NOTHING,
        u64::MAX,
        [NotOffered; 8],
        (false, None, false, false),
    ),
    (
        "of Intel, before any of it was known",
        intel(RTM, 0, 0),
        u64::MAX,
        [NotOffered; 8],
        (false, None, false, false),
    ),
    (
        "of Intel with microcode of 2019: MD_CLEAR, IBRS, L1D_FLUSH, and no IA32_ARCH_CAPABILITIES",
        intel(RTM, MD_CLEAR | IBRS | L1D, 0),
        0,
        [
            NotOffered, NotOffered, Verw, Verw, Verw, Ibrs, Ibrs, NotOffered,
        ],
        (true, None, false, true),
    ),
    (
        "the same, as a hypervisor names it without MD_CLEAR",
        intel(RTM, IBRS | CAPABILITIES, 0),
        0,
        [
            NotAnswered,
            NotAnswered,
            NotAnswered,
            NotAnswered,
            NotAnswered,
            Ibrs,
            Ibrs,
            NotAnswered,
        ],
        (false, None, false, true),
    ),
    (
        "not affected by MDS, with transactions and no way to clear",
        intel(RTM, MD_CLEAR | IBRS | CAPABILITIES, 0),
        1 | 1 << 1 | 1 << 5,
        [
            NO,
            NO,
            NO,
            NotAnswered,
            NotAnswered,
            EnhancedIbrs,
            EnhancedIbrs,
            NotAnswered,
        ],
        (false, Some(1), false, true),
    ),
    (
        "the same, and TSX_CTRL and FB_CLEAR",
        intel(RTM, MD_CLEAR | IBRS | CAPABILITIES, 0),
        1 | 1 << 1 | 1 << 5 | 1 << 7 | 1 << 17,
        [
            NO,
            NO,
            NO,
            Verw,
            Verw,
            EnhancedIbrs,
            EnhancedIbrs,
            NotAnswered,
        ],
        (true, Some(1), false, true),
    ),
    (
        "with controls of history and of returns, and nothing else left",
        intel(0, MD_CLEAR | IBRS | CAPABILITIES, 1 << 2 | 1 << 4),
        1 | 1 << 1 | 1 << 5 | 7 << 13 | 1 << 19,
        [
            NO,
            NO,
            NO,
            NoTransactions,
            NO,
            EnhancedIbrs,
            RrsbaDisS,
            BhiDisS,
        ],
        (false, Some(1 | 1 << 6 | 1 << 10), false, true),
    ),
    (
        "with RRSBA and no control of it",
        intel(0, IBRS | CAPABILITIES, 0),
        1 | 1 << 1 | 1 << 5 | 1 << 8 | 7 << 13 | 1 << 19 | 1 << 20,
        [NO, NO, NO, NO, NO, EnhancedIbrs, NotAnswered, NO],
        (false, Some(1), false, true),
    ),
    (
        "that denies everything",
        intel(RTM, IBRS | CAPABILITIES, 0),
        1 | 1 << 1 | 1 << 5 | 1 << 8 | 7 << 13 | 1 << 20,
        [NO, NO, NO, NO, NO, EnhancedIbrs, EnhancedIbrs, NO],
        (false, Some(1), false, true),
    ),
    (
        "of AMD, family 17H",
        amd(0x0080_0f12, 1 << 12, 0),
        0,
        [NO, NO, NO, NO, NO, NotOffered, NotAnswered, NO],
        (false, None, false, true),
    ),
    (
        "of AMD, family 19H, with automatic IBRS",
        amd(0x00a1_0f11, 1 << 12 | 1 << 14, 1 << 8),
        0,
        [NO, NO, NO, NO, NO, AutomaticIbrs, NO, NO],
        (false, None, true, true),
    ),
    (
        "of AMD, family 17H, that says BTC_NO, and plain IBRS",
        amd(0x0080_0f12, 1 << 12 | 1 << 14 | 1 << 29, 0),
        0,
        [NO, NO, NO, NO, NO, Ibrs, NO, NO],
        (false, None, false, true),
    ),
    (
        "of AMD, by a hypervisor's word",
        Leaves {
            hypervisor: true,
            ..amd(0x00a1_0f11, 0, 0)
        },
        0,
        [NotOffered; 8],
        (false, None, false, false),
    ),
];

fn answers(of: &Decision) -> [Answer; 8] {
    [
        of.meltdown,
        of.l1tf,
        of.mds,
        of.taa,
        of.mmio_stale_data,
        of.spectre_v2,
        of.retbleed,
        of.bhi,
    ]
}

#[test]
fn each_processor_of_the_table_gets_its_answers() {
    for (name, leaves, capabilities, expected, (verw, spec_ctrl, automatic, barrier)) in TABLE {
        let decision = Processor::new(*leaves, *capabilities).decide();
        assert_eq!(answers(&decision), *expected, "a processor {name}");
        assert_eq!(decision.verw, *verw, "VERW: a processor {name}");
        assert_eq!(decision.spec_ctrl, *spec_ctrl, "a processor {name}");
        assert_eq!(decision.automatic_ibrs, *automatic, "a processor {name}");
        assert_eq!(decision.barrier, *barrier, "IBPB: a processor {name}");
        assert_eq!(decision.ibrs, expected[5] == Ibrs, "a processor {name}");
    }
}

/// Every combination of the bits that are read, one after the other from a seed.
fn each(mut f: impl FnMut(Leaves, u64, Decision)) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 16
    };
    for round in 0..200_000_u32 {
        let leaves = Leaves {
            vendor: [Vendor::Intel, Vendor::Amd, Vendor::Other][round as usize % 3],
            signature: next() as u32,
            hypervisor: next() & 1 != 0,
            seven_ebx: next() as u32,
            seven_edx: next() as u32,
            seven_two_edx: next() as u32,
            extended_8_ebx: next() as u32,
            extended_21_eax: next() as u32,
        };
        let capabilities = next() ^ next() << 20;
        f(
            leaves,
            capabilities,
            Processor::new(leaves, capabilities).decide(),
        );
    }
}

#[test]
fn no_means_is_named_that_is_not_offered() {
    each(|leaves, capabilities, decision| {
        let there = leaves.seven_edx & CAPABILITIES != 0;
        let clears = leaves.seven_edx & MD_CLEAR != 0 || there && capabilities >> 17 & 1 != 0;
        assert!(!decision.verw || clears, "{leaves:?}");
        assert!(
            decision.spec_ctrl.is_none() || leaves.seven_edx & IBRS != 0,
            "{leaves:?}"
        );
        assert!(!decision.automatic_ibrs || leaves.extended_21_eax >> 8 & 1 != 0);
        let plain = leaves.seven_edx & IBRS != 0 || leaves.extended_8_ebx >> 14 & 1 != 0;
        assert!(!decision.ibrs || plain, "{leaves:?}");
        // Never two ways at once: what is on for good is not cleared for programs.
        let for_good = decision.automatic_ibrs || decision.spec_ctrl.unwrap_or(0) & 1 != 0;
        assert!(!(decision.ibrs && for_good), "{leaves:?}");
        let barriers = leaves.seven_edx & IBRS != 0 || leaves.extended_8_ebx >> 12 & 1 != 0;
        assert_eq!(decision.barrier, barriers);
        assert_eq!(decision.verw, answers(&decision).contains(&Verw));
    });
}

#[test]
fn a_register_that_is_not_there_says_nothing() {
    each(|leaves, capabilities, decision| {
        if leaves.seven_edx & CAPABILITIES == 0 {
            let other = Processor::new(leaves, !capabilities).decide();
            assert_eq!(decision, other, "{leaves:?}");
        }
    });
}

#[test]
fn a_vendor_by_a_hypervisors_word_is_no_good_news() {
    each(|leaves, capabilities, _| {
        let bare = Leaves {
            hypervisor: true,
            ..leaves
        };
        let told = Processor::new(bare, capabilities & !(1 | 1 << 5)).decide();
        for answer in [told.meltdown, told.l1tf, told.mds] {
            assert!(answer != NotAffected, "{bare:?}");
        }
    });
}
