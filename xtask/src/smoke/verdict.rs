//! Pass, fail or unknown: what a transcript says about a smoke, and what of it a snapshot keeps.
//!
//! Invariant: never passes a guest without its exit line, except a sabotaged one that was ended once its break had shown, and
//! never counts silence as an answer.

use evidence::Fact;

use crate::complaints::reason;
use crate::serial::without_prompt;
use crate::session::End;
use crate::smoke::case::Smoke;
use crate::smoke::pattern::{fact, plain, shows};
use crate::smoke::sabotage::{Break, PANIC, Sabotage};

/// What came of a smoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Exit line, facts and snapshot are as they must be.
    Pass,
    /// The guest gave an answer, and it is a wrong one.
    Fail(Vec<String>),
    /// The guest gave no answer.
    Unknown(String),
    /// It was not asked: this QEMU cannot emulate what the question is about.
    Untested(String),
}

/// What was heard of a guest.
pub struct Heard<'a> {
    /// How it ended.
    pub end: End,
    /// Its finished lines.
    pub lines: &'a [String],
    /// What QEMU said on its standard error.
    pub errors: &'a str,
    /// The step that did not come to its end.
    pub failed_step: Option<&'a str>,
    /// A sabotage showed, and the guest was ended before its time.
    pub decided: bool,
}

impl Heard<'_> {
    fn has(&self, expected: &str) -> bool {
        self.lines.iter().any(|line| shows(line, expected))
    }

    /// The reason why there is no answer, if there is none.
    fn no_answer(&self) -> Option<String> {
        let step = self
            .failed_step
            .map(|step| format!(" ({step})"))
            .unwrap_or_default();
        match self.end {
            End::Silent => Some(format!("the guest fell silent{step}{}", self.last_words())),
            End::Late => Some(format!(
                "the guest was still talking at its time limit{step}"
            )),
            End::Code(_) | End::NoExitLine => None,
        }
    }

    /// What was heard last, and how to see what is waited for.
    fn last_words(&self) -> String {
        let last = self.lines.iter().rev().find(|line| !line.trim().is_empty());
        let last = last.map_or_else(String::new, |line| format!(" after {line:?}"));
        format!(
            "{last}: something waits for what does not come, such as an answer that is kept or one's own; `--gdb` and \
             `cargo xtask gdb PROGRAM` show where"
        )
    }

    /// That there is no exit line, with QEMU's own reason where it gave one.
    fn no_exit_line(&self) -> String {
        match reason(self.errors) {
            said if said.is_empty() => "no exit line".to_owned(),
            said => format!("no exit line; QEMU says: {said}"),
        }
    }

    /// Lines that begin like evidence and are none.
    fn malformed(&self) -> impl Iterator<Item = String> + '_ {
        self.lines.iter().filter_map(|line| {
            let error = Fact::parse(&plain(line)).err()?;
            Some(format!("malformed evidence ({error}): {line}"))
        })
    }

    /// What must not be there and is.
    fn unwanted<'s>(&'s self, smoke: &'s Smoke) -> impl Iterator<Item = &'static str> + 's {
        smoke
            .forbidden
            .iter()
            .copied()
            .filter(|fact| self.has(fact))
    }
}

/// What the kernel and init said for a person, mostly why a program did not do what was expected: the first few such lines.
pub fn complaints(lines: &[String]) -> Vec<&str> {
    const SPEAKERS: [&str; 3] = ["init: ", "kernel: ", "kernel panic: "];
    const MOST: usize = 8;
    let said = lines.iter().map(|line| without_prompt(line));
    said.filter(|line| SPEAKERS.iter().any(|speaker| line.starts_with(speaker)))
        .take(MOST)
        .collect()
}

/// Judges a run by its exit line and its facts; the snapshot is judged on its own.
pub fn judge(smoke: &Smoke, heard: &Heard<'_>) -> Verdict {
    if let Some(reason) = heard.no_answer() {
        return Verdict::Unknown(reason);
    }
    let mut wrong: Vec<String> = Vec::new();
    match heard.end {
        End::Code(code) if code != smoke.exit => {
            wrong.push(format!("exit code {code} instead of {}", smoke.exit));
        }
        // A guest is ended when a step on the host fails.
        End::NoExitLine if heard.failed_step.is_some() && reason(heard.errors).is_empty() => {}
        End::NoExitLine => wrong.push(heard.no_exit_line()),
        _ => {}
    }
    wrong.extend(heard.failed_step.map(str::to_owned));
    let missing = smoke.required.iter().filter(|fact| !heard.has(fact));
    wrong.extend(missing.map(|fact| format!("missing: {fact}")));
    wrong.extend(
        heard
            .unwanted(smoke)
            .map(|fact| format!("forbidden: {fact}")),
    );
    wrong.extend(heard.malformed());
    if wrong.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Fail(wrong)
    }
}

