//! What the loader handed over: its answers to the kernel's requests, and the command line.
//!
//! Answers lie in memory that the loader used. What is needed later is copied before that memory is given to the allocator.
#![expect(clippy::disallowed_types, reason = "boot: what the loader handed over")]

use alloc::string::String;

use cpu::Lock;
use limine::BaseRevision;
use limine::file::File;
use limine::memory_map::Entry;
use limine::request::{
    BootloaderInfoRequest, DateAtBootRequest, ExecutableAddressRequest, ExecutableFileRequest,
    HhdmRequest, MemoryMapRequest, ModuleRequest, RequestsEndMarker, RequestsStartMarker,
    RsdpRequest,
};

use crate::refusal::boot_error;

#[used]
#[unsafe(link_section = ".requests_start")]
static START: RequestsStartMarker = RequestsStartMarker::new();
#[used]
#[unsafe(link_section = ".requests")]
static BASE: BaseRevision = BaseRevision::with_revision(2);
#[used]
#[unsafe(link_section = ".requests")]
static HHDM: HhdmRequest = HhdmRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static MEMORY: MemoryMapRequest = MemoryMapRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static ADDRESS: ExecutableAddressRequest = ExecutableAddressRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static MODULES: ModuleRequest = ModuleRequest::with_revision(0);
#[used]
#[unsafe(link_section = ".requests")]
static RSDP: RsdpRequest = RsdpRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static FILE: ExecutableFileRequest = ExecutableFileRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static LOADER: BootloaderInfoRequest = BootloaderInfoRequest::new();
#[used]
#[unsafe(link_section = ".requests")]
static TIME: DateAtBootRequest = DateAtBootRequest::new();
#[used]
#[unsafe(link_section = ".requests_end")]
static END: RequestsEndMarker = RequestsEndMarker::new();

static COMMAND_LINE: Lock<Option<String>> = Lock::new(None);

/// Where the kernel's image lies.
#[derive(Clone, Copy)]
pub struct Placed {
    /// The physical address of its first byte.
    pub physical: u64,
    /// The address it runs at.
    pub linked: u64,
}

impl Placed {
    /// What makes a physical address of one in the image.
    pub const fn delta(self) -> u64 {
        self.physical.wrapping_sub(self.linked)
    }
}

/// Looks whether the loader did what the kernel relies on. Gives the offset of its higher-half map.
pub fn check() -> u64 {
    if !BASE.is_supported() {
        boot_error(format_args!(
            "the loader does not speak Limine base revision 2"
        ));
    }
    let Some(hhdm) = HHDM.get_response().map(|r| r.offset()) else {
        boot_error(format_args!("the loader gave no higher-half map"))
    };
    if hhdm != paging::DIRECT_MAP_BASE {
        boot_error(format_args!(
            "the loader's higher-half map begins at {hhdm:#x}, not at {:#x}",
            paging::DIRECT_MAP_BASE
        ));
    }
    hhdm
}

/// Where the loader put the kernel.
pub fn placed() -> Placed {
    let Some(response) = ADDRESS.get_response() else {
        boot_error(format_args!("the loader did not say where the kernel lies"))
    };
    Placed {
        physical: response.physical_base(),
        linked: response.virtual_base(),
    }
}

/// The memory map.
pub fn memory_map() -> &'static [&'static Entry] {
    let Some(response) = MEMORY.get_response() else {
        boot_error(format_args!("the loader gave no memory map"))
    };
    response.entries()
}

/// The files that it loaded.
pub fn files() -> &'static [&'static File] {
    MODULES
        .get_response()
        .map_or(&[], |response| response.modules())
}

/// The physical address of the ACPI tables' root.
pub fn rsdp() -> Option<u64> {
    let address = RSDP.get_response()?.address() as u64;
    let hhdm = frames::direct_map(0) as u64;
    // Below the higher-half offset the value is physical, at or above it virtual.
    Some(match address >= hhdm {
        true => address - hhdm,
        false => address,
    })
}

/// What firmware said of the time, in seconds since 1970, a moment before the kernel started.
pub fn boot_time() -> Option<i64> {
    TIME.get_response()
        .map(|response| response.timestamp().as_secs())
        .and_then(|seconds| i64::try_from(seconds).ok())
}

/// The loader's name.
pub fn loader() -> &'static str {
    LOADER.get_response().map_or("unknown", |r| r.name())
}

/// The command line, where the loader has it.
pub fn command_line() -> &'static str {
    // Upstream Limine 8.2 answers the file request only.
    let file = FILE.get_response();
    file.and_then(|r| r.file().string().to_str().ok())
        .unwrap_or_default()
}

/// Copies the command line.
pub fn keep_command_line() {
    *COMMAND_LINE.lock() = Some(String::from(command_line()));
}

/// The value of `key=` on the command line; the last one counts.
pub fn option(key: &str) -> Option<String> {
    let guard = COMMAND_LINE.lock();
    guard.as_ref()?.split_whitespace().rev().find_map(|word| {
        let (k, v) = word.split_once('=')?;
        (k == key).then(|| String::from(v))
    })
}
