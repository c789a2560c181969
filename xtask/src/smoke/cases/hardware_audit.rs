//! The hardware audit log, read while the system runs.

use sabotage::points;

use crate::smoke::case::{Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::cases::nvme_hostile::raw;
use crate::smoke::sabotage::{Break, Sabotage};

const CLAMP: &str = "@audit.clamp asked=4294967295 outcome=ok got=128 truncated=true";
const OUTSIDER: &str =
    "@reader.outsider nothing=badTransfer own_gate=notAdmitted console=notAdmitted";

inventory::submit! {
    Smoke {
        name: "hardware-audit",
        question: "Can what was done with a device be read, in full, in order, by those who may, and by nobody else?",
        rows: &["DA-40", "DA-57", "DA-58", "DA-61", "DA-63", "IR-17"],
        manifest: "smoke/hardware-audit",
        disks: &[SmokeDisk { name: "one.img", make: raw, bytes_per_s: 0 }],
        required: &[
            "@audit.boot first=backend claimed=1 chained=true",
            "@audit.life kinds=reset-begun,reset-proven,configured,bus-master-on,enabled,pool-created,interrupt-attached,queue-opened,buffer-allocated,buffer-shared,buffer-freed,queue-closed,interrupt-detached of_claimer=true",
            "@audit.cursor same=true chained=true from_five=5 ahead=outOfRange",
            "@audit.refusal write=windowRefused told=1 right=true",
            "@audit.edge early=timedOut pending=true woken=true",
            "@audit.overflow held=512 moved_forward=true counted=true chained=true",
            CLAMP,
            "@audit.flood refused=200 counted=200 bounded=true all=true",
            "@observer.tries reads=true mmio=noSuchMethod interrupt=noSuchMethod pool=noSuchMethod queue=noSuchMethod",
            "@audit.observer device_untouched=true events=0",
            OUTSIDER,
            "@reader.admitted reads=true second=duplicate",
            "@reader.revoked wait=revoked after=revoked admission=revoked",
            "@audit.readers revoke=ok again=notFound told=reader-admitted,reader-refused,reader-revoked by_who_asked=true",
            "@audit.admissions most=64 one_more=overBudget once_they_are_gone=ok",
            "@audit.death order=claim-ending,begun,handles-revoked,submissions-stopped,mappings-removed,interrupt-detached,interrupts-masked,queues-quiesced,device-reset,bus-master-cleared,scrubbed,released chained=true",
            "@audit.end",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_AUDIT_FOLD,
        smoke: "hardware-audit",
        breaks: Break::Missing("@audit.boot first=backend claimed=1 chained=true"),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SKIP_AUDIT_CLAMP,
        smoke: "hardware-audit",
        breaks: Break::Missing(CLAMP),
    }
}

inventory::submit! {
    Sabotage {
        point: points::ADMIT_ANY_READER,
        smoke: "hardware-audit",
        breaks: Break::Missing(OUTSIDER),
    }
}
