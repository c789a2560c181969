//! How many trials passed, and which did not.
//!
//! Invariant: never counts as a pass what was not seen to pass.

use crate::smoke::verdict::Verdict;

/// Verdicts, counted; those that are bad by their names.
#[derive(Clone, Default, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Passes.
    pub passed: usize,
    /// What failed, or ended so that nothing can be said: the trial, and the first line of the reason.
    pub failed: Vec<String>,
    /// Smokes that this QEMU cannot run.
    pub untested: usize,
}

impl Tally {
    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
        self.untested += other.untested;
    }

    /// Counts a trial, whose bad verdict `details` explain.
    pub fn count(&mut self, title: &str, verdict: &Verdict, details: &[String]) {
        match verdict {
            Verdict::Pass => self.passed += 1,
            Verdict::Fail(_) | Verdict::Unknown(_) => {
                let mut lines = details.iter().flat_map(|detail| detail.lines());
                let reason = lines.next().unwrap_or("no reason");
                self.failed.push(format!("{title}: {reason}"));
            }
            Verdict::Untested(_) => self.untested += 1,
        }
    }
}
