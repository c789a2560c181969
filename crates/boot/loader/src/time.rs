//! Calendar time as the firmware keeps it, in UNIX seconds.

/// UNIX time of a date and time of day in UTC (proleptic Gregorian calendar), or nothing if a field is out of range.
///
/// `month` and `day` start at 1; a leap second counts as the second before.
pub fn unix_time(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Option<i64> {
    /// Days before each month of a common year.
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let days_before = *BEFORE.get(usize::from(month).checked_sub(1)?)?;
    if day == 0 || day > 31 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let year = i64::from(year);
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    // Leap days from year 1 to the end of the year before this one, less those before 1970.
    let past = year - 1;
    let leap_days = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400) - 477;
    let this_year = i64::from(month > 2 && leap(year));
    let days = (year - 1970) * 365 + leap_days + days_before + this_year + i64::from(day) - 1;
    Some(((days * 24 + i64::from(hour)) * 60 + i64::from(minute)) * 60 + i64::from(second.min(59)))
}

/// UNIX time from the registers of a PC's real-time clock, which is taken to run in UTC: seconds, minutes, hours, day, month,
/// year and century (0 or anything implausible where there is none), and status register B.
///
/// Register B says whether the values are binary (bit 2) and hours run to 24 (bit 1); otherwise they are two decimal digits,
/// and bit 7 of the hours is the afternoon (Motorola MC146818A data sheet, "Time, Calendar, and Alarm Locations").
pub fn clock_time(registers: [u8; 7], status_b: u8) -> Option<i64> {
    let binary = status_b & 4 != 0;
    let value = |raw: u8| match (raw >> 4, raw & 0xf) {
        _ if binary => Some(raw),
        (tens @ 0..=9, ones @ 0..=9) => Some(tens * 10 + ones),
        _ => None,
    };
    let [second, minute, hour, day, month, year, century] = registers;
    let twelve = status_b & 2 == 0;
    let hour = match (twelve, value(if twelve { hour & 0x7f } else { hour })?) {
        (false, hour) => hour,
        (true, digits @ 1..=12) => digits % 12 + if hour & 0x80 != 0 { 12 } else { 0 },
        (true, _) => return None,
    };
    let century = value(century)
        .filter(|century| (19..=29).contains(century))
        .unwrap_or(20);
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
