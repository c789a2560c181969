//! From a grant to a disk that is served.

use core::sync::atomic::{AtomicU16, Ordering};

use nvme_format::Status;
use nvme_provider::Nvm;
use provider::block::{self, Disk};
use provider::refuse_all;
use sdk::{Device, Endpoint, Env, Error, Refusal, Timer, error, fact, info};

use crate::disk;

/// Brings the disk up and serves it until the device or the endpoint is taken away.
pub fn main(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let timer: Timer = env.get("timer")?;
    let read_only = env.arguments().any(|argument| argument == "read-only");
    let Ok(device) = env.get::<Device>("device") else {
        fact!("nvme.absent", refusal = Refusal::NoDevice.name());
        return refuse_all(&endpoint, Refusal::NoDevice);
    };
    match disk::bring_up(&device, &timer) {
        // The administration queue's interrupt may be the I/O queue's as well, so both live as long as the disk.
        Ok((mut disk, _admin)) => {
            if read_only {
                disk.protect();
            }
            announce(&disk);
            block::serve(&endpoint, &timer, disk, report)
        }
        // Another try would end the same way, so this is not for the supervisor to repeat.
        Err(refusal @ (Refusal::NotSupported | Refusal::Quarantined | Refusal::NoDevice)) => {
            fact!("nvme.unusable", refusal = refusal.name());
            refuse_all(&endpoint, refusal)
        }
        Err(refusal) => {
            fact!("nvme.failed", refusal = refusal.name());
            Err(refusal.into())
        }
    }
}

fn announce(disk: &Disk<Nvm>) {
    let mut first = true;
    for unit in &disk.units {
        let (number, blocks, block_bytes) = (unit.number, unit.blocks, unit.block_bytes);
        match &unit.shape {
            Ok((_, geometry)) => {
                if core::mem::take(&mut first) {
                    fact!(
                        "nvme.ready",
                        blocks = geometry.blocks,
                        block_bytes = geometry.block_bytes(),
                        depth = disk.depth,
                        read_only = geometry.read_only,
                        model = disk.names.model.as_str(),
                    );
                }
                info!(
                    "{} (serial {}, firmware {}), namespace {number}: {blocks} blocks of {block_bytes} bytes",
                    disk.names.model, disk.names.serial, disk.names.firmware
                );
            }
            Err(problem) => {
                fact!(
                    "nvme.namespace-unusable",
                    nsid = number,
                    problem = problem.as_str()
                );
                error!("namespace {number}: {problem}");
            }
        }
    }
}

fn report(field: u16) {
    /// The status that the last fact was about. A bad spot of a disk is met again and again, and says nothing new.
    static LAST: AtomicU16 = AtomicU16::new(0);
    let status = Status::from_field(field);
    if LAST.swap(field, Ordering::Relaxed) != field {
        fact!(
            "nvme.command-failed",
            status = status.name(),
            kind = status.kind(),
            code = status.code(),
        );
    }
    error!(
        "the disk refused a command: {} ({:#x})",
        status.name(),
        status.field()
    );
}
