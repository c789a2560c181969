//! The superblock ("Super Block").

use foreign_bytes::read_exact;

use crate::Blocks;
use crate::crc::carry;
use crate::error::{Error, Place, corrupt};
use crate::name::Name;

/// Where it lies, and how long it is.
const AT: u64 = 1024;
const BYTES: usize = 1024;
const MAGIC: u16 = 0xef53;

/// `s_feature_compat`: what may be ignored.
mod compat {
    pub(super) const HAS_JOURNAL: u32 = 0x4;
    pub(super) const SPARSE_SUPER2: u32 = 0x200;
}

/// `s_feature_incompat`: what must be understood.
mod incompat {
    pub(super) const COMPRESSION: u32 = 0x1;
    pub(super) const FILETYPE: u32 = 0x2;
    pub(super) const RECOVER: u32 = 0x4;
    pub(super) const JOURNAL_DEV: u32 = 0x8;
    pub(super) const META_BG: u32 = 0x10;
    pub(super) const IS_64BIT: u32 = 0x80;
    pub(super) const DIRDATA: u32 = 0x1000;
    pub(super) const CSUM_SEED: u32 = 0x2000;
    pub(super) const LARGEDIR: u32 = 0x4000;
    /// FILETYPE, RECOVER, META_BG, EXTENTS, 64BIT, MMP, FLEX_BG, EA_INODE, CSUM_SEED, LARGEDIR, INLINE_DATA, ENCRYPT and
    /// CASEFOLD: what they change is either read here, or refused where a single file has it.
    pub(super) const READ: u32 = 0x3_e7d6;
    /// What ext3 knew of them.
    pub(super) const EXT3: u32 = FILETYPE | RECOVER | META_BG;
}

/// `s_feature_ro_compat`: what only a writer must understand.
mod ro_compat {
    pub(super) const SPARSE_SUPER: u32 = 0x1;
    pub(super) const BIGALLOC: u32 = 0x200;
    pub(super) const METADATA_CSUM: u32 = 0x400;
    /// SPARSE_SUPER, LARGE_FILE and BTREE_DIR.
    pub(super) const EXT3: u32 = 0x7;
}

/// What the superblock says, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Superblock {
    pub block_bytes: u32,
    /// Blocks of the volume.
    pub blocks: u64,
    pub inodes: u32,
    pub inodes_per_group: u32,
    pub inode_bytes: u32,
    pub descriptor_bytes: u32,
    /// The first group of descriptor blocks that lies in its own groups.
    pub first_meta_group: Option<u32>,
    /// Whether the descriptors, inodes and trees have sums, and what each is begun with.
    pub seed: Option<u32>,
    /// The journal, if it has something that is not in its place yet.
    pub journal: Option<u32>,
    /// Directory entries say what they name.
    pub file_types: bool,
    /// Directories may be 4 GiB and more.
    pub large_directories: bool,
    pub label: [u8; 16],
    format: &'static str,
    first_data_block: u32,
    blocks_per_group: u32,
    backups: Backups,
}

/// Which groups have a copy of the superblock in front.
#[derive(Clone, Copy, Debug)]
enum Backups {
    All,
    /// 0, 1, and the powers of 3, 5 and 7.
    Sparse,
    /// 0 and these.
    Two([u32; 2]),
}

impl Backups {
    fn read(bytes: &[u8; BYTES], has: u32, may: u32) -> Self {
        if has & compat::SPARSE_SUPER2 != 0 {
            Self::Two([le::u32(bytes, 0x24c), le::u32(bytes, 0x250)])
        } else if may & ro_compat::SPARSE_SUPER != 0 {
            Self::Sparse
        } else {
            Self::All
        }
    }

    fn has(self, group: u32) -> bool {
        let power = |base: u32| {
            let mut power = base;
            while power < group {
                power = power.saturating_mul(base);
            }
            power == group
        };
        match self {
            _ if group == 0 => true,
            Self::All => true,
            Self::Sparse => group == 1 || power(3) || power(5) || power(7),
            Self::Two(groups) => groups.contains(&group),
        }
    }
}

impl Superblock {
    pub(crate) fn read<B: Blocks>(blocks: &mut B) -> Result<Self, Error<B::Error>> {
        let mut bytes = [0; BYTES];
        if blocks.len_bytes() < AT + BYTES as u64 {
            return Err(Error::NotExt);
        }
        read_exact(blocks, AT, &mut bytes)?;
        Self::parse(&bytes)
    }

    fn parse<E>(bytes: &[u8; BYTES]) -> Result<Self, Error<E>> {
        if le::u16(bytes, 0x38) != MAGIC {
            return Err(Error::NotExt);
        }
        let wrong = |fault| corrupt(Place::Superblock, fault);
        // Of the first revision the features were unused.
        let old = le::u32(bytes, 0x4c) == 0;
        let features = |at| match old {
            true => 0,
            false => le::u32(bytes, at),
        };
        let (has, needs, may) = (features(0x5c), features(0x60), features(0x64));
        understood(needs)?;
        let sums = may & ro_compat::METADATA_CSUM != 0;
        if sums && carry(!0, &bytes[..BYTES - 4]) != le::u32(bytes, BYTES - 4) {
            return Err(wrong("does not have the sum that it says it has"));
        }
        let shift = le::u32(bytes, 0x18);
        if shift > 6 {
            return Err(wrong("names blocks of more than 64 KiB"));
        }
        let wide = needs & incompat::IS_64BIT != 0;
        let high = u64::from(match wide {
            true => le::u32(bytes, 0x150),
            false => 0,
        });
        let read = Self {
            block_bytes: 1024 << shift,
            blocks: high << 32 | u64::from(le::u32(bytes, 0x4)),
            inodes: le::u32(bytes, 0),
            inodes_per_group: le::u32(bytes, 0x28),
            inode_bytes: match old {
                true => 128,
                false => u32::from(le::u16(bytes, 0x58)),
            },
            descriptor_bytes: match wide {
                true => u32::from(le::u16(bytes, 0xfe)),
                false => 32,
            },
            first_meta_group: (needs & incompat::META_BG != 0).then(|| le::u32(bytes, 0x104)),
            seed: sums.then(|| match needs & incompat::CSUM_SEED {
                0 => carry(!0, &bytes[0x68..0x78]),
                _ => le::u32(bytes, 0x270),
            }),
            journal: journal(bytes, has, needs)?,
            file_types: needs & incompat::FILETYPE != 0,
            large_directories: needs & incompat::LARGEDIR != 0,
            label: le::array(bytes, 0x78),
            format: format(has, needs, may),
            first_data_block: le::u32(bytes, 0x14),
            blocks_per_group: le::u32(bytes, 0x20),
            backups: Backups::read(bytes, has, may),
        };
        read.check(match may & ro_compat::BIGALLOC {
            0 => 8 * u64::from(read.block_bytes),
            // Then a bit of a group's map is a cluster.
            _ => u64::MAX,
        })
        .map_err(wrong)
        .map(|()| read)
    }

