//! Which QEMU the tests start.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

/// `QEMU` of the environment, or the one that xtask fetched where the distribution's did not fit, or the one in the search path.
fn find() -> OsString {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let fetched = PathBuf::from(root).join("target-guest/qemu-own/qemu-system-x86_64");
    let fetched = fetched.exists().then(|| fetched.into_os_string());
    let asked = std::env::var_os("QEMU").or(fetched);
    asked.unwrap_or_else(|| "qemu-system-x86_64".into())
}

/// QEMU with nothing in it that runs by itself, driven over its standard input.
pub fn command() -> Command {
    let mut command = Command::new(find());
    let bare = ["-nodefaults", "-display", "none", "-accel", "tcg"];
    command.args(bare).args(["-qtest", "stdio", "-m", "64M"]);
    command
}
