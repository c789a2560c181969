//! The journal ("Journal (jbd2)"): where blocks lie that were committed and not yet written in their places.
//!
//! Read once, at the mount, as a recovery would: from the first transaction on, as far as each is whole. Nothing is written;
//! what a recovery would copy is remembered instead.

use alloc::collections::{BTreeMap, BTreeSet};

use crate::Blocks;
use crate::crc::carry;
use crate::error::{Error, Place, corrupt};
use crate::inode::Inode;
use crate::volume::{NOWHERE, Volume};

/// Blocks of a journal that are read in place of others, and as many that a transaction may take back. A journal that has
/// more, 256 MiB of metadata, is refused.
pub const MAX_REPLAYED: usize = 1 << 16;

/// What every block of a journal begins with, but those of data; numbers of a journal have the high byte first.
const MAGIC: u32 = 0xc03b_3998;
const HEAD_BYTES: usize = 12;

/// `h_blocktype`.
mod block_type {
    pub(super) const DESCRIPTOR: u32 = 1;
    pub(super) const COMMIT: u32 = 2;
    pub(super) const SUPERBLOCK_V2: u32 = 4;
    pub(super) const REVOKE: u32 = 5;
}

/// `s_feature_incompat` of the journal.
mod feature {
    pub(super) const IS_64BIT: u32 = 0x2;
    pub(super) const CSUM_V2: u32 = 0x8;
    pub(super) const CSUM_V3: u32 = 0x10;
    /// REVOKE, 64BIT, ASYNC_COMMIT, CSUM_V2 and CSUM_V3.
    pub(super) const READ: u32 = 0x1f;
    pub(super) const FAST_COMMIT: u32 = 0x20;
}

/// Flags of a tag.
mod tag_flag {
    pub(super) const ESCAPED: u32 = 1;
    pub(super) const SAME_UUID: u32 = 2;
    pub(super) const LAST: u32 = 8;
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    le::u16(bytes, at).swap_bytes()
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    le::u32(bytes, at).swap_bytes()
}

/// Where a block's last committed bytes are.
#[derive(Clone, Copy, Debug)]
struct Copy {
    block: u64,
    /// Its first four bytes are [`MAGIC`], and stand in the journal as zeroes.
    escaped: bool,
}

/// The blocks that are read from the journal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replay(BTreeMap<u64, Copy>);

impl Replay {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Where a block is read, and whether its beginning is put back.
    pub(crate) fn place(&self, block: u64) -> Option<(u64, bool)> {
        self.0.get(&block).map(|copy| (copy.block, copy.escaped))
    }

    /// Puts back what an escaped block begins with, into what was read of it from `offset` on.
    pub(crate) fn unescape(offset: u32, buf: &mut [u8]) {
        let begin = MAGIC.to_be_bytes();
        let begin = begin.get(offset as usize..).unwrap_or_default();
        for (to, from) in buf.iter_mut().zip(begin) {
            *to = *from;
        }
    }

    /// Where some blocks are, as far as they lie together; `None` for one whose beginning stands nowhere.
    pub(crate) fn run(&self, block: u64, count: u64) -> Option<(u64, u64)> {
        let next = self.0.range(block..block.saturating_add(count)).next();
        match next {
            None => Some((block, count)),
            Some((at, copy)) if *at == block => (!copy.escaped).then_some((copy.block, 1)),
            Some((at, _)) => Some((block, at - block)),
        }
    }

    /// Reads the journal.
    pub(crate) fn read<B: Blocks>(
        volume: &Volume,
        blocks: &mut B,
        number: u32,
    ) -> Result<Self, Error<B::Error>> {
        let inode = volume.inode(blocks, number)?;
        inode.readable()?;
        let mut journal = Journal {
            volume,
            inode,
            end: 1,
            first: 1,
            features: 0,
            seed: 0,
        };
        let Some((start, sequence)) = journal.open(blocks)? else {
            return Ok(Self::default());
        };
        let mut pass = Pass {
            at: start,
            left: journal.end,
            sequence,
            pending: BTreeMap::new(),
            revoked: BTreeSet::new(),
            bad: None,
            done: Self::default(),
        };
        while journal.step(blocks, &mut pass)? {}
        Ok(pass.done)
    }
}

/// A journal.
struct Journal<'a> {
    volume: &'a Volume,
    inode: Inode,
    /// Blocks of it, and the first that is none of its superblock.
    end: u32,
    first: u32,
    features: u32,
    seed: u32,
}

/// A walk over it.
struct Pass {
    at: u32,
    /// Blocks that may still be looked at: each is, once at most.
    left: u32,
    sequence: u32,
    /// What the transaction that is being read says.
    pending: BTreeMap<u64, Copy>,
    revoked: BTreeSet<u64>,
    /// A block of it whose sum is wrong, which matters if it was committed.
    bad: Option<u32>,
    done: Replay,
}

