//! Starting the other CPUs: INIT-SIPI with a page below 1 MiB (Intel SDM vol. 3, 9.4.4).
#![expect(
    clippy::disallowed_methods,
    reason = "boot: processors are started once"
)]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::arch::global_asm;
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use apic::vector;
use cpu::{Controls, CpuBlock, Features, FpuControls, MAX_CPUS};
use mmio::Registers;
use sabotage::sabotage;

use crate::acpi::Machine;
use crate::refusal::boot_error;

static LOW_PAGE: AtomicU64 = AtomicU64::new(0);
static ARRIVED: AtomicUsize = AtomicUsize::new(0);
static GO: AtomicBool = AtomicBool::new(false);
static mut BLOCKS: [CpuBlock; MAX_CPUS] = [const {
    CpuBlock {
        address: 0,
        kernel_stack: 0,
        user_stack: 0,
        index: 0,
        apic_id: 0,
        scheduler: 0,
        owner: 0,
    }
}; MAX_CPUS];

/// What each CPU's control registers held when they had been set.
static CONTROLS: cpu::Lock<[Controls; MAX_CPUS]> = cpu::Lock::new(
    [const {
        Controls {
            without_fpu: FpuControls {
                cr0: 0,
                cr4: 0,
                xcr0: None,
            },
            with_fpu: None,
            efer: 0,
            spec_ctrl: None,
        }
    }; MAX_CPUS],
);
/// Processors of the tables that do not run.
static ABSENT: cpu::Lock<Vec<Absent>> = cpu::Lock::new(Vec::new());
/// What each CPU was found to offer when it came up.
static OFFERED: cpu::Lock<[Option<Features>; MAX_CPUS]> = cpu::Lock::new([None; MAX_CPUS]);

/// A processor that does not run.
#[derive(Clone, Copy, Debug)]
pub struct Absent {
    /// Its local APIC's identifier.
    pub apic_id: u32,
    /// It was started and did not answer; else it was left out.
    pub silent: bool,
}

/// The processors that do not run.
pub fn absent() -> Vec<Absent> {
    ABSENT.lock().clone()
}

/// What CPU `index` offers.
pub fn offered(index: usize) -> Option<Features> {
    *OFFERED.lock().get(index)?
}

/// What the control registers of CPU `index` hold.
pub fn controls(index: usize) -> Controls {
    CONTROLS.lock().get(index).copied().unwrap_or_default()
}

/// Notes what the control registers of CPU `index` hold. A CPU that did not take what it was given is not used: what
/// protects the kernel may be off there.
pub fn note_controls(index: usize, set: Result<Controls, Controls>) {
    let held = set.unwrap_or_else(|held| held);
    if let Some(place) = CONTROLS.lock().get_mut(index) {
        *place = held;
    }
    #[cfg(sabotage)]
    if sabotage::chosen().is_some() {
        return;
    }
    if set.is_err() {
        boot_error(format_args!(
            "CPU {index} did not take its control registers, or its FPU is not that of CPU 0: EFER {:#x}, {:#x?}, with the FPU {:#x?}",
            held.efer, held.without_fpu, held.with_fpu
        ));
    }
}

fn note_features(index: usize, features: Features) {
    if let Some(place) = OFFERED.lock().get_mut(index) {
        *place = Some(features);
    }
}

/// What starting the other CPUs needs below 1 MiB: a page of code and the root of their first page tables, which 32-bit
/// code must reach however much memory there is above.
pub const LOW_BYTES: u64 = 8192;

/// Notes [`LOW_BYTES`] of free memory below 1 MiB for the start-up code.
pub fn note_low_page(page: u64) {
    LOW_PAGE.store(page, Ordering::Relaxed);
}

/// Installs CPU `index`'s block.
///
/// # Safety
/// Runs once on that very CPU.
pub unsafe fn install_cpu_block(index: usize) {
    // SAFETY: each CPU takes its own element, once.
    unsafe {
        let block = &raw mut BLOCKS[index];
        let block = &mut *block;
        block.index = index as u32;
        block.scheduler = sched::part_of(index) as u64;
        cpu::install_percpu(block);
    }
}

