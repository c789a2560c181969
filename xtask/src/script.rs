//! The words of a script that are xtask's own: everything else is typed.
//!
//! Invariant: never takes a line that only begins like one of them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The longest sleep, in seconds.
const MAX_SLEEP_S: f64 = 3600.0;

/// What is done with a line.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Action<'a> {
    /// Types it at the next prompt.
    Type,
    /// `sleep SECONDS`: lets the guest run for so long.
    Sleep(Duration),
    /// `wait TEXT`: lets the guest run until it says this.
    Wait(&'a str),
}

/// Looks at line `number` of a script.
///
/// # Errors
/// One of the words with something impossible behind it.
pub fn action(line: &[u8], number: u64) -> Result<Action<'_>> {
    let Ok(text) = std::str::from_utf8(line) else {
        return Ok(Action::Type);
    };
    let (word, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
    let rest = rest.trim();
    match word {
        "sleep" => {
            let seconds: f64 = rest.parse().ok().with_context(|| {
                format!(
                    "line {number}: sleep takes seconds, for example sleep 1.5, and not {rest:?}"
                )
            })?;
            ensure!(
                (0.0..=MAX_SLEEP_S).contains(&seconds),
                "line {number}: sleep takes 0 to {MAX_SLEEP_S} seconds, and not {seconds}"
            );
            Ok(Action::Sleep(Duration::from_secs_f64(seconds)))
        }
        "wait" => {
            ensure!(
                !rest.is_empty(),
                "line {number}: wait takes a text to wait for"
            );
            Ok(Action::Wait(rest))
        }
        _ => Ok(Action::Type),
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, action};
    use std::time::Duration;

    #[test]
    fn two_words_are_xtasks_own() {
        let of = |line: &'static str| action(line.as_bytes(), 1);
        assert_eq!(
            of("sleep 1.5").unwrap(),
            Action::Sleep(Duration::from_millis(1500))
        );
        assert_eq!(
            of("  wait  it is there ").unwrap(),
            Action::Wait("it is there")
        );
        for typed in ["ls /disk", "", "sleepy 3", "waiting x", "echo sleep 3"] {
            assert_eq!(of(typed).unwrap(), Action::Type, "{typed}");
        }
        assert_eq!(action(b"sleep \xff", 1).unwrap(), Action::Type);
        for bad in [
            "sleep",
            "sleep x",
            "sleep -1",
            "sleep 1e9",
            "sleep NaN",
            "wait",
            "wait  ",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }
}