impl Journal<'_> {
    /// Reads the journal's superblock. Where to begin, and with which transaction; `None` where there is nothing in it.
    fn open<B: Blocks>(&mut self, blocks: &mut B) -> Result<Option<(u32, u32)>, Error<B::Error>> {
        let place = Place::Journal(0);
        let mut bytes = [0; 1024];
        let at = self.block(blocks, 0)?;
        self.volume.read(blocks, at, 0, &mut bytes)?;
        let kind = be32(&bytes, 4);
        if be32(&bytes, 0) != MAGIC || !(3..=block_type::SUPERBLOCK_V2).contains(&kind) {
            return Err(corrupt(place, "is not how a journal begins"));
        }
        if kind == block_type::SUPERBLOCK_V2 {
            self.features = be32(&bytes, 0x28);
        }
        let unsupported = |what| Err(Error::Unsupported { place, what });
        if self.features & feature::FAST_COMMIT != 0 {
            return unsupported(
                "may hold fast commits, which are not read here: mount it once where it comes from",
            );
        }
        if self.features & !feature::READ != 0 {
            return unsupported("needs features that came after this reader");
        }
        if self.has_sums() {
            self.seed = carry(!0, &bytes[0x30..0x40]);
            let stands = be32(&bytes, 0xfc);
            le::put(&mut bytes, 0xfc, &[0; 4]);
            if carry(!0, &bytes) != stands {
                return Err(corrupt(place, "does not have the sum that it says it has"));
            }
        }
        let inode_blocks = self.inode.size / u64::from(self.volume.block_bytes());
        (self.end, self.first) = (be32(&bytes, 0x10), be32(&bytes, 0x14));
        let start = be32(&bytes, 0x1c);
        let fits = self.first > 0 && self.first < self.end && u64::from(self.end) <= inode_blocks;
        if !fits || be32(&bytes, 0xc) != self.volume.block_bytes() {
            return Err(corrupt(place, "contradicts its file's length or blocks"));
        }
        if start != 0 && !(self.first..self.end).contains(&start) {
            return Err(corrupt(place, "begins outside of the journal"));
        }
        Ok((start != 0).then_some((start, be32(&bytes, 0x18))))
    }

    const fn has_sums(&self) -> bool {
        self.features & (feature::CSUM_V2 | feature::CSUM_V3) != 0
    }

    /// Where a block of the journal lies.
    fn block<B: Blocks>(&self, blocks: &mut B, number: u32) -> Result<u64, Error<B::Error>> {
        let piece = self.volume.map(blocks, &self.inode, number)?;
        let fault = "is a hole, which no journal has";
        piece.place.ok_or(corrupt(Place::Journal(number), fault))
    }

    /// Takes the next block of a pass: `None` once every one was.
    fn take<B: Blocks>(
        &self,
        blocks: &mut B,
        pass: &mut Pass,
    ) -> Result<Option<(u32, u64)>, Error<B::Error>> {
        if pass.left == 0 {
            return Ok(None);
        }
        pass.left -= 1;
        let number = pass.at;
        pass.at = match number + 1 {
            next if next >= self.end => self.first,
            next => next,
        };
        Ok(Some((number, self.block(blocks, number)?)))
    }

    /// Reads the next block of a transaction. Returns whether there may be another.
    fn step<B: Blocks>(&self, blocks: &mut B, pass: &mut Pass) -> Result<bool, Error<B::Error>> {
        let Some((number, block)) = self.take(blocks, pass)? else {
            return Ok(false);
        };
        let mut head = [0; HEAD_BYTES];
        self.volume.read(blocks, block, 0, &mut head)?;
        // Where the last transaction ends, something older stands, or nothing.
        if be32(&head, 0) != MAGIC || be32(&head, 8) != pass.sequence {
            return Ok(false);
        }
        match be32(&head, 4) {
            block_type::DESCRIPTOR => {
                // One that is torn is part of a transaction that was never committed.
                if !self.tail_is_good(blocks, block)? {
                    return Ok(false);
                }
                self.descriptor(blocks, pass, block)
            }
            block_type::REVOKE => {
                if !self.tail_is_good(blocks, block)? {
                    return Ok(false);
                }
                self.revoke(blocks, pass, number, block)?;
                Ok(true)
            }
            block_type::COMMIT => self.commit(blocks, pass, number, block),
            _ => Ok(false),
        }
    }

    /// Whether the sum at a block's end is right, where blocks have one.
    fn tail_is_good<B: Blocks>(&self, blocks: &mut B, block: u64) -> Result<bool, Error<B::Error>> {
        if !self.has_sums() {
            return Ok(true);
        }
        let (size, mut stands) = (self.volume.block_bytes(), [0; 4]);
        self.volume.read(blocks, block, size - 4, &mut stands)?;
        let tail = [size - 4..size, NOWHERE];
        let sum = self.volume.sum(blocks, self.seed, block, 0..size, tail)?;
        Ok(sum == u32::from_be_bytes(stands))
    }

    /// Takes the tags of a descriptor, and the data behind it.
    fn descriptor<B: Blocks>(
        &self,
        blocks: &mut B,
        pass: &mut Pass,
        block: u64,
    ) -> Result<bool, Error<B::Error>> {
        let wide = self.features & feature::IS_64BIT != 0;
        let third = self.features & feature::CSUM_V3 != 0;
        let tag_bytes = match (third, self.features & feature::CSUM_V2 != 0) {
            (true, _) => 16,
            (false, sums) => 8 + 2 * u32::from(sums) + 4 * u32::from(wide),
        };
        let room = self.volume.block_bytes() - 4 * u32::from(self.has_sums());
        let mut at = HEAD_BYTES as u32;
        while at + tag_bytes <= room {
            let mut tag = [0; 16];
            let held = tag.get_mut(..tag_bytes as usize).unwrap_or_default();
            self.volume.read(blocks, block, at, held)?;
            let (flags, high) = match third {
                true => (be32(&tag, 4), be32(&tag, 8)),
                false => (u32::from(be16(&tag, 6)), be32(&tag, 8)),
            };
            let high = if wide { u64::from(high) << 32 } else { 0 };
            let Some((number, data)) = self.take(blocks, pass)? else {
                return Ok(false);
            };
            if self.has_sums() && !self.data_is_good(blocks, pass.sequence, data, &tag)? {
                pass.bad.get_or_insert(number);
            }
            let copy = Copy {
                block: data,
                escaped: flags & tag_flag::ESCAPED != 0,
            };
            pass.pending.insert(high | u64::from(be32(&tag, 0)), copy);
            bounded(pass.pending.len() + pass.done.len(), number)?;
            if flags & tag_flag::LAST != 0 {
                break;
            }
            at += tag_bytes + 16 * u32::from(flags & tag_flag::SAME_UUID == 0);
        }
        Ok(true)
    }

    /// Whether a data block has the sum of its tag: 32 bits of it, or the lower 16 in the second version.
    fn data_is_good<B: Blocks>(
        &self,
        blocks: &mut B,
        sequence: u32,
        data: u64,
        tag: &[u8],
    ) -> Result<bool, Error<B::Error>> {
        let begin = carry(self.seed, &sequence.to_be_bytes());
        let size = self.volume.block_bytes();
        let sum = self
            .volume
            .sum(blocks, begin, data, 0..size, [NOWHERE, NOWHERE])?;
        Ok(match self.features & feature::CSUM_V3 {
            0 => be16(tag, 4) == sum as u16,
            _ => be32(tag, 12) == sum,
        })
    }

    /// Takes the blocks that must not be read from this transaction or one before it.
    fn revoke<B: Blocks>(
        &self,
        blocks: &mut B,
        pass: &mut Pass,
        number: u32,
        block: u64,
    ) -> Result<(), Error<B::Error>> {
        let mut bytes = [0; 4];
        self.volume.read(blocks, block, 12, &mut bytes)?;
        let room = self.volume.block_bytes() - 4 * u32::from(self.has_sums());
        let end = u32::from_be_bytes(bytes).min(room);
        let size = match self.features & feature::IS_64BIT {
            0 => 4,
            _ => 8,
        };
        let mut at = 16;
        while at + size <= end {
            let mut bytes = [0; 8];
            let held = bytes.get_mut(8 - size as usize..).unwrap_or_default();
            self.volume.read(blocks, block, at, held)?;
            pass.revoked.insert(u64::from_be_bytes(bytes));
            at += size;
        }
        bounded(pass.revoked.len(), number)
    }

    /// Ends a transaction.
    fn commit<B: Blocks>(
        &self,
        blocks: &mut B,
        pass: &mut Pass,
        number: u32,
        block: u64,
    ) -> Result<bool, Error<B::Error>> {
        if self.has_sums() {
            let mut stands = [0; 4];
            self.volume.read(blocks, block, 16, &mut stands)?;
            let size = self.volume.block_bytes();
            let sum = self
                .volume
                .sum(blocks, self.seed, block, 0..size, [16..20, NOWHERE])?;
            if sum != u32::from_be_bytes(stands) {
                return Ok(false);
            }
        }
        if let Some(bad) = pass.bad {
            let fault = "was committed and does not have its sum";
            return Err(corrupt(Place::Journal(bad), fault));
        }
        pass.done.0.append(&mut pass.pending);
        bounded(pass.done.len(), number)?;
        for block in core::mem::take(&mut pass.revoked) {
            pass.done.0.remove(&block);
        }
        pass.sequence = pass.sequence.wrapping_add(1);
        Ok(true)
    }
}

/// Whether so much may be remembered.
fn bounded<E>(count: usize, number: u32) -> Result<(), Error<E>> {
    match count > MAX_REPLAYED {
        true => Err(Error::Unsupported {
            place: Place::Journal(number),
            what: "goes beyond the 65536 blocks that are replayed here: mount it once where it comes from",
        }),
        false => Ok(()),
    }
}
