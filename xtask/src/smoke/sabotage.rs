//! Sabotages: each shows that a smoke can fail, by breaking what it claims to prove.
//!
//! Invariant: a sabotage never counts as bitten by just any failure; it names the one fact that must break.

use std::fmt;

use ::sabotage::Point;
use anyhow::{Result, bail};

use crate::precheck::meant;
use crate::smoke::pattern::is_match;

/// A point in the sabotage kernel. Registered beside the smoke it breaks.
pub struct Sabotage {
    /// Which of the table's.
    pub point: Point,
    /// The smoke it must break.
    pub smoke: &'static str,
    /// The exact fact that breaks.
    pub breaks: Break,
}

/// How a fact breaks.
#[allow(
    dead_code,
    reason = "a vocabulary: a word stays when its last user goes"
)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Break {
    /// A required fact is missing; those listed before it are still there.
    Missing(&'static str),
    /// A forbidden fact appears.
    Appears {
        /// The forbidden fact.
        fact: &'static str,
        /// The last required fact that must still be there, with all before it.
        after: &'static str,
    },
    /// The kernel panics, whenever that is, and of this: no other panic counts, so no fact need have come before.
    Panics(&'static str),
    /// A step on the host fails, and what it says has this in it: the fact is the host's own.
    Step(&'static str),
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(fact) => write!(f, "{fact} must be missing"),
            Self::Appears { fact, .. } => write!(f, "{fact} must appear"),
            Self::Panics(says) => write!(f, "the kernel must panic and say {says}"),
            Self::Step(says) => write!(f, "a step on the host must fail and say {says}"),
        }
    }
}

/// What the kernel states before it says why it panics.
pub const PANIC: &str = "@kernel.panic";

inventory::collect!(Sabotage);

/// All sabotages by point.
pub fn all() -> Vec<&'static Sabotage> {
    let mut sabotages: Vec<_> = inventory::iter::<Sabotage>.into_iter().collect();
    sabotages.sort_by_key(|sabotage| (sabotage.point.name(), sabotage.smoke));
    sabotages
}

/// The sabotages whose point `pattern` names (`all`, a name, a glob).
pub fn select(pattern: &str) -> Result<Vec<&'static Sabotage>> {
    let all = all();
    let matches =
        |sabotage: &&Sabotage| pattern == "all" || is_match(pattern, sabotage.point.name());
    let chosen: Vec<_> = all.iter().copied().filter(matches).collect();
    if chosen.is_empty() && pattern != "all" {
        let near = meant(pattern, all.iter().map(|sabotage| sabotage.point.name()));
        bail!(
            "no sabotage point is called {pattern:?}{near}; docs/reference/sabotages.md lists all"
        );
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::{Break, PANIC, all};

    #[test]
    fn every_sabotage_names_a_fact_of_its_smoke() {
        let smokes = crate::smoke::case::all();
        for sabotage in all() {
            let smoke = smokes.iter().find(|smoke| smoke.name == sabotage.smoke);
            let smoke = smoke.unwrap_or_else(|| panic!("{} names no smoke", sabotage.point));
            match sabotage.breaks {
                Break::Missing(fact) => assert!(smoke.required.contains(&fact), "{fact}"),
                Break::Appears { fact, after } => {
                    assert!(smoke.forbidden.contains(&fact), "{fact}");
                    assert!(smoke.required.contains(&after), "{after}");
                }
                Break::Panics(says) => {
                    assert!(!says.is_empty(), "{}", sabotage.point);
                    assert!(smoke.forbidden.contains(&PANIC), "{}", sabotage.point);
                }
                Break::Step(says) => assert!(!says.is_empty(), "{}", sabotage.point),
            }
        }
    }
}
