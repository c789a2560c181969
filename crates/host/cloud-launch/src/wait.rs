//! Waiting for a provider, with an end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long steps may take, and how often is asked.
#[derive(Debug)]
pub struct Waiter<'a> {
    /// The most that one step may take.
    pub patience: Duration,
    /// Between two questions.
    pub pause: Duration,
    /// Set when somebody wants an end.
    pub stop: &'a AtomicBool,
    /// Is told in a sentence why something takes longer. Never panics: a sweep goes on after it.
    pub tell: fn(&str),
}

impl Waiter<'_> {
    /// Asks until there is an answer.
    ///
    /// # Errors
    /// What `ask` ends with, that it took too long, or that somebody wanted an end.
    pub fn until<T>(&self, what: &str, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let started = Instant::now();
        loop {
            self.check()?;
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            if started.elapsed() >= self.patience {
                bail!("{what} takes longer than {} s", self.patience.as_secs());
            }
            thread::sleep(self.pause);
        }
    }

    /// Whether to go on.
    ///
    /// # Errors
    /// Where somebody wanted an end.
    pub fn check(&self) -> Result<()> {
        if self.stop.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        Ok(())
    }
}
