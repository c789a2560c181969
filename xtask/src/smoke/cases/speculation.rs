//! What processors say of leaks by speculation.

use crate::smoke::case::Smoke;
use crate::smoke::cases::{PROGRAM, entry};

inventory::submit! {
    Smoke {
        name: "speculation-amd",
        question: "Does AMD's word count where nobody stands between the processor and the kernel?",
        rows: &["CF-10"],
        manifest: "smoke/boot",
        extra: &["-cpu", "max,-erms,-fsrm,-hypervisor"],
        required: &[
            "@boot.speculation meltdown=not-affected l1tf=not-affected mds=not-affected taa=not-affected mmio_stale_data=not-affected spectre_v2=not-offered retbleed=not-answered bhi=not-affected verw=false",
            "@hello.done arguments=2",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "speculation-intel",
        question: "Is a processor that says nothing of its leaks taken at no better than its word?",
        rows: &["CF-10"],
        manifest: "smoke/boot",
        extra: &["-cpu", "max,-erms,-fsrm,-hypervisor,vendor=GenuineIntel"],
        required: &[
            "@boot.speculation meltdown=not-offered l1tf=not-offered mds=not-offered taa=not-offered mmio_stale_data=not-offered spectre_v2=not-offered retbleed=not-offered bhi=not-offered verw=false",
            "@hello.done arguments=2",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "verw",
        question: "Do programs get back from every kind of entry with what they had, with VERW on the way?",
        rows: &["CF-10"],
        manifest: "smoke/entry",
        cmdline: "verw=on",
        required: &[
            "@boot.speculation verw=true",
            entry::ALL[0],
            entry::ALL[1],
            entry::ALL[2],
            entry::ALL[3],
            entry::ALL[4],
            entry::ALL[5],
            entry::ALL[6],
            entry::ALL[7],
            entry::ALL[8],
            entry::ALL[9],
        ],
        ..PROGRAM
    }
}

// TCG takes the register and does nothing with it: what is seen is that every way in and out keeps what the program had.
macro_rules! with_ibrs {
    ($first:literal) => {
        &[
            $first,
            entry::ALL[0],
            entry::ALL[1],
            entry::ALL[2],
            entry::ALL[3],
            entry::ALL[4],
            entry::ALL[5],
            entry::ALL[6],
            entry::ALL[7],
            entry::ALL[8],
            entry::ALL[9],
        ]
    };
}

inventory::submit! {
    Smoke {
        name: "ibrs",
        question: "Do programs get back from every kind of entry with what they had, with IBRS written on the way in and out?",
        rows: &["CF-10"],
        manifest: "smoke/entry",
        extra: &["-cpu", "max,-erms,-fsrm,+spec-ctrl,x-force-features=on"],
        cmdline: "",
        required: with_ibrs!("@boot.speculation spectre_v2=ibrs verw=false"),
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "ibrs-verw",
        question: "The same, and VERW behind it, on a processor that has MD_CLEAR?",
        rows: &["CF-10"],
        manifest: "smoke/entry",
        extra: &["-cpu", "max,-erms,-fsrm,+spec-ctrl,+md-clear,x-force-features=on"],
        cmdline: "",
        required: with_ibrs!("@boot.speculation mds=verw spectre_v2=ibrs verw=true"),
        ..PROGRAM
    }
}
