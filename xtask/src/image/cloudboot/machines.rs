//! Instances of the stand-in: the imported disk in QEMU, in the shape that the provider gives an instance.
#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where nobody reads, and nothing is taken down then"
)]

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use cloud_local::{Bus, Guest, Machines, Nic, Shape};

use crate::child::Guarded;
use crate::image::probe;
use crate::project::Project;
use crate::qemu::{Accel, Drive, FirmwareKind, Machine, Medium};

/// Boots instances.
pub struct Shapes {
    /// Where QEMU finds its things.
    pub project: Project,
    /// How guests are executed.
    pub accel: Accel,
    /// Where the command that was used is noted.
    pub noted: std::path::PathBuf,
}

/// An instance's QEMU.
struct Instance(Guarded);

impl Guest for Instance {
    fn is_running(&mut self) -> bool {
        self.0.wait_for(Duration::ZERO).is_none()
    }
}

impl Machines for Shapes {
    fn boot(
        &self,
        disk: &Path,
        shape: &Shape,
        work: &Path,
        serial: File,
    ) -> Result<Box<dyn Guest>> {
        let firmware = match shape.is_uefi {
            true => FirmwareKind::Uefi,
            false => FirmwareKind::Bios,
        };
        let (model, drive) = match shape.bus {
            Bus::Nvme => ("q35", Drive::Nvme),
            Bus::Scsi => ("pc", Drive::Scsi),
        };
        // Nobody comes in or gets out; a lease is there, as in a network of the provider's.
        let extra = match shape.nic {
            Some(Nic::LegacyVirtio) => [
                "-netdev",
                "user,id=n0,restrict=on",
                "-device",
                probe::LEGACY_NIC,
            ]
            .map(OsString::from)
            .to_vec(),
            None => Vec::new(),
        };
        let medium = Medium::new(disk.to_path_buf(), drive);
        let machine = Machine {
            model: model.to_owned(),
            smp: 2,
            memory: "2G".to_owned(),
            accel: self.accel,
            firmware: firmware.boots(medium, work),
            disks: Vec::new(),
            gdb: false,
            reboots: false,
            extra,
        };
        let mut command = machine.command(&self.project)?;
        fs::write(&self.noted, format!("{command:?}\n"))?;
        // The input stays open, and nobody types: a cloud's serial console is only read.
        command
            .stdin(Stdio::piped())
            .stdout(serial)
            .stderr(File::create(work.join("errors"))?);
        Ok(Box::new(Instance(Guarded::spawn(&mut command)?)))
    }
}
