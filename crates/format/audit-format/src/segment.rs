//! A segment: up to [`SEGMENT_RECORDS`] records of one boot under a sealed header.

use sabotage::sabotage;
use sha2::{Digest as _, Sha256};

use crate::key::{INSTALLATION_BYTES, Key, KeyId};
use crate::record::{Chain, RECORD_BYTES, Record};
use crate::rule::Rule;

/// Records of a segment, at most.
pub const SEGMENT_RECORDS: usize = 128;
/// Bytes of a header on disk.
pub const HEADER_BYTES: usize = 512;

const MAGIC: [u8; 8] = *b"CAPOSAUS";
const VERSION: u32 = 1;
/// The seal stands behind what it covers.
const SEAL_AT: usize = 256;
const SEAL_END: usize = SEAL_AT + 32;

/// SHA-256 of something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// What the first segment names as the one before it.
    pub const NONE: Self = Self([0; 32]);

    /// The digest of records as they lie in a segment.
    #[must_use]
    pub fn of_records(records: &[u8]) -> Self {
        Self::of(b"capOS audit records 1", records)
    }

    /// The digest by which the next segment names this one: over the header with its seal.
    #[must_use]
    pub fn of_header(header: &[u8; HEADER_BYTES]) -> Self {
        Self::of(b"capOS audit header 1", header)
    }

    fn of(label: &[u8], bytes: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(label).chain_update(bytes);
        Self(hash.finalize().into())
    }
}

/// What sets a segment apart from the one before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Marker {
    /// Nothing: it goes on where the last one ended.
    None,
    /// It is the first of a boot: sequence numbers and the chain begin anew.
    Boot,
}

/// A segment's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Its number; the first segment of a region is 0.
    pub index: u64,
    /// How many boots had sealed segments before this one.
    pub boot: u64,
    /// Rotation marker.
    pub marker: Marker,
    /// Sequence number of the first record.
    pub first: u64,
    /// How many records follow; at least one.
    pub count: u32,
    /// Records that were lost just before the first one.
    pub dropped: u64,
    /// Refusals that were counted and not recorded, since the boot.
    pub suppressed: u64,
    /// The key that sealed it.
    pub key: KeyId,
    /// The key that sealed the segment before it.
    pub previous_key: KeyId,
    /// The installation it belongs to.
    pub installation: [u8; INSTALLATION_BYTES],
    /// Digest of the records.
    pub records: Digest,
    /// Digest of the sealed header before it; [`Digest::NONE`] for the first.
    pub previous: Digest,
    /// The chain before the first record.
    pub before: Chain,
    /// The chain after the last record.
    pub after: Chain,
}

