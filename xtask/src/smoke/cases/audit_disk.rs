//! The hardware audit log on disk: over boots, and after somebody was at the disk.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use audit_format::{
    CELL_BYTES, Digest, Geometry, HEADER_BYTES, Header, INSTALLATION_BYTES, Key, RECORD_BYTES,
    Region, SLOT_CELLS, Secret, Superblock,
};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::{OperatingSystem, Type};

use sabotage::points;

use crate::audit::{FileRegion, anchored};
use crate::disk::Writes;
use crate::smoke::case::{Again, Smoke, SmokeDisk};
use crate::smoke::cases::PROGRAM;
use crate::smoke::sabotage::{Break, Sabotage};

const DISK: &str = "audit.img";
/// The development secret of the manifests.
const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const PARTITIONS: usize = 11;
const PARTITION_BYTES: u64 = 256 << 10;

/// A disk with audit partitions and nothing in them.
fn blank(path: &Path) -> Result<()> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)?;
    let bytes = 2 * (1 << 20) + PARTITION_BYTES * PARTITIONS as u64;
    file.set_len(bytes)?;
    let blocks = u32::try_from(bytes / 512 - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(blocks).overwrite_lba0(&mut file)?;
    let mut table = gpt::GptConfig::new()
        .writable(true)
        .logical_block_size(LogicalBlockSize::Lb512)
        .create_from_device(&mut file, None)?;
    let kind = Type {
        guid: uuid::Uuid::from_bytes_le(audit_format::PARTITION_TYPE),
        os: OperatingSystem::Custom("capOS audit".to_owned()),
    };
    for number in 0..PARTITIONS {
        let name = format!("audit {number}");
        table.add_partition(&name, PARTITION_BYTES, kind.clone(), 0, None)?;
    }
    table.write()?;
    Ok(())
}

/// The bytes of one audit partition, to be changed.
struct Copy {
    bytes: Vec<u8>,
    geometry: Geometry,
    key: Key,
}

impl Copy {
    fn slot(&self, number: u64) -> usize {
        self.geometry.cell_of(number) as usize * CELL_BYTES
    }

