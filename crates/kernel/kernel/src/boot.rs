//! From the loader's hand-over to the first process.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "boot: what the loader handed over"
)]

use alloc::string::String;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use cpu::Lock;
use frames::Grow;
use limine::BaseRevision;
use limine::memory_map::EntryType;
use limine::request::{
    BootloaderInfoRequest, ExecutableAddressRequest, ExecutableFileRequest, HhdmRequest,
    MemoryMapRequest, ModuleRequest, RequestsEndMarker, RequestsStartMarker, RsdpRequest,
};
use package_sums::Sums;
use paging::{Access, KernelSection};
use ring_abi::Refusal;

use crate::panic::boot_error;

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
#[unsafe(link_section = ".requests_end")]
static END: RequestsEndMarker = RequestsEndMarker::new();

unsafe extern "C" {
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __data_start: u8;
    static __data_end: u8;
}

/// Where programs lie in a boot package.
const PROGRAMS: &str = "/boot/bins/";
/// What the system consists of.
const MANIFEST: &str = "/boot/manifest.bin";
/// The list of every file's checksum.
const CHECKSUMS: &str = "/boot/checksums";

/// A file of the boot package.
#[derive(Clone)]
pub struct Module {
    /// Path, as `/boot/bins/init`.
    pub path: String,
    /// Its bytes, in memory that is never given back.
    pub bytes: &'static [u8],
    /// Whether the bytes were compared with the package's list.
    pub checked: bool,
}

/// What the kernel copied of the loader's answers.
pub struct Handover {
    /// Files of the boot package.
    pub modules: Vec<Module>,
    /// Command line.
    pub command_line: String,
}

static HANDOVER: Lock<Option<Handover>> = Lock::new(None);

/// Runs `f` on what was handed over.
pub fn with_handover<R>(f: impl FnOnce(&Handover) -> R) -> Option<R> {
    HANDOVER.lock().as_ref().map(f)
}

/// A module's bytes by its path.
pub fn module(path: &str) -> Option<&'static [u8]> {
    with_handover(|h| h.modules.iter().find(|m| m.path == path).map(|m| m.bytes)).flatten()
}

/// The program `name`: from the modules, or from the CD, whose bytes are a module from then on.
pub fn program(name: &str) -> Option<&'static [u8]> {
    let mut path = String::from(PROGRAMS);
    path.push_str(name);
    // Another CPU may have read it between the first look and the CD's turn.
    let bytes = module(&path)
        .or_else(|| crate::cdrom::load(name))
        .or_else(|| module(&path))?;
    check(&path, bytes);
    Some(bytes)
}

/// Compares a file with the package's list, once. Damage ends the boot: nobody else has the file.
fn check(path: &str, bytes: &[u8]) {
    let is_checked = |h: &Handover| h.modules.iter().any(|m| m.path == path && m.checked);
    if with_handover(is_checked) == Some(true) {
        return;
    }
    let Some(list) = module(CHECKSUMS) else {
        boot_error(format_args!("the boot package holds no {CHECKSUMS}"))
    };
    let sums = match Sums::parse(list) {
        Ok(sums) => sums,
        Err(damage) => boot_error(format_args!("{CHECKSUMS} {damage}")),
    };
    if let Err(damage) = sums.check(path.trim_start_matches('/'), bytes) {
        boot_error(format_args!("{path} {damage}"));
    }
    if let Some(h) = HANDOVER.lock().as_mut()
        && let Some(m) = h.modules.iter_mut().find(|m| m.path == path)
    {
        m.checked = true;
    }
}

/// Compares the manifest with the package's list; a package without one is init's to refuse.
fn check_manifest() {
    if let Some(bytes) = module(MANIFEST) {
        check(MANIFEST, bytes);
    }
}

/// Adds a file that came late to the boot package.
pub fn add_module(path: String, bytes: &'static [u8]) {
    if let Some(h) = HANDOVER.lock().as_mut() {
        h.modules.push(Module {
            path,
            bytes,
            checked: false,
        });
    }
}

/// How many programs are in memory.
fn loaded_programs() -> usize {
    let count = |h: &Handover| {
        let paths = h.modules.iter().map(|m| m.path.as_str());
        paths.filter(|path| path.starts_with(PROGRAMS)).count()
    };
    with_handover(count).unwrap_or(0)
}

