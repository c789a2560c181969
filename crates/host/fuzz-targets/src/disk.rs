//! What disks and their controllers say.

use exfat_format::Volume as Exfat;
use ext_format::{Inode, Volume as Ext};
use fat_format::{Blocks, DirWalk, FileCursor, Node, Step, Volume};
use iso9660_format::{Kind, Medium, SECTOR_BYTES, Volume as Cd};
use nvme_format::identify::{Controller, IDENTIFY_BYTES, Namespace, active_namespaces};
use nvme_format::template::{Limits, QueueKind, admit};
use nvme_format::{Command, Completion};
use partition::{BlockRead, find_volumes};
use virtio_format::blk;

/// Bytes of the volume or disk; what the input does not have are zeros.
const VOLUME_BYTES: u64 = 4 << 20;
const BLOCK_BYTES: u32 = 512;
/// More reads than this mean that a walk does not end.
const READS: u32 = 400_000;

struct Bytes<'a> {
    bytes: &'a [u8],
    reads: u32,
}

impl Bytes<'_> {
    fn of(bytes: &[u8]) -> Bytes<'_> {
        Bytes { bytes, reads: 0 }
    }

    /// What follows is another request.
    fn again(&mut self) {
        self.reads = 0;
    }

    fn copy(&mut self, offset: u64, buf: &mut [u8]) {
        self.reads += 1;
        assert!(self.reads < READS, "a walk that does not end");
        let end = offset.checked_add(buf.len() as u64);
        assert!(
            end.is_some_and(|end| end <= VOLUME_BYTES),
            "a read outside the device"
        );
        buf.fill(0);
        let from = self.bytes.get(offset as usize..).unwrap_or_default();
        for (to, from) in buf.iter_mut().zip(from) {
            *to = *from;
        }
    }
}

impl Blocks for Bytes<'_> {
    type Error = ();

    fn read(&mut self, byte_offset: u64, buf: &mut [u8]) -> Result<(), ()> {
        self.copy(byte_offset, buf);
        Ok(())
    }

    fn len_bytes(&self) -> u64 {
        VOLUME_BYTES
    }
}

impl BlockRead for Bytes<'_> {
    type Error = ();

    fn block_bytes(&self) -> u32 {
        BLOCK_BYTES
    }

    fn blocks(&self) -> u64 {
        VOLUME_BYTES / u64::from(BLOCK_BYTES)
    }

    fn read(&mut self, lba: u64, buf: &mut [u8]) -> Result<(), ()> {
        self.copy(lba * u64::from(BLOCK_BYTES), buf);
        Ok(())
    }
}

/// The input is the beginning of a volume.
pub fn fat(data: &[u8]) -> bool {
    let mut blocks = Bytes::of(data);
    let Ok(volume) = Volume::mount(&mut blocks) else {
        return false;
    };
    let root = volume.root();
    let mut found = list(&volume, &mut blocks, &root);
    let below: Vec<Node> = found.iter().copied().filter(Node::is_directory).collect();
    for directory in below.iter().take(4) {
        found.extend(list(&volume, &mut blocks, directory));
    }
    for file in found.iter().filter(|node| !node.is_directory()).take(8) {
        let Ok(mut cursor) = FileCursor::new::<()>(file) else {
            continue;
        };
        let mut buf = [0; 700];
        let _ = cursor.read_at(&volume, &mut blocks, 100, &mut buf);
        cursor.seek(0);
        let mut runs = 0;
        while let Ok(Some(run)) = cursor.next_run(&volume, &mut blocks, 64 << 10) {
            assert!(run.len > 0 && run.end() <= VOLUME_BYTES);
            runs += 1;
            if runs == 64 {
                break;
            }
        }
    }
    volume.resolve(&mut blocks, &root, "/A/C.TXT").is_ok()
}

/// At most 64 entries.
fn list(volume: &Volume, blocks: &mut Bytes<'_>, directory: &Node) -> Vec<Node> {
    let mut found = Vec::new();
    if let Ok(mut walk) = DirWalk::new::<()>(volume, directory) {
        let _ = volume.list(blocks, &mut walk, 0, |entry| {
            found.push(entry.node);
            match found.len() {
                64.. => Step::StopBefore,
                _ => Step::Continue,
            }
        });
    }
    found
}

