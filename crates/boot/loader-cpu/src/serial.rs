//! The first serial port, polled: a loader that fails has one line to say so.

use core::fmt::{self, Write};

use crate::port::{inb, out};
use crate::power::power_off;

const COM1: u16 = 0x3f8;
/// Reads of the line status before a byte is sent regardless: a machine without the port must not hang here.
const PATIENCE: u32 = 100_000;
/// The code on the line that ends a transcript, for a system that was never started.
const EXIT_CODE: u32 = 2;

/// The first serial port at 115200 baud, 8 data bits, no parity.
#[derive(Debug)]
pub struct Serial {
    _private: (),
}

impl Serial {
    /// Sets the port up.
    pub fn new() -> Self {
        // Interrupts off; divisor 1; 8N1; FIFOs on and cleared; DTR and RTS.
        for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7), (4, 3)] {
            // SAFETY: the loader is alone on the machine and owns this port; without one, writes go nowhere.
            unsafe { out(COM1 + register, value) };
        }
        Self { _private: () }
    }

    fn byte(&mut self, byte: u8) {
        for _ in 0..PATIENCE {
            // SAFETY: reading the line status only clears error bits that nobody looks at.
            if unsafe { inb(COM1 + 5) } & 0x20 != 0 {
                break;
            }
        }
        // SAFETY: the port is ours.
        unsafe { out(COM1, byte) };
    }
}

impl Default for Serial {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.byte(b'\r');
            }
            self.byte(byte);
        }
        Ok(())
    }
}

/// Says on the serial port why nothing is started, ends the transcript, turns the machine off where a BIOS says how, and stops
/// the processor for good.
pub fn fail(reason: &dyn fmt::Display) -> ! {
    report(reason);
    // SAFETY: the machine is the loader's, which has nothing more to do with it.
    unsafe { power_off() };
    stop()
}

/// Says on the serial port why nothing is started, and ends the transcript.
pub fn report(reason: &dyn fmt::Display) {
    let mut serial = Serial::new();
    // The port takes everything; there is nobody to tell if it did not.
    let _ = write!(serial, "\nloader: error: {reason}\nexit code={EXIT_CODE}\n");
}

/// Stops the processor for good.
pub fn stop() -> ! {
    loop {
        // SAFETY: with interrupts off, `hlt` waits for an NMI or a reset, which is all that is left to do.
        unsafe { core::arch::asm!("cli", "hlt", options(nomem, nostack)) };
    }
}
