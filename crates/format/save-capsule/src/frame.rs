//! Where each field of a capsule lies.

use le::checked;
use sha2::{Digest as _, Sha256};

/// A wrapped key with its tag.
pub const WRAPPED_BYTES: usize = 48;

/// Which key wrapped another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyId(pub [u8; 16]);

/// A capsule's key, wrapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wrapped {
    /// By which key.
    pub by: KeyId,
    /// Never used twice with that key.
    pub nonce: [u8; 24],
    /// The key and its tag.
    pub key: [u8; WRAPPED_BYTES],
}

/// SHA-256 over a capsule's signed part.
pub type Digest = [u8; 32];

/// A set of records, by a random number.
pub type Profile = [u8; 16];

/// What a payload is. Numbers are the application's; whoever restores says which it knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Content(pub u32);

pub(crate) const MAGIC: [u8; 8] = *b"capcaps1";
pub(crate) const HEAD_BYTES: usize = 104;
pub(crate) const TAG_BYTES: usize = 16;
pub(crate) const SIGNATURE_BYTES: usize = 64;
const WRAP_BYTES: usize = 16 + 24 + WRAPPED_BYTES;

/// The longest payload: 12 KiB of ciphertext with its tag.
pub const MAX_PAYLOAD: usize = (12 << 10) - TAG_BYTES;

/// What a capsule adds to a payload.
pub const OVERHEAD: usize = HEAD_BYTES + TAG_BYTES + SIGNATURE_BYTES + WRAP_BYTES;

/// The longest capsule.
pub const MAX_CAPSULE: usize = MAX_PAYLOAD + OVERHEAD;

/// The fields before the ciphertext.
pub(crate) struct Head {
    pub content: Content,
    pub schema: u32,
    pub counter: u64,
    pub profile: Profile,
    pub previous: Digest,
    pub nonce: [u8; 24],
}

impl Head {
    pub(crate) fn encode(&self, ciphertext_bytes: u32) -> [u8; HEAD_BYTES] {
        let mut head = [0; HEAD_BYTES];
        le::put(&mut head, 0, &MAGIC);
        le::put(&mut head, 8, &self.content.0.to_le_bytes());
        le::put(&mut head, 12, &self.schema.to_le_bytes());
        le::put(&mut head, 16, &self.counter.to_le_bytes());
        le::put(&mut head, 24, &self.profile);
        le::put(&mut head, 40, &self.previous);
        le::put(&mut head, 72, &self.nonce);
        le::put(&mut head, 96, &ciphertext_bytes.to_le_bytes());
        head
    }
}

/// A capsule taken apart, with nothing of it believed.
pub(crate) struct Frame<'a> {
    pub head: Head,
    pub head_bytes: &'a [u8],
    pub ciphertext: &'a [u8],
    pub signature: [u8; SIGNATURE_BYTES],
    pub wrapped: Wrapped,
    pub digest: Digest,
}

impl<'a> Frame<'a> {
    /// `None` where lengths, spare bytes or the first eight bytes are no capsule's.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head_bytes, rest) = bytes.split_at_checked(HEAD_BYTES)?;
        if checked::array(head_bytes, 0)? != MAGIC || !le::is_zero(head_bytes, 100, 104) {
            return None;
        }
        let length = usize::try_from(le::u32(head_bytes, 96)).ok()?;
        let (ciphertext, rest) = rest.split_at_checked(length)?;
        if length < TAG_BYTES || rest.len() != SIGNATURE_BYTES + WRAP_BYTES {
            return None;
        }
        let counter = le::u64(head_bytes, 16);
        let head = Head {
            content: Content(le::u32(head_bytes, 8)),
            schema: le::u32(head_bytes, 12),
            counter,
            profile: le::array(head_bytes, 24),
            previous: le::array(head_bytes, 40),
            nonce: le::array(head_bytes, 72),
        };
        let wrapped = Wrapped {
            by: KeyId(le::array(rest, 64)),
            nonce: le::array(rest, 80),
            key: le::array(rest, 104),
        };
        (counter > 0).then(|| Self {
            head,
            head_bytes,
            ciphertext,
            signature: le::array(rest, 0),
            wrapped,
            digest: digest(head_bytes, ciphertext),
        })
    }
}

pub(crate) fn digest(head: &[u8], ciphertext: &[u8]) -> Digest {
    let sum = Sha256::new().chain_update(head).chain_update(ciphertext);
    sum.finalize().into()
}
