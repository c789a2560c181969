//! Instances of the stand-in: the imported disk in QEMU, in the shape that Amazon's Nitro gives an instance.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use cloud_local::{Guest, Machines, Shape};

use crate::child::Guarded;
use crate::project::Project;
use crate::qemu::{Accel, Drive, FirmwareKind, Machine, Medium};

/// Boots instances.
pub struct Nitro {
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

impl Machines for Nitro {
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
        let medium = Medium::new(disk.to_path_buf(), Drive::Nvme);
        let machine = Machine {
            model: "q35".to_owned(),
            smp: 2,
            memory: "2G".to_owned(),
            accel: self.accel,
            firmware: firmware.boots(medium, work),
            disks: Vec::new(),
            gdb: false,
            reboots: false,
            extra: Vec::<OsString>::new(),
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
