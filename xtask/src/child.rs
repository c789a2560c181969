//! Child processes that never outlive xtask.
//!
//! Invariant: never waits without a deadline for a child to end. One whose virtual CPU the kernel cannot get back from KVM
//! does not end, whatever signal it is sent.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody reads, and nothing is taken down then"
)]
#![expect(
    unsafe_code,
    reason = "a hook between fork and exec is unsafe to install"
)]

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
#[cfg(target_os = "linux")]
use nix::sys::signal::Signal;

use crate::printing;

/// How long a killed child may take to end: the system takes a large guest's memory back first.
const END_PATIENCE: Duration = Duration::from_secs(10);

/// A running child; dropping it kills it and waits for it, as long as it can be ended.
pub struct Guarded {
    child: Child,
    /// It was killed and did not end.
    stuck: bool,
}

impl Guarded {
    /// Starts `command`, and asks the system to kill it when the thread that called this ends.
    pub fn spawn(command: &mut Command) -> Result<Self> {
        let parent = nix::unistd::getpid();
        let hook = move || {
            // Elsewhere a child may outlive an xtask that was killed; one that ends takes its children along.
            #[cfg(target_os = "linux")]
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have died before the line above took effect.
            if nix::unistd::getppid() != parent {
                return Err(std::io::Error::other("xtask has ended"));
            }
            Ok(())
        };
        // SAFETY: between fork and exec the hook makes two system calls and neither allocates nor takes a lock (an error
        // path allocates, which at worst ends the child that is about to be abandoned anyway).
        unsafe { command.pre_exec(hook) };
        let name = command.get_program().to_string_lossy().into_owned();
        command
            .spawn()
            .map(|child| Self {
                child,
                stuck: false,
            })
            .with_context(|| format!("cannot start {name}"))
    }

    /// The child itself.
    pub fn inner(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Processor time that the child has taken, in hundredths of a second, where the system tells
    /// (`/proc/PID/stat`, fields 14 and 15).
    pub fn ticks(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The second field is a name in brackets, which may hold anything.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let mut next = || fields.next()?.parse::<u64>().ok();
        Some(next()? + next()?)
    }

    /// Waits until the child ends, at most `patience`.
    pub fn wait_for(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Guarded {
    /// Kills the child; whether it has ended within `patience`. One that has not is waited for by nobody any more.
    pub fn end(&mut self, patience: Duration) -> bool {
        // One that has ended by itself cannot be killed, and is no less at its end.
        let _ = self.child.kill();
        self.stuck = self.wait_for(patience).is_none();
        !self.stuck
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        if !self.stuck && !self.end(END_PATIENCE) {
            // Whoever it is of may have more to take down.
            printing::note(&format!(
                "process {} cannot be ended, and is left behind: the system does not get it back from what it is doing",
                self.child.id()
            ));
        }
    }
}
