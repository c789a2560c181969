//! FAT dates and times (FATGEN, "Date and Time Formats").

/// Nanoseconds since 1970-01-01 00:00 of a clock on the wall: FAT metadata is local time and names no zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalNs(
    /// The nanoseconds. FAT reaches from 1980 to 2107, so they are never negative.
    pub u64,
);

const NS_PER_S: u64 = 1_000_000_000;

/// Converts a FAT date, time (2 s units) and fine part (10 ms units). Fields that name no day or time give `None`.
pub(crate) fn local_ns(date: u16, time: u16, fine: u8) -> Option<LocalNs> {
    let (year, month, day) = (
        1980 + u64::from(date >> 9),
        u64::from(date >> 5 & 15),
        u64::from(date & 31),
    );
    let (hour, minute, pairs) = (
        u64::from(time >> 11),
        u64::from(time >> 5 & 63),
        u64::from(time & 31),
    );
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(leap),
        _ => return None,
    };
    if !(1..=month_days).contains(&day) || hour > 23 || minute > 59 || pairs > 29 || fine > 199 {
        return None;
    }
    // Days before a month, counted in years that begin in March so that the leap day comes last.
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let since_march_of_year_0 = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + day - 1;
    let days = since_march_of_year_0 - 719_468;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + pairs * 2;
    Some(LocalNs(seconds * NS_PER_S + u64::from(fine) * 10_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(y: u16, m: u16, d: u16) -> u16 {
        (y - 1980) << 9 | m << 5 | d
    }

    #[test]
    fn known_days() {
        let seconds = |d, t, fine| local_ns(d, t, fine).map(|ns| ns.0 / 1_000_000_000);
        assert_eq!(seconds(date(1980, 1, 1), 0, 0), Some(315_532_800));
        assert_eq!(seconds(date(2000, 2, 29), 0, 0), Some(951_782_400));
        assert_eq!(
            seconds(date(2026, 11, 22), 10 << 11 | 27 << 5 | 15, 155),
            Some(1_795_343_250 + 1)
        );
        assert_eq!(
            seconds(date(2107, 12, 31), 23 << 11 | 59 << 5 | 29, 199),
            Some(4_354_819_199)
        );
    }

    #[test]
    fn the_fine_part_counts_in_steps_of_ten_milliseconds() {
        assert_eq!(
            local_ns(date(1980, 1, 1), 0, 155),
            Some(LocalNs(315_532_801_550_000_000))
        );
    }

    #[test]
    fn impossible_fields_are_no_time() {
        for (d, t) in [
            (0, 0),
            (date(2001, 2, 29), 0),
            (date(2100, 2, 29), 0),
            (date(2001, 13, 1), 0),
            (date(2001, 4, 31), 0),
            (date(2001, 4, 0), 0),
            (date(2001, 4, 1), 24 << 11),
            (date(2001, 4, 1), 60 << 5),
            (date(2001, 4, 1), 30),
        ] {
            assert_eq!(local_ns(d, t, 0), None);
        }
        assert_eq!(local_ns(date(2001, 4, 1), 0, 200), None);
        for bits in 0..=u16::MAX {
            local_ns(bits, bits.reverse_bits(), bits as u8);
        }
    }
}
