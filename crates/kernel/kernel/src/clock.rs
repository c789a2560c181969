//! How fast the TSC and the local APIC timer run.

use acpi_tables::{Register, Space};

/// Where the rate was learnt, as [`initialise`] said.
static SOURCE: cpu::Lock<&'static str> = cpu::Lock::new("none");

/// Where the clock's rate was learnt.
pub fn source() -> &'static str {
    *SOURCE.lock()
}

const PM_TIMER_HZ: u64 = 3_579_545;
/// Measurements that are made. Whatever comes between two looks makes one longer than it says, never shorter: the shortest
/// counts.
const SAMPLES: u32 = 3;
/// Length of a measurement: 5/3 ms of the PM timer.
const SAMPLE_TICKS: u32 = 5_966;
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

/// Waits as long on the PIT's channel 2, gated by port 0x61, where there is no PM timer.
fn pit_wait() -> u64 {
    let count = (PIT_HZ / 600) as u16;
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
    let (mut tsc, mut timer) = (u64::MAX, u64::MAX);
    // Nothing is to be measured where the TSC is stated and the timer counts by it. The waits are the same for both clocks.
    let stated = stated_hz != 0 && apic::mode().tsc_deadline;
    for _ in 0..if stated { 0 } else { SAMPLES } {
        let mut waited = 0;
        let before = cpu::read_tsc();
        let ticks = apic::timer_ticks(|| waited = sample(pm_timer));
        let passed = cpu::read_tsc() - before;
        let hz =
            |count: u64| (u128::from(count) * 1_000_000_000 / u128::from(waited.max(1))) as u64;
        tsc = tsc.min(hz(passed));
        timer = timer.min(hz(ticks));
    }
    let source = match (stated_hz, pm_timer) {
        (0, Some(_)) => "pm-timer",
        (0, None) => "pit",
        _ => "cpuid",
    };
    if stated_hz != 0 {
        tsc = stated_hz;
    }
    sched::initialise_clock(tsc);
    *SOURCE.lock() = source;
    apic::set_timer_frequency(tsc, timer);
    source
}
