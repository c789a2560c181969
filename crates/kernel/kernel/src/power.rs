//! The end: the exit line, then power off or reset.

use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

use acpi_tables::{Register, ResetRegister, SleepTypes, Space};
use cpu::Lock;
use cpu::port::{read16, write8, write16};
use device_manager::Stopped;
use sabotage::sabotage;

use crate::line::Line;

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

/// Prints the exit line and resets a machine whose devices have stopped.
pub fn reset(_: Stopped) -> ! {
    reset_now()
}

/// Resets a machine whatever its devices do.
#[cfg(sabotage)]
pub fn reset_anyway() -> ! {
    reset_now()
}

fn reset_now() -> ! {
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
        let mut left = Line::new();
        let _ = write!(left, "@boot.refusal left={}", frames::armed::arm(0));
        crate::serial::fact(left.text().as_bytes());
    });
    let mut line = Line::new();
    let _ = write!(line, "exit code={code}");
    crate::serial::finish(line.text().as_bytes());
}
