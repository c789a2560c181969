//! What a smoke is chosen by, and what a line of its transcript is compared with.

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
    fact(line).is_some_and(|fact| pattern.matches(&fact))
}

/// The fact that a line states.
pub fn fact(line: &str) -> Option<Fact<'_>> {
    Fact::parse(without_prompt(line)).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::is_match;

    #[test]
    fn globs_match_whole_names() {
        assert!(is_match("nvme-*", "nvme-fat-read"));
        assert!(is_match("*-read", "nvme-fat-read"));
        assert!(is_match("sm?", "smp"));
        assert!(is_match("*", ""));
        assert!(!is_match("boot", "boot-uefi"));
        assert!(!is_match("sm?", "sm"));
    }
}
