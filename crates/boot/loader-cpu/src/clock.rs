//! The real-time clock of a PC, for the time of boot.

use loader::clock_time;

use crate::port::{inb, out};

const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;
/// Seconds, minutes, hours, day, month, year, century.
const REGISTERS: [u8; 7] = [0, 2, 4, 7, 8, 9, 0x32];
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
/// In status register A: the clock is about to count on.
const UPDATING: u8 = 0x80;
/// An update takes about 2 ms, so this many reads of an I/O port see it out; a clock that never ends one is not there.
const PATIENCE: u32 = 20_000;
/// How often two readings may differ.
const TRIES: u32 = 4;

/// UNIX time by the real-time clock, if there is one. Two equal readings make sure that none was taken during an update.
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
    let read = || {
        (0..PATIENCE).find(|_| register(STATUS_A) & UPDATING == 0)?;
        Some((REGISTERS.map(register), register(STATUS_B)))
    };
    (0..TRIES)
        .find_map(|_| {
            let (first, second) = (read()?, read()?);
            (first == second).then_some(first)
        })
        .and_then(|(registers, status)| clock_time(registers, status))
}