/// Chooses the local APIC mode, turns this CPU's on, and masks every I/O APIC entry.
pub fn initialise_apic(machine: &Machine, f: Features) {
    let mode = apic::Mode {
        x2apic: f.x2apic && !sabotage!(IGNORE_X2APIC),
        tsc_deadline: f.tsc_deadline,
    };
    let registers = if mode.x2apic {
        None
    } else {
        match paging::map_device(machine.local_apic, 4096) {
            // SAFETY: the local APIC's page, mapped uncached for good.
            Ok(base) => Some(&*Box::leak(Box::new(unsafe { Registers::new(base, 4096) }))),
            Err(_) => boot_error(format_args!("the local APIC cannot be mapped")),
        }
    };
    apic::initialise_local(mode, registers);
    apic::enable_local();
    sched::online(apic::local_id());
    note_features(0, f);
    paging::set_ipi_sender(|mask| {
        for cpu in (0..sched::cpu_count()).filter(|c| mask & (1 << c) != 0) {
            apic::send_ipi(sched::summary(cpu).apic_id, vector::SHOOTDOWN);
        }
    });
    mask_legacy_pic();
    crate::fact!(
        "boot.apic",
        x2apic ~ mode.x2apic,
        tsc_deadline ~ mode.tsc_deadline
    );
}

/// Masks both 8259s, whose lines would arrive as exceptions.
fn mask_legacy_pic() {
    // SAFETY: the 8259 mask registers.
    unsafe {
        cpu::port::write8(0x21, 0xff);
        cpu::port::write8(0xa1, 0xff);
    }
}

// The start-up code, copied to the low page. Real mode, then protected mode for a moment, then long mode. Data at the
// end of the page: root at 0xff0 (below 4 GiB), stack at 0xfe8, entry at 0xfe0, CPU number at 0xfd8.
global_asm!(
    ".pushsection .rodata.ap_start",
    ".code16",
    ".global ap_start_begin",
    "ap_start_begin:",
    "cli",
    "cld",
    "mov ax, cs",
    "mov ds, ax",
    "mov ebx, eax",
    "and ebx, 0xffff",
    "shl ebx, 4",
    // A GDT at 0xf00 with a null, a 64-bit code and a data descriptor; its pointer at 0xf20, filled in by the kernel.
    "lgdt [0xf20]",
    "mov eax, cr4",
    "or eax, 0x20",
    "mov cr4, eax",
    "mov eax, [0xff0]",
    "mov cr3, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x900",
    "wrmsr",
    "mov eax, cr0",
    "or eax, 0x80000001",
    "and eax, 0x9fffffff",
    "mov cr0, eax",
    // Far jump to the 64-bit part through the pointer at 0xf30.
    ".byte 0x66, 0xff, 0x2e, 0x30, 0x0f",
    ".code64",
    ".global ap_start_long",
    "ap_start_long:",
    "mov ax, 0x10",
    "mov ds, ax",
    "mov es, ax",
    "mov ss, ax",
    "mov rsp, [rbx + 0xfe8]",
    "mov rdi, [rbx + 0xfd8]",
    "mov rax, [rbx + 0xfe0]",
    "xor ebp, ebp",
    "call rax",
    "ud2",
    ".global ap_start_end",
    "ap_start_end:",
    ".popsection",
);

unsafe extern "C" {
    static ap_start_begin: u8;
    static ap_start_long: u8;
    static ap_start_end: u8;
}

fn put(page: u64, offset: u64, value: u64) {
    // SAFETY: the low page was usable memory, is in the direct map, and is kept out of the allocator.
    unsafe {
        frames::direct_map(page + offset)
            .cast::<u64>()
            .write_volatile(value)
    };
}

fn prepare(page: u64, root: u64) {
    let begin = &raw const ap_start_begin;
    let length = &raw const ap_start_end as usize - begin as usize;
    // SAFETY: the code is shorter than the page, which nobody else uses.
    unsafe { core::ptr::copy_nonoverlapping(begin, frames::direct_map(page), length) };
    put(page, 0xf00, 0);
    put(page, 0xf08, 0x00af_9a00_0000_ffff);
    put(page, 0xf10, 0x00cf_9200_0000_ffff);
    put(page, 0xf20, 23 | (page + 0xf00) << 16);
    put(page, 0xf28, 0);
    let long = page + (&raw const ap_start_long as u64 - begin as u64);
    put(page, 0xf30, long | 0x08 << 32);
    put(page, 0xff0, root);
}