/// Names of all programs, wherever they are now.
///
/// # Errors
/// `OverBudget`.
pub fn programs() -> Result<Vec<String>, Refusal> {
    let mut names = Vec::new();
    let loaded = with_handover(|h| {
        let names_of = h.modules.iter();
        names_of
            .filter_map(|m| m.path.strip_prefix(PROGRAMS))
            .try_for_each(|name| names.add(frames::text(name)?))
    });
    loaded.transpose()?;
    crate::cdrom::each_name(|name| names.add(frames::text(name)?))?;
    Ok(names)
}

/// The value of `key=` on the command line; the last one counts.
pub fn option(key: &str) -> Option<String> {
    with_handover(|h| {
        h.command_line.split_whitespace().rev().find_map(|word| {
            let (k, v) = word.split_once('=')?;
            (k == key).then(|| String::from(v))
        })
    })
    .flatten()
}

type Ranges = ArrayVec<(u64, u64), 128>;

#[derive(Default)]
struct Map {
    usable: Ranges,
    reclaimable: Ranges,
    /// Everything the direct map covers.
    mapped: Ranges,
    top: u64,
    low_page: u64,
}

static RECLAIM: Lock<Option<Ranges>> = Lock::new(None);
static IN_USE: Lock<Ranges> = Lock::new(Ranges::new_const());

/// Whether any byte of a range is memory of the kernel's, in use or to be handed out. A range that wraps is.
pub fn in_memory(start: u64, bytes: u64) -> bool {
    let Some(end) = start.checked_add(bytes) else {
        return true;
    };
    let ranges = IN_USE.lock();
    ranges.iter().any(|(from, to)| start < *to && *from < end)
}

fn read_map() -> Map {
    let Some(response) = MEMORY.get_response() else {
        boot_error(format_args!("the loader gave no memory map"))
    };
    let mut map = Map::default();
    for entry in response.entries() {
        let (start, end) = (entry.base, entry.base.saturating_add(entry.length));
        let list = match entry.entry_type {
            EntryType::USABLE => Some(&mut map.usable),
            EntryType::BOOTLOADER_RECLAIMABLE => Some(&mut map.reclaimable),
            EntryType::EXECUTABLE_AND_MODULES => None,
            _ => continue,
        };
        let full = map.mapped.try_push((start, end)).is_err();
        map.top = map.top.max(end);
        let Some(list) = list else { continue };
        // The first MiB is kept: other CPUs start there.
        let low = (0x8000..0xa_0000).contains(&start.max(0x8000)) && start < 0x10_0000;
        if low && map.low_page == 0 && entry.entry_type == EntryType::USABLE {
            let page = start.max(0x8000);
            if page + crate::smp::LOW_BYTES <= end {
                map.low_page = page;
            }
        }
        let start = start.max(0x10_0000);
        if full || (start < end && list.try_push((start, end)).is_err()) {
            boot_error(format_args!("the memory map has more than 128 ranges"));
        }
    }
    map
}

/// Ends the boot on a processor that lacks what the kernel rests on.
fn check_processor(features: cpu::Features) {
    let needed = [
        (features.nx, "no-execute pages"),
        (features.apic, "local APIC"),
        (features.tsc, "time stamp counter"),
    ];
    if let Some((_, name)) = needed.iter().find(|(offered, _)| !offered) {
        boot_error(format_args!("this processor has no {name}"));
    }
}

/// The entry point named in the linker script.
#[unsafe(no_mangle)]
extern "C" fn kernel_start() -> ! {
    crate::serial::initialise();
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
    let Some((physical, virtual_base)) = ADDRESS
        .get_response()
        .map(|r| (r.physical_base(), r.virtual_base()))
    else {
        boot_error(format_args!("the loader did not say where the kernel lies"))
    };
    let map = read_map();
    // SAFETY: the ranges are usable by the loader's word, and its higher-half map covers them.
    if !unsafe { frames::initialise(hhdm, &map.usable, map.top) } {
        boot_error(format_args!("too little memory for the table of frames"));
    }
    #[cfg(sabotage)]
    arm_boot();
    let features = cpu::features();
    check_processor(features);
    let sections = sections();
    let delta = physical.wrapping_sub(virtual_base);
    let largest = if features.gib_pages {
        paging::LargestPage::OneGib
    } else {
        paging::LargestPage::TwoMib
    };
    // SAFETY: once, on the loader's tables, which map this image the same way. NX must be on before tables use it.
    let root = unsafe {
        crate::smp::note_controls(0, cpu::set_controls(features));
        paging::initialise(&map.mapped, &sections, delta, largest)
    };
    let Some(root) = root else {
        boot_error(format_args!("too little memory for page tables"))
    };
    crate::smp::note_low_page(map.low_page);
    *RECLAIM.lock() = Some(map.reclaimable);
    *IN_USE.lock() = map.mapped;
    // SAFETY: the tables map the image, the direct map and, by identity of the offset, the loader's stack that is
    // still in use: it lies in reclaimable memory, which the direct map covers.
    unsafe { cpu::load_root(root) };
    let Ok(stack) = paging::new_stack() else {
        boot_error(format_args!("too little memory for a stack"))
    };
    let top = stack.top();
    core::mem::forget(stack);
    // SAFETY: a fresh stack of the kernel's own; nothing on the old one is used again.
    unsafe {
        core::arch::asm!("mov rsp, {}", "xor ebp, ebp", "call {}", in(reg) top, sym crate::run, options(noreturn))
    }
}

