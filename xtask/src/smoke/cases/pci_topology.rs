//! Buses, bridges and functions of a machine that is more than one bus.

use sabotage::points;

use crate::smoke::case::Smoke;
use crate::smoke::sabotage::{Break, Sabotage};

inventory::submit! {
    Smoke {
        name: "pci-topology",
        question: "Is every function found behind root ports, a switch and a bridge, with its BARs, vectors and reset?",
        rows: &["PC-06", "PC-07", "PC-09", "PC-10", "PC-11"],
        manifest: "smoke/boot",
        cmdline: "show=pci",
        extra: &[
            "-device", "pcie-root-port,id=rp0,chassis=1,addr=4.0,multifunction=on",
            "-device", "pcie-root-port,id=rp1,chassis=2,addr=4.1",
            "-device", "x3130-upstream,id=up,bus=rp0",
            "-device", "xio3130-downstream,id=down0,bus=up,chassis=3,slot=0",
            "-device", "xio3130-downstream,id=down1,bus=up,chassis=4,slot=1",
            "-device", "virtio-rng-pci,bus=down0,addr=0.0,multifunction=on",
            "-device", "edu,bus=down0,addr=0.3",
            "-drive", "if=none,id=n0,driver=null-co,size=1M",
            "-device", "nvme,bus=down1,drive=n0,serial=n0",
            "-device", "ioh3420,id=rp2,chassis=5,addr=5.0",
            "-device", "pcie-pci-bridge,id=pb,bus=rp2",
            "-device", "pci-testdev,bus=pb,addr=1.0",
            "-object", "memory-backend-ram,id=shared,share=on,size=1M",
            "-device", "ivshmem-plain,memdev=shared,bus=rp1",
        ],
        required: &[
            "@pci.scan buses=256 functions=16",
            "@pci.access windows=8 ports=0 disagreeing=0",
            "@pci.bridge at=\"0000:02:01.0\" secondary=4 subordinate=4 fault=none",
            "@pci.function at=\"0000:03:00.0\" id=\"1af4:1044\" bars=\"1:mem32:4096,4:mem64p:16384\" msix=2 table=\"1+0\"",
            "@pci.function at=\"0000:03:00.3\" id=\"1234:11e8\" bars=\"0:mem32:1048576\"",
            "@pci.function at=\"0000:04:00.0\" id=\"1b36:0010\" class=\"010802\" msix=65 table=\"0+8192\" reset=flr",
            "@pci.function at=\"0000:05:00.0\" id=\"1af4:1110\" bars=\"0:mem32:256,2:mem64p:1048576\"",
            "@pci.function at=\"0000:07:01.0\" id=\"1b36:0005\" bars=\"0:mem32:4096,1:io:256\"",
            "@hello.done arguments=2",
        ],
        forbidden: &["@kernel.panic", "@pci.refused", "@pci.bridge-refused", "@pci.ambiguous"],
        keeps_boot: true,
        ..Smoke::DEFAULT
    }
}

inventory::submit! {
    Sabotage {
        point: points::ROOT_BUS_ONLY,
        smoke: "pci-topology",
        breaks: Break::Missing("@pci.scan buses=256 functions=16"),
    }
}
