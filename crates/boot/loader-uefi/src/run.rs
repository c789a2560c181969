//! What runs between the firmware and the jump.

use core::convert::Infallible;
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use arrayvec::ArrayVec;
use loader::{
    CHECKSUMS_PATH, EfiMap, Error, Fact, File, Firmware, Handover, KERNEL_PATH, Kind,
    MANIFEST_PATH, MAX_MODULES, MemoryMap, check_files, check_kernel,
};
use loader_cpu::{Identity, features, jump, mask_interrupts, report, stop};
use uefi::mem::memory_map::{MemoryMap as _, MemoryMapOwned, MemoryType};
use uefi::table::cfg::ConfigTableEntry;
use uefi::{Guid, Status, boot, entry, runtime, system};

use crate::files::{FileError, Loaded, Volume};

/// Everything the loader makes lies below this.
const REACH: u64 = 4 << 30;
/// Bytes of a page in the firmware's memory map.
const PAGE_BYTES: u64 = 4096;
/// The kernel's command line; without the file it is empty.
const COMMAND_LINE_PATH: &str = "boot/cmdline.txt";
/// Says which medium this is, on a medium that may be a CD.
const IDENTITY_PATH: &str = "boot/medium.txt";
/// The longest command line.
const MAX_LINE: usize = 1024;
/// The kernel's command line, kept until the jump.
type Line = ArrayVec<u8, MAX_LINE>;

/// Why nothing is started.
enum Refusal {
    Loader(Error),
    File(FileError),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Loader(error)
    }
}

impl From<FileError> for Refusal {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loader(error) => error.fmt(f),
            Self::File(error) => error.fmt(f),
        }
    }
}

/// What the firmware knows, read while it still answers.
struct Found {
    rsdp: Option<u64>,
    smbios: [Option<u64>; 2],
    system_table: Option<u64>,
    boot_time: Option<i64>,
}

#[entry]
fn main() -> Status {
    let mut modules = ArrayVec::new();
    let (kernel, command_line) = match read_package(&mut modules) {
        Ok(files) => files,
        Err(refusal) => {
            // The screen is gone for good once boot services end, so this is said there too; the serial line counts.
            system::with_stdout(|out| {
                let _ = writeln!(out, "loader: {refusal}");
            });
            fail(&refusal)
        }
    };
    let found = find();
    // SAFETY: no protocol is open any more, nothing that lives came from the pool, and the files are in loader pages.
    let firmware_map = unsafe { boot::exit_boot_services(None) };
    match start(&kernel, &command_line, &modules, &found, &firmware_map) {
        Ok(never) => match never {},
        Err(error) => fail(&error),
    }
}

/// Reads all files, and refuses a kernel that could not be started while the firmware can still say so.
fn read_package(modules: &mut ArrayVec<Loaded, MAX_MODULES>) -> Result<(Loaded, Line), Refusal> {
    let mut volume = Volume::open()?;
    let need = |result: Result<Loaded, FileError>, path| match result {
        Err(error) if error.is_missing() => Err(Refusal::Loader(Error::MissingFile(path))),
        other => Ok(other?),
    };
    let kernel = need(volume.read(KERNEL_PATH), KERNEL_PATH)?;
    let manifest = need(volume.read(MANIFEST_PATH), MANIFEST_PATH)?;
    let checksums = need(volume.read(CHECKSUMS_PATH), CHECKSUMS_PATH)?;
    check_files(Some(checksums.bytes), kernel.bytes, manifest.bytes)?;
    check_kernel(kernel.bytes)?;
    modules.push(manifest);
    modules.push(checksums);
    let mut maybe = |path| match volume.read(path) {
        Err(error) if error.is_missing() => Ok(&[][..]),
        other => other.map(|file| file.bytes.trim_ascii()),
    };
    let mut line = Line::new();
    let too_long = |_| Refusal::Loader(Error::Unknown(Fact::CommandLine));
    line.try_extend_from_slice(maybe(COMMAND_LINE_PATH)?)
        .map_err(too_long)?;
    let identity = maybe(IDENTITY_PATH)?;
    if !identity.is_empty() && crate::cd::is_readable(identity) {
        // The kernel reads the programs itself, from the CD of this name.
        for part in [b" cdrom=", identity] {
            line.try_extend_from_slice(part).map_err(too_long)?;
        }
    } else {
        volume.read_bins(modules)?;
    }
    Ok((kernel, line))
}

