//! The boot manifest: decoded, checked and ordered.
//!
//! Owns the rules of a bootable system that the types of `schema/manifest.capnp` cannot say, in one place for the three
//! that need them: xtask before it packages, the kernel for its driver list, init before it starts anything.
//!
//! Invariant: this crate never repairs a manifest. What [`read`] returns has passed every rule, its references are
//! resolved to indices that exist, and [`Manifest::start_order`] names every service once, providers before users; anything
//! else is one [`Error`] that names the place. It never reads more than [`MAX_BYTES`], and no input makes it panic.
//!
//! Sources: `schema/manifest.capnp`; Cap'n Proto encoding specification, "Serialization Over a Stream" and
//! "Canonicalization" (capnproto.org/encoding.html).
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod decode;
mod error;
mod lint;
mod model;
mod names;
mod order;
mod reencode;
pub mod restart;

pub use error::{Error, NameFault, Place};
pub use lint::read;
pub use model::{
    DmaPolicy, Export, ExportRef, Grant, KernelSource, Limits, Manifest, Restart, Service, Source,
};

/// The manifest version this library reads.
pub const VERSION: u32 = 1;
/// The largest manifest, in bytes, framing included.
pub const MAX_BYTES: usize = 64 * 1024;
/// The most services.
pub const MAX_SERVICES: usize = 32;
/// The most grants of one service: as many as a process may be started with.
pub const MAX_GRANTS: usize = 32;
/// The most exports of one service.
pub const MAX_EXPORTS: usize = 8;
/// The most arguments of one service.
pub const MAX_ARGUMENTS: usize = 16;
/// The longest argument, in bytes.
pub const MAX_ARGUMENT_BYTES: usize = 256;
/// The most groups of functions that are trusted.
pub const MAX_TRUSTED_GROUPS: usize = 16;
/// The most drivers.
pub const MAX_DRIVERS: usize = 32;
/// The longest name of anything, in bytes: a startup entry holds 32 with a final zero.
pub const MAX_NAME_BYTES: usize = 31;
/// The highest priority a service may ask for; the kernel keeps what is above for itself.
pub const MAX_PRIORITY: u8 = 31;
/// The image that the kernel itself starts; every boot package holds it.
pub const INIT_IMAGE: &str = "init";

/// Reads a framed manifest, checks every rule, and checks that each binary is among `images`.
///
/// `bytes` is what `capnp eval -b FILE manifest` writes. `images` are file names below `boot/bins/`, [`INIT_IMAGE`]
/// among them.
///
/// # Errors
/// The first rule that is broken, in the order of [`Error`].
pub fn check<S: AsRef<str>>(bytes: &[u8], images: &[S]) -> Result<Manifest, Error> {
    let manifest = read(bytes)?;
    manifest.require_images(images)?;
    Ok(manifest)
}
