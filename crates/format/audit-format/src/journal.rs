//! Appending to a region, in an order that survives a crash at any point.
//!
//! A segment is appended in four steps with a flush behind each: the slot's old header is blanked; the records are
//! written; the sealed header is written, one block; one superblock copy is written, one block. A crash leaves either
//! the state before, or a segment that the superblock does not count yet, which recovery takes in. Everything else that
//! recovery finds was done by somebody else, and is refused.

use crate::error::Error;
use crate::key::{INSTALLATION_BYTES, Key, Secret};
use crate::record::{Chain, RECORD_BYTES};
use crate::recover::{Recovery, recover};
use crate::region::{CELL_BYTES, Geometry, Region, Superblock};
use crate::segment::{Digest, HEADER_BYTES, Header, Marker, SEGMENT_RECORDS};

/// Records to append, as a read of the log gave them.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'r> {
    /// Sequence number of the first record.
    pub first: u64,
    /// Whole records, one to [`SEGMENT_RECORDS`].
    pub records: &'r [u8],
    /// Records lost just before the first one.
    pub dropped: u64,
    /// Refusals counted and not recorded, since the boot.
    pub suppressed: u64,
    /// The chain before the first record.
    pub before: Chain,
}

/// A region that segments are appended to.
#[derive(Debug)]
pub struct Journal<R: Region> {
    region: R,
    geometry: Geometry,
    key: Key,
    superblock: Superblock,
    /// The segment appended last in this boot, or the newest one recovered.
    newest: Option<Header>,
    /// Nothing was appended yet since the journal was opened.
    fresh: bool,
}

impl<R: Region> Journal<R> {
    /// Makes a region out of a blank one. `installation` names it for good; let it be random.
    ///
    /// # Errors
    /// The device's; [`Error::TooSmall`].
    pub fn format(
        region: &mut R,
        secret: &Secret,
        installation: [u8; INSTALLATION_BYTES],
    ) -> Result<(), Error<R::Error>> {
        let geometry = Geometry::of_cells(region.cells()).ok_or(Error::TooSmall)?;
        let key = Key::derive(secret, &installation);
        let blank = [0; CELL_BYTES];
        for slot in 0..geometry.slots() {
            region.write(geometry.cell_of(slot), &blank)?;
        }
        region.write(1, &blank)?;
        region.flush()?;
        let first = Superblock {
            slots: geometry.slots(),
            installation,
            generation: 0,
            next_index: 0,
            boots: 0,
            key: key.id(),
            newest: Digest::NONE,
        };
        region.write(0, &cell(&first.encode(&key)))?;
        region.flush()?;
        Ok(())
    }

    /// Recovers a region and goes on with it.
    ///
    /// # Errors
    /// As [`recover`]; [`Error::Refused`] for the first thing that breaks a rule: nothing is written over then.
    pub fn open(
        mut region: R,
        key_of: &dyn Fn(&[u8; INSTALLATION_BYTES]) -> Key,
        visit: &mut dyn FnMut(&Header, &[u8]),
    ) -> Result<(Self, Recovery), Error<R::Error>> {
        let (found, key) = recover(&mut region, key_of, visit)?;
        if let Some(refused) = found.refused {
            return Err(Error::Refused(refused));
        }
        let geometry = Geometry::of_cells(region.cells()).ok_or(Error::TooSmall)?;
        let mut superblock = *found.superblock();
        if let (true, Some(newest)) = (found.uncounted, &found.newest) {
            superblock.next_index = newest.index + 1;
            superblock.newest = found.digest;
            superblock.boots = superblock.boots.max(newest.boot + 1);
        }
        let journal = Self {
            region,
            geometry,
            key,
            superblock,
            newest: found.newest,
            fresh: true,
        };
        Ok((journal, found))
    }

    /// The key that it seals with.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Index of the next segment.
    #[must_use]
    pub const fn next_index(&self) -> u64 {
        self.superblock.next_index
    }

    /// Seals a batch and appends it. When this returns, it lasts.
    ///
    /// # Errors
    /// The device's; [`Error::BadBatch`]. After an error of the device the segment may be there or not; the region is
    /// recovered before more is appended.
    pub fn append(&mut self, batch: &Batch<'_>) -> Result<Header, Error<R::Error>> {
        let (whole, rest) = batch.records.as_chunks::<RECORD_BYTES>();
        if whole.is_empty() || whole.len() > SEGMENT_RECORDS || !rest.is_empty() {
            return Err(Error::BadBatch);
        }
        let boot = if self.fresh {
            self.superblock.boots
        } else {
            self.superblock.boots.saturating_sub(1)
        };
        let header = Header {
            index: self.superblock.next_index,
            boot,
            marker: if self.fresh {
                Marker::Boot
            } else {
                Marker::None
            },
            first: batch.first,
            count: whole.len() as u32,
            dropped: batch.dropped,
            suppressed: batch.suppressed,
            key: self.key.id(),
            previous_key: self.newest.map_or(self.key.id(), |newest| newest.key),
            installation: self.superblock.installation,
            records: Digest::of_records(batch.records),
            previous: self.superblock.newest,
            before: batch.before,
            after: batch.before.over(batch.records),
        };
        let block = header.encode(&self.key);
        let at = self.geometry.cell_of(self.geometry.slot_of(header.index));
        self.region.write(at, &[0; CELL_BYTES])?;
        self.region.flush()?;
        let mut body = batch.records.to_vec();
        body.resize(body.len().next_multiple_of(CELL_BYTES), 0);
        self.region.write(at + 1, &body)?;
        self.region.flush()?;
        self.region.write(at, &cell(&block))?;
        self.region.flush()?;

        let superblock = Superblock {
            generation: self.superblock.generation + 1,
            next_index: header.index + 1,
            boots: boot + 1,
            newest: Digest::of_header(&block),
            ..self.superblock
        };
        let copy = superblock.generation % 2;
        self.region
            .write(copy, &cell(&superblock.encode(&self.key)))?;
        self.region.flush()?;
        self.superblock = superblock;
        self.newest = Some(header);
        self.fresh = false;
        Ok(header)
    }

    /// Gives the region back.
    #[must_use]
    pub fn into_region(self) -> R {
        self.region
    }
}

/// A block at the beginning of a cell that is blank else.
fn cell(block: &[u8; HEADER_BYTES]) -> [u8; CELL_BYTES] {
    let mut cell = [0; CELL_BYTES];
    le::put(&mut cell, 0, block);
    cell
}