/// Says on the serial port why nothing is started, and lets the firmware turn the machine off.
fn fail(reason: &dyn fmt::Display) -> ! {
    report(reason);
    if uefi::table::system_table_raw().is_some() {
        // Runtime services answer before and after the end of boot services, at physical addresses.
        runtime::reset(runtime::ResetType::SHUTDOWN, Status::ABORTED, None);
    }
    stop()
}

fn find() -> Found {
    let table = |guid: Guid| {
        system::with_config_table(|tables| {
            tables
                .iter()
                .find(|table| table.guid == guid)
                .map(|table| table.address.addr() as u64)
        })
    };
    let boot_time = runtime::get_time().ok().and_then(|time| {
        let (year, month, day) = (time.year(), time.month(), time.day());
        let local =
            calendar::unix_time(year, month, day, time.hour(), time.minute(), time.second())?;
        // The zone is in minutes to add to local time for UTC; unset, it is taken as UTC.
        Some(
            local
                + time
                    .time_zone()
                    .map_or(0, |minutes| i64::from(minutes) * 60),
        )
    });
    Found {
        rsdp: table(ConfigTableEntry::ACPI2_GUID).or_else(|| table(ConfigTableEntry::ACPI_GUID)),
        smbios: [
            table(ConfigTableEntry::SMBIOS_GUID),
            table(ConfigTableEntry::SMBIOS3_GUID),
        ],
        system_table: uefi::table::system_table_raw().map(|table| table.addr().get() as u64),
        boot_time,
    }
}

/// Builds and enters the kernel, after boot services.
fn start(
    kernel: &Loaded,
    command_line: &[u8],
    modules: &ArrayVec<Loaded, MAX_MODULES>,
    found: &Found,
    firmware_map: &MemoryMapOwned,
) -> Result<Infallible, Error> {
    let mut map = MemoryMap::new();
    for descriptor in firmware_map.entries() {
        let bytes = descriptor
            .page_count
            .checked_mul(PAGE_BYTES)
            .ok_or(Error::Unknown(Fact::MemoryMap))?;
        map.add(descriptor.phys_start, bytes, kind(descriptor.ty))?;
    }
    let meta = firmware_map.meta();
    let efi_map = EfiMap {
        base: firmware_map.buffer().as_ptr().addr() as u64,
        len: meta.map_size as u64,
        descriptor_bytes: meta.desc_size as u64,
        version: u64::from(meta.desc_version),
    };
    let files: ArrayVec<File<'_>, MAX_MODULES> = modules.iter().map(Loaded::file).collect();
    let cpu = features();
    let handover = Handover {
        front_end: "uefi",
        firmware: Firmware::Uefi64,
        cpu,
        kernel: kernel.bytes,
        kernel_file: kernel.file(),
        command_line,
        modules: &files,
        rsdp: found.rsdp,
        smbios: found.smbios,
        efi_system_table: found.system_table,
        efi_map: Some(efi_map),
        boot_time: found.boot_time,
    };
    // SAFETY: firmware maps memory to itself (UEFI 2.10, section 2.3.4) and has left the machine to the loader; what is usable
    // in the map was free or is the firmware's past, and everything the loader still uses is claimed there as its own.
    let mut memory = unsafe { Identity::new(REACH) };
    let start = loader::build(&mut memory, &mut map, &handover)?;
    // SAFETY: the machine is the loader's alone, everything below 4 GiB maps to itself, and this code is loader memory and so
    // in the direct map.
    unsafe {
        mask_interrupts();
        jump(&start, cpu)
    }
}

/// The protocol's kind for a firmware memory type. Boot services' memory still holds the stack, the tables and the handlers
/// the loader runs with, so it is the loader's own, to be freed when the kernel no longer needs the loader's.
fn kind(memory: MemoryType) -> Kind {
    match memory {
        MemoryType::CONVENTIONAL => Kind::Usable,
        MemoryType::LOADER_CODE
        | MemoryType::LOADER_DATA
        | MemoryType::BOOT_SERVICES_CODE
        | MemoryType::BOOT_SERVICES_DATA => Kind::Reclaimable,
        MemoryType::ACPI_RECLAIM => Kind::AcpiReclaimable,
        MemoryType::ACPI_NON_VOLATILE => Kind::AcpiNvs,
        MemoryType::UNUSABLE => Kind::Bad,
        _ => Kind::Reserved,
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    fail(info)
}
