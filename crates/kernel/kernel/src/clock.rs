//! How fast the TSC and the local APIC timer run.

use acpi_tables::{Register, Space};

/// Where the rate was learnt, as [`initialise`] said.
static SOURCE: cpu::Lock<&'static str> = cpu::Lock::new("none");

/// Where the clock's rate was learnt.
pub fn source() -> &'static str {
    *SOURCE.lock()
}

const PM_TIMER_HZ: u64 = 3_579_545;
/// Length of the measurement: 5 ms of the PM timer.
const SAMPLE_TICKS: u32 = 17_898;
const PIT_HZ: u64 = 1_193_182;

fn pm_read(timer: &Register) -> Option<u32> {
    match timer.space {
        // SAFETY: reading PM_TMR has no effect (ACPI 6.5, 4.8.3.3).
        Space::Io => Some(unsafe { cpu::port::read32(timer.address as u16) } & 0x00ff_ffff),
        _ => None,
    }
}

/// Waits for `SAMPLE_TICKS` of the PM timer. Returns the nanoseconds that were waited.
fn pm_wait(timer: &Register) -> Option<u64> {
    let start = pm_read(timer)?;
    for _ in 0..50_000_000u32 {
        let passed = pm_read(timer)?.wrapping_sub(start) & 0x00ff_ffff;
        if passed >= SAMPLE_TICKS {
            return Some(u64::from(passed) * 1_000_000_000 / PM_TIMER_HZ);
        }
    }
    None
}

/// Waits about 5 ms on the PIT's channel 2, gated by port 0x61, where there is no PM timer.
fn pit_wait() -> u64 {
    let count = (PIT_HZ / 200) as u16;
    // SAFETY: channel 2 drives the speaker and nothing else; the speaker stays off.
    unsafe {
        use cpu::port::{read8, write8};
        let gate = read8(0x61) & 0xfc;
        write8(0x61, gate);
        write8(0x43, 0xb0);
        write8(0x42, count as u8);
        write8(0x42, (count >> 8) as u8);
        write8(0x61, gate | 1);
        for _ in 0..50_000_000u32 {
            if read8(0x61) & 0x20 != 0 {
                break;
            }
        }
        write8(0x61, gate);
    }
    u64::from(count) * 1_000_000_000 / PIT_HZ
}

fn sample(timer: Option<&Register>) -> u64 {
    timer.and_then(pm_wait).unwrap_or_else(pit_wait)
}

/// Starts the clock and measures the local APIC timer. `stated_hz` is CPUID's word, 0 for none.
pub fn initialise(pm_timer: Option<&Register>, stated_hz: u64) -> &'static str {
    let mut source = "cpuid";
    let mut hz = stated_hz;
    apic::calibrate(hz, 1, || ());
    let before = cpu::read_tsc();
    let mut waited = 0;
    let mut after = before;
    let mut measure = || {
        waited = sample(pm_timer);
        after = cpu::read_tsc();
    };
    if apic::mode().tsc_deadline {
        measure();
    } else {
        // The wait is one and the same for both clocks.
        let wanted = u64::from(SAMPLE_TICKS) * 1_000_000_000 / PM_TIMER_HZ;
        apic::calibrate(0, wanted, measure);
    }
    if hz == 0 {
        source = if pm_timer.is_some() {
            "pm-timer"
        } else {
            "pit"
        };
        hz = (u128::from(after - before) * 1_000_000_000 / u128::from(waited.max(1))) as u64;
    }
    sched::initialise_clock(hz);
    *SOURCE.lock() = source;
    if apic::mode().tsc_deadline {
        apic::calibrate(hz, 1, || ());
    }
    source
}
