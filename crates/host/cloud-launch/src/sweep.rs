//! Taking down what a run made, or what runs that died left behind: one code for both.

use std::fmt;
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{Cloud, Refused, Waiter};

/// Whose things are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of one run.
    Run(String),
    /// Those of every run.
    All,
}

/// One thing that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its kind, as the provider's tool names it (`instance`).
    pub kind: &'static str,
    /// Its name.
    pub id: String,
    /// What else its removal needs.
    pub more: String,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

/// How many listings are asked for at once.
const AT_ONCE: usize = 3;

/// A question for what is there of one kind.
pub(crate) type Listing<'a> = Box<dyn Fn() -> Result<Vec<Left>> + Sync + Send + 'a>;

/// What all listings answer, each thing once.
///
/// # Errors
/// Where one does not answer.
pub(crate) fn answers(listings: &[Listing]) -> Result<Vec<Left>> {
    let mut all: Vec<Left> = Vec::new();
    for some in listings.chunks(AT_ONCE) {
        let ends = thread::scope(|scope| {
            let running: Vec<_> = some.iter().map(|listing| scope.spawn(listing)).collect();
            let ends = running.into_iter().map(|thread| thread.join());
            ends.map(|end| end.unwrap_or_else(|_| Err(anyhow!("a listing panicked"))))
                .collect::<Vec<_>>()
        });
        for end in ends {
            for left in end.context("cannot look for what is left")? {
                if !all.contains(&left) {
                    all.push(left);
                }
            }
        }
    }
    Ok(all)
}

/// Removes what is there until a listing of everything is empty. Gives what was removed.
///
/// A thing that another holds is refused at first; it is tried again once the other is gone.
///
/// # Errors
/// Where something cannot be listed, or is still there when patience ends: each is named, with the last reason. An interruption does
/// not end it.
pub fn sweep(cloud: &dyn Cloud, scope: &Scope, wait: &Waiter) -> Result<Vec<Left>> {
    let mut removed: Vec<Left> = Vec::new();
    let mut reasons = Vec::new();
    let started = std::time::Instant::now();
    loop {
        let left = cloud.left(scope)?;
        if left.is_empty() {
            return Ok(removed);
        }
        if started.elapsed() >= wait.patience {
            let names: Vec<String> = left.iter().map(Left::to_string).collect();
            reasons.sort();
            reasons.dedup();
            bail!(
                "left behind: {}{}{}",
                names.join(", "),
                if reasons.is_empty() { "" } else { "; " },
                reasons.join("; ")
            );
        }
        reasons.clear();
        for one in &left {
            match cloud.remove(one) {
                Ok(()) if removed.contains(one) => {}
                Ok(()) => removed.push(one.clone()),
                // Without credentials nothing can be looked at either.
                Err(error) if Refused::code_of(&error).contains("Token") => return Err(error),
                Err(error) => reasons.push(format!("{one}: {error:#}")),
            }
        }
        std::thread::sleep(wait.pause);
    }
}
