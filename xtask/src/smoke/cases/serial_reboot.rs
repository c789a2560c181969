//! The end that is a beginning: every device stops, the machine resets, and the console is there again.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk, Step};
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::sabotage::{Break, Sabotage};

inventory::submit! {
    Smoke {
        name: "serial-reboot",
        question: "Does `reboot` stop a device that is in use, reset the machine, and does that boot again?",
        rows: &["SD-03", "SD-04", "SD-08", "SD-10", "SD-12", "SD-14"],
        manifest: "smoke/serial-reboot",
        disks: &[SmokeDisk { name: "disk.img", make: raw, bytes_per_s: 0 }],
        steps: &[
            Step::Wait("@holder.enabled"),
            Step::Type("acpi"),
            Step::Type("iommu"),
            Step::Type("devices"),
            Step::Type("dma"),
            Step::Type("irq"),
            Step::Type("audit"),
            Step::Type("reboot"),
            Step::Wait("exit code=0"),
            Step::Wait("@holder.enabled"),
            Step::Type("status"),
            Step::Type("halt 42"),
        ],
        required: &[
            "@holder.enabled",
            "@diagnostics.acpi any=true read=4 refused=0",
            "@diagnostics.iommu backend=bounce discovery=listed missing=manager-owned-domain units=1",
            "@diagnostics.devices records=1 running=1 quarantined=0 books_differ=0",
            "@diagnostics.dma records=1 pools=1 queues=2",
            "@diagnostics.irq devices=1 console=1 ordered=true",
            "@diagnostics.audit any=true intact=true",
            "@device.teardown step=device-reset proof=csts-rdy-zero",
            "@power.reset torn_down=1 live=0 bus_masters=0 quarantined=0",
            "@diagnostics.status cpus=1 claimed=1",
        ],
        forbidden: &["@kernel.panic", "@power.reset-refused"],
        // A unit for the console to tell of.
        extra: &["-device", "intel-iommu"],
        reboots: true,
        sorted: true,
        exit: 42,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::REBOOT_SKIPS_TEARDOWN,
        smoke: "serial-reboot",
        breaks: Break::Missing("@device.teardown step=device-reset proof=csts-rdy-zero"),
    }
}
