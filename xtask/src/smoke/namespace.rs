//! A network of its own for a smoke: namespaces in which QEMU and its peers run, and which end with QEMU.
//!
//! Invariant: nothing outside of the namespaces is changed, and nothing in them outlives QEMU. No privilege is needed.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What is set up around QEMU.
#[derive(Clone, Copy, Debug)]
pub struct Namespace {
    /// What bash does first: `$work` is the smoke's work folder, `$xtask` this program. What it starts in the background runs as long as QEMU.
    pub script: &'static str,
    /// Programs that it needs, beside `ip`.
    pub needs: &'static [&'static str],
}

const TUN: &str = "/dev/net/tun";

impl Namespace {
    /// What this machine lacks for it.
    pub fn lacks(&self) -> Option<String> {
        if OpenOptions::new().read(true).write(true).open(TUN).is_err() {
            return Some(format!("no tun: {TUN} cannot be opened"));
        }
        let missing = self.needs.iter().find(|program| !runs(&["which", program]));
        if let Some(program) = missing {
            return Some(format!("no {program}"));
        }
        let made = [&ENTER[..], &["ip", "link", "set", "lo", "up"]].concat();
        (!runs(&made)).then(|| "no namespaces: unshare is refused".to_owned())
    }

    /// This program, for a script that starts it: a copy, because whoever builds while smokes run puts another one at its path.
    fn own_program(&self, work: &Path) -> PathBuf {
        let copy = work.join("xtask");
        if self.script.contains("$xtask") {
            // Where it fails, the script says so, and the smoke with it.
            let _ = fs::copy("/proc/self/exe", &copy);
        }
        copy
    }

    /// The same command within.
    pub fn enter(&self, command: Command, work: &Path) -> Command {
        let [program, arguments @ ..] = ENTER;
        let mut outer = Command::new(program);
        outer.args(arguments);
        outer.args(["bash", "-c"]);
        outer.arg(format!(
            "work=$1 xtask=$2\nshift 2\n{}\nexec \"$@\"",
            self.script
        ));
        outer.arg("bash").arg(work);
        outer.arg(self.own_program(work));
        outer.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => outer.env(name, value),
                None => outer.env_remove(name),
            };
        }
        outer
    }
}

/// QEMU becomes the first process of its namespace: all others in it end with it.
const ENTER: [&str; 6] = [
    "unshare",
    "--map-root-user",
    "--net",
    "--pid",
    "--fork",
    "--kill-child",
];

fn runs(words: &[&str]) -> bool {
    let [program, arguments @ ..] = words else {
        return false;
    };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