/// Starts every enabled processor of the MADT, one after the other. One that does not answer is named and left out.
pub fn start_others(machine: &Machine) {
    let me = apic::local_id();
    let page = LOW_PAGE.load(Ordering::Relaxed);
    let wanted = option_limit();
    let others: Vec<u32> = machine
        .processors
        .iter()
        .copied()
        .filter(|id| *id != me)
        .collect();
    let mut absent = Vec::new();
    let mut online = 1;
    let mut tried = 0;
    if page != 0 && !others.is_empty() {
        match start_root(page) {
            Some(root) => {
                prepare(page, root.address());
                for id in others.iter().copied().take(wanted.saturating_sub(1)) {
                    tried += 1;
                    if start_one(page, online, id) {
                        online += 1;
                    } else {
                        absent.push(Absent {
                            apic_id: id,
                            silent: true,
                        });
                        crate::fact!("boot.cpu-silent", apic_id = id);
                    }
                }
                free_start_root(&root);
            }
            None => crate::fact!("boot.cpus-left-out", reason = "no memory for page tables"),
        }
    }
    absent.extend(others.iter().skip(tried).map(|id| Absent {
        apic_id: *id,
        silent: false,
    }));
    *ABSENT.lock() = absent;
    sched::set_cpu_count(online);
    for cpu in 0..online {
        let id = sched::summary(cpu).apic_id;
        if !apic::add_cpu(cpu, id) {
            crate::fact!("boot.cpu-without-device-interrupts", apic_id = id);
        }
    }
    GO.store(true, Ordering::Release);
    crate::fact!(
        "boot.cpus",
        online = online,
        listed = machine.processors.len().max(1)
    );
}

fn option_limit() -> usize {
    crate::handover::option("cpus")
        .and_then(|v| v.parse().ok())
        .unwrap_or(MAX_CPUS)
        .clamp(1, MAX_CPUS)
}

struct StartRoot {
    page: u64,
    tables: [frames::Frames; 3],
}

impl StartRoot {
    fn address(&self) -> u64 {
        self.page
    }
}

/// A root in the page behind the low page: the kernel's upper half, and the low page mapped to itself, executable.
fn start_root(low: u64) -> Option<StartRoot> {
    let tables = [
        frames::allocate(0, frames::Use::Kernel)?,
        frames::allocate(0, frames::Use::Kernel)?,
        frames::allocate(0, frames::Use::Kernel)?,
    ];
    let root = low + 4096;
    let at = |i: usize| match i {
        0 => root,
        _ => tables[i - 1].address(),
    };
    for entry in 0..256 {
        put(root, entry * 8, 0);
    }
    for entry in 256..512u64 {
        // SAFETY: the kernel's root is a live table in the direct map.
        let value = unsafe {
            frames::direct_map(paging::kernel_root() + entry * 8)
                .cast::<u64>()
                .read_volatile()
        };
        put(at(0), entry * 8, value);
    }
    put(at(0), 0, at(1) | 3);
    put(at(1), 0, at(2) | 3);
    put(at(2), 0, at(3) | 3);
    put(at(3), (low >> 12) * 8, low | 3);
    Some(StartRoot { page: root, tables })
}

fn free_start_root(root: &StartRoot) {
    // The frames stay allocated: a CPU that answers late would run on them. Three pages are the price.
    let _ = &root.tables;
}

fn start_one(page: u64, index: usize, apic_id: u32) -> bool {
    if index >= MAX_CPUS {
        return false;
    }
    let Ok(stack) = paging::new_stack() else {
        return false;
    };
    put(page, 0xfe8, stack.top());
    put(page, 0xfe0, ap_main as *const () as u64);
    put(page, 0xfd8, index as u64);
    core::mem::forget(stack);
    ARRIVED.store(0, Ordering::SeqCst);
    apic::send_init(apic_id);
    pause_ns(10_000_000);
    for _ in 0..2 {
        apic::send_startup(apic_id, (page >> 12) as u8);
        let until = sched::now_ns() + 200_000_000;
        while sched::now_ns() < until {
            if ARRIVED.load(Ordering::SeqCst) == index {
                return true;
            }
            core::hint::spin_loop();
        }
    }
    // Back to waiting for STARTUP: one that is late must not run with the number and the stack of the next.
    apic::send_init(apic_id);
    false
}

fn pause_ns(ns: u64) {
    let until = sched::now_ns() + ns;
    while sched::now_ns() < until {
        core::hint::spin_loop();
    }
}

extern "C" fn ap_main(index: u64) -> ! {
    let index = index as usize;
    let features = cpu::features();
    // SAFETY: this CPU's own first steps, once, with its own number.
    unsafe {
        note_controls(index, cpu::set_controls(index, features));
        cpu::load_root(paging::kernel_root());
        install_cpu_block(index);
        cpu::load_descriptors(index);
        cpu::install_syscall();
    }
    apic::enable_local();
    sched::online(apic::local_id());
    note_features(index, features);
    if !sched::install_idle() || !ipc::install_scratch() {
        cpu::halt_forever();
    }
    ARRIVED.store(index, Ordering::SeqCst);
    while !GO.load(Ordering::Acquire) {
        cpu::relax();
    }
    sched::idle_loop()
}

/// Tells every other CPU to stop, for the panic path.
pub fn stop_others() {
    let me = cpu::index();
    for cpu in (0..sched::cpu_count()).filter(|c| *c != me) {
        apic::send_ipi(sched::summary(cpu).apic_id, vector::STOP);
    }
}
