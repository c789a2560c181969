//! What a person sees who reads only the beginning.
#![allow(clippy::disallowed_methods, reason = "tests may fail")]

use std::process::{Command, Stdio};

#[test]
fn a_reader_that_goes_away_is_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["smoke", "--list"]);
    command.stdout(writer).stderr(Stdio::piped());
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(141));
}
