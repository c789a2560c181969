//! Why a system is not started: each error says what and where, in words for the one line a front end prints.

use core::fmt;

/// Something the firmware or the boot package supplies, for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// The structure the direct-boot protocol hands over.
    StartInfo,
    /// The list of boot modules.
    ModuleList,
    /// The firmware's memory map.
    MemoryMap,
    /// The command line.
    CommandLine,
    /// The archive with the boot package.
    Archive,
    /// A file of the boot package.
    File,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartInfo => "start information",
            Self::ModuleList => "module list",
            Self::MemoryMap => "memory map",
            Self::CommandLine => "command line",
            Self::Archive => "boot archive",
            Self::File => "boot file",
        })
    }
}

/// Why a system is not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The firmware did not give this.
    Missing(Fact),
    /// This is not what its magic number or version should say.
    Unknown(Fact),
    /// This lies outside the memory the loader can touch.
    OutOfReach {
        /// What.
        fact: Fact,
        /// Its physical address.
        at: u64,
    },
    /// The boot package lacks a file of this path.
    MissingFile(&'static str),
    /// The file of this path is not what the package's list of checksums says.
    Damaged(&'static str, package_sums::Damage),
    /// More files than [`crate::MAX_MODULES`].
    TooManyModules,
    /// The memory map has more regions than [`crate::MAX_REGIONS`] once sorted.
    TooManyRegions,
    /// No free run of this many bytes is left for the named purpose.
    OutOfMemory {
        /// What the memory was for.
        purpose: &'static str,
        /// Bytes needed in one piece.
        bytes: u64,
    },
    /// Memory that must be mapped ends above what four-level tables can map.
    MapTooHigh(u64),
    /// The kernel is not an image that may be loaded.
    Kernel(elf_image::Error),
    /// The kernel asks for this base revision of the protocol (0 where it carries no tag), which is not provided.
    BaseRevision(u64),
    /// The kernel carries two requests of the kind with this identifier's third word.
    DuplicateRequest(u64),
    /// More requests than [`crate::MAX_REQUESTS`].
    TooManyRequests,
    /// The request at this address reaches past its segment.
    TruncatedRequest(u64),
    /// The kernel asks for a stack of this many bytes, above the limit.
    StackSize(u64),
    /// The kernel's paging-mode request excludes four-level paging.
    PagingMode,
    /// The kernel asks to start at this address, outside its code.
    EntryPoint(u64),
}

impl From<elf_image::Error> for Error {
    fn from(error: elf_image::Error) -> Self {
        Self::Kernel(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Missing(fact) => write!(f, "no {fact}"),
            Self::Unknown(fact) => write!(f, "the {fact} has a wrong magic number or version"),
            Self::OutOfReach { fact, at } => {
                write!(f, "the {fact} at {at:#x} lies outside reachable memory")
            }
            Self::MissingFile(path) => write!(f, "the boot package has no {path}"),
            Self::Damaged(path, damage) => write!(f, "/{path} {damage}"),
            Self::TooManyModules => write!(
                f,
                "the boot package has more than {} modules",
                crate::MAX_MODULES
            ),
            Self::TooManyRegions => write!(
                f,
                "the memory map has more than {} regions",
                crate::MAX_REGIONS
            ),
            Self::OutOfMemory { purpose, bytes } => {
                write!(f, "too little memory: {purpose} needs {bytes} bytes")
            }
            Self::MapTooHigh(at) => {
                write!(f, "memory at {at:#x} is above what four-level paging maps")
            }
            Self::Kernel(error) => write!(f, "/{} {error}", crate::KERNEL_PATH),
            Self::BaseRevision(revision) => write!(
                f,
                "the kernel wants base revision {revision} of the boot protocol, this is {}",
                crate::BASE_REVISION
            ),
            Self::DuplicateRequest(id) => {
                write!(f, "the kernel has two requests of identifier {id:#x}")
            }
            Self::TooManyRequests => write!(
                f,
                "the kernel has more than {} requests",
                crate::MAX_REQUESTS
            ),
            Self::TruncatedRequest(at) => write!(f, "the kernel's request at {at:#x} is cut off"),
            Self::StackSize(bytes) => write!(
                f,
                "the kernel wants a stack of {bytes} bytes, which is too much"
            ),
            Self::PagingMode => f.write_str("the kernel does not accept four-level paging"),
            Self::EntryPoint(at) => {
                write!(f, "the kernel wants to start at {at:#x}, outside its code")
            }
        }
    }
}
