//! What a checked manifest holds.

use alloc::{string::String, vec::Vec};

pub use schema::sources::KernelSource;

use crate::{Error, INIT_IMAGE};

/// A bootable system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its name, for messages to people.
    pub name: String,
    /// Everything init starts, in the order of the file.
    pub services: Vec<Service>,
    /// Index of the service whose end halts the system with its exit code.
    pub exit_with: Option<usize>,
    /// How devices reach memory.
    pub dma: DmaPolicy,
    /// Drivers whose brokers the kernel must hold, and no others.
    pub drivers: Vec<String>,
    /// Groups of functions of which one holder may have several, by name.
    pub trusted_groups: Vec<String>,
    /// Indices of all services, each provider before its users, else as in the file.
    pub start_order: Vec<usize>,
}

/// How devices reach memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaPolicy {
    /// Behind an IOMMU where one is verified, else through kernel-owned pages.
    Auto,
    /// Through kernel-owned pages in any case.
    Bounce,
    /// As `Auto`; and providers may write the commands of a queue themselves, where a verified domain confines its device.
    Direct,
}

/// One process that init starts and watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, unique.
    pub name: String,
    /// Its image below `boot/bins/`.
    pub binary: String,
    /// Passed on as they are.
    pub arguments: Vec<String>,
    /// All it gets.
    pub grants: Vec<Grant>,
    /// What others may be granted; the cookie of an export's facet is its index here.
    pub exports: Vec<Export>,
    /// Whether it is started again.
    pub restart: Restart,
    /// Higher runs first.
    pub priority: u8,
    /// What the kernel may hold for it.
    pub limits: Limits,
    /// Restarts in a row before init gives up.
    pub max_restarts: u16,
    /// Whether the system halts with code 1 when it ends for good.
    pub critical: bool,
    /// Whether its program is built for the floating-point and vector unit, and may use it.
    pub fpu: bool,
    /// Whether its account distrusts every other.
    pub distrusting: bool,
    /// Pages of its first thread's stack; 0 as usual.
    pub stack_pages: u16,
    /// Pages of its first thread's area; 0 as usual.
    pub area_pages: u16,
}

/// When a service that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Not at all.
    Never,
    /// Unless it exited with code 0.
    OnFailure,
    /// However it ended.
    Always,
}

/// What the kernel may hold for one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Pages of 4 KiB.
    pub memory_pages: u32,
    /// Handles.
    pub handles: u32,
    /// Threads.
    pub threads: u16,
    /// Endpoints of its own.
    pub endpoints: u16,
    /// Facets it has minted.
    pub facets: u32,
    /// Thousandths of one CPU in each period; 0: as much as there is.
    pub cpu_per_mille: u16,
}

/// One interface that a service serves on its endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name, unique in the service.
    pub name: String,
    /// The name of its interface.
    pub interface: &'static str,
    /// The number of its interface.
    pub interface_id: u64,
}

/// One capability that a service gets, under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The name under which the service finds it.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
}

/// Where a granted capability comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The kernel serves it; init passes on what it holds.
    Kernel(KernelSource),
    /// Another service serves it.
    Export(ExportRef),
    /// A claim on one device.
    Device {
        /// The driver whose table names the device.
        driver: String,
        /// Which of the devices it names, in address order.
        nth: u32,
        /// Whether the service starts without the device.
        optional: bool,
    },
    /// The right to receive on the service's own endpoint.
    Endpoint,
}

/// An export of another service. Both indices exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExportRef {
    /// Index in [`Manifest::services`].
    pub service_idx: usize,
    /// Index in [`Service::exports`].
    pub export_idx: usize,
}

impl Manifest {
    /// The export that a reference names.
    pub fn export(&self, reference: ExportRef) -> Option<&Export> {
        self.services
            .get(reference.service_idx)?
            .exports
            .get(reference.export_idx)
    }

    /// The images the system needs, each once, sorted, [`INIT_IMAGE`] among them.
    pub fn images(&self) -> Vec<&str> {
        let mut images: Vec<&str> = self.services.iter().map(|s| s.binary.as_str()).collect();
        images.push(INIT_IMAGE);
        images.sort_unstable();
        images.dedup();
        images
    }

    /// Checks that every image the system needs is among `images`.
    ///
    /// # Errors
    /// [`Error::MissingBinary`] or [`Error::MissingInit`].
    pub fn require_images<S: AsRef<str>>(&self, images: &[S]) -> Result<(), Error> {
        let has = |name: &str| images.iter().any(|i| i.as_ref() == name);
        for service in &self.services {
            if !has(&service.binary) {
                return Err(Error::MissingBinary {
                    service: service.name.clone(),
                    binary: service.binary.clone(),
                });
            }
        }
        if has(INIT_IMAGE) {
            Ok(())
        } else {
            Err(Error::MissingInit)
        }
    }
}

impl Service {
    /// The services whose exports it is granted, as indices, with the grant's name.
    pub fn providers(&self) -> impl Iterator<Item = (&str, ExportRef)> {
        self.grants.iter().filter_map(|g| match g.source {
            Source::Export(reference) => Some((g.name.as_str(), reference)),
            _ => None,
        })
    }
}
