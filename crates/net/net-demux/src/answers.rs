//! How many answers strangers get.

use units::Nanoseconds;

/// A bound on answers: so many at once, and so many in a second.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    most: u32,
    each: Nanoseconds,
    left: u32,
    filled: Nanoseconds,
}

impl Bucket {
    /// Full, at time `now`; `per_second` of zero gives no more than the first.
    #[must_use]
    pub const fn new(most: u32, per_second: u32, now: Nanoseconds) -> Self {
        let each = match per_second {
            0 => Nanoseconds::NEVER,
            count => Nanoseconds::new(1_000_000_000 / count as u64),
        };
        Self {
            most,
            each,
            left: most,
            filled: now,
        }
    }

    /// Whether one more may be given.
    pub fn take(&mut self, now: Nanoseconds) -> bool {
        let span = now.since(self.filled).as_u64();
        if let Some(more) = span.checked_div(self.each.as_u64()) {
            let room = u64::from(self.most - self.left);
            if more >= room {
                (self.left, self.filled) = (self.most, self.filled.max(now));
            } else {
                self.left += more as u32;
                let whole = Nanoseconds::new(more.saturating_mul(self.each.as_u64()));
                self.filled = self.filled.saturating_add(whole);
            }
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}
