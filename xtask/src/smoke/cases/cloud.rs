//! Cloud packages: each is made, checked by its tools, unpacked again, and booted on the closest machine QEMU has.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ::sabotage::points;
use anyhow::{Result, ensure};

use crate::image::cloud::Provider;
use crate::image::probe;
use crate::qemu::FirmwareKind;
use crate::smoke::case::{Boot, Peer, Smoke, Step};
use crate::smoke::cases::virtio_net::frames;
use crate::smoke::sabotage::{Break, Sabotage};

/// What `cloudboot` demands, as the serial console of a cloud shows it, then a prompt and an end by a person's word.
const PACKAGE: Smoke = Smoke {
    rows: &["BI-04", "CG-06"],
    smp: 2,
    memory_mib: 2048,
    // On two processors the shell may be there first.
    steps: &[Step::Wait("@web.absent by=web"), Step::Type("halt")],
    required: &[
        "cloudboot-evidence: boot.loader",
        "cloudboot-evidence: boot.cpus online=2 listed=2",
        "cloudboot-evidence: pci.scan",
        "cloudboot-evidence: dma.backend",
    ],
    forbidden: &["@kernel.panic"],
    sorted: true,
    ..Smoke::DEFAULT
};

inventory::submit! {
    Smoke {
        name: "cloud-gcp",
        question: "Does the package for Google, unpacked again, boot through UEFI from a SCSI disk with its evidence?",
        rows: &["BI-04", "CG-06", "CH-01"],
        boot: Boot::Cloud { provider: Provider::Gcp, firmware: FirmwareKind::Uefi },
        ..PACKAGE
    }
}

inventory::submit! {
    Smoke {
        name: "cloud-aws",
        question: "Does the package for Amazon, converted back, boot with its evidence?",
        boot: Boot::Cloud { provider: Provider::Aws, firmware: FirmwareKind::Uefi },
        ..PACKAGE
    }
}

inventory::submit! {
    Smoke {
        name: "cloud-azure",
        question: "Does the package for Azure, converted back, boot with its evidence?",
        boot: Boot::Cloud { provider: Provider::Azure, firmware: FirmwareKind::Uefi },
        ..PACKAGE
    }
}

inventory::submit! {
    Smoke {
        name: "cloud-generic",
        question: "Does the package for anybody's QEMU boot through a BIOS with its evidence?",
        boot: Boot::Cloud { provider: Provider::Generic, firmware: FirmwareKind::Bios },
        ..PACKAGE
    }
}

/// Lets Linux ask, and judges what it saw.
fn probe(peer: &mut Peer<'_>) -> Result<()> {
    probe::ask(peer.work)?;
    loop {
        if let Some(said) = probe::said(peer.work)? {
            return probe::judge(&said);
        }
        ensure!(
            Instant::now() < peer.deadline,
            "Linux has not come to its end"
        );
        thread::sleep(Duration::from_millis(100));
    }
}

const BOUND: &str = "@provider-nic-bound function=\"0000:00:04.0\" id=\"1af4:1000\" driver=virtio-net registers=ports";

inventory::submit! {
    Smoke {
        name: "cloud-gce-legacy-virtio-webui-serving",
        question: "Does Google's package answer echoes and serve its page over a legacy interface alone, with evidence that nobody else can state?",
        rows: &["CG-10", "IC-01", "IC-02", "NI-14", "NI-18", "NI-19", "NI-32", "V6-09"],
        boot: Boot::Cloud { provider: Provider::Gcp, firmware: FirmwareKind::Uefi },
        namespace: Some(probe::NAMESPACE),
        extra: &[
            "-netdev", probe::NETDEV,
            "-device", probe::LEGACY_NIC,
            "-object", "filter-dump,id=f0,netdev=n0,file={work}/wire.pcap",
        ],
        steps: &[
            Step::All(&["@web.listening by=web", "@net.ipv6 origin=dhcp"]),
            Step::Peer(probe),
            Step::Type("halt"),
        ],
        required: &[
            BOUND,
            "@net.dhcp lease=bound address=\"10.200.0.38\" by=netstack",
            "@icmp-echo-reply-real-nic-datapath by=netstack",
            "@ipv6-real-nic-datapath by=netstack",
            "@webui-serving by=web",
        ],
        forbidden: &[
            "@kernel.panic",
            "@process.ended kind=faulted",
            "@process.ended kind=panicked",
        ],
        ..PACKAGE
    }
}

inventory::submit! {
    Smoke {
        name: "cloud-nic-alone",
        question: "Is an interface that sends and hears nothing never called bound?",
        rows: &["CG-10", "NI-14"],
        manifest: "network",
        cmdline: "log=cloudboot",
        extra: &[
            "-netdev", "socket,id=n0,udp=127.0.0.1:9,localaddr=127.0.0.1:0",
            "-device", "virtio-net-pci,netdev=n0,mac=52:54:00:ca:05:01,romfile=",
            "-object", "filter-dump,id=f0,netdev=n0,file={work}/wire.pcap",
        ],
        steps: &[
            Step::Wait("@nic.ready"),
            Step::Peer(has_sent),
            Step::Wait("@net.ipv6 origin=link-local"),
            Step::Type("net"),
            Step::Wait("name servers"),
            Step::Type("halt"),
        ],
        required: &["@nic.ready transport=modern by=nic"],
        forbidden: &["@kernel.panic", ANY_BOUND],
        sorted: true,
        ..Smoke::DEFAULT
    }
}

/// Waits for the third frame on the wire: the device has told of the first one by then.
fn has_sent(peer: &mut Peer<'_>) -> Result<()> {
    let path = peer.work.join("wire.pcap");
    // A frame may be half there.
    let sent = || Some(frames(&fs::read(&path).ok()?).ok()?.len());
    while sent().unwrap_or(0) < 3 {
        ensure!(Instant::now() < peer.deadline, "nothing was sent");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

const ANY_BOUND: &str = "@provider-nic-bound";

inventory::submit! {
    Sabotage {
        point: points::BOUND_WITHOUT_RECEIVE,
        smoke: "cloud-nic-alone",
        breaks: Break::Appears { fact: ANY_BOUND, after: "@nic.ready transport=modern by=nic" },
    }
}
