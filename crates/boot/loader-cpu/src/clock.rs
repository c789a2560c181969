//! The real-time clock of a PC, for the time of boot.

use crate::port::{inb, out};

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
/// Where most clocks keep the century; what is no century there is none.
const CENTURY: u8 = 0x32;

/// UNIX time by the real-time clock, if there is one.
///
/// # Safety
/// The machine belongs to the loader alone: the clock's index register is changed.
pub unsafe fn boot_time() -> Option<i64> {
    let register = |index: u8| {
        // SAFETY: the caller owns the clock; the NMI enable that shares the port stays on.
        unsafe {
            out(INDEX, index);
            inb(DATA)
        }
    };
    calendar::Registers::read(register, Some(CENTURY))?.unix_time()
}
