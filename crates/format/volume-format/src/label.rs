//! The label: what makes a volume one of ours, and of which version.

use core::fmt;

use crate::{Layout, Seed, Stamp, sum};

const MAGIC: u64 = 0x0031_6c6f_7643_4f53; // "SOCvol1\0"
/// The version of the format that this crate speaks.
pub const VERSION: u32 = 1;
/// The features without which a volume must not be read at all that this crate knows.
pub const INCOMPAT: u64 = 0;
/// The features without which a volume must not be written that this crate knows.
pub const RO_COMPAT: u64 = 0;
/// Bytes that are summed; the sum follows.
const SUMMED: usize = 504;

/// What does not change in a volume's life but for an upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// The volume's identity, drawn when it was made.
    pub uuid: [u8; 16],
    /// Its places.
    pub layout: Layout,
    /// Features that may be ignored.
    pub compat: u64,
    /// Features that must be known to write.
    pub ro_compat: u64,
    /// Features that must be known to read.
    pub incompat: u64,
    /// Bytes of the largest file.
    pub max_file: u64,
    /// When it was made.
    pub created: Stamp,
    /// What a person calls it, UTF-8, padded with zeroes.
    pub name: [u8; 64],
}

/// Why a block is no label that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is something else.
    Foreign,
    /// It was one, and its bytes have changed.
    Sum,
    /// A version that this code does not speak.
    Version(u32),
    /// Features that this code does not know.
    Features(u64),
    /// Its fields contradict each other or the format.
    Fields,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it holds no capOS volume"),
            Self::Sum => f.write_str(
                "the label of its capOS volume is damaged, in the first block and in the last one: capos-store check says what \
                 else is",
            ),
            Self::Version(version) => write!(
                f,
                "its capOS volume has version {version} of the format, and this system knows version {VERSION}: use the system that \
                 made it, or copy its files with that one's capos-store export"
            ),
            Self::Features(bits) => write!(
                f,
                "its capOS volume uses features that this system does not know (bits {bits:#x}): use the system that made it"
            ),
            Self::Fields => f.write_str(
                "the label of its capOS volume contradicts itself or the format: capos-store check says where",
            ),
        }
    }
}

impl Label {
    /// Encodes it for block `lba`, one of the layout's labels.
    pub fn encode(&self, lba: u64, block: &mut [u8]) {
        block.fill(0);
        le::put(block, 0, &MAGIC.to_le_bytes());
        le::put(block, 8, &VERSION.to_le_bytes());
        le::put(block, 12, &(crate::BLOCK as u32).to_le_bytes());
        le::put(block, 16, &self.uuid);
        le::put(block, 32, &self.layout.blocks().to_le_bytes());
        le::put(block, 40, &self.compat.to_le_bytes());
        le::put(block, 48, &self.ro_compat.to_le_bytes());
        le::put(block, 56, &self.incompat.to_le_bytes());
        le::put(block, 64, &self.max_file.to_le_bytes());
        le::put(block, 72, &self.created.encode());
        le::put(block, 88, &self.name);
        let sum = Self::sum(&self.uuid, lba, block);
        le::put(block, SUMMED, &sum.to_le_bytes());
    }

    /// Decodes the label that was read from block `lba`.
    ///
    /// # Errors
    /// Why it is none.
    pub fn decode(lba: u64, block: &[u8]) -> Result<Self, Refused> {
        if le::u64(block, 0) != MAGIC {
            return Err(Refused::Foreign);
        }
        let uuid = le::array(block, 16);
        if le::u64(block, SUMMED) != Self::sum(&uuid, lba, block) {
            return Err(Refused::Sum);
        }
        let version = le::u32(block, 8);
        if version != VERSION {
            return Err(Refused::Version(version));
        }
        let incompat = le::u64(block, 56);
        if incompat & !INCOMPAT != 0 {
            return Err(Refused::Features(incompat & !INCOMPAT));
        }
        let layout = Layout::new(le::u64(block, 32)).ok_or(Refused::Fields)?;
        let created = block.get(72..88).and_then(Stamp::decode);
        let is_sound = le::u32(block, 12) == crate::BLOCK as u32
            && le::is_zero(block, 152, SUMMED)
            && layout.labels().contains(&lba);
        match created {
            Some(created) if is_sound => Ok(Self {
                uuid,
                layout,
                compat: le::u64(block, 40),
                ro_compat: le::u64(block, 48),
                incompat,
                max_file: le::u64(block, 64),
                created,
                name: le::array(block, 88),
            }),
            _ => Err(Refused::Fields),
        }
    }

    fn sum(uuid: &[u8; 16], lba: u64, block: &[u8]) -> u64 {
        let seed = Seed {
            uuid: *uuid,
            lba,
            birth: 0,
            mount: 0,
            owner: Seed::LABEL,
            position: 0,
        };
        sum(&seed, block.get(..SUMMED).unwrap_or(&[]))
    }
}
