//! What a smoke is chosen by, and what a line of its transcript is compared with.

use std::borrow::Cow;

use evidence::{Fact, Pattern};

use crate::serial::without_prompt;

/// Whether `name` fits `glob`, in which `*` stands for any characters and `?` for one.
pub fn is_match(glob: &str, name: &str) -> bool {
    match (glob.chars().next(), name.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            let rest = glob.get(1..).unwrap_or_default();
            (0..=name.len()).any(|at| name.get(at..).is_some_and(|tail| is_match(rest, tail)))
        }
        (Some(wanted), Some(found)) if wanted == '?' || wanted == found => is_match(
            glob.get(wanted.len_utf8()..).unwrap_or_default(),
            name.get(found.len_utf8()..).unwrap_or_default(),
        ),
        _ => false,
    }
}

/// Whether `line` shows `expected`: a fact if it begins with `@`, else a text in the line.
pub fn shows(line: &str, expected: &str) -> bool {
    let Some(pattern) = expected.strip_prefix('@') else {
        return line.contains(expected);
    };
    let Ok(pattern) = Pattern::parse(pattern) else {
        return false;
    };
    let line = plain(line);
    fact(&line).is_some_and(|fact| pattern.matches(&fact))
}

/// The fact that a line states.
pub fn fact(line: &str) -> Option<Fact<'_>> {
    Fact::parse(line).ok().flatten()
}

/// What the kernel puts before a fact on a cloud, and before a process's the process's name.
pub const CLOUD_MARK: &str = "cloudboot-evidence: ";
const BY: &str = "by=";

/// A line without a prompt before it, and a cloud's evidence as the fact that it marks; a process's has its name last then.
pub fn plain(line: &str) -> Cow<'_, str> {
    let line = without_prompt(line);
    let Some(fact) = line.strip_prefix(CLOUD_MARK) else {
        return line.into();
    };
    let stated = fact.strip_prefix(BY).and_then(|rest| rest.split_once(' '));
    match stated {
        Some((name, fact)) => format!("@{fact} {BY}{name}").into(),
        None => format!("@{fact}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_match, shows};

    #[test]
    fn globs_match_whole_names() {
        assert!(is_match("nvme-*", "nvme-fat-read"));
        assert!(is_match("*-read", "nvme-fat-read"));
        assert!(is_match("sm?", "smp"));
        assert!(is_match("*", ""));
        assert!(!is_match("boot", "boot-uefi"));
        assert!(!is_match("sm?", "sm"));
    }

    #[test]
    fn a_cloud_s_evidence_is_a_fact_with_the_name_of_whoever_stated_it() {
        let kernels = "cloudboot-evidence: pci.scan functions=4";
        assert!(shows(kernels, "@pci.scan functions=4"));
        assert!(shows(kernels, kernels));
        let program = "capos> cloudboot-evidence: by=netstack net.dhcp lease=bound";
        assert!(shows(program, "@net.dhcp lease=bound by=netstack"));
        assert!(!shows(program, "@net.dhcp by=web"));
        // Whoever writes the mark into its own line states nothing.
        assert!(!shows("@x cloudboot-evidence: pci.scan", "@pci.scan"));
        assert!(!shows("say cloudboot-evidence: pci.scan", "@pci.scan"));
    }
}
