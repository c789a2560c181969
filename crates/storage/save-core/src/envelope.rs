//! A record as bytes. Little-endian; `docs/save-format.md` has the table.

use alloc::vec::Vec;

use le::checked;
use sha2::{Digest as _, Sha256};

use crate::facet::RetryKey;
use crate::{Kind, Name, Profile, Refusal, Scope, Tenant};

/// SHA-256 over a whole envelope.
pub type Digest = [u8; 32];

/// How many earlier retry keys an envelope carries.
pub const RECENT: usize = 6;

const MAGIC: [u8; 8] = *b"capsave1";
const HEAD_BYTES: usize = 216;
const SUM_BYTES: usize = 32;
const NAME_BYTES: usize = 64;

/// What an envelope adds to a payload at most.
pub const ENVELOPE_BYTES: usize = HEAD_BYTES + NAME_BYTES + SUM_BYTES;

/// A record with everything that is compared when it is loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Envelope {
    /// Whose.
    pub scope: Scope,
    /// What kind of record.
    pub kind: Kind,
    /// What it is called.
    pub name: Name,
    /// The application's format.
    pub schema: u32,
    /// From 1 on; a line's place in its ledger, from 0 on; a ledger's length.
    pub version: u64,
    /// Who wrote it.
    pub epoch: u64,
    /// The call that wrote it, and those that wrote the versions before it; zeroes where there was none.
    pub retry: [RetryKey; RECENT + 1],
    /// The sum of the version or line before; zeroes in the first. In a length, that of the last line.
    pub previous: Digest,
    /// The application's bytes.
    pub payload: Vec<u8>,
}

impl Envelope {
    /// Its bytes, and the sum over them.
    #[must_use]
    pub fn encode(&self) -> (Vec<u8>, Digest) {
        let name = self.name.text().as_bytes();
        let payload_bytes = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(ENVELOPE_BYTES + self.payload.len());
        out.extend(MAGIC);
        // A name has 64 bytes at most.
        out.extend([self.kind.number(), name.len() as u8, 0, 0]);
        out.extend(self.schema.to_le_bytes());
        out.extend(self.version.to_le_bytes());
        out.extend(self.epoch.to_le_bytes());
        out.extend(self.scope.tenant.0);
        out.extend(self.scope.profile.0);
        self.retry.iter().for_each(|key| out.extend(key.0));
        out.extend(self.previous);
        out.extend(payload_bytes.to_le_bytes());
        out.extend([0; 4]);
        out.extend(name);
        out.extend(&self.payload);
        let sum: Digest = Sha256::digest(&out).into();
        out.extend(sum);
        (out, sum)
    }

    /// Reads one, and the sum over it.
    ///
    /// # Errors
    /// [`Refusal::Damaged`] for whatever [`Envelope::encode`] has not made.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Digest), Refusal> {
        Self::read(bytes).ok_or(Refusal::Damaged)
    }

    fn read(bytes: &[u8]) -> Option<(Self, Digest)> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM_BYTES)?)?;
        let sum: Digest = sum.try_into().ok()?;
        if Digest::from(Sha256::digest(body)) != sum {
            return None;
        }
        let (head, rest) = body.split_at_checked(HEAD_BYTES)?;
        let zero = le::is_zero(head, 10, 12) && le::is_zero(head, 212, 216);
        if checked::array(head, 0)? != MAGIC || !zero {
            return None;
        }
        let (name, payload) = rest.split_at_checked(usize::from(le::u8(head, 9)))?;
        if le::u32(head, 208) as usize != payload.len() {
            return None;
        }
        let envelope = Self {
            scope: Scope {
                tenant: Tenant(le::array(head, 32)),
                profile: Profile(le::array(head, 48)),
            },
            kind: Kind::of(le::u8(head, 8))?,
            name: Name::new(core::str::from_utf8(name).ok()?).ok()?,
            schema: le::u32(head, 12),
            version: le::u64(head, 16),
            epoch: le::u64(head, 24),
            retry: core::array::from_fn(|at| RetryKey(le::array(head, 64 + 16 * at))),
            previous: le::array(head, 176),
            payload: payload.to_vec(),
        };
        Some((envelope, sum))
    }
}