/// The input is the beginning of a volume.
pub fn ext(data: &[u8]) -> bool {
    let mut blocks = Bytes::of(data);
    let Ok(volume) = Ext::mount(&mut blocks) else {
        return false;
    };
    let mut found: Vec<Inode> = Vec::new();
    let mut directories = vec![*volume.root()];
    for _ in 0..4 {
        let Some(directory) = directories.pop() else {
            break;
        };
        blocks.again();
        let mut count = 0;
        let _ = volume.list(&mut blocks, &directory, 0, |blocks, entry| {
            count += 1;
            match volume.named(blocks, entry) {
                Ok(inode) if inode.is_directory() => directories.push(inode),
                Ok(inode) => found.push(inode),
                Err(_) => {}
            }
            match count {
                64.. => ext_format::Step::StopBefore,
                _ => ext_format::Step::Continue,
            }
        });
    }
    for file in found.iter().take(8) {
        blocks.again();
        let Ok(mut cursor) = ext_format::FileCursor::new::<()>(file) else {
            continue;
        };
        for at in [0, 40_000, 1 << 33] {
            cursor.seek(at);
            for _ in 0..16 {
                match cursor.next_run(&volume, &mut blocks, 64 << 10) {
                    Ok(Some(ext_format::Run::Stored { byte_offset, len })) => {
                        assert!(len > 0 && byte_offset + len <= VOLUME_BYTES);
                    }
                    Ok(Some(ext_format::Run::Zeroes { len })) => assert!(len > 0),
                    Ok(None) | Err(_) => break,
                }
            }
        }
    }
    blocks.again();
    volume.resolve(&mut blocks, volume.root(), "a/link").is_ok()
}

/// The input is the beginning of a volume.
pub fn exfat(data: &[u8]) -> bool {
    let mut blocks = Bytes::of(data);
    let Ok(volume) = Exfat::mount(&mut blocks) else {
        return false;
    };
    let mut found = Vec::new();
    let mut directories = vec![volume.root()];
    for _ in 0..4 {
        let Some(directory) = directories.pop() else {
            break;
        };
        blocks.again();
        let mut count = 0;
        let _ = volume.list(&mut blocks, &directory, 0, |entry| {
            count += 1;
            match entry.node.is_directory() {
                true => directories.push(entry.node),
                false => found.push(entry.node),
            }
            match count {
                64.. => exfat_format::Step::StopBefore,
                _ => exfat_format::Step::Continue,
            }
        });
    }
    for file in found.iter().take(8) {
        blocks.again();
        let Ok(mut cursor) = exfat_format::FileCursor::new::<()>(file) else {
            continue;
        };
        for at in [40_000, 0, 1 << 33] {
            cursor.seek(at);
            for _ in 0..16 {
                match cursor.next_run(&volume, &mut blocks, 64 << 10) {
                    Ok(Some(exfat_format::Run::Stored { byte_offset, len })) => {
                        assert!(len > 0 && byte_offset + len <= VOLUME_BYTES);
                    }
                    Ok(Some(exfat_format::Run::Zeroes { len })) => assert!(len > 0),
                    Ok(None) | Err(_) => break,
                }
            }
        }
    }
    blocks.again();
    let root = volume.root();
    volume.resolve(&mut blocks, &root, "A/C.TXT").is_ok()
}

/// The input is the beginning of a disk.
pub fn partition(data: &[u8]) -> bool {
    let mut device = Bytes::of(data);
    let Ok(layout) = find_volumes(&mut device) else {
        return false;
    };
    let volumes = &layout.volumes;
    for (index, one) in volumes.iter().enumerate() {
        assert!(one.end() <= VOLUME_BYTES / u64::from(layout.block_bytes));
        for other in volumes.iter().take(index) {
            assert!(one.end() <= other.first_lba || other.end() <= one.first_lba);
        }
    }
    !volumes.is_empty()
}

