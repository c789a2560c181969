//! What Linux needs for the same work.

/// What Linux 6.1 needs for the same work in the same QEMU: row, instructions, and what it does there.
pub const ROWS: [(&str, f64, &str); 16] = [
    ("boot_user", 1.521e9, "reset to the first program"),
    ("boot_user_uefi", 1.584e9, "its loader to the first program"),
    ("null_call", 327.0, "getppid"),
    (
        "ipc_rt_reg",
        10_330.0,
        "eventfd round trip between processes",
    ),
    (
        "ipc_rt_64",
        17_754.0,
        "64 bytes through a Unix socket and back",
    ),
    (
        "ipc_rt_4k",
        22_178.0,
        "4 KiB through a Unix socket and back",
    ),
    (
        "cap_xfer_rt",
        23_781.0,
        "64 bytes and a file each way, SCM_RIGHTS",
    ),
    ("proc_spawn", 216_135.0, "posix_spawn and wait"),
    ("proc_spawn_default", 216_135.0, "posix_spawn and wait"),
    ("irq_wake", 8_089.0, "nanosleep of 1 ms"),
    ("map_unmap_4k", 22_352.0, "mmap, touch and munmap of 4 KiB"),
    (
        "blk_4k_qd1",
        14_900.0,
        "pread with O_DIRECT on the raw device",
    ),
    ("blk_4k_qd32", 7_060.0, "io_uring on the raw device"),
    ("driver_restart", 5.5e6, "unbind, bind, first read"),
    ("power_direct", 1.521e9, "QEMU's -kernel"),
    (
        "power_disk_uefi",
        4.136e9,
        "a unified kernel image on a disk",
    ),
];
