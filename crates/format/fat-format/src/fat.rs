//! Single entries of the FAT, read through a small window.

use foreign_bytes::{ReadError, read_exact};

use crate::Blocks;
use crate::boot::FatKind;
use crate::error::{ChainFault, Error};
use crate::volume::Volume;

const WINDOW_BYTES: u64 = 256;

/// What the FAT says about a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// The chain goes on here; the cluster exists.
    Next(u32),
    /// This is the last cluster.
    End,
    /// The entry cannot be part of a chain.
    Fault(ChainFault),
}

/// A copy of a few neighbouring FAT entries, so that a sequential walk asks the caller's cache once per window.
#[derive(Clone)]
pub(crate) struct FatWindow {
    /// Offset inside the FAT.
    start: u64,
    /// Valid bytes.
    len: u64,
    bytes: [u8; WINDOW_BYTES as usize],
}

impl FatWindow {
    pub(crate) const fn new() -> Self {
        Self {
            start: 0,
            len: 0,
            bytes: [0; WINDOW_BYTES as usize],
        }
    }

    /// Reads the entry of `cluster`, which is a cluster of the volume.
    pub(crate) fn link<B: Blocks>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        cluster: u32,
    ) -> Result<Link, Error<B::Error>> {
        let n = u64::from(cluster);
        // The type's reserved values begin at FF0 of its width; FAT32 uses 28 of its 32 bits (FATGEN, "FAT Type").
        let (value, top) = match volume.kind() {
            FatKind::Fat12 => {
                let pair = u16::from_le_bytes(self.field(volume, blocks, n + n / 2)?);
                (
                    u32::from(if cluster & 1 == 1 {
                        pair >> 4
                    } else {
                        pair & 0xfff
                    }),
                    0xf00,
                )
            }
            FatKind::Fat16 => (
                u32::from(u16::from_le_bytes(self.field(volume, blocks, n * 2)?)),
                0xff00,
            ),
            FatKind::Fat32 => (
                u32::from_le_bytes(self.field(volume, blocks, n * 4)?) & 0x0fff_ffff,
                0x0fff_ff00,
            ),
        };
        Ok(match value {
            0 => Link::Fault(ChainFault::Free { cluster }),
            1 => Link::Fault(ChainFault::Reserved { cluster }),
            next if volume.has_cluster(next) => Link::Next(next),
            end if end >= top | 0xf8 => Link::End,
            bad if bad == top | 0xf7 => Link::Fault(ChainFault::Bad { cluster }),
            reserved if reserved >= top | 0xf0 => Link::Fault(ChainFault::Reserved { cluster }),
            next => Link::Fault(ChainFault::Outside { cluster, next }),
        })
    }

    /// Copies the `N` bytes at `at` of the active FAT.
    fn field<B: Blocks, const N: usize>(
        &mut self,
        volume: &Volume,
        blocks: &mut B,
        at: u64,
    ) -> Result<[u8; N], Error<B::Error>> {
        let end = at + N as u64;
        if at < self.start || end > self.start + self.len {
            let aligned = at & !(WINDOW_BYTES - 1);
            // A 12-bit entry may lie across two windows; then the window begins at the entry.
            let start = if end <= aligned + WINDOW_BYTES {
                aligned
            } else {
                at
            };
            let len = WINDOW_BYTES.min(volume.fat_bytes().saturating_sub(start));
            let buf = self.bytes.get_mut(..len as usize).unwrap_or_default();
            self.len = 0;
            read_fat(volume, blocks, start, buf)?;
            (self.start, self.len) = (start, len);
        }
        let at = (at - self.start) as usize;
        // Inside the window: mount admits only clusters whose entries lie inside the FAT.
        Ok(self
            .bytes
            .get(at..at + N)
            .and_then(|field| field.try_into().ok())
            .unwrap_or([0; N]))
    }
}

/// Reads a piece of the active FAT, or of its mirror where the device cannot read that piece.
fn read_fat<B: Blocks>(
    volume: &Volume,
    blocks: &mut B,
    start: u64,
    buf: &mut [u8],
) -> Result<(), Error<B::Error>> {
    match (
        read_exact(blocks, volume.fat_at() + start, buf),
        volume.mirror_at(),
    ) {
        (Err(unreadable @ ReadError::Device(_)), Some(mirror)) => {
            read_exact(blocks, mirror + start, buf).map_err(|_| unreadable.into())
        }
        (result, _) => result.map_err(Error::from),
    }
}
