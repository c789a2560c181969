//! Boot media and disks of a smoke, made anew for each run.
//!
//! Invariant: writes below the smoke's own folder alone.

use std::path::Path;

use anyhow::{Context, Result};

use crate::disk::{Disk, Writes};
use crate::image::contents::Contents;
use crate::image::{Shape, iso};
use crate::package;
use crate::qemu::Medium;
use crate::smoke::case::{Smoke, SmokeDisk, Tamper};

/// Writes a boot medium, with what the smoke does to it.
pub fn tampered(
    mut medium: Medium,
    shape: Shape,
    contents: &mut Contents,
    tamper: Tamper,
) -> Result<Medium> {
    if let Tamper::Files(change) = tamper {
        change(&mut contents.files);
        package::add_checksums(&mut contents.files);
    }
    if let Tamper::Damage(file) = tamper {
        let bytes = contents.files.get_mut(file).context("no such file")?;
        let middle = bytes.len() / 2;
        *bytes.get_mut(middle).context("an empty file")? ^= 0x10;
    }
    shape.write(&medium.path, contents)?;
    if let Tamper::Image(change) = tamper {
        change(&medium.path).context("cannot tamper with the boot medium")?;
    }
    if let Tamper::Unreadable(file) = tamper {
        medium.bad_sector = Some(iso::sector_of(&medium.path, file)?);
    }
    Ok(medium)
}

/// The disks of a smoke, made anew.
pub fn disks(smoke: &Smoke, work: &Path) -> Result<Vec<Disk>> {
    let make = |disk: &SmokeDisk| {
        let path = work.join(disk.name);
        (disk.make)(&path).with_context(|| format!("cannot make the disk {}", disk.name))?;
        Ok(Disk {
            bytes_per_s: disk.bytes_per_s,
            device: smoke.disk_device,
            ..Disk::open(&path, Writes::Kept)?
        })
    };
    smoke.disks.iter().map(make).collect()
}
