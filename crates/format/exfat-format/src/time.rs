//! Times of entries (7.4.8 to 7.4.10).

const NS_PER_S: i64 = 1_000_000_000;
const QUARTER_S: i64 = 15 * 60;

/// A time that an entry records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Time {
    /// Nanoseconds since 1970-01-01 00:00, of UTC or of a clock on the wall.
    pub ns: i64,
    /// Whether the entry says how far the clock was from UTC, which was taken into account then.
    pub is_utc: bool,
}

/// Converts a timestamp (2 s units), its fine part (10 ms units) and its distance from UTC (quarters of an hour). Fields that name no
/// day or time give `None`.
pub(crate) fn time(stamp: u32, fine: u8, offset: u8) -> Option<Time> {
    let year = 1980 + (stamp >> 25) as u16;
    let field = |at: u32, mask: u32| (stamp >> at & mask) as u8;
    let pairs = field(0, 31);
    if pairs > 29 || fine > 199 {
        return None;
    }
    let seconds = calendar::unix_time(
        year,
        field(21, 15),
        field(16, 31),
        field(11, 31),
        field(5, 63),
        pairs * 2,
    )?;
    let is_utc = offset & 0x80 != 0;
    // Seven bits with a sign.
    let quarters = match is_utc {
        true => i64::from((offset << 1) as i8 >> 1),
        false => 0,
    };
    let seconds = seconds - quarters * QUARTER_S;
    Some(Time {
        ns: seconds * NS_PER_S + i64::from(fine) * 10_000_000,
        is_utc,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        let stamp = (46 << 25) | (11 << 21) | (22 << 16) | (10 << 11) | (27 << 5) | 15;
        let local = 1_795_343_250_000_000_000;
        let at =
            |fine, offset| time(stamp, fine, offset).map(|time| (time.ns - local, time.is_utc));
        assert_eq!(at(0, 0), Some((0, false)));
        assert_eq!(at(155, 0x80), Some((1_550_000_000, true)));
        // An hour east and two hours west of Greenwich.
        assert_eq!(at(0, 0x84), Some((-3_600_000_000_000, true)));
        assert_eq!(at(0, 0xf8), Some((7_200_000_000_000, true)));
        assert_eq!(at(200, 0), None);
        assert_eq!(time(0, 0, 0), None);
        for bits in 0..=u32::from(u16::MAX) {
            time(bits.reverse_bits() ^ bits, bits as u8, (bits >> 8) as u8);
        }
    }
}
