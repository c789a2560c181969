//! From the loader's hand-over to the first process: the order of it, and nothing else.

use cpu::Features;

use crate::refusal::boot_error;
use crate::{handover, image, log, package, ranges, smp};

/// The entry point named in the linker script.
#[unsafe(no_mangle)]
extern "C" fn kernel_start() -> ! {
    crate::serial::initialise();
    let hhdm = handover::check();
    let placed = handover::placed();
    let map = ranges::read(handover::memory_map(), smp::LOW_BYTES);
    // SAFETY: the ranges are usable by the loader's word, and its higher-half map covers them.
    if !unsafe { frames::initialise(hhdm, &map.usable, map.top) } {
        boot_error(format_args!("too little memory for the table of frames"));
    }
    #[cfg(sabotage)]
    arm_boot();
    let features = usable_processor();
    let largest = if features.gib_pages {
        paging::LargestPage::OneGib
    } else {
        paging::LargestPage::TwoMib
    };
    // SAFETY: once, on the loader's tables, which map this image the same way. NX must be on before tables use it.
    let root = unsafe {
        smp::note_controls(0, cpu::set_controls(0, features));
        paging::initialise(&map.mapped, &image::sections(), placed.delta(), largest)
    };
    let Some(root) = root else {
        boot_error(format_args!("too little memory for page tables"))
    };
    smp::note_low_page(map.low_page);
    ranges::keep(map);
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
        core::arch::asm!("mov rsp, {}", "xor ebp, ebp", "call {}", in(reg) top, sym on_kernel_stack, options(noreturn))
    }
}

/// Names the charge or allocation that is refused, if that was chosen: before the first of them, and so before there is a
/// copy of the command line.
#[cfg(sabotage)]
fn arm_boot() {
    let words = || handover::command_line().split_whitespace();
    let value = |key| words().find_map(|word| word.strip_prefix(key));
    if value("sabotage=") == Some(sabotage::points::FAIL_BOOT_ALLOC.name()) {
        sabotage::choose(sabotage::points::FAIL_BOOT_ALLOC);
        let at = value("refuse=").and_then(|at| at.parse().ok());
        frames::armed::arm(at.unwrap_or(1));
    }
}

/// What this processor offers, if that is enough.
fn usable_processor() -> Features {
    let features = cpu::features();
    let needed = [
        (features.nx, "no-execute pages"),
        (features.syscall, "SYSCALL instruction"),
        (features.apic, "local APIC"),
        (features.tsc, "time stamp counter"),
    ];
    if let Some((_, name)) = needed.iter().find(|(offered, _)| !offered) {
        boot_error(format_args!("this processor has no {name}"));
    }
    features
}

/// The rest of the boot: once, on the boot CPU, on the kernel's tables and stack.
extern "C" fn on_kernel_stack() -> ! {
    // SAFETY: the boot CPU, first and alone.
    unsafe {
        smp::install_cpu_block(0);
        cpu::load_descriptors(0);
    }
    cpu::set_relax(paging::answer_shootdown);
    handover::keep_command_line();
    package::keep(handover::files());
    log::choose(handover::option("log").as_deref());
    #[cfg(sabotage)]
    choose_sabotage();
    let features = cpu::features();
    state_processor();
    state_speculation(features);
    crate::trap::initialise();
    let machine = crate::acpi::read(handover::rsdp());
    smp::initialise_apic(&machine, features);
    let clock = crate::clock::initialise(machine.pm_timer.as_ref(), features.tsc_hz);
    crate::fact!("boot.clock", source = clock, tsc_hz ~ sched::tsc_hz());
    ipc::dig();
    crate::wall::initialise(machine.rtc, handover::boot_time());
    if !sched::install_idle() || !ipc::install_scratch() {
        boot_error(format_args!("too little memory for the first CPU"));
    }
    smp::start_others(&machine);
    let (mut config, scanned) = crate::devices::quiesce(&machine);
    let reclaimed = ranges::reclaim();
    let s = frames::stats();
    crate::fact!("boot.memory", total_kib ~ s.total * 4, free_kib ~ s.free * 4, reclaimed_kib ~ reclaimed / 1024);
    package::check_manifest();
    let manifest = package::manifest();
    crate::cdrom::initialise(manifest);
    crate::fact!(
        "boot.programs",
        modules = package::loaded_programs(),
        cdrom = crate::cdrom::left()
    );
    crate::drivers::check(manifest);
    crate::iommu::choose(&machine, &mut config, &scanned, manifest);
    crate::devices::initialise(config, scanned);
    crate::objects::initialise(&machine);
    crate::accounts::start();
    ipc::pay_by_running();
    crate::init::start();
    sched::idle_loop()
}

/// Chooses the point that the command line names.
#[cfg(sabotage)]
fn choose_sabotage() {
    let Some(point) = handover::option("sabotage") else {
        return;
    };
    match sabotage::Point::named(&point) {
        Some(point) => sabotage::choose(point),
        None => boot_error(format_args!("no sabotage point is called {point}")),
    }
    // The control registers were set before there was a command line.
    // SAFETY: as the first time.
    smp::note_controls(0, unsafe { cpu::set_controls(0, cpu::features()) });
    image::open_text(handover::placed());
}

/// Says who started the kernel, and what protects it.
fn state_processor() {
    let held = smp::controls(0);
    let with = held.with_fpu.unwrap_or_default();
    crate::fact!("boot.loader", name ~ handover::loader(), base_revision = 2);
    crate::fact!(
        "boot.cpu",
        nx = held.nx(),
        smep = held.smep(),
        smap = held.smap(),
        umip = held.umip(),
        fpu ~ cpu::features().fpu.map_or("none", |form| form.name()),
        cr0 ~ evidence::Hex(held.without_fpu.cr0),
        cr4 ~ evidence::Hex(held.without_fpu.cr4),
        xcr0 ~ evidence::Hex(held.without_fpu.xcr0.unwrap_or(0)),
        fpu_cr0 ~ evidence::Hex(with.cr0),
        fpu_cr4 ~ evidence::Hex(with.cr4),
        fpu_xcr0 ~ evidence::Hex(with.xcr0.unwrap_or(0)),
        efer ~ evidence::Hex(held.efer),
        writable_text ~ image::writable_text(handover::placed())
    );
}

/// Says what the processor tells of leaks by speculation, and what is done about each.
fn state_speculation(f: Features) {
    if handover::option("verw").as_deref() == Some("on") {
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
        spec_ctrl ~ evidence::Hex(smp::controls(0).spec_ctrl.unwrap_or(0)),
        ibpb_offered ~ is.barrier
    );
}
