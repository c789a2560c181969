//! Every command of the diagnostics console, on a machine with nothing but a serial line.

use sabotage::points;

use crate::smoke::case::{Smoke, Step};
use crate::smoke::sabotage::{Break, Sabotage};

/// More functions than one answer of the kernel and one page of the console hold, none of which has a driver.
const FUNCTIONS: &[&str] = &[
    "-device",
    "edu",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
    "-device",
    "pci-testdev",
];

inventory::submit! {
    Smoke {
        name: "serial-diagnostics",
        question: "Does the console at COM1 come up with no disk and no network, and does each command say what is so?",
        rows: &[
            "SD-01", "SD-02", "SD-03", "SD-05", "SD-06", "SD-07", "SD-08", "SD-09", "SD-10", "SD-11", "SD-13", "SD-14",
        ],
        manifest: "diagnostics",
        smp: 2,
        sorted: true,
        extra: FUNCTIONS,
        steps: &[
            Step::Type("pci"),
            Step::Type("pci 2"),
            Step::Type("pci 3"),
            Step::Type("help"),
            Step::Type("status"),
            Step::Type("cpu"),
            Step::Type("mem"),
            Step::Type("irq"),
            Step::Type("timers"),
            Step::Type("acpi"),
            Step::Type("iommu"),
            Step::Type("devices"),
            Step::Type("dma"),
            Step::Type("caps"),
            Step::Type("logs 5"),
            Step::Type("logs 201"),
            Step::Type("audit"),
            Step::Type("upload kernel"),
            Step::Type("exit"),
            Step::Type("halt"),
        ],
        required: &[
            "@diagnostics.ready called=false",
            "@diagnostics.pci functions=25 with_driver=1 claimed=0 unsound=0",
            "page 1 of 2, 4 lines are on others: pci PAGE",
            "page 2 of 2, 21 lines are on others: pci PAGE",
            "pci: there is no page 3; the listing has 2 pages",
            "timers [PAGE]",
            "@diagnostics.command name=help outcome=shown",
            "@diagnostics.status cpus=2 listed=2 claimed=0 quarantined=0",
            "@diagnostics.cpu listed=2 online=2",
            "@diagnostics.mem quarantined=0 adds_up=true",
            "@diagnostics.irq devices=0 console=1 ordered=true",
            "@diagnostics.timers runs=true cpus=2",
            "@diagnostics.acpi any=true read=3 refused=0",
            "@diagnostics.iommu backend=bounce discovery=absent-blocked missing=manager-owned-domain units=0",
            "@diagnostics.devices records=1",
            "@diagnostics.dma records=1",
            "@diagnostics.caps processes=2 held=10",
            "@diagnostics.audit any=true intact=true",
            "@diagnostics.logs asked=5 shown=5",
            "logs: \"201\" is not a number from 1 to 200; usage: logs [LINES]",
            "no command is named \"upload\"; help lists them all",
            "exit: nobody waits for this line; halt or reboot ends the machine",
        ],
        forbidden: &["@kernel.panic"],
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::DROP_PAGE_BOUND,
        smoke: "serial-diagnostics",
        breaks: Break::Missing("@diagnostics.pci functions=25 with_driver=1 claimed=0 unsound=0"),
    }
}
