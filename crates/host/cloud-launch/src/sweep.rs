//! Taking down what a run made, or what runs that died left behind: one code for both.

use std::fmt;
use std::thread;
use std::time::Instant;

use anyhow::{Error, Result, anyhow};

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

/// What one look at everything gave.
#[derive(Debug, Default)]
pub struct Looked {
    /// What the listings that answered have, each thing once.
    pub found: Vec<Left>,
    /// Why the others did not answer. While there is one, nothing is known to be gone.
    pub unanswered: Vec<Error>,
}

impl Looked {
    /// All that is there.
    ///
    /// # Errors
    /// Where a listing did not answer.
    pub fn all(self) -> Result<Vec<Left>> {
        match self.unanswered.into_iter().next() {
            None => Ok(self.found),
            Some(error) => Err(error.context(UNANSWERED)),
        }
    }
}

const UNANSWERED: &str = "cannot look for what is left";

/// What all listings answer. One that does not keeps nobody from what the others found.
pub(crate) fn answers(listings: &[Listing]) -> Looked {
    let mut looked = Looked::default();
    for some in listings.chunks(AT_ONCE) {
        let ends = thread::scope(|scope| {
            let running: Vec<_> = some.iter().map(|listing| scope.spawn(listing)).collect();
            let ends = running.into_iter().map(|thread| thread.join());
            ends.map(|end| end.unwrap_or_else(|_| Err(anyhow!("a listing panicked"))))
                .collect::<Vec<_>>()
        });
        for end in ends {
            match end {
                Ok(all) => {
                    for left in all {
                        if !looked.found.contains(&left) {
                            looked.found.push(left);
                        }
                    }
                }
                Err(error) => looked.unanswered.push(error),
            }
        }
    }
    looked
}

/// Removes what is there until a look at everything, in which every listing answered, finds nothing. Gives what was removed.
///
/// A thing that another holds is refused at first; it is tried again once the other is gone. What one listing finds is removed though
/// another does not answer: an instance costs as long as it is there. However long a look takes, what it found is tried once.
///
/// # Errors
/// Where something cannot be listed, or is still there, when patience ends: each is named, with the last reason; at once where the
/// provider does not take the credentials. An interruption does not end it.
pub fn sweep(cloud: &dyn Cloud, scope: &Scope, wait: &Waiter) -> Result<Vec<Left>> {
    let mut removed: Vec<Left> = Vec::new();
    let mut reasons: Vec<String> = Vec::new();
    let mut told = String::new();
    let started = Instant::now();
    let mut has_tried = false;
    loop {
        let mut looked = cloud.left(scope);
        if looked.found.is_empty() && looked.unanswered.is_empty() {
            return Ok(removed);
        }
        // Without credentials nothing can be looked at or removed.
        if let Some(at) = looked
            .unanswered
            .iter()
            .position(Refused::is_of_credentials)
        {
            return Err(looked.unanswered.swap_remove(at).context(UNANSWERED));
        }
        if has_tried && started.elapsed() >= wait.patience {
            return Err(anyhow!(complaint(&looked, &mut reasons)));
        }
        reasons.clear();
        for one in &looked.found {
            match cloud.remove(one) {
                Ok(()) if removed.contains(one) => {}
                Ok(()) => removed.push(one.clone()),
                Err(error) if Refused::is_of_credentials(&error) => return Err(error),
                Err(error) => reasons.push(format!("{one}: {error:#}")),
            }
        }
        if !looked.unanswered.is_empty() {
            let now = unanswered(&looked);
            if now != told {
                (wait.tell)(&format!("{now}; it is tried again"));
                told = now;
            }
        }
        has_tried = true;
        thread::sleep(wait.pause);
    }
}

/// Which listings did not answer, and why.
fn unanswered(looked: &Looked) -> String {
    let all = looked.unanswered.iter().map(|error| format!("{error:#}"));
    format!("{UNANSWERED}: {}", all.collect::<Vec<_>>().join("; "))
}

/// What is said when patience has ended.
fn complaint(looked: &Looked, reasons: &mut Vec<String>) -> String {
    reasons.sort();
    reasons.dedup();
    let mut said = Vec::new();
    if !looked.found.is_empty() {
        let names: Vec<String> = looked.found.iter().map(Left::to_string).collect();
        said.push(format!("left behind: {}", names.join(", ")));
        said.append(reasons);
    }
    if !looked.unanswered.is_empty() {
        said.push(unanswered(looked));
    }
    said.join("; ")
}
