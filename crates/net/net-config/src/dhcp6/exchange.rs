//! How often a message is sent again: RFC 8415 section 15.

use units::Nanoseconds;

use super::message::kind;
use crate::random::Random;

/// RFC 8415 section 7.6, in seconds: the first wait, the longest, and how many messages; 0 is no bound.
const fn bounds(kind: u8) -> (u64, u64, u8) {
    match kind {
        kind::SOLICIT => (1, 3600, 0),
        kind::REQUEST => (1, 30, 10),
        kind::RENEW | kind::REBIND => (10, 600, 0),
        kind::INFORMATION_REQUEST => (1, 3600, 0),
        // RELEASE and DECLINE.
        _ => (1, 0, 4),
    }
}

/// A message that is sent until it is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Exchange {
    pub kind: u8,
    pub transaction: [u8; 3],
    /// How often it was sent.
    pub sent: u8,
    /// When it is sent next, or given up.
    pub due: Nanoseconds,
    began: Nanoseconds,
    wait: Nanoseconds,
}

impl Exchange {
    pub(super) fn new(kind: u8, random: &mut Random, due: Nanoseconds) -> Self {
        let [_, transaction @ ..] = random.draw32().to_be_bytes();
        Self {
            kind,
            transaction,
            sent: 0,
            due,
            began: due,
            wait: Nanoseconds::ZERO,
        }
    }

    /// Whether an answer is waited for.
    pub(super) const fn open(&self) -> Option<[u8; 3]> {
        if self.sent > 0 {
            Some(self.transaction)
        } else {
            None
        }
    }

    /// Whether as many messages went out as may.
    pub(super) const fn is_spent(&self) -> bool {
        let most = bounds(self.kind).2;
        most > 0 && self.sent >= most
    }

    /// Counts one that goes out now; gives what has elapsed since the first, in hundredths of a second.
    pub(super) fn send(&mut self, random: &mut Random, now: Nanoseconds) -> u16 {
        let (first, longest, _) = bounds(self.kind);
        if self.sent == 0 {
            self.began = now;
        }
        let doubled = Nanoseconds::new(self.wait.as_u64().saturating_mul(2));
        let wait = match self.wait {
            Nanoseconds::ZERO => Nanoseconds::from_secs(first),
            _ if longest == 0 => doubled,
            _ => doubled.min(Nanoseconds::from_secs(longest)),
        };
        self.wait = random.about(wait);
        // Section 18.2.1: the first wait for advertisements is never shorter than it says.
        if self.kind == kind::SOLICIT && self.sent == 0 {
            self.wait = self.wait.max(wait);
        }
        self.sent = self.sent.saturating_add(1);
        self.due = now.saturating_add(self.wait);
        let hundredths = now.since(self.began).as_u64() / 10_000_000;
        hundredths.min(u16::MAX.into()) as u16
    }
}
