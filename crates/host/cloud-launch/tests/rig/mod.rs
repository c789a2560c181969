//! What the tests of every provider have: its tool's code in one process, a guest that is a stand-in, a harness that dies.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cloud_launch::{Cli, Heard, Said, Waiter};
use cloud_local::{Guest, Machines, Shape};

/// A program that runs a tool's command line once for each line of JSON.
pub struct Warm(Mutex<(Child, ChildStdin, BufReader<ChildStdout>)>);

impl Drop for Warm {
    fn drop(&mut self) {
        if let Ok(mut inner) = self.0.lock() {
            let _ = inner.0.kill();
            let _ = inner.0.wait();
        }
    }
}

impl Warm {
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().context("no input")?;
        let stdout = child.stdout.take().context("no output")?;
        Ok(Self(Mutex::new((child, stdin, BufReader::new(stdout)))))
    }
}

impl Cli for Warm {
    fn run(&self, arguments: &[String]) -> Result<Said> {
        let Ok(mut inner) = self.0.lock() else {
            bail!("another call panicked")
        };
        writeln!(inner.1, "{}", serde_json::to_string(arguments)?)?;
        let mut line = String::new();
        inner.2.read_line(&mut line)?;
        let told: serde_json::Value = serde_json::from_str(&line).context("the tool has died")?;
        let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
        Ok(Said {
            is_good: told["code"] == 0,
            out: text("out"),
            err: text("err"),
        })
    }
}

pub const GOOD: &str = "firmware\ncloudboot-evidence: all is well\n";
/// Of a disk so much is looked at.
const LOOKED_AT: u64 = 32 << 20;

/// What a guest was booted from.
pub type Booted = Arc<Mutex<Vec<u8>>>;

/// Writes what a good guest says behind a long preface, and keeps what it was booted from.
pub struct Stand {
    pub booted: Booted,
    pub shape: Shape,
}

struct Nobody;

impl Guest for Nobody {
    fn is_running(&mut self) -> bool {
        true
    }
}

impl Machines for Stand {
    fn boot(
        &self,
        disk: &Path,
        shape: &Shape,
        _: &Path,
        mut serial: File,
    ) -> Result<Box<dyn Guest>> {
        ensure!(*shape == self.shape, "{shape:?}");
        let Ok(mut booted) = self.booted.lock() else {
            bail!("poisoned")
        };
        booted.clear();
        File::open(disk)?.take(LOOKED_AT).read_to_end(&mut booted)?;
        serial.write_all(&[b'.'; 1000])?;
        serial.write_all(GOOD.as_bytes())?;
        Ok(Box::new(Nobody))
    }
}

pub fn judge(console: &str) -> Heard {
    match console.contains("cloudboot-evidence: all is well\n") {
        true => Heard::Enough,
        false => Heard::Lacks(vec!["missing: all is well".into()]),
    }
}

static NEVER: AtomicBool = AtomicBool::new(false);

pub fn patience(seconds: u64) -> Waiter<'static> {
    Waiter {
        patience: Duration::from_secs(seconds),
        pause: Duration::from_millis(20),
        stop: &NEVER,
        tell: |_| {},
    }
}

/// What does not compress.
pub fn noise(words: usize) -> Vec<u8> {
    let mut state = 1_u64;
    (0..words)
        .flat_map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 8).to_le_bytes()
        })
        .collect()
}

/// Dies at the call of that number, as the harness does when it is killed.
pub struct Mortal<'a> {
    pub cli: &'a Warm,
    pub left: Mutex<u32>,
}

impl Cli for Mortal<'_> {
    fn run(&self, arguments: &[String]) -> Result<Said> {
        let Ok(mut left) = self.left.lock() else {
            bail!("poisoned")
        };
        ensure!(*left > 0, "killed");
        *left -= 1;
        self.cli.run(arguments)
    }
}
