//! The local APIC of each CPU, through MMIO or through MSRs (Intel SDM vol. 3, chapter 11).

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use mmio::Registers;
use x86_64::registers::model_specific::Msr;

use crate::vector;

const APIC_BASE: u32 = 0x1b;
const X2APIC_FIRST: u32 = 0x800;
const TSC_DEADLINE: u32 = 0x6e0;

const ID: u32 = 0x02;
const EOI: u32 = 0x0b;
const SVR: u32 = 0x0f;
const IRR: u32 = 0x20;
const ICR: u32 = 0x30;
const ICR_HIGH: u32 = 0x31;
const LVT_TIMER: u32 = 0x32;
const LVT_LINT0: u32 = 0x35;
const LVT_LINT1: u32 = 0x36;
const TIMER_INITIAL: u32 = 0x38;
const TIMER_CURRENT: u32 = 0x39;
const TIMER_DIVIDE: u32 = 0x3e;
const MASKED: u32 = 1 << 16;

/// How the local APICs are reached, and how their timers are armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Registers are MSRs.
    pub x2apic: bool,
    /// The timer compares with the TSC.
    pub tsc_deadline: bool,
}

static MMIO: AtomicPtr<Registers> = AtomicPtr::new(core::ptr::null_mut());
static X2APIC: AtomicBool = AtomicBool::new(false);
static DEADLINE: AtomicBool = AtomicBool::new(false);
/// Timer ticks per second at divide by 1.
static FREQUENCY: AtomicU64 = AtomicU64::new(0);

/// Chooses the mode for all CPUs. `registers` is the mapped xAPIC page, needed unless `mode.x2apic`.
pub fn initialise_local(mode: Mode, registers: Option<&'static Registers>) {
    X2APIC.store(mode.x2apic, Ordering::Relaxed);
    DEADLINE.store(mode.tsc_deadline, Ordering::Relaxed);
    if let Some(r) = registers {
        MMIO.store(core::ptr::from_ref(r).cast_mut(), Ordering::Release);
    }
}

/// The mode in use.
pub fn mode() -> Mode {
    Mode {
        x2apic: X2APIC.load(Ordering::Relaxed),
        tsc_deadline: DEADLINE.load(Ordering::Relaxed),
    }
}

fn read(register: u32) -> u32 {
    if X2APIC.load(Ordering::Relaxed) {
        // SAFETY: an x2APIC register in x2APIC mode.
        return unsafe { Msr::new(X2APIC_FIRST + register).read() } as u32;
    }
    let mmio = MMIO.load(Ordering::Acquire);
    // SAFETY: `initialise_local` stored a `&'static Registers` or nothing.
    unsafe { mmio.as_ref() }
        .and_then(|r| r.read32(register as usize * 16).ok())
        .unwrap_or(0)
}

fn write(register: u32, value: u32) {
    if X2APIC.load(Ordering::Relaxed) {
        // SAFETY: an x2APIC register in x2APIC mode.
        return unsafe { Msr::new(X2APIC_FIRST + register).write(u64::from(value)) };
    }
    let mmio = MMIO.load(Ordering::Acquire);
    // SAFETY: as in `read`.
    if let Some(r) = unsafe { mmio.as_ref() } {
        let _ = r.write32(register as usize * 16, value);
    }
}

/// Turns this CPU's local APIC on, with every local source masked but the timer.
pub fn enable_local() {
    let mut base = Msr::new(APIC_BASE);
    // SAFETY: sets the global enable bit, and the x2APIC bit only where CPUID offered it.
    unsafe {
        let mut value = base.read() | 1 << 11;
        base.write(value);
        if X2APIC.load(Ordering::Relaxed) {
            value |= 1 << 10;
            base.write(value);
        }
    }
    write(LVT_LINT0, MASKED);
    write(LVT_LINT1, MASKED);
    write(SVR, 0x100 | u32::from(vector::SPURIOUS));
    let deadline = if DEADLINE.load(Ordering::Relaxed) {
        1 << 18
    } else {
        0
    };
    write(TIMER_DIVIDE, 0b1011);
    write(LVT_TIMER, u32::from(vector::TIMER) | deadline);
}

