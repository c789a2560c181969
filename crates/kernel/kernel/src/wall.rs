//! The time of day: what the machine's clock and firmware said at boot, and what was set since.
//!
//! Nothing in the kernel waits by it or decides by it.

use acpi_tables::Fadt;
use calendar::{Date, NS_PER_SECOND, Registers, Setting, Wall, settled};
use cpu::Lock;
use sabotage::sabotage;
use schema::process::wall_clock::Source;
use stub::Refusal;

/// The real-time clock's register, and what is in it (Motorola MC146818A; I/O ports of every PC that has one).
const INDEX_PORT: u16 = 0x70;
const DATA_PORT: u16 = 0x71;

static WALL: Wall = Wall::new();
/// Who sets the time.
static SETTER: Lock<()> = Lock::new(());

/// The end of 2199: far enough from what 64 bits of nanoseconds hold.
const MOST_NS: i64 = 7_258_118_400 * NS_PER_SECOND - 1;

/// Whether there is a real-time clock behind its ports, and which register holds the century.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Rtc {
    /// Nobody says otherwise, and nobody says where the century is.
    #[default]
    Unstated,
    /// There is none.
    Absent,
    /// There is one.
    Present {
        /// Where the century is.
        century: Option<u8>,
    },
}

impl Rtc {
    /// What firmware says.
    pub fn of(fadt: &Fadt) -> Self {
        match fadt.boot.no_cmos_rtc() || fadt.flags.hardware_reduced() {
            true => Self::Absent,
            false => Self::Present {
                century: fadt.century.filter(|_| !sabotage!(FORGET_CENTURY)),
            },
        }
    }

    fn read(self) -> Option<i64> {
        let century = match self {
            Self::Absent => return None,
            Self::Unstated => None,
            Self::Present { century } => century,
        };
        let register = |index: u8| {
            // SAFETY: the boot CPU, alone; nobody else ever uses the clock. Bit 7 of the index stays clear: NMIs stay on.
            unsafe {
                cpu::port::write8(INDEX_PORT, index);
                cpu::port::read8(DATA_PORT)
            }
        };
        Registers::read(register, century)?.unix_time()
    }
}

/// Learns the time at boot.
pub fn initialise(rtc: Rtc, firmware: Option<i64>) {
    let clock = rtc.read();
    let (seconds, source) = match (clock, firmware) {
        (Some(clock), Some(firmware)) => (settled(clock, firmware), Source::MachineClock),
        (Some(clock), None) => (clock, Source::MachineClock),
        (None, Some(firmware)) => (firmware, Source::Firmware),
        (None, None) => (0, Source::None),
    };
    let ns = seconds.saturating_mul(NS_PER_SECOND);
    let (ns, source) = match (0..=MOST_NS).contains(&ns) {
        true => (ns, source),
        false => (0, Source::None),
    };
    let now = sched::now_ns();
    if source != Source::None {
        WALL.set(setting(ns, now, now, source));
    }
    crate::fact!("boot.time", source = name(source), zone_s = seconds.saturating_sub(clock.unwrap_or(seconds)), utc ~ format_args!("{}", Date::of_ns(ns)));
}

fn setting(ns: i64, at_ns: u64, now: u64, source: Source) -> Setting {
    let at = i64::try_from(at_ns).unwrap_or(i64::MAX);
    Setting {
        offset_ns: ns.saturating_sub(at),
        set_ns: now,
        source: source as u16,
        changes: 0,
    }
}

/// A word for a fact.
const fn name(source: Source) -> &'static str {
    match source {
        Source::None => "none",
        Source::MachineClock => "machine-clock",
        Source::Firmware => "firmware",
        Source::Network => "network",
        Source::Person => "person",
    }
}

/// The time as it was last set; `None` while somebody sets it.
pub fn read() -> Option<Setting> {
    WALL.read()
}

/// The same, after whoever sets it is done.
pub fn settled_reading() -> Setting {
    let _setter = SETTER.lock();
    WALL.read().unwrap_or_default()
}

/// Sets the time, for the process of that name. Says by how much it is later than it was.
///
/// # Errors
/// `OutOfRange`.
pub fn set(by: &str, ns: i64, at_ns: u64, source: Source) -> Result<i64, Refusal> {
    let now = sched::now_ns();
    if !(0..=MOST_NS).contains(&ns) || at_ns > now {
        return Err(Refusal::OutOfRange);
    }
    let new = setting(ns, at_ns, now, source);
    let stepped = {
        let _setter = SETTER.lock();
        let old = WALL.read().unwrap_or_default();
        WALL.set(match sabotage!(KEEP_TIME_SOURCE) {
            true => Setting {
                source: old.source,
                ..new
            },
            false => new,
        });
        new.offset_ns.saturating_sub(old.offset_ns)
    };
    crate::fact!("time.set", by = by, source = name(source), utc ~ format_args!("{}", Date::of_ns(ns)), stepped_s ~ stepped / NS_PER_SECOND);
    Ok(stepped)
}
