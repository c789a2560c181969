//! Processes that break every rule of the ring, the processor and their own memory.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const ENTRY: &str = "@refused.threads kernel_entry=outOfRange non_canonical_entry=outOfRange kernel_stack=outOfRange non_canonical_stack=outOfRange submissions=badArgument processor=outOfRange";
const WRITE_EXECUTE: &str = "@refused.memory write_execute=writeExecute map_write_execute=writeExecute protect_kernel=notFound unmap_kernel=notFound unmap_beyond=notFound odd=misaligned huge=outOfRange nothing=zeroLength";
const SPAN: &str = "@hostile.ended kind=faulted why=\"message span outside the message area\" attacks=\"span-beyond span-too-long span-wraps span-in-kernel span-misaligned span-odd-length span-of-reply span-of-receive span-of-return span-of-transfers span-in-ring\"";
const CONTROL: &str =
    "@hostile.ended kind=faulted why=\"reserved bits of the control word\" attacks=control-bits";
const TAIL: &str = "@hostile.ended kind=faulted why=\"submission tail beyond the ring\" attacks=\"ring-tail ring-header flip-tail\"";

inventory::submit! {
    Smoke {
        name: "ring-hostile",
        question: "Is a hostile process refused or ended, whatever it tries, while the kernel and its neighbours go on?",
        manifest: "smoke/ring-hostile",
        smp: 2,
        required: &[
            ENTRY,
            WRITE_EXECUTE,
            "@refused.flood sent=192 accepted_at_once=128 completed=192 in_order=true",
            SPAN,
            CONTROL,
            "@hostile.ended kind=faulted why=\"completion head beyond what was posted\" attacks=ring-head",
            TAIL,
            "@hostile.ended kind=exited why=\"40000 submissions, each completed, many flipped\" attacks=flip-words",
            "@hostile.ended kind=exited why=\"5000 calls, each answered or refused\" attacks=flip-message",
            "@hostile.ended kind=faulted why=invalid-opcode attacks=\"sse undefined wrfsbase\"",
            "@hostile.ended kind=faulted why=general-protection attacks=\"hlt cli mov-cr3 wrmsr lgdt in out iopl int-0x80 int-page-fault breakpoint far-jump kernel-selector non-canonical-read non-canonical-jump\"",
            "@hostile.ended kind=faulted why=\"page-fault reading\" attacks=\"read-kernel read-apic user-selector unmap-area unmap-stack unmap-startup\"",
            "@hostile.ended kind=faulted why=\"page-fault writing\" attacks=\"write-kernel stack-in-kernel write-text write-startup\"",
            "@hostile.ended kind=faulted why=\"page-fault executing\" attacks=\"execute-kernel execute-stack unmap-text\"",
            "@hostile.bystander attacks=56 beats_after=56 kind=exited text=\"memory intact: true\"",
            "@hostile.server attacks=56 answered_after=56 alive=true",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_SPAN_CHECK,
        smoke: "ring-hostile",
        breaks: Break::Missing(SPAN),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_CONTROL_CHECK,
        smoke: "ring-hostile",
        breaks: Break::Missing(CONTROL),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_TAIL_CHECK,
        smoke: "ring-hostile",
        breaks: Break::Missing(TAIL),
    }
}