    fn slot_bytes(&self, number: u64) -> Vec<u8> {
        let at = self.slot(number);
        self.bytes[at..at + SLOT_CELLS as usize * CELL_BYTES].to_vec()
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Seals a segment anew with `key`, after `change` was made to its header and records.
    fn reseal(&mut self, slot: u64, key: &Key, change: impl Fn(&mut Header, &mut [u8])) {
        let at = self.slot(slot);
        let block: &[u8; HEADER_BYTES] = self.bytes[at..].first_chunk().expect("a whole slot");
        let mut header = Header::decode(block, &self.key).expect("a segment that was just written");
        let body = at + CELL_BYTES;
        let mut records = self.bytes[body..body + header.count as usize * RECORD_BYTES].to_vec();
        change(&mut header, &mut records);
        header.records = Digest::of_records(&records);
        header.after = header.before.over(&records);
        let block = header.encode(key);
        self.put(at, &block);
        self.put(body, &records);
    }
}

/// What is done to the copy in each partition from 1 on.
const TAMPERING: [fn(&mut Copy); PARTITIONS - 1] = [
    |_| {},
    // One bit of a record.
    |copy| {
        let at = copy.slot(1) + CELL_BYTES + RECORD_BYTES;
        copy.bytes[at + 60] ^= 1;
    },
    // The last two of three records are gone.
    |copy| {
        let at = copy.slot(2) + CELL_BYTES + RECORD_BYTES;
        copy.put(at, &[0; 2 * RECORD_BYTES]);
    },
    // A header says that records were dropped.
    |copy| {
        let at = copy.slot(1) + 56;
        copy.put(at, &5u64.to_le_bytes());
    },
    // Two segments have changed places.
    |copy| {
        let (one, two) = (copy.slot_bytes(1), copy.slot_bytes(2));
        let (first, second) = (copy.slot(1), copy.slot(2));
        copy.put(first, &two);
        copy.put(second, &one);
    },
    // An old segment, seal and all, stands where the next one will.
    |copy| {
        let old = copy.slot_bytes(0);
        let next = copy.slot(4);
        copy.put(next, &old);
    },
    // Sealed by somebody else under his own name.
    |copy| {
        let other = other_key(&copy.bytes);
        copy.reseal(1, &other, |header, _| header.key = other.id());
    },
    // Sealed by somebody else under our name.
    |copy| {
        let other = other_key(&copy.bytes);
        copy.reseal(1, &other, |_, records| records[56] ^= 1);
    },
    // Rewritten by somebody who has the key.
    |copy| {
        let key = copy.key.clone();
        copy.reseal(1, &key, |_, records| records[56] ^= 1);
    },
    // The newest segment is gone.
    |copy| {
        let newest = copy.slot(3);
        copy.put(newest, &[0; HEADER_BYTES]);
    },
];

fn installation(bytes: &[u8]) -> [u8; INSTALLATION_BYTES] {
    let block = bytes.first_chunk::<HEADER_BYTES>();
    block
        .and_then(Superblock::installation)
        .expect("the guest has made it")
}

fn other_key(bytes: &[u8]) -> Key {
    Key::derive(&Secret::new([0xee; 32]), &installation(bytes))
}

/// Copies the partition that the guest wrote into all others, each changed in its way.
fn tamper(work: &Path) -> Result<()> {
    let path = work.join(DISK);
    let original = FileRegion::open(&path, 0, Writes::Dropped)?.bytes()?;
    let secret = Secret::parse(SECRET).context("the manifest's secret")?;
    for (number, change) in TAMPERING.iter().enumerate() {
        let mut region = FileRegion::open(&path, number + 1, Writes::Kept)?;
        let mut copy = Copy {
            geometry: Geometry::of_cells(region.cells()).context("a partition is too small")?,
            key: Key::derive(&secret, &installation(&original)),
            bytes: original.clone(),
        };
        change(&mut copy);
        region.write(0, &copy.bytes)?;
        region.flush()?;
    }
    Ok(())
}

/// Changes one bit of a header of the partition that the guest goes on with.
fn tamper_own(work: &Path) -> Result<()> {
    let mut region = FileRegion::open(&work.join(DISK), 0, Writes::Kept)?;
    let geometry = Geometry::of_cells(region.cells()).context("the partition is too small")?;
    let cell = geometry.cell_of(2);
    let mut bytes = vec![0; CELL_BYTES];
    region.read(cell, &mut bytes)?;
    bytes[57] ^= 4;
    region.write(cell, &bytes)?;
    Ok(region.flush()?)
}

const ANCHOR: &str = "anchor";
const EARLIER: &str = "earlier.img";

fn look(work: &Path, disk: &str) -> Result<()> {
    let secret = Secret::parse(SECRET).context("the smokes' own secret")?;
    anchored(&work.join(disk), 0, &secret, &work.join(ANCHOR))
}

/// After the first boot somebody outside looks at the log, and somebody else keeps a copy of the disk.
fn keep_a_copy(work: &Path) -> Result<()> {
    std::fs::copy(work.join(DISK), work.join(EARLIER))?;
    look(work, DISK)
}

/// After the second boot the log has gone on; the whole disk as it was before, which is sound in itself, is refused.
fn put_back_and_tamper(work: &Path) -> Result<()> {
    look(work, DISK)?;
    let refused = look(work, EARLIER).err().map(|error| error.to_string());
    let is_noticed = refused.is_some_and(|why| why.contains("put back to an earlier day"));
    ensure!(is_noticed, "a disk that was put back is not noticed");
    tamper_own(work)
}

inventory::submit! {
    Smoke {
        name: "hardware-audit-physical-persistence-signing",
        question: "Does a second boot verify the sealed segments of the first before it adds its own, a third leave damaged ones alone, and an anchor outside notice a disk that was put back?",
        rows: &["DA-59", "DA-60", "DA-62"],
        manifest: "smoke/audit-persistence",
        disks: &[SmokeDisk { name: DISK, make: blank, bytes_per_s: 0 }],
        again: &[
            Again { between: keep_a_copy, steps: &[] },
            Again { between: put_back_and_tamper, steps: &[] },
        ],
        required: &[
            "@audit.key source=development custody=boot-package rotation=none rollback_resistant=false",
            "@audit.formatted partition=0",
            "@audit.recovered segments=0 next=0 boots=0",
            "@audit.sealed index=0 boot=0 marker=boot dropped=0",
            "@audit.sealed index=1 boot=0 marker=none dropped=0",
            "@audit.done segments=2 next=2",
            "@audit.recovered segments=2 next=2 boots=1 uncounted=false spoilt_copy=false",
            "@audit.sealed index=2 boot=1 marker=boot dropped=0",
            "@audit.done segments=2 next=4",
            OWN,
        ],
        forbidden: &["@kernel.panic"],
        exit: 1,
        ..PROGRAM
    }
}

const OWN: &str = "@audit.refused rule=bad-seal slot=2 appended=false";
const SEAL: &str = "@audit.checked partition=4 state=refused rule=bad-seal slot=1 valid=1";
const LINK: &str = "@audit.checked partition=9 state=refused rule=broken-link slot=2 valid=2";

inventory::submit! {
    Smoke {
        name: "hardware-audit-tamper",
        question: "Is each way of changing stored audit segments refused by the rule that it breaks?",
        rows: &["DA-59", "DA-60"],
        manifest: "smoke/audit-tamper",
        disks: &[SmokeDisk { name: DISK, make: blank, bytes_per_s: 0 }],
        again: &[Again { between: tamper, steps: &[] }],
        required: &[
            "@audit.checked partition=1 state=blank",
            "@audit.formatted partition=0",
            "@audit.done segments=4 next=4",
            "@audit.checked partition=1 state=valid segments=4",
            "@audit.checked partition=2 state=refused rule=bad-digest slot=1 valid=1",
            "@audit.checked partition=3 state=refused rule=truncated slot=2 valid=2",
            SEAL,
            "@audit.checked partition=5 state=refused rule=reordered slot=1 valid=1",
            "@audit.checked partition=6 state=refused rule=replayed slot=4 valid=4",
            "@audit.checked partition=7 state=refused rule=wrong-key slot=1 valid=1",
            "@audit.checked partition=8 state=refused rule=bad-seal slot=1 valid=1",
            LINK,
            "@audit.checked partition=10 state=refused rule=missing slot=3 valid=3",
            "@audit.recovered segments=4 next=4 boots=1 uncounted=false spoilt_copy=false",
            "@audit.done segments=4 next=8",
        ],
        ..PROGRAM
    }
}

inventory::submit! {
    Sabotage {
        point: points::SERVICE_SKIP_SEAL,
        smoke: "hardware-audit-tamper",
        breaks: Break::Missing(SEAL),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SERVICE_SKIP_LINK,
        smoke: "hardware-audit-tamper",
        breaks: Break::Missing(LINK),
    }
}

inventory::submit! {
    Sabotage {
        point: points::SERVICE_SKIP_SEAL,
        smoke: "hardware-audit-physical-persistence-signing",
        breaks: Break::Missing(OWN),
    }
}
