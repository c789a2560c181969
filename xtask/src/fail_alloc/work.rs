//! Refusals while a program works: somebody hears of each, and nothing is lost.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Of, Reached, Trials};
use crate::session::End;

/// The system of the smoke `accounts-fail`.
pub const SYSTEM: &str = "smoke/accounts-fail";
/// What stands in its manifest for the rounds of the gate.
const ROUNDS: &str = "[\"fail\"]";
/// A round takes some hundredths of a second.
const PATIENCE: Duration = Duration::from_secs(420);
/// What must be said at the end.
const FAILED: &str =
    "@accounts.failed difference_before=0 difference_after=0 kept_bytes=0 works_again=true";

/// What is wrong with what a shard said, if anything is.
fn wrong(end: End, lines: &[String]) -> Option<String> {
    if let Some(panic) = lines.iter().find(|line| line.contains("kernel panic: ")) {
        return Some(panic.clone());
    }
    if !lines.iter().any(|line| line.contains(FAILED)) {
        let said = lines.iter().find(|line| line.contains("@accounts.failed"));
        let last = said.or(lines.last()).map_or("nothing", String::as_str);
        return Some(format!("{end:?}; it said: {last}"));
    }
    (end != End::Code(0)).then(|| format!("{end:?}"))
}

/// The number behind `key` in the closing line.
fn number(lines: &[String], key: &str) -> u64 {
    let line = lines
        .iter()
        .find(|line| line.contains("@accounts.refusals"));
    let mut words = line.map_or("", String::as_str).split_whitespace();
    let value = words.find_map(|word| word.strip_prefix(key));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

impl Trials<'_> {
    /// Refuses each from `from` to `to`, in one boot. Where something is wrong, smaller parts say with which.
    pub(super) fn shard(&mut self, from: u64, to: u64) -> Result<Reached> {
        let source = self.project.root.join(format!("manifests/{SYSTEM}.capnp"));
        let text = fs::read_to_string(&source)?;
        let own = text.replace(ROUNDS, &format!("[\"fail\", \"{from}\", \"{to}\"]"));
        ensure!(own != text, "{} has changed", self.project.show(&source));
        // Written one folder higher than the manifest it is made from.
        let own = own
            .replace("../../schema/", "../schema/")
            .replace("../common/", "common/");
        let manifest = self.project.write_manifest(&self.work, &own)?;
        let archive = self.guest.archive_of(SYSTEM, &manifest)?;
        let (end, lines) = self.hear(archive, "sabotage=fail-alloc", PATIENCE)?;
        let Some(why) = wrong(end, &lines) else {
            let (refused, not_reached) =
                (number(&lines, "refused~"), number(&lines, "not_reached~"));
            let ended = number(&lines, "programs_ended~");
            let all = to - from + 1;
            println!(
                "workload {from} to {to}: {refused} refused, {ended} programs ended, {not_reached} not reached"
            );
            self.refused += refused + ended;
            self.borne += all.saturating_sub(refused + ended + not_reached);
            return Ok(if not_reached < all {
                Reached::Yes
            } else {
                Reached::No
            });
        };
        if from == to {
            self.fail(Of::Workload, from, &why, &lines)?;
            return Ok(Reached::Yes);
        }
        println!("workload {from} to {to}: {why}; looking for which");
        let before = self.failed.len();
        let half = from + (to - from) / 2;
        self.shard(from, half)?;
        self.shard(half + 1, to)?;
        if self.failed.len() == before {
            // Only together, or by chance: the whole part counts.
            self.fail(Of::Workload, from, &format!("up to {to}: {why}"), &lines)?;
        }
        Ok(Reached::Yes)
    }
}

#[cfg(test)]
mod tests {
    use super::{FAILED, number, wrong};
    use crate::session::End;

    #[test]
    fn a_shard_without_its_closing_facts_is_wrong() {
        let lines = |text: &str| -> Vec<String> { text.lines().map(Into::into).collect() };
        let well = lines(FAILED);
        assert_eq!(wrong(End::Code(0), &well), None);
        assert!(wrong(End::Code(1), &well).is_some());
        assert!(wrong(End::Code(0), &[]).is_some());
        let lost = lines("@accounts.failed difference_before=0 difference_after=16 kept_bytes=0");
        assert!(wrong(End::Code(0), &lost).is_some());
        let panic = format!("{FAILED}\nkernel panic: x");
        assert!(wrong(End::Code(0), &lines(&panic)).is_some());
        let counts = lines("@accounts.refusals none=false refused~12 not_reached~3");
        assert_eq!(number(&counts, "refused~"), 12);
        assert_eq!(number(&counts, "not_reached~"), 3);
    }
}