impl Header {
    /// Sequence number of the last record.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.first.saturating_add(self.count as u64 - 1)
    }

    /// Lays the header out and seals it.
    #[must_use]
    pub fn encode(&self, key: &Key) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        let marker = match self.marker {
            Marker::None => 0u32,
            Marker::Boot => 1,
        };
        le::put(&mut out, 0, &MAGIC);
        le::put(&mut out, 8, &VERSION.to_le_bytes());
        le::put(&mut out, 12, &marker.to_le_bytes());
        le::put(&mut out, 16, &self.index.to_le_bytes());
        le::put(&mut out, 24, &self.boot.to_le_bytes());
        le::put(&mut out, 32, &self.first.to_le_bytes());
        le::put(&mut out, 40, &self.last().to_le_bytes());
        le::put(&mut out, 48, &self.count.to_le_bytes());
        le::put(&mut out, 52, &(RECORD_BYTES as u32).to_le_bytes());
        le::put(&mut out, 56, &self.dropped.to_le_bytes());
        le::put(&mut out, 64, &self.key.0);
        le::put(&mut out, 72, &self.previous_key.0);
        le::put(&mut out, 80, &self.installation);
        le::put(&mut out, 96, &self.records.0);
        le::put(&mut out, 128, &self.previous.0);
        le::put(&mut out, 160, &self.before.0);
        le::put(&mut out, 192, &self.after.0);
        le::put(&mut out, 224, &self.suppressed.to_le_bytes());
        seal(&mut out, key);
        out
    }

    /// Reads a header and checks its seal.
    ///
    /// # Errors
    /// [`Rule::BadFormat`], [`Rule::WrongKey`], [`Rule::BadSeal`].
    pub fn decode(bytes: &[u8; HEADER_BYTES], key: &Key) -> Result<Self, Rule> {
        if le::array::<8>(bytes, 0) != MAGIC || le::u32(bytes, 8) != VERSION {
            return Err(Rule::BadFormat);
        }
        check_seal(bytes, 64, key)?;
        let marker = match le::u32(bytes, 12) {
            0 => Marker::None,
            1 => Marker::Boot,
            _ => return Err(Rule::BadFormat),
        };
        let count = le::u32(bytes, 48);
        let (first, last) = (le::u64(bytes, 32), le::u64(bytes, 40));
        let right = count >= 1
            && count as usize <= SEGMENT_RECORDS
            && first >= 1
            && first.checked_add(u64::from(count) - 1) == Some(last)
            && le::u32(bytes, 52) as usize == RECORD_BYTES;
        if !right {
            return Err(Rule::BadFormat);
        }
        Ok(Self {
            index: le::u64(bytes, 16),
            boot: le::u64(bytes, 24),
            marker,
            first,
            count,
            dropped: le::u64(bytes, 56),
            suppressed: le::u64(bytes, 224),
            key: KeyId(le::array(bytes, 64)),
            previous_key: KeyId(le::array(bytes, 72)),
            installation: le::array(bytes, 80),
            records: Digest(le::array(bytes, 96)),
            previous: Digest(le::array(bytes, 128)),
            before: Chain(le::array(bytes, 160)),
            after: Chain(le::array(bytes, 192)),
        })
    }

    /// Checks the records that lie behind the header; `body` may be longer than they are. Returns them.
    ///
    /// # Errors
    /// [`Rule::Truncated`], [`Rule::BadDigest`], [`Rule::BadRecord`], [`Rule::BrokenChain`].
    pub fn check_records<'b>(&self, body: &'b [u8]) -> Result<&'b [u8], Rule> {
        let bytes = self.count as usize * RECORD_BYTES;
        let records = body.get(..bytes).ok_or(Rule::Truncated)?;
        let (whole, _) = records.as_chunks::<RECORD_BYTES>();
        if whole.last().is_none_or(|last| is_blank(last)) {
            return Err(Rule::Truncated);
        }
        if Digest::of_records(records) != self.records {
            return Err(Rule::BadDigest);
        }
        let consecutive = (self.first..).zip(whole).all(|(sequence, bytes)| {
            Record::decode(bytes).is_some_and(|record| record.sequence == sequence)
        });
        if !consecutive {
            return Err(Rule::BadRecord);
        }
        if self.before.over(records) != self.after {
            return Err(Rule::BrokenChain);
        }
        Ok(records)
    }

    /// Checks that this segment goes on where `before`, the one with the index before it, ended.
    ///
    /// # Errors
    /// [`Rule::BrokenLink`], [`Rule::BrokenChain`].
    pub fn follows(&self, before: &Self, digest: Digest) -> Result<(), Rule> {
        let linked = self.previous == digest && self.previous_key == before.key;
        if !linked && !sabotage!(SERVICE_SKIP_LINK) {
            return Err(Rule::BrokenLink);
        }
        let same_boot = self.boot == before.boot && self.marker == Marker::None;
        let right = if same_boot {
            let next = before.last().saturating_add(1);
            let joined = self.dropped != 0 || self.before == before.after;
            self.first == next.saturating_add(self.dropped) && joined
        } else {
            self.boot > before.boot && self.starts_a_boot()
        };
        right.then_some(()).ok_or(Rule::BrokenChain)
    }

    /// Whether it may be the first of a boot: of what came before it in that boot, all is counted as dropped.
    #[must_use]
    pub fn starts_a_boot(&self) -> bool {
        let joined = self.dropped != 0 || self.before == Chain::GENESIS;
        self.marker == Marker::Boot && self.first == self.dropped.saturating_add(1) && joined
    }
}

/// Puts the seal behind what it covers.
pub(crate) fn seal(block: &mut [u8; HEADER_BYTES], key: &Key) {
    let seal = key.seal(block.get(..SEAL_AT).unwrap_or_default());
    le::put(block, SEAL_AT, &seal);
}

/// Checks key and seal of a sealed block; the key's identifier stands at `key_at`. What lies behind the seal is blank.
pub(crate) fn check_seal(block: &[u8; HEADER_BYTES], key_at: usize, key: &Key) -> Result<(), Rule> {
    if KeyId(le::array(block, key_at)) != key.id() {
        return Err(Rule::WrongKey);
    }
    let covered = block.get(..SEAL_AT).unwrap_or_default();
    let seal = block.get(SEAL_AT..SEAL_END).unwrap_or_default();
    if !key.verifies(covered, seal) {
        return Err(Rule::BadSeal);
    }
    let rest = block.get(SEAL_END..).unwrap_or_default();
    is_blank(rest).then_some(()).ok_or(Rule::BadFormat)
}

/// Whether nothing was ever written here.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    le::is_zero(bytes, 0, bytes.len())
}