/// Whether the kernel panics, and what it says from there on has `says` in it.
pub fn panics_of(lines: &[String], says: &str) -> bool {
    let mut after = lines.iter().skip_while(|line| !shows(line, PANIC));
    after.any(|line| line.contains(says))
}

/// Judges a run with a sabotage point chosen: it passes if exactly the named fact broke.
pub fn judge_sabotage(sabotage: &Sabotage, smoke: &Smoke, heard: &Heard<'_>) -> Verdict {
    let mut wrong: Vec<String> = Vec::new();
    // Facts come about in the order of the list; those after the broken one may well be gone.
    let (bitten, last, appears) = match sabotage.breaks {
        Break::Step(says) => return judge_step(says, smoke, heard),
        Break::Missing(fact) => {
            let at = smoke.required.iter().position(|required| *required == fact);
            if at.is_none() {
                wrong.push(format!("smoke {} does not require {fact}", smoke.name));
            }
            (!heard.has(fact), at.unwrap_or(0), None)
        }
        Break::Appears { fact, after } => {
            let at = smoke
                .required
                .iter()
                .position(|required| *required == after);
            if at.is_none() {
                wrong.push(format!("smoke {} does not require {after}", smoke.name));
            }
            if !smoke.forbidden.contains(&fact) {
                wrong.push(format!("smoke {} does not forbid {fact}", smoke.name));
            }
            (heard.has(fact), at.map_or(0, |at| at + 1), Some(fact))
        }
        Break::Panics(says) => {
            if !smoke.forbidden.contains(&PANIC) {
                wrong.push(format!("smoke {} does not forbid {PANIC}", smoke.name));
            }
            (panics_of(heard.lines, says), 0, Some(PANIC))
        }
    };
    if let Some(reason) = heard.no_answer() {
        return Verdict::Unknown(reason);
    }
    if heard.end == End::NoExitLine && !heard.decided {
        wrong.push(heard.no_exit_line());
    }
    if !bitten {
        wrong.push(format!("did not bite: {}", sabotage.breaks));
    }
    let before = smoke
        .required
        .iter()
        .take(last)
        .filter(|fact| !heard.has(fact));
    wrong.extend(before.map(|fact| format!("broke too much, missing: {fact}")));
    let others = heard.unwanted(smoke).filter(|fact| Some(*fact) != appears);
    wrong.extend(others.map(|fact| format!("broke too much, forbidden: {fact}")));
    wrong.extend(heard.malformed());
    if wrong.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Fail(wrong)
    }
}

/// What a sabotage is worth that a step on the host must notice: the guest is ended then, and says no more.
fn judge_step(says: &'static str, smoke: &Smoke, heard: &Heard<'_>) -> Verdict {
    let others: Vec<String> = heard
        .unwanted(smoke)
        .map(|fact| format!("broke too much, forbidden: {fact}"))
        .collect();
    match heard.failed_step {
        Some(step) if step.contains(says) && others.is_empty() => Verdict::Pass,
        Some(_) if !others.is_empty() => Verdict::Fail(others),
        Some(step) => Verdict::Unknown(format!("another step failed: {step}")),
        None => Verdict::Fail(vec![format!("did not bite: {}", Break::Step(says))]),
    }
}

/// First parts of the topics that tell of the boot, which is the same for every smoke.
const BOOT_AREAS: [&str; 6] = ["acpi", "boot", "dma", "drivers", "iommu", "pci"];

