//! Machines that QEMU does not start by itself: who lets them go on, and what a person is told meanwhile.
//!
//! Invariant: never lets a machine stand still that nobody could start.

use std::ffi::OsString;

use anyhow::{Result, bail};

/// By what QEMU is told to start nothing: the CPUs stand, the devices are not made yet, the state comes from elsewhere.
const STOPS: [&str; 3] = ["S", "preconfig", "incoming"];
/// By what somebody else can tell QEMU to go on.
const WAYS: [&str; 6] = ["gdb", "s", "qmp", "qmp-pretty", "monitor", "mon"];

/// When a machine's first instruction runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// As soon as QEMU is ready.
    AtOnce,
    /// When the debugger that `--gdb` waits for says so.
    ByDebugger,
    /// When somebody says so whom QEMU's own arguments let in.
    ByArguments,
}

/// How a machine starts that has these further arguments, and a debugger or not.
///
/// # Errors
/// It never would.
#[expect(
    clippy::fn_params_excessive_bools,
    reason = "what stands in the command line"
)]
pub fn start(gdb: bool, extra: &[OsString]) -> Result<Start> {
    if gdb {
        return Ok(Start::ByDebugger);
    }
    let options = || extra.iter().filter_map(|word| option(word));
    let Some(stop) = options().find(|option| STOPS.contains(option)) else {
        return Ok(Start::AtOnce);
    };
    if !lets_in(extra) {
        bail!(
            "-{stop} keeps QEMU from starting the machine, and nothing here could let it go on: --gdb in place of it waits \
             for a debugger, and -qmp or -monitor beside it let somebody else in"
        );
    }
    Ok(Start::ByArguments)
}

/// Whether somebody else can tell QEMU to go on. A way that is `none` is closed (qemu(1), `-monitor`, `-gdb`); `-s` has no value.
fn lets_in(extra: &[OsString]) -> bool {
    let values = extra.iter().skip(1).map(Some).chain([None]);
    extra.iter().zip(values).any(|(word, value)| {
        option(word).is_some_and(|option| WAYS.contains(&option))
            && (option(word) == Some("s") || value.is_none_or(|value| value != "none"))
    })
}

/// The name of QEMU's option, which one hyphen or two introduce.
fn option(word: &OsString) -> Option<&str> {
    let word = word.to_str()?.strip_prefix('-')?;
    Some(word.strip_prefix('-').unwrap_or(word))
}

impl Start {
    /// What a person is told before a machine that waits.
    pub const fn awaited(self) -> Option<&'static str> {
        match self {
            Self::AtOnce => None,
            Self::ByDebugger => {
                Some("waiting for a debugger: cargo xtask gdb [PROGRAM], in another terminal")
            }
            Self::ByArguments => Some(
                "the machine stands still until somebody lets it go on: `continue` in a debugger, `cont` at QEMU's monitor",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Start, start};

    fn of(words: &[&str]) -> Result<Start, String> {
        let words: Vec<_> = words.iter().map(Into::into).collect();
        start(false, &words).map_err(|why| why.to_string())
    }

    #[test]
    fn a_machine_that_nobody_could_start_is_refused() {
        assert_eq!(of(&["-device", "edu"]), Ok(Start::AtOnce));
        assert_eq!(of(&["-smbios", "type=1,serial=S"]), Ok(Start::AtOnce));
        for stop in ["-S", "--S", "-preconfig", "--preconfig"] {
            let why = of(&["-device", "edu", stop]).unwrap_err();
            assert!(why.contains("--gdb in place of it"), "{why}");
        }
        assert!(of(&["-incoming", "defer"]).is_err());
        for way in ["-monitor", "--monitor", "-gdb", "-qmp"] {
            assert!(of(&["-S", way, "none"]).is_err(), "{way}");
            assert_eq!(of(&["-S", way, "none", "-s"]), Ok(Start::ByArguments));
        }
    }

    #[test]
    fn one_that_somebody_else_starts_says_whom_it_waits_for() {
        for way in ["-s", "-gdb", "--gdb", "-qmp", "-monitor"] {
            let start = of(&["-S", way, "x"]).unwrap();
            assert_eq!(start, Start::ByArguments);
            assert!(start.awaited().unwrap().contains("stands still"));
        }
        assert_eq!(start(true, &["-S".into()]).unwrap(), Start::ByDebugger);
        assert_eq!(Start::AtOnce.awaited(), None);
    }
}
