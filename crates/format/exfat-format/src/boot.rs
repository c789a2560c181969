//! The boot region (section 3), and where clusters lie.

use foreign_bytes::{ReadError, read_exact};

use crate::Blocks;
use crate::dir::{Reader, Scan};
use crate::error::Error;
use crate::name::Name;
use crate::set::Node;

/// Sectors of a boot region that its sum covers, and the sector that holds the sum (3.4).
const SUMMED_SECTORS: u32 = 11;
/// Where the region's copy begins.
const BACKUP_SECTOR: u32 = 12;
/// The first cluster that there is.
pub(crate) const FIRST_CLUSTER: u32 = 2;
/// Entries of the root directory among which its volume's name stands (7.3).
const LABEL_ENTRIES: u64 = 128;

/// What is known of a volume after its boot region was read.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    sector_shift: u32,
    cluster_shift: u32,
    sectors: u64,
    /// First byte of the FAT that is used.
    pub(crate) fat_at: u64,
    /// First byte of cluster 2.
    heap_at: u64,
    /// Clusters of the volume.
    pub(crate) clusters: u32,
    root: u32,
    flags: u16,
    from_backup: bool,
    label: Name,
}

impl Volume {
    /// Reads the boot region, or its copy where the first contradicts itself, and the volume's name.
    ///
    /// # Errors
    /// [`Error::NotExfat`] where nothing says that this is an exFAT volume; otherwise what is wrong with it.
    pub fn mount<B: Blocks>(blocks: &mut B) -> Result<Self, Error<B::Error>> {
        let mut sector = [0; 512];
        if blocks.len_bytes() < 512 {
            return Err(Error::NotExfat);
        }
        read_exact(blocks, 0, &mut sector)?;
        if &sector[3..11] != b"EXFAT   " {
            return Err(Error::NotExfat);
        }
        let shift = u32::from(sector[108]);
        let mut volume = match Self::region(blocks, 0, shift) {
            Ok(volume) => volume,
            Err(error @ Error::Read(ReadError::Device(_))) => return Err(error),
            Err(error) => {
                let backup = Self::region(blocks, BACKUP_SECTOR, shift);
                let mut volume = backup.map_err(|_| error)?;
                volume.from_backup = true;
                volume
            }
        };
        volume.label = volume.find_label(blocks)?;
        Ok(volume)
    }

    /// Reads one copy of the region.
    fn region<B: Blocks>(blocks: &mut B, first: u32, shift: u32) -> Result<Self, Error<B::Error>> {
        if !(9..=12).contains(&shift) {
            return Err(Error::Boot("names sectors of an impossible size"));
        }
        let mut bytes = [0; 512];
        let at = u64::from(first) << shift;
        read_exact(blocks, at, &mut bytes)?;
        let volume = Self::parse(&bytes, shift).map_err(Error::Boot)?;
        let mut sum = 0u32;
        let mut piece = [0; 512];
        for number in 0..u64::from(SUMMED_SECTORS) << (shift - 9) {
            read_exact(blocks, at + number * 512, &mut piece)?;
            for (index, byte) in piece.iter().enumerate() {
                // VolumeFlags and PercentInUse change while the volume is used.
                if number == 0 && matches!(index, 106 | 107 | 112) {
                    continue;
                }
                sum = sum.rotate_right(1).wrapping_add(u32::from(*byte));
            }
        }
        read_exact(
            blocks,
            at + (u64::from(SUMMED_SECTORS) << shift),
            &mut piece,
        )?;
        if piece.chunks_exact(4).any(|held| le::u32(held, 0) != sum) {
            return Err(Error::Boot("does not have the sum that it says it has"));
        }
        Ok(volume)
    }

