//! When a service that ended starts again.

use alloc::string::String;

use crate::{Restart, Service};

/// A service that lived this long starts with a clean record, in nanoseconds.
pub const STABLE_NS: u64 = 10_000_000_000;
/// The wait before the second restart in a row, in nanoseconds; it doubles from there. The first one is at once, because
/// clients are waiting.
pub const FIRST_WAIT_NS: u64 = 50_000_000;
/// The longest wait, in nanoseconds.
pub const LONGEST_WAIT_NS: u64 = 5_000_000_000;

/// How a service's process ended, as far as the policy cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It exited with code 0.
    Success,
    /// It exited with another code, panicked, faulted or was killed, or could not be started.
    Failure,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Start it again at this time.
    RestartAt {
        /// Monotonic nanoseconds.
        ns: u64,
    },
    /// It is done, as its policy says.
    Done,
    /// It failed too often in a row.
    GiveUp,
}

/// What the supervisor remembers of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Restarts in a row.
    restarts: u16,
    /// When it was last started, in monotonic nanoseconds.
    started_ns: u64,
}

impl Record {
    /// Notes a start.
    pub const fn started(&mut self, now_ns: u64) {
        self.started_ns = now_ns;
    }

    /// Restarts in a row so far.
    pub const fn restarts(&self) -> u16 {
        self.restarts
    }

    /// Whether an end at `now_ns` is not the first in a row.
    const fn is_in_a_row(&self, now_ns: u64) -> bool {
        self.restarts > 0 && now_ns.saturating_sub(self.started_ns) < STABLE_NS
    }

    /// Decides what follows on an end at `now_ns`, and counts it.
    pub fn ended(&mut self, service: &Service, ending: Ending, now_ns: u64) -> Decision {
        let again = match service.restart {
            Restart::Never => false,
            Restart::OnFailure => ending == Ending::Failure,
            Restart::Always => true,
        };
        if !again {
            return Decision::Done;
        }
        if now_ns.saturating_sub(self.started_ns) >= STABLE_NS {
            self.restarts = 0;
        }
        if self.restarts >= service.max_restarts {
            return Decision::GiveUp;
        }
        let wait_ns = match self.restarts {
            0 => 0,
            n => FIRST_WAIT_NS
                .checked_shl(u32::from(n) - 1)
                .filter(|w| w >> (u32::from(n) - 1) == FIRST_WAIT_NS)
                .map_or(LONGEST_WAIT_NS, |w| w.min(LONGEST_WAIT_NS)),
        };
        self.restarts += 1;
        Decision::RestartAt {
            ns: now_ns.saturating_add(wait_ns),
        }
    }
}

/// What was said last about a service's ends, and how often it would have been said since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repeats {
    last: String,
    times: u32,
}

/// What there is to say about an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saying {
    /// The same was said of the end before, and is counted.
    Nothing,
    /// Its text; before it, that the last one came so many times more, if it did.
    Text(u32),
}

impl Repeats {
    /// Notes `text` about an end at `now_ns`, before `record` counts that. It is said unless it was said of the end before, in
    /// a row with this one.
    pub fn note(&mut self, text: &str, record: &Record, now_ns: u64) -> Saying {
        if record.is_in_a_row(now_ns) && self.last == text {
            self.times = self.times.saturating_add(1);
            return Saying::Nothing;
        }
        let times = self.take();
        self.last = String::from(text);
        Saying::Text(times)
    }

    /// How often the last text came again without being said, which is said now.
    pub fn take(&mut self) -> u32 {
        core::mem::take(&mut self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use alloc::vec::Vec;

    #[test]
    fn the_same_text_in_a_row_is_said_once_and_counted() {
        let mut repeats = Repeats::default();
        let (first, mut later) = (Record::default(), Record::default());
        later.ended(&service(Restart::Always, 9), Ending::Failure, 1);
        assert_eq!(repeats.note("a", &first, 2), Saying::Text(0));
        assert_eq!(repeats.note("a", &later, 2), Saying::Nothing);
        assert_eq!(repeats.note("a", &later, 2), Saying::Nothing);
        assert_eq!(repeats.note("b", &later, 2), Saying::Text(2));
        assert_eq!(repeats.note("b", &later, 2), Saying::Nothing);
        assert_eq!(repeats.take(), 1);
        assert_eq!(repeats.take(), 0);
        // A stable life lies before this one.
        assert_eq!(repeats.note("b", &later, STABLE_NS), Saying::Text(0));
    }

    #[test]
    fn ends_are_in_a_row_until_one_lives_long() {
        let service = service(Restart::Always, 9);
        let mut record = Record::default();
        record.started(1);
        assert!(!record.is_in_a_row(2), "the first end");
        record.ended(&service, Ending::Failure, 2);
        record.started(2);
        assert!(record.is_in_a_row(1 + STABLE_NS));
        assert!(!record.is_in_a_row(2 + STABLE_NS));
    }

    fn service(restart: Restart, max_restarts: u16) -> Service {
        Service {
            name: String::new(),
            binary: String::new(),
            arguments: Vec::new(),
            grants: Vec::new(),
            exports: Vec::new(),
            restart,
            priority: 1,
            limits: Limits {
                memory_pages: 1,
                handles: 1,
                threads: 1,
                endpoints: 1,
                facets: 1,
                cpu_per_mille: 0,
            },
            max_restarts,
            critical: false,
            fpu: false,
            distrusting: false,
            stack_pages: 0,
            area_pages: 0,
        }
    }

    #[test]
    fn policy_decides_who_comes_back() {
        for (restart, ending, back) in [
            (Restart::Never, Ending::Failure, false),
            (Restart::OnFailure, Ending::Success, false),
            (Restart::OnFailure, Ending::Failure, true),
            (Restart::Always, Ending::Success, true),
        ] {
            let decision = Record::default().ended(&service(restart, 1), ending, 5);
            assert_eq!(matches!(decision, Decision::RestartAt { ns: 5 }), back);
            assert_eq!(decision == Decision::Done, !back);
        }
    }

    #[test]
    fn waits_double_up_to_a_bound_and_end() {
        let service = service(Restart::Always, 100);
        let mut record = Record::default();
        let mut waits = Vec::new();
        for _ in 0..100 {
            match record.ended(&service, Ending::Failure, 7) {
                Decision::RestartAt { ns } => waits.push((ns - 7) / 1_000_000),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            waits[..10],
            [0, 50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]
        );
        assert!(waits[8..].iter().all(|w| *w == 5000));
        assert_eq!(record.ended(&service, Ending::Failure, 7), Decision::GiveUp);
    }

    #[test]
    fn a_stable_life_clears_the_record() {
        let service = service(Restart::Always, 1);
        let mut record = Record::default();
        record.started(1);
        assert_eq!(
            record.ended(&service, Ending::Failure, 2),
            Decision::RestartAt { ns: 2 }
        );
        record.started(2);
        assert_eq!(
            record.ended(&service, Ending::Failure, 2 + STABLE_NS),
            Decision::RestartAt { ns: 2 + STABLE_NS }
        );
        record.started(100);
        assert_eq!(
            record.ended(&service, Ending::Failure, 99 + STABLE_NS),
            Decision::GiveUp
        );
    }
}
