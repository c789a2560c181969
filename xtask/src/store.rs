//! `capos-store` on volumes of smokes and of `run`: made, filled, read and checked by the very tool that a person has.
//!
//! Invariant: knows nothing of the format.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::project::is_ci;

/// What the tool does with a volume.
pub struct Tool<'a> {
    volume: &'a Path,
}

impl<'a> Tool<'a> {
    /// For the volume in this file.
    pub const fn new(volume: &'a Path) -> Self {
        Self { volume }
    }

    /// Runs the tool with these words, and `input` on its standard input.
    fn output(&self, words: &[&str], input: &[u8]) -> Result<Output> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["run", "--quiet", "--package", "capos-store"]);
        if is_ci() {
            command.arg("--locked");
        }
        command.arg("--").arg(self.volume).args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot start cargo")?;
        // It reads all of it before it writes anything.
        let mut to = child.stdin.take().context("a pipe was asked for")?;
        to.write_all(input)?;
        drop(to);
        child
            .wait_with_output()
            .context("cannot wait for capos-store")
    }

    /// Runs the tool with these words, and returns what it printed.
    pub fn run(&self, words: &[&str], input: &[u8]) -> Result<Vec<u8>> {
        let output = self.output(words, input)?;
        if !output.status.success() {
            bail!(
                "capos-store {}: {}{}",
                words.join(" "),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(output.stdout)
    }

    /// Makes a volume of so many mebibytes.
    pub fn mkfs(&self, mib: u64, name: &str) -> Result<()> {
        let mib = mib.to_string();
        self.run(&["mkfs", "--mib", &mib, "--name", name], &[])?;
        Ok(())
    }

    /// Fills a file.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        self.run(&["put", path], bytes).map(drop)
    }

    /// Every byte of a file is as it should be.
    pub fn holds(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let found = self.run(&["cat", path], &[])?;
        ensure!(
            found == bytes,
            "{path} has {} bytes on the volume, and not the {} that it should have",
            found.len(),
            bytes.len()
        );
        Ok(())
    }

    /// The checker, written from the format alone, finds nothing.
    pub fn check(&self) -> Result<String> {
        let said = self.run(&["check"], &[])?;
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    }
}
