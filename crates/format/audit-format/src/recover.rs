//! Recovery of a region: what of it is valid, and which rule the rest breaks.

use alloc::vec;
use alloc::vec::Vec;

use crate::error::{Error, Refused};
use crate::key::{INSTALLATION_BYTES, Key};
use crate::record::RECORD_BYTES;
use crate::region::{CELL_BYTES, Geometry, Region, SLOT_CELLS, Superblock};
use crate::rule::Rule;
use crate::segment::{Digest, HEADER_BYTES, Header, Marker, is_blank};

/// What recovery found: the longest run of valid segments from the oldest on, and what broke it off.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recovery {
    /// Valid segments.
    pub segments: u64,
    /// Their records.
    pub records: u64,
    /// Index of the oldest one; that of the next segment where there is none.
    pub oldest: u64,
    /// The newest valid one.
    pub newest: Option<Header>,
    /// A segment had been sealed that the superblock did not count: the last run ended between the two.
    pub uncounted: bool,
    /// One superblock copy is unreadable: the last run ended while it was written, or somebody spoilt it.
    pub spoilt_copy: bool,
    /// What was refused behind the valid run.
    pub refused: Option<Refused>,
    superblock: Superblock,
    /// Of the newest header.
    pub(crate) digest: Digest,
}

impl Recovery {
    /// The superblock that was believed.
    #[must_use]
    pub const fn superblock(&self) -> &Superblock {
        &self.superblock
    }
}

/// Reads both superblocks and gives the newest valid one, the key that it takes, and whether a copy is unreadable.
fn superblock<R: Region>(
    region: &mut R,
    geometry: &Geometry,
    key_of: &dyn Fn(&[u8; INSTALLATION_BYTES]) -> Key,
) -> Result<(Superblock, Key, bool), Error<R::Error>> {
    let mut cells = vec![0; 2 * CELL_BYTES];
    region.read(0, &mut cells)?;
    let mut best: Option<(Superblock, Key)> = None;
    let mut refusal = None;
    let mut blank = false;
    let mut generations = [None; 2];
    for (copy, generation) in cells.chunks_exact(CELL_BYTES).zip(&mut generations) {
        let Some(head) = copy.first_chunk::<HEADER_BYTES>() else {
            continue;
        };
        let key = key_of(&Superblock::installation(head).unwrap_or_default());
        match Superblock::decode(head, &key) {
            Ok(None) => blank = true,
            Ok(Some(found)) => {
                *generation = Some(found.generation);
                if best
                    .as_ref()
                    .is_none_or(|(held, _)| held.generation < found.generation)
                {
                    best = Some((found, key));
                }
            }
            Err(rule) => refusal = refusal.or(Some(rule)),
        }
    }
    let refused = |rule| Error::Refused(Refused { slot: None, rule });
    match (best, refusal) {
        (Some((found, _)), _) if found.slots > geometry.slots() => Err(Error::TooSmall),
        (Some((found, _)), _) if found.slots != geometry.slots() => Err(refused(Rule::BadFormat)),
        (Some((found, key)), refusal) => {
            // Formatting leaves the second copy blank; the first change writes it, and none ever blanks one.
            let erased = blank && found.generation != 0;
            // Each change goes to the copy that is one behind.
            let apart = matches!(generations, [Some(a), Some(b)] if a.abs_diff(b) != 1);
            Ok((found, key, refusal.is_some() || erased || apart))
        }
        (None, Some(rule)) => Err(refused(rule)),
        (None, None) => Err(Error::Blank),
    }
}

/// One slot as read.
struct Slot {
    bytes: Vec<u8>,
}

impl Slot {
    fn header(&self) -> [u8; HEADER_BYTES] {
        le::array(&self.bytes, 0)
    }

    fn body(&self) -> &[u8] {
        self.bytes.get(CELL_BYTES..).unwrap_or_default()
    }
}

/// A region whose superblock was believed, while its segments are read.
struct Scan<'r, R: Region> {
    region: &'r mut R,
    geometry: Geometry,
    key: Key,
    found: Recovery,
}

