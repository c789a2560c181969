//! Known dates, every format of a clock, and both directions.

use proptest::prelude::*;
use std::string::ToString;

use crate::{Date, NS_PER_SECOND, Registers, Setting, Wall, settled, unix_time};

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
fn dates_that_are_not_there_are_refused() {
    for (month, day, hour, minute, second) in [
        (0, 1, 0, 0, 0),
        (13, 1, 0, 0, 0),
        (1, 0, 0, 0, 0),
        (1, 32, 0, 0, 0),
        (2, 30, 0, 0, 0),
        (4, 31, 0, 0, 0),
        (1, 1, 24, 0, 0),
        (1, 1, 0, 60, 0),
        (1, 1, 0, 0, 61),
    ] {
        assert_eq!(unix_time(2000, month, day, hour, minute, second), None);
    }
    assert_eq!(unix_time(2100, 2, 29, 0, 0, 0), None);
    assert!(unix_time(0, 255, 255, 255, 255, 255).is_none());
    assert!(unix_time(u16::MAX, 12, 31, 23, 59, 59).is_some());
}

/// The time that a clock with power shows.
fn shown(time: [u8; 6], century: u8, status_b: u8) -> Option<i64> {
    let registers = Registers {
        time,
        century,
        status_b,
        status_d: 0x80,
    };
    registers.unix_time()
}

/// 2026-11-22 15:16:17 in every way a clock can say it.
#[test]
fn a_clock_is_read_in_all_its_formats() {
    let expected = unix_time(2026, 11, 22, 15, 16, 17);
    assert!(expected.is_some());
    let decimal = |hour, b| shown([0x17, 0x16, hour, 0x22, 0x11, 0x26], 0x20, b);
    let binary = |hour, b| shown([17, 16, hour, 22, 11, 26], 20, b);
    assert_eq!(decimal(0x15, 2), expected);
    assert_eq!(decimal(0x83, 0), expected);
    assert_eq!(binary(15, 6), expected);
    assert_eq!(binary(0x83, 4), expected);
}

#[test]
fn midnight_and_noon_are_twelve() {
    let at = |hour| shown([0, 0, hour, 1, 1, 0x70], 0x19, 0);
    assert_eq!(at(0x12), Some(0));
    assert_eq!(at(0x92), Some(12 * 3600));
}

#[test]
fn a_clock_without_century_is_in_this_one() {
    for century in [0, 0x99, 0xff] {
        let at = shown([0, 0, 0, 1, 1, 0], century, 2);
        assert_eq!(at, unix_time(2000, 1, 1, 0, 0, 0));
    }
    let at = shown([0, 0, 0, 1, 1, 0], 0x21, 2);
    assert_eq!(at, unix_time(2100, 1, 1, 0, 0, 0));
}

#[test]
fn a_clock_that_is_not_there_or_lost_its_power_says_nothing() {
    assert_eq!(shown([0xff; 6], 0xff, 0xff), None);
    assert_eq!(shown([0xff; 6], 0xff, 0), None);
    assert_eq!(shown([0; 6], 0, 2), None);
    assert_eq!(shown([0, 0, 0x13, 1, 1, 0], 0x20, 0), None);
    assert_eq!(shown([0x0a, 0, 0, 1, 1, 0], 0x20, 2), None);
    let without = Registers {
        time: [0, 0, 0, 1, 1, 0],
        century: 0x20,
        status_b: 2,
        status_d: 0,
    };
    assert_eq!(without.unix_time(), None);
}

/// A clock that counts on each time its registers were looked at `every` times, and is about to for `busy` looks before that.
struct Clock {
    looks: u32,
    every: u32,
    busy: u32,
}

impl Clock {
    fn register(&mut self, index: u8) -> u8 {
        self.looks += 1;
        let second = self.looks / self.every;
        let updating = self.looks % self.every >= self.every - self.busy;
        match index {
            0 => (second % 60) as u8,
            2 => (second / 60 % 60) as u8,
            4 | 9 => 0,
            7 | 8 => 1,
            0x0a if updating => 0x80,
            0x0a => 0,
            0x0b => 6,
            0x0d => 0x80,
            0x37 => 21,
            _ => 0xff,
        }
    }

    fn read(every: u32, busy: u32, century: Option<u8>) -> Option<i64> {
        let mut clock = Self {
            looks: every - busy,
            every,
            busy,
        };
        Registers::read(|index| clock.register(index), century)?.unix_time()
    }
}

