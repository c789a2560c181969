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
