//! When nothing that a sabotaged guest may still say changes what its trial comes to.
//!
//! Invariant: a trial that is ended early has shown the break, and every fact that the list has before it.

use std::fs;
use std::time::Instant;

use anyhow::Result;

use crate::project::Project;
use crate::session::{Session, Waited};
use crate::smoke::case::{Smoke, Unfinished};
use crate::smoke::pattern::{fact, plain, shows};
use crate::smoke::sabotage::{Break, Sabotage};
use crate::smoke::verdict::panics_of;

/// What becomes of a guest when a step has failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// It may still say why, and a sabotage may still show.
    Heard,
    /// It may still say why if it does so at once; a step on the host that failed has decided.
    HeardBriefly,
    /// Nothing more was asked of it.
    Cut,
}

impl AfterFailure {
    /// Does it to the guest of a step that did not come to its end.
    pub fn apply(self, session: &mut Session, step: &Unfinished) -> Result<()> {
        match (self, step) {
            (Self::Heard, _) | (Self::HeardBriefly, Unfinished::ByGuest(_)) => Ok(()),
            (Self::HeardBriefly, Unfinished::OnHost(_)) => {
                session.hear_last_words();
                session.cut()
            }
            (Self::Cut, _) => session.cut(),
        }
    }
}

/// What the guest of a sabotage is listened for.
pub struct Awaited {
    /// Facts that must have come before.
    before: &'static [&'static str],
    sign: Sign,
}

/// How a break shows.
enum Sign {
    /// By as many facts of its topic as the smoke states when nothing is broken, without this one among them.
    Otherwise { fact: &'static str, stated: usize },
    /// By this fact or text.
    Appears(&'static str),
    /// By a panic of the kernel that says this.
    Panics(&'static str),
}

impl Awaited {
    /// `None` where only the end of the guest decides: a smoke of several boots or with a model that reports at its end, a break
    /// that a step on the host notices, or a topic of which the accepted snapshot tells nothing.
    pub fn of(project: &Project, smoke: &Smoke, sabotage: &Sabotage) -> Option<Self> {
        if !smoke.again.is_empty() || smoke.device_model.is_some() {
            return None;
        }
        let place = |wanted: &str| smoke.required.iter().position(|one| *one == wanted);
        match sabotage.breaks {
            Break::Step(_) => None,
            Break::Appears { fact, after } => Some(Self {
                before: smoke.required.get(..=place(after)?)?,
                sign: Sign::Appears(fact),
            }),
            Break::Panics(says) => Some(Self {
                before: &[],
                sign: Sign::Panics(says),
            }),
            Break::Missing(fact) => {
                let snapshot = project.root.join("snapshots");
                let snapshot = snapshot.join(format!("{}.snap", smoke.name));
                let text = fs::read_to_string(snapshot).ok()?;
                let stated = text.lines().filter(|line| is_of(line, fact)).count();
                (stated > 0).then_some(Self {
                    before: smoke.required.get(..place(fact)?)?,
                    sign: Sign::Otherwise { fact, stated },
                })
            }
        }
    }

    /// Listens until the guest has said it, and ends the guest then; `false` where the guest ends, falls silent or is late before.
    ///
    /// # Errors
    /// The host does not let it be ended.
    pub fn end_early(&self, session: &mut Session, deadline: Instant) -> Result<bool> {
        let mut looked_at = 0;
        let waited = session.wait(deadline, |serial| {
            let lines = serial.lines();
            lines.len() > std::mem::replace(&mut looked_at, lines.len()) && self.is_in(lines)
        });
        if waited == Waited::Seen {
            session.cut()?;
        }
        Ok(waited == Waited::Seen)
    }

    fn is_in(&self, lines: &[String]) -> bool {
        let shown = |wanted: &str| lines.iter().any(|line| shows(line, wanted));
        let broken = match self.sign {
            Sign::Appears(wanted) => shown(wanted),
            Sign::Panics(says) => panics_of(lines, says),
            Sign::Otherwise { fact, stated } => {
                lines.iter().filter(|line| is_of(line, fact)).count() >= stated && !shown(fact)
            }
        };
        broken && self.before.iter().all(|one| shown(one))
    }
}

/// Whether a line states a fact of the topic that `wanted` has.
fn is_of(line: &str, wanted: &str) -> bool {
    let topic = wanted
        .strip_prefix('@')
        .and_then(|rest| rest.split(' ').next());
    fact(&plain(line)).is_some_and(|fact| Some(fact.topic()) == topic)
}

#[cfg(test)]
mod tests {
    use super::{Awaited, Sign};

    fn decides(sign: Sign, text: &str) -> bool {
        let before = &["@a ok=true"];
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Awaited { before, sign }.is_in(&lines)
    }

    #[test]
    fn a_fact_that_came_otherwise_decides_with_those_before_it() {
        let twice = |text| {
            let fact = "@b own=2";
            decides(Sign::Otherwise { fact, stated: 2 }, text)
        };
        assert!(!twice("@a ok=true\n@b own=1"));
        assert!(twice("@a ok=true\n@b own=1\n@b own=3"));
        assert!(!twice("@a ok=true\n@b own=1\n@b own=2"));
        assert!(!twice("@b own=1\n@b own=3"));
        assert!(!twice("@a ok=true\n@bb own=1\n@b own=3"));
    }

    #[test]
    fn what_must_not_appear_decides_with_those_before_it() {
        assert!(decides(Sign::Appears("@leak"), "@a ok=true\n@leak bytes=4"));
        assert!(!decides(Sign::Appears("@leak"), "@leak bytes=4"));
        assert!(!decides(Sign::Appears("@leak"), "@a ok=true"));
    }

    #[test]
    fn a_panic_decides_when_it_has_said_why() {
        let decides = |text| decides(Sign::Panics("at the cost"), text);
        assert!(decides("@a ok=true\n@kernel.panic cpu~0\nat the cost of"));
        assert!(!decides("@a ok=true\n@kernel.panic cpu~0"));
        assert!(!decides("@a ok=true\nat the cost of\n@kernel.panic cpu~0"));
    }
}
