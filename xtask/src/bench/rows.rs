//! The rows: what each one is, and its budget.

pub use super::group::{Group, Start};
pub use super::lookup::find;
pub use super::row::{HOLD_MAX, HOLD_MAX_DOMAIN, HOLD_MAX_TWO, HOLD_START, Row};
use super::row::{NONE, row};
use crate::image::Shape;
use crate::image::contents::Loader;
use crate::qemu::FirmwareKind;

const fn start(shape: Shape, firmware: FirmwareKind) -> Start {
    Start {
        shape: Some(shape),
        firmware,
        loader: Loader::Builtin,
        model: "q35",
    }
}

const fn limine(start: Start) -> Start {
    Start {
        loader: Loader::Limine,
        ..start
    }
}

/// A figure about devices in a domain.
const fn in_domain(name: &'static str, what: &'static str) -> Row {
    row(name, Group::Domain, what, NONE)
}

/// The longest stretch that keeps the kernel busy below a unit.
const fn held_in_domain(name: &'static str, what: &'static str) -> Row {
    row(name, Group::HoldDomain, what, NONE)
}

/// All of them, in the order of the table.
pub const ROWS: [Row; 100] = [
    // Linux: 1.521 G from reset to its first program; a tenth and three hundredths of that.
    row(
        "boot_user",
        Group::Boot,
        "loader's entry to the first user instruction, direct boot",
        [152.1e6, 45.6e6],
    ),
    row(
        "boot_user_uefi",
        Group::BootUefi,
        "the same with OVMF, reading the boot disk included",
        [158.4e6, 47.5e6],
    ),
    row(
        "null_call",
        Group::Calls,
        "Timer.now through its stub, in registers",
        [200.0, 150.0],
    ),
    row(
        "bell_ring",
        Group::Calls,
        "Bell.ring in registers, with nobody asleep",
        [250.0, 200.0],
    ),
    row(
        "ring_nop",
        Group::Calls,
        "one NOP through the ring, entered alone",
        [250.0, 150.0],
    ),
    row(
        "ring_nop_32",
        Group::Calls,
        "one of 32 NOPs in a batch",
        [70.0, 45.0],
    ),
    row(
        "ipc_rt_reg",
        Group::Calls,
        "call and reply between two processes, four words each way in registers",
        [1000.0, 600.0],
    ),
    row(
        "ipc_rt_64",
        Group::Calls,
        "the same with a 64-byte message each way",
        [1400.0, 1000.0],
    ),
    row(
        "ipc_rt_4k",
        Group::Calls,
        "the same with a 4 KiB message each way",
        [2600.0, 2000.0],
    ),
    row(
        "ipc_rt_64_ring",
        Group::Calls,
        "the 64-byte message, sent through the client's ring",
        NONE,
    ),
    row(
        "cap_xfer_rt",
        Group::Calls,
        "64 bytes and a capability there, a capability back, both dropped",
        [2000.0, 1430.0],
    ),
    row(
        "proc_spawn",
        Group::Calls,
        "spawn, run and reap a small service that does nothing: 4 pages of stack, 1 of area",
        [40.0e3, 25.0e3],
    ),
    row(
        "proc_spawn_default",
        Group::Calls,
        "the same with the usual sizes: 32 pages of stack, 16 of area",
        [40.0e3, 25.0e3],
    ),
    Row {
        is_busy: false,
        ..row(
            "irq_wake",
            Group::Calls,
            "sleep 1 ms and wake up",
            [3.2e3, 1.6e3],
        )
    },
    row(
        "blk_4k_qd1",
        Group::Block,
        "random 4 KiB read through a BlockSession, one at a time",
        [10.0e3, 8.7e3],
    ),
    row(
        "blk_4k_qd32",
        Group::Block,
        "random 4 KiB read, 32 in flight",
        [2.6e3, 1.6e3],
    ),
    row(
        "blk_seq_128k",
        Group::Block,
        "sequential 128 KiB read",
        NONE,
    ),
    row(
        "mmio_read",
        Group::Device,
        "read a register of 32 bits",
        [700.0, 350.0],
    ),
    row(
        "mmio_write",
        Group::Device,
        "write a register of 32 bits through its window, and read it back",
        [900.0, 450.0],
    ),
    row(
        "map_unmap_4k",
        Group::Calls,
        "map a page, there and zeroed at once, and unmap it",
        NONE,
    ),
    row(
        "facet_mint",
        Group::Calls,
        "mint a facet, and drop it",
        NONE,
    ),
    row(
        "facet_mint_10000",
        Group::Calls,
        "the same where the endpoint has 10,000 facets and its holder as many capabilities",
        NONE,
    ),
    row(
        "null_call_10000",
        Group::Calls,
        "null_call where the process holds 10,000 capabilities",
        NONE,
    ),
    row(
        "ipc_rt_reg_10000",
        Group::Calls,
        "ipc_rt_reg where the client holds 10,000 capabilities",
        NONE,
    ),
    row(
        "dma_alloc",
        Group::Device,
        "allocate, map, unmap, wipe and free a DMA buffer of 4 KiB",
        [4.0e3, 2.0e3],
    ),
    row(
        "buffer_4k",
        Group::Device,
        "allocate a DMA buffer of 4 KiB, wipe and free it",
        NONE,
    ),
    in_domain(
        "buffer_4k_domain",
        "the same below a VT-d unit: mapped into the domain, unmapped, flushed and waited for besides",
    ),
    row(
        "buffer_4k_request",
        Group::Requests,
        "the same below a virtio-iommu, by a request and its answer each way",
        NONE,
    ),
    row(
        "buffer_64_pages",
        Group::Device,
        "allocate a DMA buffer of 64 single pages, wipe and free it",
        NONE,
    ),
    in_domain("buffer_64_pages_domain", "the same below a VT-d unit"),
    row(
        "iommu_map_4k",
        Group::Domain,
        "map a page into a domain and unmap it: what each of 64 takes there besides, but for one flush",
        [1500.0, 0.0],
    ),
    row(
        "iommu_flush",
        Group::Domain,
        "make a VT-d unit forget, and wait for it: what one page takes in a domain besides `iommu_map_4k`",
        [900.0, 0.0],
    ),
    row(
        "iommu_map_4k_request",
        Group::Requests,
        "have a virtio-iommu map a page and unmap it, which is a flush too: what `buffer_4k_request` takes besides `buffer_4k`",
        NONE,
    ),
    row(
        "claim_with_domain",
        Group::Domain,
        "claim a device below a VT-d unit with a domain of its own, and give it back",
        NONE,
    ),
    in_domain("dma_submit_domain", "`dma_submit` in a domain"),
    in_domain("dma_submit_32_domain", "`dma_submit_32` in a domain"),
    row(
        "dma_direct",
        Group::Domain,
        "the same read by a command that the program writes itself, a doorbell for either",
        NONE,
    ),
    in_domain("dma_direct_32", "the same, 32 in a batch"),
    row(
        "dma_submit_virtio",
        Group::Domain,
        "submit and complete a read of 4 KiB of a virtio disk by the queue's ring, a kick for either",
        NONE,
    ),
    in_domain("dma_submit_32_virtio", "the same, 32 in a batch"),
    row(
        "dma_direct_virtio",
        Group::Domain,
        "the same read by a request that the program writes itself, a doorbell for each",
        NONE,
    ),
    in_domain("dma_direct_32_virtio", "the same, 32 in a batch"),
    row(
        "blk_4k_qd1_virtio_domain",
        Group::Domain,
        "random 4 KiB read through a BlockSession of a virtio disk in a domain, one at a time",
        NONE,
    ),
    row(
        "dma_submit",
        Group::Device,
        "submit and complete an NVMe read of 4 KiB by the queue's ring, a kick for either",
        [1.9e3, 1.2e3],
    ),
    row(
        "dma_submit_32",
        Group::Device,
        "the same, 32 in a batch",
        [600.0, 270.0],
    ),
    row(
        "dma_submit_msg",
        Group::Device,
        "submit and complete an NVMe read of one 4 KiB segment by message, one at a time",
        NONE,
    ),
    row(
        "dma_submit_32_msg",
        Group::Device,
        "the same, 32 in a batch",
        NONE,
    ),
    row(
        "teardown_1000",
        Group::Device,
        "end a claim with 1,000 buffers and 8 queues, and claim again",
        [3.0e6, 1.5e6],
    ),
    row(
        "cap_revoke_1000",
        Group::Device,
        "revoke an object with 1,005 handles in 67 processes",
        [20.0e3, 2.0e3],
    ),
    row(
        "map_revoke_1000",
        Group::Device,
        "revoke an object that is mapped 1,000 times",
        NONE,
    ),
    row(
        "driver_restart",
        Group::Device,
        "kill a disk's driver, start its successor, read a block",
        [550.0e3, 300.0e3],
    ),
    row(
        HOLD_MAX,
        Group::Hold,
        "the most instructions with interrupts off, of all below",
        [50.0e3, 10.0e3],
    ),
    row(
        HOLD_MAX_TWO,
        Group::HoldTwo,
        "the same of the same with two CPUs, whichever it is",
        [50.0e3, 10.0e3],
    ),
    row(
        HOLD_MAX_DOMAIN,
        Group::HoldDomain,
        "the same of the rows `hold_*_domain`, below a remapping unit",
        [50.0e3, 10.0e3],
    ),
    row(HOLD_START, Group::Hold, "init starts every service", NONE),
    row(
        "hold_map",
        Group::Hold,
        "map, protect and unmap 1 GiB, fresh and used",
        NONE,
    ),
    row(
        "hold_ring",
        Group::Hold,
        "map and unmap 12 MiB 128 times, 64 in one entry",
        NONE,
    ),
    row(
        "hold_revoke",
        Group::Hold,
        "revoke an object that is mapped 2,500 times, and one of 256 MiB",
        NONE,
    ),
    row(
        "hold_reap",
        Group::Hold,
        "a process that ends with 100,000 pages",
        NONE,
    ),
    row(
        "hold_handles",
        Group::Hold,
        "a process that ends with 3,000 capabilities",
        NONE,
    ),
    row("hold_timers", Group::Hold, "6,400 sleeps due at once", NONE),
    row(
        "hold_calls",
        Group::Hold,
        "60 calls cancelled, 60 revoked",
        NONE,
    ),
    row(
        "hold_image",
        Group::Hold,
        "start an image of 3 MiB from memory",
        NONE,
    ),
    row(
        "hold_crowd",
        Group::Hold,
        "start, revoke beside, and end 200 processes",
        NONE,
    ),
    row(
        "hold_dma",
        Group::Hold,
        "allocate, map and free 128 MiB of DMA memory",
        NONE,
    ),
    row(
        "hold_receives",
        Group::Hold,
        "10,000 receives on one endpoint, each of 40 threads cancels one, and ends",
        NONE,
    ),
    row(
        "hold_notices",
        Group::Hold,
        "36,000 facets gone unheard, the endpoint renewed and closed",
        NONE,
    ),
    row(
        "hold_endpoints",
        Group::Hold,
        "one thread receives on 1,000 endpoints, which then close",
        NONE,
    ),
    row(
        "hold_parked",
        Group::Hold,
        "100 threads wait for one word and are woken together",
        NONE,
    ),
    row(
        "hold_scattered",
        Group::Hold,
        "2,048 holes in 16 MiB; 64 MiB mapped 300 times and revoked",
        NONE,
    ),
    row(
        "hold_lines",
        Group::Hold,
        "the longest writes to the console and the log",
        NONE,
    ),
    row(
        "hold_spawn",
        Group::Hold,
        "a process with 15 grants and 12 KiB of arguments",
        NONE,
    ),
    row(
        "hold_teardown",
        Group::Hold,
        "a driver ends with 128 MiB in one buffer and 3,000 mapped ones",
        NONE,
    ),
    row(
        "hold_inspected",
        Group::Hold,
        "everything that can be listed while a driver holds 3,000 buffers, which are reset, and go",
        NONE,
    ),
    row(
        "hold_stories",
        Group::Hold,
        "processes that end with a long panic, with a deep stack, and under a trace of 4,096 calls",
        NONE,
    ),
    row(
        "hold_raw",
        Group::Hold,
        "the longest writes of bytes as they are",
        NONE,
    ),
    row(
        "hold_unread",
        Group::Hold,
        "an endpoint that goes with its calls, 6,000 handles revoked, 6,000 facets at an end, an image that is none",
        NONE,
    ),
    row(
        "hold_controller",
        Group::Hold,
        "an NVMe controller with 60 waits for interrupts and eight full queues: reset, lost, and asked for 30 times",
        NONE,
    ),
    row("hold_virtio", Group::Hold, "the same of a virtio one", NONE),
    row(
        "hold_kick",
        Group::Hold,
        "kicks of a device queue whose ring is full of the longest commands, or of ones that are refused",
        NONE,
    ),
    row(
        "hold_lost",
        Group::Hold,
        "a driver that faults with 3,000 mapped buffers, and one that is killed",
        NONE,
    ),
    row(
        "hold_ended",
        Group::Hold,
        "an account ends of which another holds 3,000 pieces of memory, 3,000 facets and 400 endpoints",
        NONE,
    ),
    row(
        "hold_killed",
        Group::Hold,
        "killed: 15,000 receives where somebody calls, 50,000 sleeps, 200 threads that spin on a tenth of a CPU",
        NONE,
    ),
    row(
        "hold_waits",
        Group::Hold,
        "10,000 waits for one process, which ends; 4,000 calls that nobody takes, each through its own facet, revoked; 5,000 through one, revoked, closed and late",
        NONE,
    ),
    held_in_domain(
        "hold_claim_domain",
        "an NVMe controller with 2,048 vectors and 16 MiB of its own is claimed for the first time, and again",
    ),
    held_in_domain(
        "hold_controller_domain",
        "`hold_controller`: eight queues of 256 are opened there, too",
    ),
    held_in_domain("hold_dma_domain", "`hold_dma`"),
    held_in_domain("hold_teardown_domain", "`hold_teardown`"),
    row(
        "boot_loader",
        Group::Boot,
        "of boot_user: the loader, up to the kernel's first instruction",
        NONE,
    ),
    row(
        "boot_loader_uefi",
        Group::BootUefi,
        "of boot_user_uefi: the loader",
        NONE,
    ),
    row(
        "power_direct",
        Group::Reset(Start {
            shape: None,
            ..start(Shape::Disk, FirmwareKind::Bios)
        }),
        "reset to the first user instruction, direct boot, SeaBIOS included",
        NONE,
    ),
    row(
        "power_disk_bios",
        Group::Reset(start(Shape::Disk, FirmwareKind::Bios)),
        "the same from a disk with SeaBIOS and GRUB",
        NONE,
    ),
    row(
        "power_disk_uefi",
        Group::Reset(start(Shape::Disk, FirmwareKind::Uefi)),
        "from a disk with OVMF",
        NONE,
    ),
    row(
        "power_iso_bios",
        Group::Reset(start(Shape::Iso, FirmwareKind::Bios)),
        "from a CD with SeaBIOS and GRUB, programs as modules",
        NONE,
    ),
    row(
        "power_iso_uefi",
        Group::Reset(start(Shape::Iso, FirmwareKind::Uefi)),
        "from a CD with OVMF",
        NONE,
    ),
    row(
        "power_ide_bios",
        Group::Reset(Start {
            model: "pc",
            ..start(Shape::Iso, FirmwareKind::Bios)
        }),
        "from a CD behind legacy IDE, programs read on demand",
        NONE,
    ),
    row(
        "power_limine_disk_bios",
        Group::Reset(limine(start(Shape::Disk, FirmwareKind::Bios))),
        "from a disk with SeaBIOS and upstream Limine",
        NONE,
    ),
    row(
        "power_limine_disk_uefi",
        Group::Reset(limine(start(Shape::Disk, FirmwareKind::Uefi))),
        "from a disk with OVMF and upstream Limine",
        NONE,
    ),
    row(
        "power_limine_iso_bios",
        Group::Reset(limine(start(Shape::Iso, FirmwareKind::Bios))),
        "from a CD with SeaBIOS and upstream Limine",
        NONE,
    ),
    row(
        "power_limine_iso_uefi",
        Group::Reset(limine(start(Shape::Iso, FirmwareKind::Uefi))),
        "from a CD with OVMF and upstream Limine",
        NONE,
    ),
];
