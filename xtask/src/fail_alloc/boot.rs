//! Refusals while the machine boots: one clear line, and an exit code.

use std::time::Duration;

use anyhow::Result;

use super::{GATE_BOOTS, Of, Reached, Trials};
use crate::session::End;

/// The system that boots: one program that says a word.
pub const SYSTEM: &str = "smoke/boot";
/// What that program says when it is done.
const DONE: &str = "@hello.done";
/// What stands before the reason: the kernel's, init's, and that of a program's end.
const REFUSED: [&str; 3] = ["kernel: cannot boot: ", "init: ", "@service.ended "];
/// How a program ends that was refused nothing.
const WELL: &str = "kind=exited code=0";
/// A boot takes a second.
const PATIENCE: Duration = Duration::from_secs(60);
/// Charges before the first process runs, and after it, as the kernel counts them.
const CHARGES: &str = "@boot.charges count~";

/// How a boot did.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// Nobody missed what was refused, or nothing was.
    Boots,
    /// With the line.
    Refused(String),
    Failed(String),
}

impl Trials<'_> {
    /// Boots with the `at`th charge or allocation refused.
    pub(super) fn boot(&mut self, at: u64) -> Result<Reached> {
        let (end, lines) = self.hear(
            self.guest.archive(SYSTEM)?,
            &format!("sabotage=fail-boot-alloc refuse={at}"),
            PATIENCE,
        )?;
        let reached = match lines
            .iter()
            .any(|line| line.contains("@boot.refusal left=0"))
        {
            true => Reached::Yes,
            false => Reached::No,
        };
        Ok(match judge(end, &lines) {
            Outcome::Boots => {
                println!("boot {at}: boots");
                self.borne += u64::from(reached == Reached::Yes);
                reached
            }
            Outcome::Refused(line) => {
                println!("boot {at}: refused: {line}");
                self.refused += 1;
                Reached::Yes
            }
            Outcome::Failed(why) => {
                self.fail(Of::Boot, at, &why, &lines)?;
                Reached::Yes
            }
        })
    }

    /// Some, from `from` on: the first ones each, then others over the whole length of the boot.
    pub(super) fn some_boots(&mut self, from: u64) -> Result<()> {
        let (_, lines) = self.hear(
            self.guest.archive(SYSTEM)?,
            "sabotage=fail-boot-alloc refuse=0",
            PATIENCE,
        )?;
        let count = |line: &String| line.strip_prefix(CHARGES)?.trim().parse::<u64>().ok();
        let all = lines.iter().find_map(count).unwrap_or(0);
        anyhow::ensure!(all > 0, "the kernel counts no charge of its boot");
        println!("{all} charges and allocations before the first process runs");
        let first = GATE_BOOTS / 4;
        let rest = GATE_BOOTS - first;
        // A third beyond: what init and its program cause.
        let step = (all + all / 3).div_ceil(rest);
        let places = (0..first).chain((1..=rest).map(|at| first + at * step));
        for at in places {
            self.boot(from + at)?;
        }
        Ok(())
    }
}

fn judge(end: End, lines: &[String]) -> Outcome {
    if lines.iter().any(|line| line.contains("@kernel.panic")) {
        let panic = lines.iter().find(|line| line.contains("kernel panic: "));
        return Outcome::Failed(panic.cloned().unwrap_or_default());
    }
    let done = lines.iter().any(|line| line.contains(DONE));
    let tells =
        |line: &&String| REFUSED.iter().any(|word| line.starts_with(word)) && !line.contains(WELL);
    let mut reasons = lines.iter().filter(tells);
    match (end, reasons.next(), reasons.next()) {
        (End::Code(0), None, None) if done => Outcome::Boots,
        (End::Code(1..), Some(line), None) => Outcome::Refused(line.trim().to_owned()),
        (end, _, more) => {
            let last = more.or(lines.last()).map_or("nothing", String::as_str);
            Outcome::Failed(format!("{end:?}; it said last: {last}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Outcome, judge};
    use crate::session::End;

    #[test]
    fn only_one_line_and_a_code_are_an_answer() {
        let lines = |text: &str| -> Vec<String> { text.lines().map(Into::into).collect() };
        let done = lines("@hello.done arguments=2\nexit code=0");
        assert_eq!(judge(End::Code(0), &done), Outcome::Boots);
        let refused = lines("kernel: cannot boot: too little memory\nexit code=2");
        assert!(matches!(judge(End::Code(2), &refused), Outcome::Refused(_)));
        let ended = lines("@service.ended name=hello kind=exited code=0\n@hello.done arguments=2");
        assert_eq!(judge(End::Code(0), &ended), Outcome::Boots);
        let killed = lines("@service.ended name=hello kind=killed code=0 text=\"the quota\"");
        assert!(matches!(judge(End::Code(1), &killed), Outcome::Refused(_)));
        for (end, said) in [
            (End::NoExitLine, ""),
            (End::Code(0), "exit code=0"),
            (End::Code(2), "exit code=2"),
            (End::Silent, "kernel: cannot boot: too little memory"),
            (
                End::Code(2),
                "kernel: cannot boot: x\nkernel: cannot boot: y",
            ),
            (End::Code(101), "@kernel.panic cpu~0\nkernel panic: x"),
        ] {
            assert!(
                matches!(judge(end, &lines(said)), Outcome::Failed(_)),
                "{said}"
            );
        }
    }
}