/// The image by what it allows.
fn sections() -> [KernelSection; 3] {
    [
        section(
            &raw const __text_start,
            &raw const __text_end,
            Access::ReadExecute,
        ),
        section(
            &raw const __rodata_start,
            &raw const __rodata_end,
            Access::Read,
        ),
        section(
            &raw const __data_start,
            &raw const __data_end,
            Access::ReadWrite,
        ),
    ]
}

/// Pages of text and read-only data that can be written through some mapping.
fn writable_text() -> u64 {
    let delta = ADDRESS
        .get_response()
        .map_or(0, |r| r.physical_base().wrapping_sub(r.virtual_base()));
    paging::writable_aliases(&sections(), delta)
}

/// Names the charge or allocation that is refused, if that was chosen: before the first of them, and so before there is a
/// copy of the command line.
#[cfg(sabotage)]
fn arm_boot() {
    let file = FILE
        .get_response()
        .and_then(|r| r.file().string().to_str().ok());
    let words = || file.unwrap_or_default().split_whitespace();
    let value = |key| words().find_map(|word| word.strip_prefix(key));
    if value("sabotage=") == Some(sabotage::points::FAIL_BOOT_ALLOC.name()) {
        sabotage::choose(sabotage::points::FAIL_BOOT_ALLOC);
        let at = value("refuse=").and_then(|at| at.parse().ok());
        frames::armed::arm(at.unwrap_or(1));
    }
}

/// Makes a page of text writable, if that was chosen.
#[cfg(sabotage)]
fn open_text() {
    use sabotage::sabotage;
    let delta = ADDRESS
        .get_response()
        .map_or(0, |r| r.physical_base().wrapping_sub(r.virtual_base()));
    let text = &sections()[0];
    sabotage!(TEXT_WRITABLE_DIRECTLY => paging::open_directly(text, delta));
    sabotage!(TEXT_WRITABLE_ELSEWHERE => {
        let _ = paging::map_device(text.start.wrapping_add(delta), 4096);
    });
}

fn section(start: *const u8, end: *const u8, access: Access) -> KernelSection {
    KernelSection {
        start: start as u64,
        end: end as u64,
        access,
    }
}

fn copy_handover() {
    let mut modules = Vec::new();
    if let Some(response) = MODULES.get_response() {
        for file in response.modules() {
            let path = file
                .path()
                .to_str()
                .map_or_else(|_| String::new(), String::from);
            // SAFETY: module memory is of a type that is never given back, in the direct map, and nobody writes it.
            let bytes = unsafe { core::slice::from_raw_parts(file.addr(), file.size() as usize) };
            modules.push(Module {
                path,
                bytes,
                checked: false,
            });
        }
    }
    // Upstream Limine 8.2 answers the file request only.
    let command_line = FILE
        .get_response()
        .and_then(|r| r.file().string().to_str().ok())
        .map_or_else(String::new, String::from);
    *HANDOVER.lock() = Some(Handover {
        modules,
        command_line,
    });
}

