//! The floating-point and vector unit: whose its registers are.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

/// The same that the tests of `smoke-fpu` compute on the host.
const MATHS: &str =
    "@fpu.maths root=\"0x3ff6a09e667f3bcc\" pi=\"0x400921fb5f737cd0\" harmonic=7485478";
const THREAD: &str = "@fpu.thread registers_set=0 control_as_at_start=true";
const COMPUTES: &str =
    "@fpu.refused program=computes kind=faulted rule=invalid-opcode says_why=true seen=nothing";
const PEEKS: &str =
    "@fpu.refused program=peeks kind=faulted rule=invalid-opcode says_why=true seen=nothing";

/// What is asked for on every processor; whether it has AVX is another matter.
macro_rules! required {
    ($avx:literal) => {
        &[
            MATHS,
            concat!("@fpu.sleep wrong=0 avx=", $avx),
            THREAD,
            "@fpu.beside program=first kind=exited said=\"wrong=0\"",
            "@fpu.beside program=second kind=exited said=\"wrong=0\"",
            "@fpu.beside program=plain kind=exited",
            "@fpu.calls server=with wrong=0 wrong_there=0 failed=0",
            "@fpu.calls server=without wrong=0 wrong_there=0 failed=0",
            COMPUTES,
            PEEKS,
            "@fpu.charge charged=true",
        ]
    };
}

inventory::submit! {
    Smoke {
        name: "fpu",
        question: "Has a process that may use the floating-point unit its registers for itself, and nobody else any?",
        rows: &["MA-12"],
        manifest: "smoke/fpu",
        required: required!("true"),
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "fpu-fxsave",
        question: "The same on a processor without XSAVE?",
        rows: &["MA-12"],
        manifest: "smoke/fpu",
        extra: &["-cpu", "max,-erms,-fsrm,-xsave,-avx,-avx2"],
        required: required!("false"),
        ..PROGRAM
    }
}

inventory::submit! {
    Smoke {
        name: "fpu-smp",
        question: "The same on two processors, each with registers of its own?",
        rows: &["MA-12"],
        manifest: "smoke/fpu",
        smp: 2,
        required: required!("true"),
        sorted: true,
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_FPU,
        smoke: "fpu",
        breaks: Break::Missing("@fpu.sleep wrong=0 avx=true"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::KEEP_FPU_MEMORY,
        smoke: "fpu",
        breaks: Break::Missing(THREAD),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_FPU_ON,
        smoke: "fpu",
        breaks: Break::Missing(COMPUTES),
    }
}
