//! The registers of a real-time clock (Motorola MC146818A data sheet, "Address Map" and "Registers").

use crate::unix_time;

/// Seconds, minutes, hours, day, month, year.
const TIME: [u8; 6] = [0, 2, 4, 7, 8, 9];
const STATUS_A: u8 = 0x0a;
const STATUS_B: u8 = 0x0b;
const STATUS_D: u8 = 0x0d;
/// Registers behind the clock's own that may hold a century.
const MEMORY: core::ops::RangeInclusive<u8> = 0x0e..=0x7f;
/// In register A: the clock is about to count on.
const UPDATING: u8 = 1 << 7;
/// An update takes about 2 ms, so this many reads of an I/O port see it out; a clock that never ends one is not there.
const PATIENCE: u32 = 20_000;
/// How often two readings may differ.
const TRIES: u32 = 4;
/// In register B: values are binary; else each is two decimal digits.
const BINARY: u8 = 1 << 2;
/// In register B: hours run to 24; else bit 7 of the hours is the afternoon.
const HOURS_24: u8 = 1 << 1;
/// In register D: the clock had power all the time, so its time is valid.
const VALID: u8 = 1 << 7;
/// Centuries that a clock may be in.
const CENTURIES: core::ops::RangeInclusive<u8> = 19..=29;
/// The century of a clock that counts none.
const THIS_CENTURY: u8 = 20;

/// What was read of a clock that is taken to run in UTC, while it was not about to count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registers {
    /// Seconds, minutes, hours, day, month, year.
    pub time: [u8; 6],
    /// The century; 0 or anything implausible where there is none.
    pub century: u8,
    /// Status register B.
    pub status_b: u8,
    /// Status register D.
    pub status_d: u8,
}

impl Registers {
    /// Reads the clock through `register`, which gives the register of that index; `century` is the register that firmware says
    /// holds it. Two equal readings make sure that none was taken during an update. `None` where that never happens: nothing
    /// waits for a clock for long.
    pub fn read(mut register: impl FnMut(u8) -> u8, century: Option<u8>) -> Option<Self> {
        let century = century.filter(|index| MEMORY.contains(index));
        let mut once = || {
            (0..PATIENCE).find(|_| register(STATUS_A) & UPDATING == 0)?;
            Some(Self {
                time: TIME.map(&mut register),
                century: century.map_or(0, &mut register),
                status_b: register(STATUS_B),
                status_d: register(STATUS_D),
            })
        };
        (0..TRIES).find_map(|_| {
            let (first, second) = (once()?, once()?);
            (first == second).then_some(first)
        })
    }

    /// UNIX time, where the clock has a battery that it trusts and shows a date that there is.
    pub fn unix_time(&self) -> Option<i64> {
        if self.status_d & VALID == 0 {
            return None;
        }
        let value = |raw: u8| match (raw >> 4, raw & 0xf) {
            _ if self.status_b & BINARY != 0 => Some(raw),
            (tens @ 0..=9, ones @ 0..=9) => Some(tens * 10 + ones),
            _ => None,
        };
        let [second, minute, hour, day, month, year] = self.time;
        let twelve = self.status_b & HOURS_24 == 0;
        let hour = match (twelve, value(if twelve { hour & 0x7f } else { hour })?) {
            (false, hour) => hour,
            (true, digits @ 1..=12) => digits % 12 + if hour & 0x80 != 0 { 12 } else { 0 },
            (true, _) => return None,
        };
        let century = value(self.century).filter(|century| CENTURIES.contains(century));
        let century = century.unwrap_or(THIS_CENTURY);
        let year = u16::from(century) * 100 + u16::from(value(year).filter(|year| *year < 100)?);
        unix_time(
            year,
            value(month)?,
            value(day)?,
            hour,
            value(minute)?,
            value(second)?,
        )
    }
}

/// Zones differ from UTC by whole quarters of an hour.
const QUARTER_HOUR: i64 = 900;
/// No zone is further from another.
const MOST_ZONES: i64 = 26 * 3600;

/// The time where a clock said `clock` and firmware, a moment before, `firmware`: firmware knows in which zone the clock runs, and
/// not always its century.
pub fn settled(clock: i64, firmware: i64) -> i64 {
    let apart = firmware - clock;
    match apart.abs() <= MOST_ZONES {
        true => clock + (apart + QUARTER_HOUR / 2).div_euclid(QUARTER_HOUR) * QUARTER_HOUR,
        false => clock,
    }
}
