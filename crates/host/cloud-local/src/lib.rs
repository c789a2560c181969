//! A cloud on this machine, for the command-line tools of the real one: Amazon's, as far as a launch needs it.
//!
//! It keeps objects, snapshots, images, firewall, instances with their serial logs, tags and a quota. An instance is a guest that
//! boots what was uploaded; who boots it, the caller says ([`Machines`]). What a tool sends and this does not know is refused, never
//! ignored: so nothing that a launch asked for was left out in silence.
//!
//! Invariant: listens on the loopback interface alone, and reaches no cloud; it checks tokens and dates, not signatures. A request
//! never ends the process.
#![forbid(unsafe_code)]

mod ec2;
mod fault;
mod params;
mod s3;
mod server;
mod state;
mod xml;

use std::fs::File;
use std::path::Path;

use anyhow::Result;

pub use fault::{FAULTS, Fault, Field};
pub use server::{Server, Setup};

/// The key's name, the key and the token that the server takes; nothing else opens it.
pub const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
/// The secret key. Signatures are not checked.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// The session's token.
pub const TOKEN: &str = "capos-local-session";
/// Where it says to be.
pub const REGION: &str = "us-east-1";
/// The bucket that is there from the start.
pub const BUCKET: &str = "capos-local";

/// The shape of an instance, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The provider's name of its kind (`t3.small`).
    pub kind: String,
    /// Whether UEFI starts it.
    pub is_uefi: bool,
}

/// What boots a guest.
pub trait Machines: Send {
    /// Boots the raw disk, with its serial line into `serial`; `work` is a folder for whatever else it needs.
    ///
    /// # Errors
    /// Where it cannot be started.
    fn boot(&self, disk: &Path, shape: &Shape, work: &Path, serial: File)
    -> Result<Box<dyn Guest>>;
}

/// A guest. Dropping it ends it.
pub trait Guest: Send {
    /// Whether it still runs.
    fn is_running(&mut self) -> bool;
}
