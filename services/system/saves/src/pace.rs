//! When the bridge is asked next.

use save_core::Step;
use sdk::NEVER;

const MS_NS: u64 = 1_000_000;
/// How long the bridge is left alone after it was not there: twice as long each time, from the first to the last.
const FIRST_WAIT_MS: u64 = 500;
const LAST_WAIT_MS: u64 = 30_000;

/// When something is to be brought, and how long the bridge is left alone where it is not there.
#[derive(Debug, PartialEq, Eq)]
pub struct Pace {
    next_ns: u64,
    wait_ms: u64,
}

impl Default for Pace {
    /// At once: something may wait from before.
    fn default() -> Self {
        Self {
            next_ns: 0,
            wait_ms: FIRST_WAIT_MS,
        }
    }
}

impl Pace {
    /// When something is to be done, in nanoseconds since the start.
    pub const fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Something new may wait. A bridge that was not there is left alone as long as before.
    pub const fn stirred(&mut self) {
        if self.next_ns == NEVER {
            self.next_ns = 0;
        }
    }

    /// One thing was tried, and it is that time now.
    pub fn after(&mut self, step: Step, now_ns: u64) {
        match step {
            Step::Idle => {
                self.next_ns = NEVER;
                self.wait_ms = FIRST_WAIT_MS;
            }
            // Not before those that were due already.
            Step::Went => {
                self.next_ns = now_ns;
                self.wait_ms = FIRST_WAIT_MS;
            }
            Step::Wait(ms) => {
                let wait_ms = self.wait_ms.max(ms.into()).min(LAST_WAIT_MS);
                self.next_ns = now_ns.saturating_add(wait_ms.saturating_mul(MS_NS));
                self.wait_ms = self.wait_ms.saturating_mul(2).min(LAST_WAIT_MS);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MS_NS, Pace};
    use save_core::Step;
    use sdk::NEVER;

    #[test]
    fn a_bridge_that_is_away_is_asked_ever_more_seldom_and_then_at_once() {
        let mut pace = Pace::default();
        assert_eq!(pace.next_ns(), 0);
        let mut waits = [0; 9];
        for wait in &mut waits {
            pace.after(Step::Wait(100), 7 * MS_NS);
            *wait = pace.next_ns() / MS_NS - 7;
            pace.stirred();
            assert_eq!(pace.next_ns() / MS_NS, *wait + 7, "not before");
        }
        let wanted = [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000];
        assert_eq!(waits, wanted);
        pace.after(Step::Went, 5);
        assert_eq!(pace.next_ns(), 5);
        pace.after(Step::Wait(2_000_000), 0);
        assert_eq!(pace.next_ns(), 30_000 * MS_NS, "whatever a bridge says");
        pace.after(Step::Idle, 9);
        assert_eq!(pace.next_ns(), NEVER);
        pace.stirred();
        assert_eq!(pace.next_ns(), 0);
        pace.after(Step::Wait(0), u64::MAX);
        assert_eq!(pace.next_ns(), NEVER);
    }
}