/// The rest of the boot.
///
/// # Safety
/// Runs once, on the boot CPU, on the kernel's tables and stack.
#[expect(clippy::too_many_lines, reason = "from before the rule")]
pub unsafe fn on_kernel_stack() -> ! {
    // SAFETY: the boot CPU, first and alone.
    unsafe {
        crate::smp::install_cpu_block(0);
        cpu::load_descriptors(0);
    }
    cpu::set_relax(paging::answer_shootdown);
    copy_handover();
    let rsdp = RSDP.get_response().map(|r| r.address() as u64);
    let hhdm = frames::direct_map(0) as u64;
    // Below the higher-half offset the value is physical, at or above it virtual.
    let rsdp = rsdp.map(|a| if a >= hhdm { a - hhdm } else { a });
    let loader = LOADER.get_response().map_or("unknown", |r| r.name());
    let log = option("log");
    crate::log::set_quiet(log.as_deref() == Some("quiet"));
    crate::log::set_all(log.as_deref() == Some("all"));
    crate::log::set_cloud(log.as_deref() == Some("cloudboot"));
    #[cfg(sabotage)]
    if let Some(point) = option("sabotage") {
        match sabotage::Point::named(&point) {
            Some(point) => sabotage::choose(point),
            None => boot_error(format_args!("no sabotage point is called {point}")),
        }
        // The control registers were set before there was a command line.
        // SAFETY: as the first time.
        crate::smp::note_controls(0, unsafe { cpu::set_controls(cpu::features()) });
        open_text();
    }
    let f = cpu::features();
    let held = crate::smp::controls(0);
    crate::fact!("boot.loader", name ~ loader, base_revision = 2);
    crate::fact!(
        "boot.cpu",
        nx = held.nx(),
        smep = held.smep(),
        smap = held.smap(),
        umip = held.umip(),
        cr0 ~ evidence::Hex(held.cr0),
        cr4 ~ evidence::Hex(held.cr4),
        efer ~ evidence::Hex(held.efer),
        xcr0 ~ evidence::Hex(held.xcr0.unwrap_or(0)),
        writable_text ~ writable_text()
    );
    state_speculation(f);
    crate::trap::initialise();
    let machine = crate::acpi::read(rsdp);
    crate::smp::initialise_apic(&machine, f);
    let clock = crate::clock::initialise(machine.pm_timer.as_ref(), f.tsc_hz);
    crate::fact!("boot.clock", source = clock, tsc_hz ~ sched::tsc_hz());
    if !sched::install_idle() || !ipc::install_scratch() {
        boot_error(format_args!("too little memory for the first CPU"));
    }
    crate::smp::start_others(&machine);
    let (config, scanned) = crate::devices::quiesce(&machine);
    let reclaimed = reclaim();
    let s = frames::stats();
    crate::fact!("boot.memory", total_kib ~ s.total * 4, free_kib ~ s.free * 4, reclaimed_kib ~ reclaimed / 1024);
    check_manifest();
    crate::cdrom::initialise();
    crate::fact!(
        "boot.programs",
        modules = loaded_programs(),
        cdrom = crate::cdrom::left()
    );
    let manifest = module("/boot/manifest.bin");
    crate::drivers::check(manifest);
    crate::iommu::choose(&machine, &config, &scanned, manifest);
    crate::devices::initialise(config, scanned);
    crate::objects::initialise(&machine);
    crate::accounts::start();
    ipc::pay_by_running();
    crate::spawn::start_init();
    sched::idle_loop()
}

/// Says what the processor tells of leaks by speculation, and what is done about each.
fn state_speculation(f: cpu::Features) {
    if option("verw").as_deref() == Some("on") {
        cpu::always_verw();
    }
    let is = f.speculation;
    crate::fact!(
        "boot.speculation",
        meltdown = is.meltdown.name(),
        l1tf = is.l1tf.name(),
        mds = is.mds.name(),
        taa = is.taa.name(),
        mmio_stale_data = is.mmio_stale_data.name(),
        spectre_v2 = is.spectre_v2.name(),
        retbleed = is.retbleed.name(),
        bhi = is.bhi.name(),
        verw = cpu::does_verw(),
        spec_ctrl ~ evidence::Hex(crate::smp::controls(0).spec_ctrl.unwrap_or(0)),
        ibpb_offered ~ is.barrier
    );
}

/// Gives the loader's memory to the allocator: every CPU runs on kernel tables and stacks now.
fn reclaim() -> u64 {
    let ranges = RECLAIM.lock().take().unwrap_or_default();
    let mut bytes = 0;
    for (start, end) in ranges {
        // SAFETY: everything of the loader's answers has been copied, and no CPU uses its tables or stacks.
        unsafe { frames::add(start, end) };
        bytes += end - start;
    }
    bytes
}