impl<R: Region> Scan<'_, R> {
    fn load(&mut self, slot: u64) -> Result<Slot, Error<R::Error>> {
        let mut bytes = vec![0; SLOT_CELLS as usize * CELL_BYTES];
        self.region.read(self.geometry.cell_of(slot), &mut bytes)?;
        Ok(Slot { bytes })
    }

    /// Checks the segment that must be number `index`. `Ok(None)`: its header is blank.
    fn check(&self, slot: &Slot, index: u64) -> Result<Option<(Header, Digest)>, Rule> {
        let block = slot.header();
        if is_blank(&block) {
            return Ok(None);
        }
        let header = Header::decode(&block, &self.key)?;
        if header.index < index {
            return Err(Rule::Replayed);
        }
        if header.index > index {
            return Err(Rule::Reordered);
        }
        if header.installation != self.found.superblock.installation {
            return Err(Rule::BadFormat);
        }
        header.check_records(slot.body())?;
        let digest = Digest::of_header(&block);
        match &self.found.newest {
            Some(before) => header.follows(before, self.found.digest)?,
            // The first of all names none; where the ring of slots has turned, the one before is gone.
            None if header.index == 0 && header.previous != Digest::NONE => {
                return Err(Rule::BrokenLink);
            }
            None if header.marker == Marker::Boot && !header.starts_a_boot() => {
                return Err(Rule::BrokenChain);
            }
            None => {}
        }
        Ok(Some((header, digest)))
    }

    fn take(&mut self, header: Header, digest: Digest) {
        self.found.segments += 1;
        self.found.records += u64::from(header.count);
        self.found.newest = Some(header);
        self.found.digest = digest;
    }

    fn refuse(&mut self, slot: u64, rule: Rule) {
        self.found.refused = Some(Refused {
            slot: Some(slot),
            rule,
        });
    }

    /// Reads every slot, oldest segment first, until one is refused.
    fn run(&mut self, visit: &mut dyn FnMut(&Header, &[u8])) -> Result<(), Error<R::Error>> {
        let next = self.found.superblock.next_index;
        let slots = self.geometry.slots();
        let oldest = next.saturating_sub(slots);
        self.found.oldest = oldest;
        for index in oldest..next {
            let place = self.geometry.slot_of(index);
            let slot = self.load(place)?;
            match self.check(&slot, index) {
                Ok(Some((header, digest))) => {
                    visit(&header, slot.body());
                    self.take(header, digest);
                }
                // The slot of the next segment: it is blanked before it is written.
                Ok(None) if index + slots == next => self.found.oldest = index + 1,
                // The next segment is there already, and not yet counted.
                Err(Rule::Reordered) if index + slots == next && self.is_next(&slot) => {
                    self.found.oldest = index + 1;
                }
                Ok(None) => {
                    self.refuse(place, Rule::Missing);
                    return Ok(());
                }
                Err(rule) => {
                    self.refuse(place, rule);
                    return Ok(());
                }
            }
        }
        if next > 0 && self.found.digest != self.found.superblock.newest {
            self.refuse(self.geometry.slot_of(next - 1), Rule::RolledBack);
            return Ok(());
        }
        self.run_on(next, visit)
    }

    /// Whether the slot holds a sealed header of the next segment.
    fn is_next(&self, slot: &Slot) -> bool {
        Header::decode(&slot.header(), &self.key)
            .is_ok_and(|header| header.index == self.found.superblock.next_index)
    }

    /// What lies in slots that hold no counted segment: at most the next one.
    fn run_on(
        &mut self,
        next: u64,
        visit: &mut dyn FnMut(&Header, &[u8]),
    ) -> Result<(), Error<R::Error>> {
        let slots = self.geometry.slots();
        // In a ring that has turned, every other slot was looked at already.
        let beyond = if next < slots { slots - next } else { 1 };
        for index in next..next + beyond {
            let place = self.geometry.slot_of(index);
            let slot = self.load(place)?;
            let turned = index >= slots && !self.is_next(&slot);
            if turned {
                break;
            }
            match self.check(&slot, index) {
                Ok(None) => {}
                Ok(Some((header, digest))) if index == next => {
                    visit(&header, slot.body());
                    self.take(header, digest);
                    self.found.uncounted = true;
                }
                // More than one segment that nobody counted.
                Ok(Some(_)) => {
                    self.refuse(place, Rule::RolledBack);
                    break;
                }
                Err(rule) => {
                    self.refuse(place, rule);
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Reads a region and checks everything in it. `visit` sees each valid segment, oldest first, with its records.
///
/// # Errors
/// Those of [`Error`] that concern superblocks, size and device. A refused segment is no error: [`Recovery::refused`].
pub fn recover<R: Region>(
    region: &mut R,
    key_of: &dyn Fn(&[u8; INSTALLATION_BYTES]) -> Key,
    visit: &mut dyn FnMut(&Header, &[u8]),
) -> Result<(Recovery, Key), Error<R::Error>> {
    let geometry = Geometry::of_cells(region.cells()).ok_or(Error::TooSmall)?;
    let (superblock, key, spoilt_copy) = superblock(region, &geometry, key_of)?;
    let mut scan = Scan {
        region,
        geometry,
        key,
        found: Recovery {
            segments: 0,
            records: 0,
            oldest: 0,
            newest: None,
            uncounted: false,
            spoilt_copy,
            refused: None,
            superblock,
            digest: Digest::NONE,
        },
    };
    scan.run(&mut |header, body| {
        let records = body.get(..header.count as usize * RECORD_BYTES);
        visit(header, records.unwrap_or_default());
    })?;
    Ok((scan.found, scan.key))
}