    /// Checks the fields of a boot sector (3.1).
    fn parse(bytes: &[u8; 512], shift: u32) -> Result<Self, &'static str> {
        if bytes[510..] != [0x55, 0xaa] || &bytes[3..11] != b"EXFAT   " {
            return Err("lacks its signatures");
        }
        if !le::is_zero(bytes, 11, 64) {
            return Err("has something where FAT volumes have their fields");
        }
        if u32::from(bytes[108]) != shift || u32::from(bytes[109]) > 25 - shift {
            return Err("names clusters of an impossible size");
        }
        if bytes[105] != 1 {
            return Err("is of another revision than 1");
        }
        let spread = u32::from(bytes[109]);
        let (sectors, fat) = (le::u64(bytes, 72), u64::from(le::u32(bytes, 80)));
        let (fat_sectors, heap) = (u64::from(le::u32(bytes, 84)), u64::from(le::u32(bytes, 88)));
        let (clusters, root) = (le::u32(bytes, 92), le::u32(bytes, 96));
        let (flags, fats) = (le::u16(bytes, 106), u64::from(bytes[110]));
        if !(1..=2).contains(&fats) {
            return Err("has an impossible number of FATs");
        }
        let entries = (u64::from(clusters) + 2) * 4;
        if fat < 24 || fat_sectors < entries.div_ceil(1 << shift) {
            return Err("has a FAT that is too short or in the way");
        }
        if heap < fat + fat_sectors * fats || sectors < heap {
            return Err("has its clusters in the way of its FATs");
        }
        if clusters == 0
            || clusters > u32::MAX - 10
            || u64::from(clusters) > (sectors - heap) >> spread
        {
            return Err("has more clusters than room for them, or none");
        }
        if sectors > u64::MAX >> shift {
            return Err("has more sectors than have numbers");
        }
        let active = u64::from(flags & 1).min(fats - 1);
        let volume = Self {
            sector_shift: shift,
            cluster_shift: shift + spread,
            sectors,
            fat_at: (fat + active * fat_sectors) << shift,
            heap_at: heap << shift,
            clusters,
            root,
            flags,
            from_backup: false,
            label: Name::new(&[]),
        };
        match volume.has_cluster(root) {
            true => Ok(volume),
            false => Err("has its root directory in a cluster that does not exist"),
        }
    }

    fn find_label<B: Blocks>(&self, blocks: &mut B) -> Result<Name, Error<B::Error>> {
        let mut reader = Reader::new(self, &self.root(), 0);
        let mut scan = Scan::of(blocks);
        let mut units = [0; 11];
        for _ in 0..LABEL_ENTRIES {
            let Some(entry) = reader.next(self, blocks, &mut scan)? else {
                break;
            };
            if entry[0] == 0x83 {
                let count = usize::from(entry[1]).min(units.len());
                for (index, unit) in units.iter_mut().enumerate() {
                    *unit = le::u16(&entry, 2 + 2 * index);
                }
                return Ok(Name::new(units.get(..count).unwrap_or_default()));
            }
        }
        Ok(Name::new(&[]))
    }

    /// The root directory.
    pub const fn root(&self) -> Node {
        Node::root(self.root)
    }

    /// The volume's name; empty if it has none.
    pub fn label(&self) -> &str {
        self.label.as_str()
    }

    /// Bytes of a cluster.
    pub const fn cluster_bytes(&self) -> u32 {
        1 << self.cluster_shift
    }

    /// Bytes of the volume.
    pub const fn total_bytes(&self) -> u64 {
        self.sectors << self.sector_shift
    }

    /// Whether the volume was not unmounted, so that something may be half done.
    pub const fn is_dirty(&self) -> bool {
        self.flags & 2 != 0
    }

    /// Whether whoever used it last met sectors that could not be read or written.
    pub const fn has_failed(&self) -> bool {
        self.flags & 4 != 0
    }

    /// Whether the copy of the boot region had to do.
    pub const fn is_from_backup(&self) -> bool {
        self.from_backup
    }

    pub(crate) const fn has_cluster(&self, cluster: u32) -> bool {
        cluster >= FIRST_CLUSTER && cluster - FIRST_CLUSTER < self.clusters
    }

    /// First byte of a cluster that exists.
    pub(crate) const fn cluster_at(&self, cluster: u32) -> u64 {
        self.heap_at + ((cluster.saturating_sub(FIRST_CLUSTER) as u64) << self.cluster_shift)
    }
}
