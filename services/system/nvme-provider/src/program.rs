//! From a grant to a disk that is served.

use core::sync::atomic::{AtomicU16, Ordering};

use nvme_format::Status;
use nvme_provider::{LIST_MOST_BYTES, Nvm};
use provider::block::{self, Disk};
use provider::{DiskQueue, refuse_all};
use provider_core::block::Refused;
use sdk::{Device, DmaPool, Endpoint, Env, Error, Refusal, Timer, error, fact, info, warn};

use crate::direct::{self, Direct};
use crate::disk::{self, Admin};

/// Brings the disk up and serves it until the device or the endpoint is taken away.
pub fn main(env: &Env) -> Result<(), Error> {
    let endpoint: Endpoint = env.get("endpoint")?;
    let timer: Timer = env.get("timer")?;
    let read_only = env.arguments().any(|argument| argument == "read-only");
    let Ok(device) = env.get::<Device>("device") else {
        fact!("nvme.absent", refusal = Refusal::NoDevice.name());
        return refuse_all(&endpoint, Refusal::NoDevice);
    };
    let about = About {
        endpoint: &endpoint,
        timer: &timer,
        read_only,
    };
    if env.arguments().any(|argument| argument == "direct") {
        let open = |device: &Device, pool: &DmaPool, source| {
            Ok((Direct::open(device, pool, source)?, direct::DEPTH))
        };
        match disk::bring_up(&device, &timer, open) {
            // Nothing confines the controller; the kernel has said what is missing.
            Err(Refusal::NotSupported) => warn!("no direct queue: the broker writes the commands"),
            Ok((mut disk, admin)) => {
                for (nvm, geometry) in disk.units.iter_mut().flat_map(|unit| &mut unit.shape) {
                    let most = LIST_MOST_BYTES >> geometry.block_shift;
                    geometry.command_blocks = geometry.command_blocks.min(most);
                    disk.queue.learn(nvm.nsid, geometry.block_shift.into());
                }
                fact!("nvme.direct", depth = disk.depth);
                return about.serve(Ok((disk, admin)));
            }
            Err(refusal) => return about.serve::<Direct>(Err(refusal)),
        }
    }
    about.serve(disk::bring_up(&device, &timer, disk::brokered))
}

/// Whom a disk is served to, and how.
struct About<'a> {
    endpoint: &'a Endpoint,
    timer: &'a Timer,
    read_only: bool,
}

impl About<'_> {
    /// Serves a disk, or says why there is none.
    fn serve<Q: DiskQueue>(
        &self,
        disk: Result<(Disk<Nvm, Q>, Admin), Refusal>,
    ) -> Result<(), Error> {
        match disk {
            // The administration queue's interrupt may be the I/O queue's as well, so both live as long as the disk.
            Ok((mut disk, _admin)) => {
                if self.read_only {
                    disk.protect();
                }
                announce(&disk);
                block::serve(self.endpoint, self.timer, disk, report)
            }
            // Another try would end the same way, so this is not for the supervisor to repeat.
            Err(refusal @ (Refusal::NotSupported | Refusal::Quarantined | Refusal::NoDevice)) => {
                fact!("nvme.unusable", refusal = refusal.name());
                refuse_all(self.endpoint, refusal)
            }
            Err(refusal) => {
                fact!("nvme.failed", refusal = refusal.name());
                Err(refusal.into())
            }
        }
    }
}

fn announce<Q>(disk: &Disk<Nvm, Q>) {
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

fn report(refused: Refused) {
    /// The status that the last fact was about. A bad spot of a disk is met again and again, and says nothing new.
    static LAST: AtomicU16 = AtomicU16::new(0);
    let status = Status::from_field(refused.status);
    if LAST.swap(refused.status, Ordering::Relaxed) != refused.status {
        fact!(
            "nvme.command-failed",
            status = status.name(),
            kind = status.kind(),
            code = status.code(),
            block ~ refused.block,
            blocks ~ refused.blocks,
        );
    }
    error!(
        "the disk refused {refused}: {} ({:#x})",
        status.name(),
        status.field()
    );
}
