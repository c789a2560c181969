//! A cloud on this machine, for the command-line tools of the real ones: Amazon's and Google's, as far as a launch needs them.
//!
//! It keeps objects, snapshots, images, firewall, instances with their serial logs, tags and a quota. An instance is a guest that
//! boots what was uploaded; who boots it, the caller says ([`Machines`]). What a tool sends and this does not know is refused, never
//! ignored: so nothing that a launch asked for was left out in silence.
//!
//! Invariant: listens on the loopback interface alone, and reaches no cloud; it checks tokens and dates, not signatures. A request
//! never ends the process.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody reads, and nothing is taken down then"
)]
#![forbid(unsafe_code)]

mod bytes;
mod ec2;
mod fault;
mod gce;
mod params;
mod s3;
mod server;
mod state;
mod xml;

use std::fs::File;
use std::path::Path;

use anyhow::Result;

pub use fault::{FAULTS, Fault, Field, GCE_FAULTS};
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
/// Google's project, whose token is the same.
pub const PROJECT: &str = "capos-local";
/// Google's zone.
pub const ZONE: &str = "us-central1-a";
/// The region of that zone.
pub const REGION_OF_ZONE: &str = "us-central1";

/// The shape of an instance, as it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The provider's name of its kind (`t3.small`).
    pub kind: String,
    /// Whether UEFI starts it.
    pub is_uefi: bool,
    /// What its boot disk is at.
    pub bus: Bus,
    /// Its interface, where guests have a driver for the provider's.
    pub nic: Option<Nic>,
}

/// What a disk is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// It is a controller of its own.
    Nvme,
    /// A virtio SCSI adapter.
    Scsi,
}

/// An interface, in a network that lets nobody in or out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nic {
    /// Virtio with its legacy registers, as Google's older machines have it.
    LegacyVirtio,
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
