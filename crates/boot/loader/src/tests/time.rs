//! Calendar time.

use crate::{clock_time, unix_time};

#[test]
fn known_dates_have_their_seconds() {
    assert_eq!(unix_time(1970, 1, 1, 0, 0, 0), Some(0));
    assert_eq!(unix_time(1969, 12, 31, 23, 59, 59), Some(-1));
    assert_eq!(unix_time(2000, 2, 29, 12, 0, 0), Some(951_825_600));
    assert_eq!(unix_time(2000, 3, 1, 0, 0, 0), Some(951_868_800));
    assert_eq!(unix_time(2038, 1, 19, 3, 14, 7), Some(i64::from(i32::MAX)));
    assert_eq!(unix_time(2100, 3, 1, 0, 0, 0), Some(4_107_542_400));
    assert_eq!(
        unix_time(1901, 12, 13, 20, 45, 52),
        Some(i64::from(i32::MIN))
    );
}

#[test]
fn a_leap_second_is_the_second_before() {
    assert_eq!(
        unix_time(2016, 12, 31, 23, 59, 60),
        unix_time(2016, 12, 31, 23, 59, 59)
    );
}

#[test]
fn fields_out_of_range_are_refused() {
    for (month, day, hour, minute, second) in [
        (0, 1, 0, 0, 0),
        (13, 1, 0, 0, 0),
        (1, 0, 0, 0, 0),
        (1, 32, 0, 0, 0),
        (1, 1, 24, 0, 0),
        (1, 1, 0, 60, 0),
        (1, 1, 0, 0, 61),
    ] {
        assert_eq!(unix_time(2000, month, day, hour, minute, second), None);
    }
    assert!(unix_time(0, 255, 255, 255, 255, 255).is_none());
    assert!(unix_time(u16::MAX, 12, 31, 23, 59, 59).is_some());
}

/// 2026-11-22 15:16:17 in every way a clock can say it.
#[test]
fn a_clock_is_read_in_all_its_formats() {
    let expected = unix_time(2026, 11, 22, 15, 16, 17);
    assert!(expected.is_some());
    let decimal = |hour| [0x17, 0x16, hour, 0x22, 0x11, 0x26, 0x20];
    let binary = |hour| [17, 16, hour, 22, 11, 26, 20];
    assert_eq!(clock_time(decimal(0x15), 2), expected);
    assert_eq!(clock_time(decimal(0x83), 0), expected);
    assert_eq!(clock_time(binary(15), 6), expected);
    assert_eq!(clock_time(binary(0x83), 4), expected);
}

#[test]
fn midnight_and_noon_are_twelve() {
    let at = |hour| clock_time([0, 0, hour, 1, 1, 0x70, 0x19], 0);
    assert_eq!(at(0x12), Some(0));
    assert_eq!(at(0x92), Some(12 * 3600));
}

#[test]
fn a_clock_without_century_is_in_this_one() {
    for century in [0, 0x99, 0xff] {
        assert_eq!(
            clock_time([0, 0, 0, 1, 1, 0, century], 2),
            unix_time(2000, 1, 1, 0, 0, 0)
        );
    }
}

#[test]
fn a_clock_that_is_not_there_says_nothing() {
    assert_eq!(clock_time([0xff; 7], 0xff), None);
    assert_eq!(clock_time([0xff; 7], 0), None);
    assert_eq!(clock_time([0; 7], 2), None);
    assert_eq!(clock_time([0, 0, 0x13, 1, 1, 0, 0x20], 0), None);
    assert_eq!(clock_time([0x0a, 0, 0, 1, 1, 0, 0x20], 2), None);
}
