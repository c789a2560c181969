//! The time of day as many read it while somebody sets it.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// The time of day, kept as what is to be added to a clock that never jumps.
///
/// One sets it at a time; its holder sees to that. Reading takes no lock and never waits.
#[derive(Debug, Default)]
pub struct Wall {
    /// Twice how often it was set; odd while it is being set.
    turn: AtomicU32,
    offset: AtomicU64,
    set_ns: AtomicU64,
    source: AtomicU32,
}

/// What a [`Wall`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Nanoseconds since 1970, less those of the steady clock.
    pub offset_ns: i64,
    /// When it was set, by the steady clock.
    pub set_ns: u64,
    /// Who said so; 0 is nobody.
    pub source: u16,
    /// How often it was set, the first time not counted.
    pub changes: u32,
}

impl Setting {
    /// The time of day at a moment of the steady clock.
    pub fn at(&self, steady_ns: u64) -> i64 {
        let steady = i64::try_from(steady_ns).unwrap_or(i64::MAX);
        self.offset_ns.saturating_add(steady)
    }
}

impl Wall {
    /// One that nobody has set.
    pub const fn new() -> Self {
        Self {
            turn: AtomicU32::new(0),
            offset: AtomicU64::new(0),
            set_ns: AtomicU64::new(0),
            source: AtomicU32::new(0),
        }
    }

    /// What it says; `None` while it is being set.
    #[inline]
    pub fn read(&self) -> Option<Setting> {
        let turn = self.turn.load(Ordering::Acquire);
        if !turn.is_multiple_of(2) {
            return None;
        }
        let setting = Setting {
            offset_ns: self.offset.load(Ordering::Relaxed) as i64,
            set_ns: self.set_ns.load(Ordering::Relaxed),
            source: self.source.load(Ordering::Relaxed) as u16,
            changes: (turn / 2).saturating_sub(1),
        };
        // What was read above is read before the turn is looked at again.
        fence(Ordering::Acquire);
        (self.turn.load(Ordering::Relaxed) == turn).then_some(setting)
    }

    /// Sets it. Nobody else may at the same time; `changes` is counted here.
    pub fn set(&self, setting: Setting) {
        let turn = self.turn.load(Ordering::Relaxed);
        self.turn.store(turn.wrapping_add(1), Ordering::Relaxed);
        // Whoever sees a word of the new setting sees the odd turn.
        fence(Ordering::Release);
        self.offset
            .store(setting.offset_ns as u64, Ordering::Relaxed);
        self.set_ns.store(setting.set_ns, Ordering::Relaxed);
        self.source
            .store(u32::from(setting.source), Ordering::Relaxed);
        self.turn.store(turn.wrapping_add(2), Ordering::Release);
    }
}
