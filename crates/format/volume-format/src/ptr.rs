//! Pointers: where a block is, when it was written, and what it must add up to.

use crate::{Layout, Seed};

/// Bytes of a pointer.
pub const PTR_BYTES: usize = 40;

/// What a pointer leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PtrKind {
    /// A node of the tree.
    Node = 1,
    /// A file's or an object's bytes.
    Data = 2,
    /// A table of the space tree.
    Table = 3,
    /// A region's bitmap.
    Bitmap = 4,
}

/// Where a block is, when it was written, and what it must add up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ptr {
    /// The block.
    pub lba: u64,
    /// The transaction group that wrote it.
    pub birth: u64,
    /// Its sum, see [`sum`](crate::sum).
    pub sum: u64,
    /// The mount that wrote it.
    pub mount: u32,
    /// What it is.
    pub kind: PtrKind,
}

impl Ptr {
    /// Encodes it.
    #[must_use]
    pub fn encode(&self) -> [u8; PTR_BYTES] {
        let mut bytes = [0; PTR_BYTES];
        le::put(&mut bytes, 0, &self.lba.to_le_bytes());
        le::put(&mut bytes, 6, &1u16.to_le_bytes());
        le::put(&mut bytes, 8, &self.birth.to_le_bytes());
        le::put(&mut bytes, 16, &self.sum.to_le_bytes());
        le::put(&mut bytes, 32, &self.mount.to_le_bytes());
        le::put(&mut bytes, 36, &[self.kind as u8]);
        bytes
    }

    /// Decodes one that leads to `kind`, inside the volume, and is not of a time after `newest`.
    #[must_use]
    pub fn decode(bytes: &[u8], kind: PtrKind, layout: &Layout, newest: u64) -> Option<Self> {
        if bytes.len() != PTR_BYTES || !le::is_zero(bytes, 24, 32) || !le::is_zero(bytes, 37, 40) {
            return None;
        }
        let place = le::u64(bytes, 0);
        let ptr = Self {
            lba: place & ((1 << 48) - 1),
            birth: le::u64(bytes, 8),
            sum: le::u64(bytes, 16),
            mount: le::u32(bytes, 32),
            kind,
        };
        let is_sound = place >> 48 == 1
            && le::u8(bytes, 36) == kind as u8
            && layout.holds(ptr.lba)
            && (1..=newest).contains(&ptr.birth);
        is_sound.then_some(ptr)
    }

    /// What its block's sum begins from.
    #[must_use]
    pub fn seed(&self, uuid: &[u8; 16], owner: u64, position: u64) -> Seed {
        Seed {
            uuid: *uuid,
            lba: self.lba,
            birth: self.birth,
            mount: self.mount,
            owner,
            position,
        }
    }
}
