//! Launches on clouds, through the command-line tools that people have: upload, import, start, read back, listen, take down.
//!
//! The arguments and the reading of what the tools answer are the same on a cloud and on a stand-in for one: a launch here does not
//! know which it is. Who runs a tool, and in which environment, the caller says ([`Cli`]).
//!
//! Invariant: whatever a launch makes bears its run's name from the request that makes it, or is found through something that does;
//! it says that nothing is left only after listings that were empty; it never counts what it could not look at as gone.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody reads, and nothing is taken down then"
)]
#![forbid(unsafe_code)]

pub mod aws;
mod cli;
pub mod gcp;
mod launch;
mod policy;
mod read_back;
mod sweep;
mod wait;

pub use cli::{Cli, Refused, Said};
pub use launch::{Heard, Launched, Step, launch};
pub use policy::Compared;
pub use sweep::{Left, Looked, Scope, sweep};
pub use wait::Waiter;

use std::path::Path;

use anyhow::Result;

/// The key of the tag that everything made here bears; its value is the run's name.
pub const TAG: &str = "capos-cloudboot";

/// Whether a text may be a run's name: it goes into names of objects, groups and images.
#[must_use]
pub fn is_run(name: &str) -> bool {
    (1..=40).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// What a launch asks of a provider.
pub trait Cloud: Sync {
    /// Whose credentials these are, once the provider took them.
    ///
    /// # Errors
    /// Where it does not take them.
    fn identity(&self) -> Result<String>;

    /// Uploads a package, and sees that as many bytes arrived.
    ///
    /// # Errors
    /// Where it is refused, or something else arrived.
    fn upload(&self, package: &Path) -> Result<()>;

    /// Makes an image of what was uploaded.
    ///
    /// # Errors
    /// Where it is refused, fails, or takes too long.
    fn image(&self, wait: &Waiter) -> Result<String>;

    /// Starts an instance of an image behind a firewall that lets nobody in, and waits until it runs.
    ///
    /// # Errors
    /// Where it is refused, fails, or takes too long.
    fn start(&self, image: &str, wait: &Waiter) -> Result<String>;

    /// What the instance is, field by field, beside what was asked for.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn read_back(&self, image: &str, instance: &str) -> Result<Vec<Compared>>;

    /// The instance's serial log, as far as it is there.
    ///
    /// # Errors
    /// Where it cannot be read.
    fn console(&self, instance: &str) -> Result<String>;

    /// All that is there of a scope, in the order in which it can be removed, as far as the listings answer.
    fn left(&self, scope: &Scope) -> Looked;

    /// Removes one thing; one that is gone already is removed.
    ///
    /// # Errors
    /// Where it is refused.
    fn remove(&self, left: &Left) -> Result<()>;
}
