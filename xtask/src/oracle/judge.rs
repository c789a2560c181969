//! Whether the oracle got through, and what is wrong otherwise.

use gve_model::Fault;

/// What there is to be judged.
pub struct Seen<'a> {
    /// What the oracle's console said.
    pub said: &'a str,
    /// What the model told.
    pub told: &'a [String],
    /// Length and SHA-256 of what each connection brought.
    pub received: &'a [String],
    /// SHA-256 of what was to be transferred.
    pub digest: &'a str,
    /// Whether the machine ended by itself.
    pub ended: bool,
}

/// Steps, in their order, each the start of a line on the console.
const STEPS: [&str; 9] = [
    "oracle.module",
    "oracle.open",
    "oracle.lease ip=10.0.2.",
    "oracle.ping",
    "oracle.down",
    "oracle.sent",
    "oracle.closed",
    "oracle.again",
    "oracle.removed",
];
/// What the model tells at the end: queues, lists and resources given back, then the admin queue.
const TEARDOWN: [&str; 5] = [
    "model.command opcode=0x7 status=passed",
    "model.command opcode=0x8 status=passed",
    UNLISTED,
    "model.command opcode=0x9 status=passed",
    "model.reset",
];
/// A page list was taken, and given back.
const LISTED: &str = "model.command opcode=0x3 status=passed";
const UNLISTED: &str = "model.command opcode=0x4 status=passed";
/// What a kernel says when a driver is in trouble.
const TROUBLE: [&str; 4] = ["NETDEV WATCHDOG", "hw csum failure", "Kernel panic", "BUG:"];

/// What is wrong where nothing should be.
pub fn whole(seen: &Seen<'_>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut lines = seen.said.lines().map(str::trim_end);
    for step in STEPS {
        if !lines.any(|line| line.starts_with(step)) {
            wrong.push(format!("the oracle did not say: {step}"));
            break;
        }
    }
    let down = format!("oracle.down {}", seen.digest);
    if !seen.said.contains(&down) {
        wrong.push("what was received differs".to_owned());
    }
    let up = format!("{} {}", 16 << 20, seen.digest);
    if !seen.received.contains(&up) {
        wrong.push(format!("what was sent differs: {:?}", seen.received));
    }
    let mut told = seen.told.iter();
    // Without page lists there are none to give back.
    let has_lists = seen.told.iter().any(|line| line.trim_end() == LISTED);
    for step in TEARDOWN {
        if step == UNLISTED && !has_lists {
            continue;
        }
        if !told.any(|line| line.trim_end() == step) {
            wrong.push(format!("the model did not tell: {step}"));
            break;
        }
    }
    let broken = seen
        .told
        .iter()
        .filter(|line| line.starts_with("model.violation"));
    wrong.extend(broken.cloned());
    let trouble = seen
        .said
        .lines()
        .filter(|line| TROUBLE.iter().any(|one| line.contains(one)));
    wrong.extend(trouble.map(str::to_owned));
    if !seen.ended {
        wrong.push("the machine did not end in time".to_owned());
    }
    wrong
}

/// What is wrong where the model does wrong: that one of the faults did not happen.
pub fn faulty(seen: &Seen<'_>, faults: &[Fault]) -> Vec<String> {
    let is_missing = |fault: &&Fault| {
        let told = format!("model.fault {}", fault.word());
        !seen.told.iter().any(|line| line.starts_with(&told))
    };
    let missing = faults.iter().filter(is_missing);
    let story = |fault: &Fault| format!("the fault did not happen: {fault:?}");
    missing.map(story).collect()
}

/// Whether a person wants to see it.
pub fn is_worth_telling(line: &str) -> bool {
    ["model.violation", "model.fault", "model.counts"]
        .iter()
        .any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> String {
        let digest = "oracle.down abc  -";
        STEPS
            .map(|step| if step == "oracle.down" { digest } else { step })
            .join("\r\n")
    }

    #[test]
    fn a_fault_that_did_not_happen_is_named() {
        let told = ["model.fault short frame=3".to_owned()];
        let seen = Seen {
            said: "",
            told: &told,
            received: &[],
            digest: "",
            ended: false,
        };
        let wrong = |faults: &[Fault]| faulty(&seen, faults).len();
        assert_eq!(wrong(&[Fault::Short(3)]), 0);
        assert_eq!(wrong(&[Fault::Short(3), Fault::Long(4)]), 1);
        assert_eq!(wrong(&[Fault::StuckReset]), 1);
    }

    #[test]
    fn only_what_is_whole_passes() {
        let (said, told) = (said(), TEARDOWN.map(str::to_owned));
        let received = [format!("{} abc", 16 << 20)];
        let seen = |said: &str, told: &[String], digest: &str| {
            let seen = Seen {
                said,
                told,
                received: &received,
                digest,
                ended: true,
            };
            whole(&seen).len()
        };
        assert_eq!(seen(&said, &told, "abc"), 0);
        // Another digest is wrong both ways.
        assert_eq!(seen(&said, &told, "abd"), 2);
        let silent = said.replace("oracle.ping", "ping");
        assert_eq!(seen(&silent, &told, "abc"), 1);
        assert_eq!(seen(&said, &told[..4], "abc"), 1);
        let violated = [&told[..], &["model.violation rule=order".to_owned()]].concat();
        assert_eq!(seen(&said, &violated, "abc"), 1);
        let rest = told.iter().filter(|line| *line != UNLISTED).cloned();
        let rest: Vec<String> = rest.collect();
        assert_eq!(seen(&said, &rest, "abc"), 0);
        let kept = [&[LISTED.to_owned()], &rest[..]].concat();
        assert_eq!(seen(&said, &kept, "abc"), 1);
        let trouble = format!("{said}\nNETDEV WATCHDOG: eth0");
        assert_eq!(seen(&trouble, &told, "abc"), 1);
    }
}
