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
        1980 + (date >> 9),
        (date >> 5 & 15) as u8,
        (date & 31) as u8,
    );
    let (hour, minute, pairs) = (
        (time >> 11) as u8,
        (time >> 5 & 63) as u8,
        (time & 31) as u8,
    );
    if pairs > 29 || fine > 199 {
        return None;
    }
    let seconds = calendar::unix_time(year, month, day, hour, minute, pairs * 2)?;
    // 127 years after 1980 are far below what 64 bits hold.
    let seconds = u64::try_from(seconds).ok()?;
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