#[test]
fn a_clock_is_read_between_two_updates() {
    let midnight = |century: u16| unix_time(century * 100, 1, 1, 0, 0, 1);
    assert_eq!(Clock::read(1000, 100, Some(0x37)), midnight(21));
    // Firmware that names no register, or one of the clock's own.
    assert_eq!(Clock::read(1000, 100, None), midnight(20));
    assert_eq!(Clock::read(1000, 100, Some(2)), midnight(20));
    // One that counts on within every reading, and one that always does.
    assert_eq!(Clock::read(7, 1, None), None);
    assert_eq!(Clock::read(1000, 1000, None), None);
}

#[test]
fn firmware_says_the_zone_and_the_clock_the_rest() {
    let clock = 4_000_000_000;
    // In the clock's zone, some seconds before.
    assert_eq!(settled(clock, clock - 3), clock);
    assert_eq!(settled(clock, clock), clock);
    // The clock shows local time, two hours and a quarter ahead of UTC, and nine hours behind.
    assert_eq!(settled(clock, clock - 8100 - 3), clock - 8100);
    assert_eq!(settled(clock, clock + 32_400 - 3), clock + 32_400);
    // Another century: the clock has a register for it.
    assert_eq!(settled(clock, clock - 3_155_760_000), clock);
}

#[test]
fn dates_are_read_as_they_are_shown() {
    let at = unix_time(2126, 3, 4, 5, 6, 7);
    for text in [
        "2126-03-04 05:06:07",
        "2126-03-04T05:06:07Z",
        "2126-3-4 5:6:7",
    ] {
        assert_eq!(Date::parse(text), at, "{text}");
    }
    assert_eq!(Date::parse("2126-03-04"), unix_time(2126, 3, 4, 0, 0, 0));
    assert_eq!(
        Date::parse("2126-03-04 05:06"),
        unix_time(2126, 3, 4, 5, 6, 0)
    );
    for text in [
        "",
        "2126",
        "2126-03",
        "2126-03-04 ",
        "2126-03-04 05",
        "2126-03-04 05:06:07:08",
        "2126-03-04-05",
        "-2126-03-04",
        "+2126-03-04",
        "2126-02-30",
        "99999-01-01",
        "2126-03-04 05:06:07+01",
    ] {
        assert_eq!(Date::parse(text), None, "{text}");
    }
}

#[test]
fn the_time_is_read_as_it_was_set_or_not_at_all() {
    const TURNS: u64 = 20_000;
    let wall = Wall::new();
    assert_eq!(wall.read(), Some(Setting::default()));
    let setting = |turn: u64| Setting {
        offset_ns: -(turn as i64),
        set_ns: turn,
        source: turn as u16,
        changes: 0,
    };
    std::thread::scope(|scope| {
        scope.spawn(|| (1..=TURNS).for_each(|turn| wall.set(setting(turn))));
        let mut last = 0;
        while last < TURNS {
            let Some(seen) = wall.read() else { continue };
            assert_eq!(
                seen,
                Setting {
                    changes: seen.changes,
                    ..setting(seen.set_ns)
                }
            );
            assert_eq!(u64::from(seen.changes), seen.set_ns.saturating_sub(1));
            assert!(seen.set_ns >= last);
            last = seen.set_ns;
        }
    });
    assert_eq!(setting(5).at(7), 2);
    assert_eq!(setting(5).at(u64::MAX), i64::MAX - 5);
}

proptest! {
    #[test]
    fn a_date_is_the_time_it_was_made_of(seconds in 0..253_402_300_800_i64) {
        let date = Date::of(seconds);
        let back = unix_time(
            date.year as u16, date.month, date.day, date.hour, date.minute, date.second,
        );
        prop_assert_eq!(back, Some(seconds));
        prop_assert_eq!(Date::parse(&date.to_string()), Some(seconds));
    }

    #[test]
    fn nothing_panics(
        ns in any::<i64>(), text in any::<std::string::String>(), time in any::<[u8; 6]>(), century in any::<u8>(), b in any::<u8>(),
    ) {
        let _ = Date::of_ns(ns).to_string();
        let _ = Date::of(ns / NS_PER_SECOND);
        let _ = Date::parse(&text);
        let _ = shown(time, century, b);
    }
}
