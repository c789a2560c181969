//! Everything that reads what a stranger wrote, as functions that a fuzzer can call.
//!
//! Owns: one function for each kind of input ([`TARGETS`]), used by `fuzz/` with a coverage-guided fuzzer and by this
//! crate's tests with a bounded, repeatable run ([`exercise`]). A target panics where code breaks a promise: it may
//! never do so on any input. Invariant: a target never touches a file, a clock or a random number, and what it does
//! depends on its input alone.
#![forbid(unsafe_code)]

mod boot;
mod disk;
mod exercise;
mod gve;
mod hardware;
mod kept;
mod network;
mod program;
mod record;
mod remapping;
mod saving;
mod stack;
mod terminal;
mod volume;

pub use exercise::{Failure, Report, exercise};
pub use gve::seeds as gve_seeds;
pub use kept::kept_seeds;
pub use network::seeds as network_seeds;
pub use volume::seeds as volume_seeds;

/// One kind of input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, also of its corpus below `fuzz/corpus/`.
    pub name: &'static str,
    /// Reads the input in every way there is, and says whether the reader took it: seeds that are refused lead nowhere.
    pub run: fn(&[u8]) -> bool,
}

/// All of them, by name.
pub const TARGETS: &[Target] = &[
    Target {
        name: "acpi",
        run: hardware::acpi,
    },
    Target {
        name: "acpi-walk",
        run: hardware::acpi_walk,
    },
    Target {
        name: "capsule",
        run: saving::capsule,
    },
    Target {
        name: "dhcp4",
        run: network::dhcp4,
    },
    Target {
        name: "dns",
        run: stack::dns,
    },
    Target {
        name: "elf",
        run: boot::elf,
    },
    Target {
        name: "exfat",
        run: disk::exfat,
    },
    Target {
        name: "ext",
        run: disk::ext,
    },
    Target {
        name: "fat",
        run: disk::fat,
    },
    Target {
        name: "gve",
        run: gve::gve,
    },
    Target {
        name: "http",
        run: network::http,
    },
    Target {
        name: "iommu",
        run: remapping::iommu,
    },
    Target {
        name: "ipv6-host",
        run: network::ipv6_host,
    },
    Target {
        name: "iso9660",
        run: disk::iso9660,
    },
    Target {
        name: "kept",
        run: kept::kept,
    },
    Target {
        name: "line-editor",
        run: terminal::line_editor,
    },
    Target {
        name: "manifest",
        run: boot::manifest,
    },
    Target {
        name: "mp-table",
        run: hardware::mp_table,
    },
    Target {
        name: "net-stack",
        run: stack::stack_input,
    },
    Target {
        name: "newc",
        run: boot::newc,
    },
    Target {
        name: "nvme",
        run: disk::nvme,
    },
    Target {
        name: "partition",
        run: disk::partition,
    },
    Target {
        name: "pci",
        run: hardware::pci,
    },
    Target {
        name: "ring",
        run: program::ring,
    },
    Target {
        name: "save",
        run: saving::save,
    },
    Target {
        name: "shell",
        run: terminal::shell,
    },
    Target {
        name: "stub",
        run: program::stub,
    },
    Target {
        name: "virtio",
        run: disk::virtio,
    },
    Target {
        name: "volume",
        run: volume::volume,
    },
    Target {
        name: "volume-sealed",
        run: volume::sealed,
    },
];

/// The target of that name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().copied().find(|target| target.name == name)
}

/// Runs the target of that name, which must be there.
///
/// # Panics
/// Where there is no such target, and where the target panics.
pub fn run(name: &str, data: &[u8]) {
    let target = target(name).expect("the target is listed");
    (target.run)(data);
}