    /// Whether the numbers fit together, with `most` blocks in a group.
    fn check(&self, most: u64) -> Result<(), &'static str> {
        let bits = 8 * u64::from(self.block_bytes);
        let inode = self.inode_bytes;
        let descriptor = self.descriptor_bytes;
        if inode < 128 || inode > self.block_bytes || !inode.is_power_of_two() {
            return Err("names an impossible size of an inode");
        }
        if !(32..=1024).contains(&descriptor) || !descriptor.is_power_of_two() {
            return Err("names an impossible size of a group descriptor");
        }
        if self.inodes_per_group == 0 || u64::from(self.inodes_per_group) > bits {
            return Err("names an impossible number of inodes in a group");
        }
        if self.blocks_per_group == 0 || u64::from(self.blocks_per_group) > most {
            return Err("names an impossible number of blocks in a group");
        }
        if self.blocks <= u64::from(self.first_data_block) || self.first_data_block > 1 {
            return Err("names an impossible first block");
        }
        if self.blocks > 1 << 48 {
            return Err("names more blocks than can have numbers");
        }
        let inodes = self.groups().saturating_mul(self.inodes_per_group.into());
        if self.inodes < 2 || u64::from(self.inodes) > inodes {
            return Err("names more inodes than its groups have, or none");
        }
        Ok(())
    }

    /// Block groups of the volume.
    pub(crate) fn groups(&self) -> u64 {
        self.blocks
            .saturating_sub(self.first_data_block.into())
            .div_ceil(self.blocks_per_group.max(1).into())
    }

    /// What a person calls the format: as `blkid` decides it.
    pub(crate) const fn format(&self) -> &'static str {
        self.format
    }

    /// Block in which a group's descriptor lies, and the byte within it ("Block Group Descriptors", "Meta Block Groups").
    pub(crate) fn descriptor_at(&self, group: u32) -> (u64, u32) {
        let in_block = self.block_bytes / self.descriptor_bytes;
        let (number, within) = (group / in_block, group % in_block * self.descriptor_bytes);
        // The superblock's own block: 1 where blocks have 1024 bytes.
        let own = u64::from(self.block_bytes == 1024);
        match self.first_meta_group {
            Some(first) if number >= first => {
                let group = number.saturating_mul(in_block);
                let begin = u64::from(group)
                    .saturating_mul(self.blocks_per_group.into())
                    .saturating_add(self.first_data_block.into());
                let behind = u64::from(self.backups.has(group));
                // Where the first block is not counted it lies in front of the first group's copy.
                let shift = u64::from(own == 1 && number == 0 && self.first_data_block == 0);
                (begin.saturating_add(behind + shift), within)
            }
            _ => (own + 1 + u64::from(number), within),
        }
    }

    /// The volume's name.
    pub(crate) fn name(&self) -> Name {
        let end = self.label.iter().position(|byte| *byte == 0);
        Name::new(self.label.get(..end.unwrap_or(16)).unwrap_or_default())
    }
}

fn understood<E>(needs: u32) -> Result<(), Error<E>> {
    let what = match needs & !incompat::READ {
        0 => return Ok(()),
        others if others & incompat::JOURNAL_DEV != 0 => {
            "is that of the journal of another file system"
        }
        others if others & incompat::COMPRESSION != 0 => "says that files are compressed",
        others if others & incompat::DIRDATA != 0 => "says that directories hold data",
        _ => "needs features that came after this reader",
    };
    Err(Error::Unsupported {
        place: Place::Superblock,
        what,
    })
}

/// The journal's inode, if the volume needs it.
fn journal<E>(bytes: &[u8], has: u32, needs: u32) -> Result<Option<u32>, Error<E>> {
    if needs & incompat::RECOVER == 0 {
        return Ok(None);
    }
    if has & compat::HAS_JOURNAL == 0 {
        let fault = "asks for its journal and has none";
        return Err(corrupt(Place::Superblock, fault));
    }
    match le::u32(bytes, 0xe0) {
        0 => Err(Error::Unsupported {
            place: Place::Superblock,
            what: "needs the journal on another device: mount it once where both are",
        }),
        inode => Ok(Some(inode)),
    }
}

const fn format(has: u32, needs: u32, may: u32) -> &'static str {
    if needs & !incompat::EXT3 != 0 || may & !ro_compat::EXT3 != 0 {
        "ext4"
    } else if has & compat::HAS_JOURNAL != 0 {
        "ext3"
    } else {
        "ext2"
    }
}