/// This CPU's local APIC identifier.
pub fn local_id() -> u32 {
    let id = read(ID);
    if X2APIC.load(Ordering::Relaxed) {
        id
    } else {
        id >> 24
    }
}

/// Whether the vector has arrived at this CPU and was not taken yet.
pub fn is_requested(vector: u8) -> bool {
    let word = read(IRR + u32::from(vector / 32));
    word & 1 << (vector % 32) != 0
}

/// Ends the interrupt in service on this CPU.
pub fn end_of_interrupt() {
    write(EOI, 0);
}

fn command(destination: u32, low: u32) {
    if X2APIC.load(Ordering::Relaxed) {
        let value = u64::from(destination) << 32 | u64::from(low);
        // SAFETY: the interrupt command register in x2APIC mode.
        unsafe { Msr::new(X2APIC_FIRST + ICR).write(value) };
        return;
    }
    write(ICR_HIGH, destination << 24);
    write(ICR, low);
    // Delivery status clears when the message is on its way.
    for _ in 0..100_000 {
        if read(ICR) & 1 << 12 == 0 {
            break;
        }
        core::hint::spin_loop();
    }
}

/// Sends a fixed interrupt to one CPU.
pub fn send_ipi(apic_id: u32, vector: u8) {
    command(apic_id, u32::from(vector) | 1 << 14);
}

/// Sends INIT to one CPU.
pub fn send_init(apic_id: u32) {
    command(apic_id, 0x4500);
}

/// Sends STARTUP with a page below 1 MiB to one CPU.
pub fn send_startup(apic_id: u32, page: u8) {
    command(apic_id, 0x4600 | u32::from(page));
}

/// Counts the timer's ticks while `wait` runs. 0 with TSC-deadline, which has no ticks of its own.
pub fn timer_ticks(wait: impl FnOnce()) -> u64 {
    if DEADLINE.load(Ordering::Relaxed) {
        wait();
        return 0;
    }
    write(LVT_TIMER, u32::from(vector::TIMER) | MASKED);
    write(TIMER_INITIAL, u32::MAX);
    wait();
    let passed = u32::MAX - read(TIMER_CURRENT);
    write(TIMER_INITIAL, 0);
    write(LVT_TIMER, u32::from(vector::TIMER));
    passed.into()
}

/// Says how fast the timer is: as fast as the TSC with TSC-deadline, else `timer_hz`.
pub fn set_timer_frequency(tsc_hz: u64, timer_hz: u64) {
    let deadline = DEADLINE.load(Ordering::Relaxed);
    let hz = if deadline { tsc_hz } else { timer_hz };
    FREQUENCY.store(hz, Ordering::Relaxed);
}

/// Timer ticks per second.
pub fn timer_frequency() -> u64 {
    FREQUENCY.load(Ordering::Relaxed)
}

/// Arms this CPU's one-shot timer: `ticks` are TSC values with TSC-deadline, else timer ticks from now. Long waits
/// fire early and are armed again.
pub fn timer_arm(now_tsc: u64, delta_ns: u64, tsc_hz: u64) {
    let scale = |hz: u64| (u128::from(delta_ns) * u128::from(hz) / 1_000_000_000) as u64;
    if DEADLINE.load(Ordering::Relaxed) {
        // SAFETY: IA32_TSC_DEADLINE exists where CPUID offers the mode.
        unsafe { Msr::new(TSC_DEADLINE).write(now_tsc.saturating_add(scale(tsc_hz)).max(1)) };
    } else {
        let ticks = scale(FREQUENCY.load(Ordering::Relaxed)).clamp(1, u64::from(u32::MAX));
        write(TIMER_INITIAL, ticks as u32);
    }
}

/// Stops this CPU's timer.
pub fn timer_stop() {
    if DEADLINE.load(Ordering::Relaxed) {
        // SAFETY: writing 0 disarms.
        unsafe { Msr::new(TSC_DEADLINE).write(0) };
    } else {
        write(TIMER_INITIAL, 0);
    }
}
