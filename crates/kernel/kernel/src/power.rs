//! The end: the exit line, then power off or reset.

use core::sync::atomic::{AtomicBool, Ordering};

use acpi_tables::{Register, ResetRegister, SleepTypes, Space};
use cpu::Lock;
use cpu::port::{read16, write8, write16};
use device_manager::{Live, Stopped};
use ipc::Late;
use sabotage::sabotage;
use schema::process::system_control;
use stub::Refusal;

/// What ACPI says about ending.
#[derive(Clone, Copy, Default)]
pub struct Means {
    /// PM1a control.
    pub pm1a: Option<Register>,
    /// PM1b control.
    pub pm1b: Option<Register>,
    /// Sleep types of S5.
    pub s5: Option<SleepTypes>,
    /// Reset register.
    pub reset: Option<ResetRegister>,
}

static MEANS: Lock<Option<Means>> = Lock::new(None);
static ENDING: AtomicBool = AtomicBool::new(false);

/// Notes what the tables said.
pub fn note(means: Means) {
    *MEANS.lock() = Some(means);
}

fn means() -> Means {
    MEANS.try_lock().and_then(|m| *m).unwrap_or_default()
}

/// Prints the exit line and powers off.
pub fn halt(code: u8) -> ! {
    exit_line(code);
    let m = means();
    if let Some(s5) = m.s5 {
        for (register, kind) in [(m.pm1a, s5.pm1a), (m.pm1b, s5.pm1b)] {
            if let Some(Register {
                space: Space::Io,
                address,
                ..
            }) = register
            {
                // SAFETY: PM1 control as the FADT gives it: SLP_TYP in bits 10 to 12, SLP_EN bit 13 (ACPI 6.5, 4.8.3.2).
                unsafe {
                    let kept = read16(address as u16) & !(7 << 10);
                    write16(address as u16, kept | u16::from(kind) << 10 | 1 << 13);
                }
            }
        }
    }
    cpu::halt_forever()
}

/// How long devices may take to stop before a reset: longer than any broker and any teardown.
const STOP_NS: u64 = 30_000_000_000;
const LOOK_NS: u64 = 1_000_000;

/// A reset that waits for devices to stop.
struct Reboot {
    later: Late<system_control::call::Reboot>,
    claims: u32,
    deadline_ns: u64,
}

static REBOOT: Lock<Option<Reboot>> = Lock::new(None);

/// Ends every claim on a device, then resets. Answered only if that is refused: `busy` while another one waits,
/// `timedOut` if some device has neither stopped nor been given up in time; the machine goes on then.
pub fn begin_reboot(later: Late<system_control::call::Reboot>) {
    let manager = crate::devices::manager();
    if sabotage!(REBOOT_SKIPS_TEARDOWN) {
        state(0, &manager.live());
        reset();
    }
    {
        let mut waiting = REBOOT.lock();
        if waiting.is_some() {
            drop(waiting);
            later.refuse(Refusal::Busy);
            return;
        }
        *waiting = Some(Reboot {
            later,
            claims: 0,
            deadline_ns: sched::now_ns() + STOP_NS,
        });
    }
    let claims = manager.close();
    if let Some(waiting) = REBOOT.lock().as_mut() {
        waiting.claims = claims;
    }
    look(0);
}

/// Resets once every device has stopped. From the timer, one after the other.
fn look(_: u64) {
    let manager = crate::devices::manager();
    let Some((claims, deadline_ns)) = REBOOT.lock().as_ref().map(|r| (r.claims, r.deadline_ns))
    else {
        return;
    };
    if let Some(stopped) = manager.all_stopped() {
        crate::smp::stop_others();
        state(claims, &manager.live());
        reset_after(stopped);
    }
    if sched::now_ns() < deadline_ns {
        return sched::callback_at(sched::now_ns() + LOOK_NS, look, 0);
    }
    let live = manager.live();
    crate::fact!(
        "power.reset-refused",
        live = live.claims,
        bus_masters = live.bus_masters
    );
    manager.allow_claims();
    let waiting = REBOOT.lock().take();
    if let Some(waiting) = waiting {
        waiting.later.refuse(Refusal::TimedOut);
    }
}

/// States what holds devices at the moment of a reset.
fn state(torn_down: u32, live: &Live) {
    crate::fact!(
        "power.reset",
        torn_down = torn_down,
        live = live.claims,
        bus_masters = live.bus_masters,
        quarantined = live.quarantined
    );
}

/// Resets a machine whose devices have stopped.
fn reset_after(_: Stopped) -> ! {
    reset()
}

/// Prints the exit line and resets.
fn reset() -> ! {
    exit_line(0);
    if let Some(ResetRegister {
        register:
            Register {
                space: Space::Io,
                address,
                ..
            },
        value,
    }) = means().reset
    {
        // SAFETY: the reset register of the FADT.
        unsafe { write8(address as u16, value) };
    }
    // SAFETY: the keyboard controller's reset line, then the chipset's reset port: the machine is shutting down anyway.
    unsafe {
        write8(0x64, 0xfe);
        write8(0xcf9, 0x06);
    }
    cpu::halt_forever()
}

fn exit_line(code: u8) {
    if ENDING.swap(true, Ordering::AcqRel) {
        return;
    }
    sabotage!(FAIL_BOOT_ALLOC => {
        crate::panic::say(format_args!("@boot.refusal left={}", frames::armed::arm(0)));
    });
    let mut line = crate::log::Line::new();
    let _ = core::fmt::Write::write_fmt(&mut line, format_args!("exit code={code}"));
    crate::serial::finish(line.text().as_bytes());
}
