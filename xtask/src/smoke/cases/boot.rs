//! Does the machine come up at all.

use sabotage::points;

use crate::build::Code;
use crate::smoke::case::{Smoke, SmokeDisk, Step};
use crate::smoke::cases::nvme_fat_read::whole;
use crate::smoke::sabotage::{Break, Sabotage};

/// How the kernel names the end of its own stack.
const OVERFLOW: &str = "kernel panic: stack-overflow: ";

/// What the control registers were read back to hold.
const CPU: &str = "@boot.cpu nx=true smep=true smap=true umip=true writable_text=0";

inventory::submit! {
    Smoke {
        name: "boot",
        question: "Does the machine start init and the one program of its manifest, and end with its exit code?",
        rows: &["PC-01", "PC-02", "PC-03", "PC-06", "BI-12", "CF-10"],
        manifest: "smoke/boot",
        required: &[
            "@boot.loader base_revision=2",
            CPU,
            "@acpi.madt processors=1 io_apics=1",
            "@acpi.mcfg windows=1",
            "@boot.cpus online=1",
            "@pci.scan buses=256",
            "@pci.quiesced bus-master=cleared",
            "@init.started services=1",
            "@hello.done arguments=2",
            "@service.ended name=hello kind=exited code=0",
        ],
        forbidden: &["@kernel.panic"],
        keeps_boot: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::FAIL_BOOT_ALLOC,
        smoke: "boot",
        breaks: Break::Missing("@boot.loader base_revision=2"),
    }
}

inventory::submit! {
    Smoke {
        name: "boot-debug",
        question: "Does the guest that --debug-guest builds boot to the shell, on stacks that hold its frames?",
        code: Code::Debug,
        disks: &[SmokeDisk { name: "files.img", make: whole, bytes_per_s: 0 }],
        steps: &[
            Step::Type("cat /disk/hello.txt"),
            Step::Type("ps"),
            Step::Type("lsblk"),
            Step::Type("halt"),
        ],
        required: &["@boot.cpus online=1", "@nvme.ready", "hello from the disk"],
        forbidden: &["@kernel.panic", "stack-overflow", "panicked"],
        // Which of two drivers without a device says so first depends on how fast the third one's is.
        sorted: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Smoke {
        name: "kernel-stack",
        question: "Does the kernel's stack hold what a program's life needs, and is its overflow called one?",
        manifest: "smoke/boot",
        required: &["@hello.done arguments=2"],
        forbidden: &[OVERFLOW],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::RECURSE_IN_KERNEL,
        smoke: "kernel-stack",
        breaks: Break::Appears {
            fact: OVERFLOW,
            after: "@hello.done arguments=2",
        },
    }
}

inventory::submit! {
    Sabotage {
        point: points::TRUST_FIRMWARE,
        smoke: "boot",
        breaks: Break::Missing("@pci.quiesced bus-master=cleared"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_SMEP_OFF,
        smoke: "boot",
        breaks: Break::Missing(CPU),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_SMAP_OFF,
        smoke: "boot",
        breaks: Break::Missing(CPU),
    }
}

inventory::submit! {
    Sabotage {
        point: points::LEAVE_UMIP_OFF,
        smoke: "boot",
        breaks: Break::Missing(CPU),
    }
}

inventory::submit! {
    Sabotage {
        point: points::TEXT_WRITABLE_DIRECTLY,
        smoke: "boot",
        breaks: Break::Missing(CPU),
    }
}

inventory::submit! {
    Sabotage {
        point: points::TEXT_WRITABLE_ELSEWHERE,
        smoke: "boot",
        breaks: Break::Missing(CPU),
    }
}
