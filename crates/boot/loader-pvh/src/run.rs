//! What runs between entry and jump.

use core::fmt;
use core::panic::PanicInfo;

use arrayvec::ArrayVec;
use loader::{
    CHECKSUMS_PATH, Direct, Error, Fact, File, Firmware, Handover, KERNEL_PATH, Kind,
    MANIFEST_PATH, MAX_MODULES, MemoryMap, PACKAGE_PREFIX, check_files, multiboot2, pvh,
};
use loader_cpu::{Identity, boot_time, fail, features, jump, mask_interrupts};
use newc::Archive;

/// The entry code maps this much.
const MAPPED_BYTES: u64 = 4 << 30;

unsafe extern "C" {
    static loader_image_start: u8;
    static loader_image_end: u8;
}

/// Why nothing is started.
enum Refusal {
    Loader(Error),
    Archive(newc::Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Loader(error)
    }
}

impl From<newc::Error> for Refusal {
    fn from(error: newc::Error) -> Self {
        Self::Archive(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loader(error) => error.fmt(f),
            Self::Archive(error) => write!(f, "boot {error}"),
        }
    }
}

/// The files of the boot package.
#[derive(Default)]
struct Package<'a> {
    kernel: Option<(&'a [u8], File<'a>)>,
    manifest: Option<&'a [u8]>,
    checksums: Option<&'a [u8]>,
    modules: ArrayVec<File<'a>, MAX_MODULES>,
}

impl<'a> Package<'a> {
    fn add(&mut self, path: &'a str, base: u64, bytes: &'a [u8]) -> Result<(), Error> {
        let len = bytes.len() as u64;
        let file = File { path, base, len };
        if path == KERNEL_PATH {
            self.kernel = Some((bytes, file));
            return Ok(());
        }
        match path {
            MANIFEST_PATH => self.manifest = Some(bytes),
            CHECKSUMS_PATH => self.checksums = Some(bytes),
            _ => {}
        }
        self.modules
            .try_push(file)
            .map_err(|_| Error::TooManyModules)
    }
}

/// Called by the entry code with the physical address of what was handed over, and with 0 for direct boot or what `eax` held
/// for Multiboot2.
pub(crate) extern "sysv64" fn main(handed: u64, magic: u32) -> ! {
    let refusal = match run(handed, magic) {
        Ok(never) => match never {},
        Err(refusal) => refusal,
    };
    fail(&refusal)
}

/// The files of the boot package: one by one, or out of the one archive.
fn read_package(memory: &Identity, direct: &Direct) -> Result<Package<'static>, Refusal> {
    let slice = |(base, len): (u64, u64)| -> Option<&'static [u8]> {
        // SAFETY: what the front end was handed is claimed, so the library does not write to it, and nothing else runs.
        unsafe { memory.slice(base, len) }
    };
    let mut package = Package::default();
    if direct.files.is_empty() {
        let archive = slice(direct.archive).ok_or(Error::Missing(Fact::Archive))?;
        for entry in Archive::new(archive).entries() {
            let entry = entry?;
            if entry.is_file() && entry.path.starts_with(PACKAGE_PREFIX) {
                let base = direct.archive.0 + entry.offset as u64;
                package.add(entry.path, base, entry.data)?;
            }
        }
    }
    for file in &direct.files {
        let path = slice(file.path).ok_or(Error::Missing(Fact::ModuleList))?;
        let path = str::from_utf8(path).map_err(|_| Error::Unknown(Fact::ModuleList))?;
        let bytes = slice(file.bytes).ok_or(Error::Missing(Fact::File))?;
        package.add(path, file.bytes.0, bytes)?;
    }
    Ok(package)
}

fn run(handed: u64, magic: u32) -> Result<core::convert::Infallible, Refusal> {
    // SAFETY: the entry code has mapped this much to itself; the map below keeps the loader's own memory out of use.
    let mut memory = unsafe { Identity::new(MAPPED_BYTES) };
    let mut map = MemoryMap::new();
    let (front_end, direct) = match magic {
        0 => ("pvh", pvh::read(&memory, handed, &mut map)?),
        multiboot2::MAGIC => ("multiboot2", multiboot2::read(&memory, handed, &mut map)?),
        _ => return Err(Error::Unknown(Fact::StartInfo).into()),
    };
    let own =
        (&raw const loader_image_start).addr() as u64..(&raw const loader_image_end).addr() as u64;
    map.claim(own.start, own.end - own.start, Kind::Reclaimable)?;
    let (line, line_len) = direct.command_line;

    // SAFETY: the range is claimed, so the library does not write to it, and nothing else runs.
    let command_line = unsafe { memory.slice(line, line_len) }.unwrap_or_default();

    let package = read_package(&memory, &direct)?;
    let Package {
        kernel,
        manifest,
        checksums,
        modules,
    } = package;
    let (kernel, kernel_file) = kernel.ok_or(Error::MissingFile(KERNEL_PATH))?;
    let manifest = manifest.ok_or(Error::MissingFile(MANIFEST_PATH))?;
    check_files(checksums, kernel, manifest)?;

    let cpu = features();
    let handover = Handover {
        front_end,
        firmware: Firmware::Bios,
        cpu,
        kernel,
        kernel_file,
        command_line,
        modules: &modules,
        rsdp: direct.rsdp,
        smbios: [None, None],
        efi_system_table: None,
        efi_map: None,
        // SAFETY: nothing else runs on this machine.
        boot_time: unsafe { boot_time() },
    };
    let start = loader::build(&mut memory, &mut map, &handover)?;
    // SAFETY: the machine is the loader's alone, the I/O APIC lies in the identity map, interrupts have been off since entry,
    // and this code runs at its physical address below 4 GiB.
    unsafe {
        mask_interrupts();
        jump(&start, cpu)
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    fail(info)
}
