//! The smokes, one file each. A new one is a file here and its line below; nothing else knows the list.

mod account_escapes;
mod accounts;
mod acpi_hostile;
mod audit_disk;
mod bell;
mod boot;
mod boot_faults;
mod boot_media;
mod buffers;
mod cap_revoke;
mod cap_transfer;
mod cloud;
mod cpu_time;
mod deadline_cancel;
mod descriptor_abuse;
mod device_model;
mod devicemmio_grant;
mod disk_strangers;
mod disks_found;
mod distrust;
mod dmapool_grant;
mod dmapool_grant_exit;
mod entry;
mod facets;
mod fat_hostile;
mod foreign;
mod fpu;
mod hardware_audit;
mod hardware_grant_cycle;
mod interrupt_grant;
mod iommu_acpi;
mod iommu_remapping;
mod ipc;
mod irq_affinity;
mod irq_intx;
mod irq_msi;
mod irq_silent;
mod irq_stale;
mod iso_ide;
mod iso_install_source;
mod lending;
mod limits;
mod lines;
mod loans;
mod looks;
mod manifest_refused;
mod map_charge;
mod map_identity;
mod map_revoke_race;
mod mistakes;
mod non_implication;
mod nvme_fat_read;
mod nvme_hostile;
mod page_tables_charged;
mod pci_topology;
mod provider_crash;
mod provider_kill_steps;
mod quarantine;
mod queue_reset;
mod queue_ring;
mod quota_exhaustion;
mod receives;
mod revoke_race;
mod ring_hostile;
mod sdk;
mod serial_break;
mod serial_diagnostics;
mod serial_garbage;
mod serial_reboot;
mod serve_timer;
mod server_death;
mod session_isolation;
mod shares;
mod shell_terminal;
mod smp;
mod spawn_exit;
mod speculation;
mod stale_completion;
mod tlb_shootdown;
mod trace;
mod virtio_blk;
mod virtio_hostile;
mod virtio_net;
mod virtio_queues;
mod virtio_rng;
mod x2apic;

use crate::smoke::case::Smoke;

/// What the smokes of one program have in common. The kernel's own facts, about the boot and about every process, stay
/// off the serial line: the snapshot holds what the program saw.
const PROGRAM: Smoke = Smoke {
    cmdline: "log=quiet",
    forbidden: &["@kernel.panic"],
    ..Smoke::DEFAULT
};