/// What a snapshot keeps: facts without their volatile values, and the exit line.
pub fn snapshot_text(smoke: &Smoke, heard: &Heard<'_>) -> String {
    let mut lines: Vec<String> = heard
        .lines
        .iter()
        .filter_map(|line| {
            let mut text = String::new();
            let line = plain(line);
            let fact = fact(&line)?;
            let area = fact.topic().split('.').next().unwrap_or_default();
            if !smoke.keeps_boot && BOOT_AREAS.contains(&area) {
                return None;
            }
            fact.write_stable(&mut text).ok()?;
            Some(text)
        })
        .collect();
    if smoke.sorted {
        lines.sort();
    }
    if let End::Code(code) = heard.end {
        lines.push(format!("exit code={code}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::{Heard, Verdict, judge, judge_sabotage, shows, snapshot_text};
    use crate::session::End;
    use crate::smoke::case::Smoke;
    use crate::smoke::sabotage::{Break, PANIC, Sabotage};

    const SMOKE: Smoke = Smoke {
        name: "trial",
        required: &["@a ok=true", "@b count=2", "@c"],
        forbidden: &["@leak", "panicked"],
        ..Smoke::DEFAULT
    };

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    fn judged(text: &str, end: End) -> Verdict {
        judge(
            &SMOKE,
            &Heard {
                end,
                lines: &lines(text),
                errors: "",
                failed_step: None,
                decided: false,
            },
        )
    }

    const GOOD: &str = "noise\n@a ok=true at~77\n@b count=2\ncapos> @c\nexit code=0";

    #[test]
    fn a_pass_needs_exit_line_and_facts() {
        assert_eq!(judged(GOOD, End::Code(0)), Verdict::Pass);
        assert!(matches!(judged(GOOD, End::Code(1)), Verdict::Fail(why) if why.len() == 1));
        assert!(matches!(judged(GOOD, End::NoExitLine), Verdict::Fail(_)));
        assert!(matches!(judged(GOOD, End::Silent), Verdict::Unknown(_)));
        assert!(matches!(judged(GOOD, End::Late), Verdict::Unknown(_)));
    }

    #[test]
    fn each_wrong_fact_is_named() {
        let text = "@a ok=false\n@b count=2\n@c\n@leak bytes=4\nthread panicked\n@c x";
        let Verdict::Fail(why) = judged(text, End::Code(0)) else {
            panic!("not a fail")
        };
        assert_eq!(why.len(), 4, "{why:?}");
        assert_eq!(why[0], "missing: @a ok=true");
        assert_eq!(why[1], "forbidden: @leak");
        assert_eq!(why[2], "forbidden: panicked");
        assert!(why[3].starts_with("malformed evidence"));
    }

    #[test]
    fn a_step_that_did_not_end_is_a_fail() {
        let lines = lines(GOOD);
        let heard = Heard {
            end: End::Code(0),
            lines: &lines,
            errors: "",
            failed_step: Some("step 1: x"),
            decided: false,
        };
        let only_the_step = Verdict::Fail(vec!["step 1: x".to_owned()]);
        assert_eq!(judge(&SMOKE, &heard), only_the_step);
        let ended = Heard {
            end: End::NoExitLine,
            ..heard
        };
        assert_eq!(judge(&SMOKE, &ended), only_the_step);
    }

    #[test]
    fn a_snapshot_keeps_stable_facts_and_the_exit_line() {
        let lines = lines("noise\n@b x=1 t~5\ncapos> @a y=\"q r\"\nexit code=0");
        let heard = Heard {
            end: End::Code(0),
            lines: &lines,
            errors: "",
            failed_step: None,
            decided: false,
        };
        assert_eq!(
            snapshot_text(&SMOKE, &heard),
            "@b x=1\n@a y=\"q r\"\nexit code=0"
        );
        let sorted = Smoke {
            sorted: true,
            ..Smoke::DEFAULT
        };
        assert_eq!(
            snapshot_text(&sorted, &heard),
            "@a y=\"q r\"\n@b x=1\nexit code=0"
        );
    }

    fn sabotaged(breaks: Break, text: &str, end: End) -> Verdict {
        judge_sabotage(&sabotage(breaks), &SMOKE, &heard(&lines(text), end))
    }

    fn sabotage(breaks: Break) -> Sabotage {
        Sabotage {
            point: ::sabotage::points::SKIP_SCRUB,
            smoke: "trial",
            breaks,
        }
    }

    fn heard(lines: &[String], end: End) -> Heard<'_> {
        Heard {
            end,
            lines,
            errors: "",
            failed_step: None,
            decided: false,
        }
    }

    #[test]
    fn a_sabotage_of_a_step_must_make_that_step_fail_and_no_other() {
        let sabotage = Sabotage {
            point: ::sabotage::points::SKIP_SCRUB,
            smoke: "trial",
            breaks: Break::Step("status 90"),
        };
        let judged = |text, failed_step| {
            let heard = Heard {
                end: End::NoExitLine,
                lines: &lines(text),
                errors: "",
                failed_step,
                decided: false,
            };
            judge_sabotage(&sabotage, &SMOKE, &heard)
        };
        let step = Some("step 2: curl: status 90");
        assert_eq!(judged("@a ok=true", step), Verdict::Pass);
        assert!(matches!(judged("@leak", step), Verdict::Fail(_)));
        assert!(matches!(judged("", Some("step 1: x")), Verdict::Unknown(_)));
        assert!(matches!(judged(GOOD, None), Verdict::Fail(_)));
    }

    #[test]
    fn a_sabotage_must_break_its_fact_and_nothing_before_it() {
        let missing = Break::Missing("@b count=2");
        assert_eq!(
            sabotaged(missing, "@a ok=true\n@b count=3", End::Code(1)),
            Verdict::Pass
        );
        assert!(matches!(
            sabotaged(missing, GOOD, End::Code(0)),
            Verdict::Fail(_)
        ));
        assert!(matches!(
            sabotaged(missing, "@b count=3", End::Code(1)),
            Verdict::Fail(_)
        ));
        assert!(matches!(
            sabotaged(missing, "@a ok=true", End::NoExitLine),
            Verdict::Fail(_)
        ));
        assert!(matches!(
            sabotaged(missing, "@a ok=true", End::Silent),
            Verdict::Unknown(_)
        ));
        let leak = "@a ok=true\n@leak";
        assert!(matches!(
            sabotaged(missing, leak, End::Code(1)),
            Verdict::Fail(_)
        ));
        let unknown = Break::Missing("@absent");
        assert!(matches!(
            sabotaged(unknown, "x", End::Code(1)),
            Verdict::Fail(_)
        ));
    }

    #[test]
    fn a_forbidden_fact_must_appear_after_what_leads_to_it() {
        let appears = Break::Appears {
            fact: "@leak",
            after: "@a ok=true",
        };
        assert_eq!(
            sabotaged(appears, "@a ok=true\n@leak n=1", End::Code(1)),
            Verdict::Pass
        );
        assert!(matches!(
            sabotaged(appears, "@leak", End::Code(1)),
            Verdict::Fail(_)
        ));
        assert!(matches!(
            sabotaged(appears, GOOD, End::Code(0)),
            Verdict::Fail(_)
        ));
        let stray = "@a ok=true\n@leak\npanicked";
        assert!(matches!(
            sabotaged(appears, stray, End::Code(1)),
            Verdict::Fail(_)
        ));
    }

    #[test]
    fn a_panic_counts_only_if_it_says_what_is_meant() {
        let panics = Break::Panics("at the cost");
        let smoke = Smoke {
            forbidden: &[PANIC, "@leak"],
            ..SMOKE
        };
        let judged = |smoke: &Smoke, text: &str, end| {
            judge_sabotage(&sabotage(panics), smoke, &heard(&lines(text), end))
        };
        let panicked = "@kernel.panic cpu~0\nkernel panic: at x.rs:1:1:\nat the cost of";
        let later = format!("@a ok=true\n{panicked}");
        assert_eq!(judged(&smoke, panicked, End::Code(101)), Verdict::Pass);
        assert_eq!(judged(&smoke, &later, End::Code(101)), Verdict::Pass);
        let fails = |smoke, text: &str, end| matches!(judged(smoke, text, end), Verdict::Fail(_));
        assert!(fails(&smoke, panicked, End::NoExitLine));
        assert!(fails(&smoke, GOOD, End::Code(0)));
        assert!(fails(&smoke, "@a ok=true\nat the cost of", End::Code(0)));
        let other = "at the cost of\n@kernel.panic cpu~0\nanother reason";
        assert!(fails(&smoke, other, End::Code(101)));
        let leak = format!("@leak\n{panicked}");
        assert!(fails(&smoke, &leak, End::Code(101)));
        assert!(fails(&SMOKE, panicked, End::Code(101)));
    }

    #[test]
    fn text_and_facts_are_told_apart() {
        assert!(shows("a line of text", "of te"));
        assert!(shows("capos> @x n=1 m=2", "@x m=2"));
        assert!(!shows("say @x n=1", "@x"));
        assert!(!shows("@x n=", "@x"));
    }
}