/// The first byte says what the rest is: what a controller says of itself, of a namespace, its list of namespaces, a
/// completion, or a provider's command.
pub fn nvme(data: &[u8]) -> bool {
    let Some((selector, rest)) = data.split_first() else {
        return false;
    };
    let mut page = rest.to_vec();
    page.resize(IDENTIFY_BYTES, 0);
    match selector % 5 {
        0 => {
            if let Some(controller) = Controller::parse(&page) {
                for page_min in [0, 4, 15] {
                    assert!(controller.max_transfer_bytes(page_min, 1 << 20) <= 1 << 20);
                }
            }
        }
        1 => {
            return Namespace::parse(1, &page).is_ok();
        }
        2 => assert!(active_namespaces(&page).count() <= 1024),
        3 => {
            let (first, rest) = page.split_first_chunk().expect("a whole page");
            let second = rest.first_chunk().expect("a whole page");
            let (first, second) = (u64::from_le_bytes(*first), u64::from_le_bytes(*second));
            let completion = Completion::parse(first, second);
            assert_eq!(completion.words()[1], second);
        }
        _ => {
            // 64 bytes of command, then what the device says of namespace 1.
            let template = rest.get(..64).unwrap_or(rest);
            let mut identify = rest.get(64..).unwrap_or_default().to_vec();
            identify.resize(IDENTIFY_BYTES, 0);
            let namespaces: Vec<Namespace> = Namespace::parse(1, &identify).into_iter().collect();
            let limits = Limits {
                namespaces: &namespaces,
                max_transfer_bytes: 1 << 20,
            };
            let mut taken = false;
            for kind in [QueueKind::Admin, QueueKind::Io] {
                if let Ok((command, _)) = admit(kind, template, &limits) {
                    taken = true;
                    assert_eq!((command.prp1, command.prp2, command.mptr), (0, 0, 0));
                    assert_eq!(Command::parse(&command.to_bytes()), Some(command));
                }
            }
            return taken;
        }
    }
    true
}

impl Medium for Bytes<'_> {
    type Error = ();

    fn read(&mut self, lba: u32, into: &mut [u8]) -> Result<(), ()> {
        self.copy(u64::from(lba) * SECTOR_BYTES as u64, into);
        Ok(())
    }
}

/// Sectors at the start of a CD that mean nothing; the input begins behind them.
const CD_SYSTEM_SECTORS: usize = 16;

/// The input is a CD from sector 16 on.
pub fn iso9660(data: &[u8]) -> bool {
    let mut bytes = vec![0; CD_SYSTEM_SECTORS * SECTOR_BYTES];
    bytes.extend_from_slice(data);
    let mut medium = Bytes {
        bytes: &bytes,
        reads: 0,
    };
    let sectors = (VOLUME_BYTES / SECTOR_BYTES as u64) as u32;
    let Ok(volume) = Cd::open(&mut medium, sectors) else {
        return false;
    };
    let _ = volume.identity();
    let mut entries = volume.root_entries();
    let mut seen = 0;
    while let Ok(Some(entry)) = entries.next(&mut medium) {
        seen += 1;
        if entry.kind == Kind::File {
            let mut buf = [0; 3000];
            for offset in [0, 1, 2047, u32::MAX] {
                let _ = volume.read(&mut medium, &entry, offset, &mut buf);
            }
        } else if let Ok(mut below) = volume.entries::<()>(&entry) {
            while let Ok(Some(_)) = below.next(&mut medium) {
                seen += 1;
            }
        }
        assert!(seen < 1 << 20, "a directory that does not end");
    }
    let _ = volume.find(&mut medium, "boot/bins/init");
    seen > 0
}

/// Eight bytes of length, two of what the disk is, then a virtio disk's template.
pub fn virtio(data: &[u8]) -> bool {
    let Some((length, rest)) = data.split_first_chunk::<8>() else {
        return false;
    };
    let Some((&[kind, sectors], template)) = rest.split_first_chunk::<2>() else {
        return false;
    };
    let limits = blk::Limits {
        sectors: u64::from(sectors) << 3,
        read_only: kind & 1 != 0,
        flush: kind & 2 != 0,
        discard: kind & 4 != 0,
        zero: kind & 8 != 0,
    };
    let bytes = u64::from_le_bytes(*length);
    let Ok(request) = blk::admit(template, bytes, &limits) else {
        return false;
    };
    assert_eq!(blk::parse(template, &limits), Ok(request));
    assert!(blk::check_length(request, bytes, &limits).is_ok());
    true
}
