//! The priorities that calls lend to the thread that serves them.

/// Count of priorities.
pub const PRIORITIES: usize = 32;

/// What is lent to one thread: a priority of its own, and one for each call that lends it another.
///
/// Invariant: the priority that applies is the highest of its own and of those of calls that have not ended, and
/// nothing else; the order in which calls begin and end makes no difference.
#[derive(Clone, Debug)]
pub struct Loans {
    own: u8,
    /// Priorities that some call lends, one bit each.
    lent: u32,
    /// How many calls lend each.
    counts: [u32; PRIORITIES],
}

const fn bounded(priority: u8) -> u8 {
    if (priority as usize) < PRIORITIES {
        priority
    } else {
        PRIORITIES as u8 - 1
    }
}

impl Loans {
    /// A thread of priority `own`, to which nobody lends anything. Priorities from [`PRIORITIES`] on, here and below,
    /// count as the highest.
    #[must_use]
    pub const fn new(own: u8) -> Self {
        Self {
            own: bounded(own),
            lent: 0,
            counts: [0; PRIORITIES],
        }
    }

    /// A call lends `priority`.
    pub fn lend(&mut self, priority: u8) {
        let priority = bounded(priority);
        let count = &mut self.counts[usize::from(priority)];
        *count = count.saturating_add(1);
        self.lent |= 1 << priority;
    }

    /// A call that lent `priority` has ended. A priority that no call lends is no loan, and nothing changes.
    pub fn give_back(&mut self, priority: u8) {
        let priority = bounded(priority);
        let count = &mut self.counts[usize::from(priority)];
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.lent &= !(1 << priority);
        }
    }

    /// The priority that applies.
    #[must_use]
    pub const fn effective(&self) -> u8 {
        let highest = match self.lent.checked_ilog2() {
            Some(highest) => highest as u8,
            None => 0,
        };
        if highest > self.own {
            highest
        } else {
            self.own
        }
    }

    /// Whether some call lends something.
    #[must_use]
    pub const fn any(&self) -> bool {
        self.lent != 0
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn the_highest_loan_applies_until_its_call_ends() {
        let mut loans = Loans::new(4);
        assert_eq!(loans.effective(), 4);
        loans.lend(16);
        loans.lend(9);
        loans.lend(16);
        assert_eq!(loans.effective(), 16);
        loans.give_back(16);
        assert_eq!(loans.effective(), 16);
        loans.give_back(16);
        assert_eq!(loans.effective(), 9);
        loans.give_back(9);
        assert_eq!(loans.effective(), 4);
        assert!(!loans.any());
    }

    #[test]
    fn what_was_never_lent_is_not_given_back() {
        let mut loans = Loans::new(7);
        loans.give_back(20);
        loans.lend(20);
        loans.give_back(19);
        assert_eq!(loans.effective(), 20);
        loans.give_back(20);
        loans.give_back(20);
        assert_eq!(loans.effective(), 7);
    }

    #[test]
    fn numbers_beyond_the_highest_are_the_highest() {
        let mut loans = Loans::new(200);
        assert_eq!(loans.effective(), 31);
        loans.lend(255);
        loans.give_back(31);
        assert!(!loans.any());
    }

    #[test]
    fn any_order_of_calls_agrees_with_a_plain_list() {
        let mut seed = 11u64;
        let mut next = |n: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % n
        };
        let mut loans = Loans::new(10);
        let mut list: Vec<u8> = Vec::new();
        for _ in 0..20_000 {
            if next(2) == 0 && list.len() < 50 {
                let priority = next(32) as u8;
                loans.lend(priority);
                list.push(priority);
            } else if !list.is_empty() {
                let gone = list.swap_remove(next(list.len() as u64) as usize);
                loans.give_back(gone);
            }
            let highest = list.iter().copied().max().unwrap_or(0);
            assert_eq!(loans.effective(), highest.max(10));
            assert_eq!(loans.any(), !list.is_empty());
        }
    }
}
