//! Where one account could steer another's speculation through what the branch predictors learned, and so where a CPU is told to
//! forget: between two accounts of which one was called distrusting, and on no other switch.
//!
//! What a CPU runs is looked at only where a [mark](Marks) says so: two switches between accounts that trust each other cost
//! nothing. The rule is nevertheless that of a CPU that looks each time; the tests compare the two.

/// An account that runs programs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Party {
    /// Its number, which no other ever gets.
    pub number: u64,
    /// It is to share nothing with others that the predictors keep.
    pub distrusting: bool,
}

/// Why a switch from or to a task must be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Marks(pub u8);

impl Marks {
    /// Its account is distrusting.
    pub const DISTRUSTING: u8 = 1 << 0;
    /// It is a task of the kernel's own, and one of a distrusting account ran before it.
    pub const AFTER: u8 = 1 << 1;
}

/// No account has this number.
const ANYBODY: Party = Party {
    number: 0,
    distrusting: false,
};

/// Whose training the predictors of one CPU hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trained(Party);

/// What a marked switch asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Step {
    /// The predictors are to forget, before anything of the next account runs.
    pub barrier: bool,
    /// What the next task, which is the kernel's own, is to be marked with.
    pub mark: u8,
}

impl Trained {
    /// As at the start of a CPU: by whatever ran before, and by accounts that trust each other, whose switches nobody looks at.
    #[must_use]
    pub const fn by_anybody() -> Self {
        Self(ANYBODY)
    }

    /// The CPU goes on with a task of an account, or of the kernel's own: those neither train for anybody nor are steered, so whose
    /// training there is stays as it was.
    pub fn switch(&mut self, to: Option<Party>) -> Step {
        let Some(to) = to else {
            return Step {
                barrier: false,
                mark: if self.0.distrusting { Marks::AFTER } else { 0 },
            };
        };
        let from = core::mem::replace(&mut self.0, to);
        let barrier = from.number != to.number && (from.distrusting || to.distrusting);
        Step { barrier, mark: 0 }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::{ANYBODY, Marks, Party, Step, Trained};

    const fn party(number: u64) -> Party {
        Party {
            number,
            distrusting: number >= 10,
        }
    }

    /// Where the rule itself puts barriers: before each account whose predecessor, whatever the kernel did between, is another and
    /// one of the two is distrusting.
    fn by_the_rule(runs: &[Option<Party>]) -> Vec<bool> {
        let mut last = ANYBODY;
        let judge = |run: &Option<Party>| {
            let Some(to) = *run else { return false };
            let from = core::mem::replace(&mut last, to);
            from.number != to.number && (from.distrusting || to.distrusting)
        };
        runs.iter().map(judge).collect()
    }

    /// Where a CPU puts them that looks at marked switches alone, as the scheduler does.
    fn by_marks(runs: &[Option<Party>]) -> Vec<bool> {
        let mut trained = Trained::by_anybody();
        // There is one task of the kernel's own, and its mark stays until it is left.
        let mut idle = 0_u8;
        let mut before: Option<Party> = None;
        let mark = |run: Option<Party>, idle: u8| match run {
            Some(party) if party.distrusting => Marks::DISTRUSTING,
            Some(_) => 0,
            None => idle,
        };
        let mut barriers = Vec::new();
        for run in runs {
            if mark(before, idle) | mark(*run, idle) == 0 {
                barriers.push(false);
            } else {
                let Step { barrier, mark } = trained.switch(*run);
                idle = mark;
                barriers.push(barrier);
            }
            before = *run;
        }
        barriers
    }

    #[test]
    fn a_pair_is_kept_apart_if_one_of_them_asks_for_it() {
        for (from, to, barrier) in [(1, 2, false), (1, 10, true), (10, 1, true), (10, 11, true)] {
            let runs = [Some(party(from)), Some(party(to))];
            // Before the first one somebody ran, too.
            let expected = [from >= 10, barrier];
            assert_eq!(by_the_rule(&runs), expected, "{from} to {to}");
            assert_eq!(by_marks(&runs), expected, "{from} to {to}");
        }
    }

    #[test]
    fn the_kernel_between_two_accounts_does_not_hide_the_first() {
        let runs = [Some(party(10)), None, Some(party(1))];
        assert_eq!(by_marks(&runs), [true, false, true]);
        let back = [Some(party(10)), None, Some(party(10))];
        assert_eq!(by_marks(&back), [true, false, false], "nobody else ran");
        let among_others = [Some(party(1)), None, Some(party(2)), None, Some(party(10))];
        assert_eq!(by_marks(&among_others), [false, false, false, false, true]);
    }

    #[test]
    fn marks_miss_nothing_and_add_nothing() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            let runs: Vec<Option<Party>> = (0..24)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    match state >> 33 & 7 {
                        0 | 1 => None,
                        n @ 2..=4 => Some(party(n)),
                        n => Some(party(n + 5)),
                    }
                })
                // The kernel's task never follows itself.
                .scan(None, |before, run| {
                    let twice = *before == Some(run);
                    *before = Some(run);
                    Some((run, twice))
                })
                .filter_map(|(run, twice)| (!twice).then_some(run))
                .collect();
            assert_eq!(by_marks(&runs), by_the_rule(&runs), "{runs:?}");
        }
    }
}
