//! Where on a disk a capOS volume lies, and how it is mounted there.
//!
//! Owns the way from a `BlockDevice` to a mounted [`Volume`]: of the whole disk or of one partition. Invariant: looking for a volume
//! only reads; a range never reaches beyond what was found; it never formats anything.
#![no_std]
#![forbid(unsafe_code)]

pub use partition::Selector;
use partition::{Layout, Mismatch, find_volumes};
use sdk::alloc::{format, string::String, string::ToString, vec, vec::Vec};
use sdk::{BlockDevice, Cap, Disk, Interface as _, Object as _, Refusal};
use volume::Problem;
use volume_core::{Access, Error, Mounted, Volume};
use volume_disk::{Device, VolumeDisk};
use volume_format::{BLOCK, Label, Refused};

/// Why a volume does not do what it is asked.
pub type Fault = Error<volume_disk::Error<Refusal>>;

/// Bytes of the transfer window.
const WINDOW_BYTES: u32 = 128 * 1024;

/// A range of a disk, in the volume's blocks.
#[derive(Debug)]
pub struct Range {
    disk: Disk,
    /// The disk's first block of it.
    first: u64,
    blocks: u64,
    /// The disk's blocks in one of the volume.
    per_block: u64,
}

impl Range {
    /// A range of `blocks` of the disk's blocks.
    ///
    /// # Errors
    /// `notSupported` for blocks larger than the volume's.
    pub fn new(disk: Disk, first: u64, blocks: u64) -> Result<Self, Refusal> {
        let per_block = (BLOCK as u64).checked_div(u64::from(disk.block_bytes()));
        let per_block = per_block.filter(|per| *per > 0);
        let per_block = per_block.ok_or(Refusal::NotSupported)?;
        Ok(Self {
            disk,
            first,
            blocks: blocks / per_block,
            per_block,
        })
    }

    /// Takes all of it to write: nobody else writes there as long as it lives.
    ///
    /// # Errors
    /// `busy` where somebody else does.
    fn claim(&mut self) -> Result<(), Refusal> {
        self.disk.claim(self.first, self.blocks * self.per_block)
    }

    /// Whether the disk cannot be written.
    pub fn is_read_only(&self) -> bool {
        self.disk.is_read_only()
    }

    fn at(&self, lba: u64) -> Result<u64, Refusal> {
        let at = lba.checked_mul(self.per_block);
        at.and_then(|at| at.checked_add(self.first))
            .ok_or(Refusal::OutOfRange)
    }
}

impl Device for Range {
    type Error = Refusal;

    fn blocks(&self) -> u64 {
        self.blocks
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), Refusal> {
        let at = self.at(lba)?;
        self.disk.read(at, buf)
    }

    fn write(&mut self, lba: u64, bytes: &[u8]) -> Result<(), Refusal> {
        let at = self.at(lba)?;
        self.disk.write(at, bytes)
    }

    fn flush(&mut self) -> Result<(), Refusal> {
        self.disk.flush()
    }

    fn epoch(&self) -> u64 {
        self.disk.sessions()
    }
}

/// A session of its own with the disk.
///
/// # Errors
/// The provider's.
pub fn open(device: &BlockDevice) -> Result<Disk, Refusal> {
    let handle = device.object().handle();
    Disk::open(
        BlockDevice::from_object(Cap::borrowed(handle)),
        WINDOW_BYTES,
    )
}

/// The device that is meant of what a provider serves: itself, or one of its namespaces. Only asks.
///
/// # Errors
/// Why it is none of them.
pub fn choose(device: &BlockDevice, target: &Selector) -> Result<BlockDevice, Problem> {
    let failed = |refusal| Problem {
        refusal,
        text: match refusal {
            Refusal::NoDevice => String::from("no disk"),
            other => format!("the disk failed: {other}"),
        },
    };
    if target.pci.is_some() {
        let address = device.retrying().model(|names| names.address());
        let address = address.map_err(failed)?;
        if !sabotage::sabotage!(STORE_ANY_DEVICE) {
            target
                .admits(address)
                .map_err(|why| not_meant(target, &why))?;
        }
    }
    let Some(number) = target.namespace else {
        let handle = device.object().handle();
        return Ok(BlockDevice::from_object(Cap::borrowed(handle)));
    };
    match device.unit(number) {
        Ok(unit) => Ok(unit.device),
        Err(Refusal::NotFound) => Err(not_meant(target, &Mismatch::NoNamespace)),
        Err(refusal) => Err(failed(refusal)),
    }
}

fn not_meant(target: &Selector, mismatch: &Mismatch) -> Problem {
    Problem {
        refusal: match mismatch {
            Mismatch::Absent
            | Mismatch::OtherDisk(_)
            | Mismatch::OtherDevice(_)
            | Mismatch::NoNamespace => Refusal::NotFound,
            Mismatch::BootDisk => Refusal::NotGranted,
            Mismatch::Contradicts(_) | Mismatch::Ambiguous(_) => Refusal::BadArgument,
        },
        text: match target.to_string().as_str() {
            "" => mismatch.to_string(),
            said => format!("the manifest says {said}: {mismatch}"),
        },
    }
}

