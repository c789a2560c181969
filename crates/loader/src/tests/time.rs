//! Calendar time.

use crate::unix_time;

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
