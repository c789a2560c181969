//! Seconds since 1970, and dates.

use core::fmt;

/// Nanoseconds in a second.
pub const NS_PER_SECOND: i64 = 1_000_000_000;

const SECONDS_PER_DAY: i64 = 86_400;
/// Days from 1 March of year 0 to 1 January 1970.
const TO_1970: i64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const DAYS_PER_ERA: i64 = 146_097;

/// A date and time of day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    /// The year; 1 BC is 0.
    pub year: i64,
    /// The month, from 1.
    pub month: u8,
    /// The day of the month, from 1.
    pub day: u8,
    /// The hour, 0 to 23.
    pub hour: u8,
    /// The minute, 0 to 59.
    pub minute: u8,
    /// The second, 0 to 59.
    pub second: u8,
}

/// UNIX time of a date and time of day in UTC, or nothing where there is no such date. A leap second counts as the second before.
pub fn unix_time(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Years begin in March, so that the leap day comes last.
    let (month, year) = match month {
        1 | 2 => (month + 9, i64::from(year) - 1),
        _ => (month - 3, i64::from(year)),
    };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * i64::from(month) + 2) / 5 + i64::from(day) - 1;
    let days = of_era * 365 + of_era / 4 - of_era / 100 + of_year + era * DAYS_PER_ERA - TO_1970;
    Some(((days * 24 + i64::from(hour)) * 60 + i64::from(minute)) * 60 + i64::from(second.min(59)))
}

impl Date {
    /// The date of a UNIX time.
    pub const fn of(seconds: i64) -> Self {
        let (days, second) = (
            seconds.div_euclid(SECONDS_PER_DAY),
            seconds.rem_euclid(SECONDS_PER_DAY),
        );
        let shifted = days + TO_1970;
        let (era, day) = (
            shifted.div_euclid(DAYS_PER_ERA),
            shifted.rem_euclid(DAYS_PER_ERA),
        );
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let of_year = day - (365 * year + year / 4 - year / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        Self {
            year: year + era * 400 + (month <= 2) as i64,
            month: month as u8,
            day: (of_year - (153 * from_march + 2) / 5 + 1) as u8,
            hour: (second / 3600) as u8,
            minute: (second / 60 % 60) as u8,
            second: (second % 60) as u8,
        }
    }

    /// The date of nanoseconds since 1970.
    pub const fn of_ns(ns: i64) -> Self {
        Self::of(ns.div_euclid(NS_PER_SECOND))
    }

    /// Reads `2026-01-31`, with `12:34` or `12:34:56` behind a blank, a `T` or nothing; a `Z` at the end says what is meant anyway.
    /// Gives UNIX time.
    pub fn parse(text: &str) -> Option<i64> {
        let text = text.strip_suffix('Z').unwrap_or(text);
        let (date, time) = match text.split_once([' ', 'T']) {
            Some((date, time)) => (date, time),
            None => (text, "0:0"),
        };
        let mut date = date.split('-');
        let (year, month, day) = (date.next()?, date.next()?, date.next()?);
        let mut time = time.split(':');
        let (hour, minute) = (time.next()?, time.next()?);
        let second = time.next().unwrap_or("0");
        if date.next().is_some() || time.next().is_some() {
            return None;
        }
        unix_time(
            digits(year)?,
            u8::try_from(digits(month)?).ok()?,
            u8::try_from(digits(day)?).ok()?,
            u8::try_from(digits(hour)?).ok()?,
            u8::try_from(digits(minute)?).ok()?,
            u8::try_from(digits(second)?).ok()?,
        )
    }
}

/// A number without a sign.
fn digits(text: &str) -> Option<u16> {
    let only = text.bytes().all(|byte| byte.is_ascii_digit());
    only.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        )
    }
}