/// Where a volume lies: its partition, 0 for the whole disk, the first block and the count, in the disk's blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The partition.
    pub partition: u32,
    /// The first block.
    pub first: u64,
    /// How many.
    pub blocks: u64,
}

/// Mounts what was found, and takes its blocks to write; what cannot be written is mounted to be read.
///
/// # Errors
/// The volume's, and the disk's.
pub fn mount(
    device: &BlockDevice,
    found: Found,
    access: Access,
) -> Result<Mounted<VolumeDisk<Range>>, Fault> {
    let failed = |refusal| Error::Disk(volume_disk::Error::Device(refusal));
    let range = open(device).and_then(|disk| Range::new(disk, found.first, found.blocks));
    let mut range = range.map_err(failed)?;
    // Neither a disk nor a device that came to be read is written.
    let access = match access {
        Access::Write if !range.is_read_only() => match range.claim() {
            Ok(()) => Access::Write,
            Err(Refusal::ReadOnly) => Access::Read,
            Err(refusal) => return Err(failed(refusal)),
        },
        _ => Access::Read,
    };
    Volume::mount(VolumeDisk::new(range).map_err(Error::Disk)?, access)
}

/// Whether a range begins with a label of ours, sound or not, or ends with a sound one.
///
/// A label is summed with its place, counted from the beginning of its volume. So one at the end that does not add up may
/// be the last label of a partition that ends where the disk ends.
fn is_ours(disk: &mut Disk, first: u64, blocks: u64) -> Result<bool, Refusal> {
    let per_block = BLOCK as u64 / u64::from(disk.block_bytes()).max(1);
    let count = blocks.checked_div(per_block).unwrap_or(0);
    let mut block = vec![0; BLOCK];
    for lba in [0, count.saturating_sub(1)] {
        if count == 0 {
            return Ok(false);
        }
        disk.read(first + lba * per_block, &mut block)?;
        match (lba, Label::decode(lba, &block)) {
            (_, Err(Refused::Foreign)) | (1.., Err(Refused::Sum)) => {}
            _ => return Ok(true),
        }
    }
    Ok(false)
}

/// Finds the volume of a disk. Only reads.
///
/// # Errors
/// What the disk holds instead.
pub fn find(disk: &mut Disk, target: &Selector) -> Result<Found, Problem> {
    let failed = |refusal| Problem {
        refusal,
        text: format!("the disk failed: {refusal}"),
    };
    let whole = Found {
        partition: 0,
        first: 0,
        blocks: disk.blocks(),
    };
    if target.is_empty() && is_ours(disk, 0, whole.blocks).map_err(failed)? {
        return Ok(whole);
    }
    let layout = find_volumes(disk).map_err(|error| match error {
        partition::Error::Read { error, .. } => failed(error),
        partition::Error::OtherFileSystem { name } => {
            foreign(format!("the disk holds {name}, and no capOS volume"))
        }
        partition::Error::NoTable => foreign(String::from(
            "the disk holds nothing that is known here, and no capOS volume",
        )),
        other => foreign(format!("the disk holds no capOS volume: {other}")),
    })?;
    let chosen = match sabotage::sabotage!(STORE_ANY_PARTITION) {
        true => Ok(layout.volumes.iter().collect()),
        false => target.select(&layout),
    };
    let chosen = chosen.map_err(|mismatch| not_meant(target, &mismatch))?;
    let found = of_table(disk, &layout, &chosen).map_err(failed)?;
    match (found.as_slice(), chosen.as_slice()) {
        ([one], _) | ([one, ..], _) if sabotage::sabotage!(STORE_ANY_PARTITION) => Ok(*one),
        ([one], _) => Ok(*one),
        ([], [one]) if !target.is_empty() => Err(foreign(format!(
            "the manifest says {target}: partition {} holds no capOS volume",
            one.number
        ))),
        ([], _) => Err(foreign(besides(&layout))),
        (all, _) => {
            let numbers: Vec<String> = all.iter().map(|one| one.partition.to_string()).collect();
            Err(foreign(format!(
                "the disk has capOS volumes in its partitions {}: an argument of the service store, such as partition=N, names one",
                numbers.join(", ")
            )))
        }
    }
}

/// The capOS volumes among the partitions.
fn of_table(
    disk: &mut Disk,
    layout: &Layout,
    among: &[&partition::Volume],
) -> Result<Vec<Found>, Refusal> {
    let mut found = Vec::new();
    for volume in among.iter().filter(|volume| volume.number != 0) {
        let (at, bytes) = layout.bytes_of(volume);
        let block_bytes = u64::from(disk.block_bytes());
        if !at.is_multiple_of(block_bytes) {
            continue;
        }
        let one = Found {
            partition: volume.number,
            first: at / block_bytes,
            blocks: bytes / block_bytes,
        };
        if is_ours(disk, one.first, one.blocks)? {
            found.push(one);
        }
    }
    Ok(found)
}

fn besides(layout: &Layout) -> String {
    match layout.volumes.as_slice() {
        [bare] if bare.number == 0 => String::from("it is a FAT volume, and no capOS volume"),
        parts => format!(
            "the disk has a partition table, and none of its {} partitions holds a capOS volume",
            parts.len()
        ),
    }
}

fn foreign(text: String) -> Problem {
    Problem {
        refusal: Refusal::NotSupported,
        text,
    }
}
