//! What is kept of a record's capsules. Little-endian; `docs/save-format.md` has the table.

use alloc::vec::Vec;

use le::checked;
use save_capsule::{Anchor, MAX_CAPSULE};
use save_core::{Backend, Condition, Digest, Key, Refusal, Scope, Slot};
use sha2::{Digest as _, Sha256};

use crate::{Sealed, only};

/// What a capsule is called at a provider: 128 random bits.
pub type Handle = [u8; 16];

const MAGIC: [u8; 8] = *b"capvault";
const HEAD_BYTES: usize = 80;
const SUM_BYTES: usize = 32;

/// The newest capsule that was made or restored here, and that itself until it was sent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct State {
    pub anchor: Option<Anchor>,
    /// The version of the record that it was made from or restored as.
    pub version: u64,
    pub handle: Handle,
    /// Empty once it was sent.
    pub capsule: Vec<u8>,
}

impl State {
    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.capsule.len()).unwrap_or(u32::MAX);
        let mut out = Vec::with_capacity(HEAD_BYTES + self.capsule.len() + SUM_BYTES);
        out.extend(MAGIC);
        // No capsule has the number 0.
        out.extend(self.anchor.map_or(0, |anchor| anchor.counter).to_le_bytes());
        out.extend(self.anchor.map_or([0; 32], |anchor| anchor.digest));
        out.extend(self.version.to_le_bytes());
        out.extend(self.handle);
        out.extend(length.to_le_bytes());
        out.extend([0; 4]);
        out.extend(&self.capsule);
        let sum: Digest = Sha256::digest(&out).into();
        out.extend(sum);
        out
    }

    /// `None` for whatever [`State::encode`] has not made.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM_BYTES)?)?;
        let (head, capsule) = body.split_at_checked(HEAD_BYTES)?;
        if sum != Digest::from(Sha256::digest(body)) || checked::array(head, 0)? != MAGIC {
            return None;
        }
        let (counter, digest) = (le::u64(head, 8), le::array(head, 16));
        let state = Self {
            anchor: (counter > 0).then_some(Anchor { counter, digest }),
            version: le::u64(head, 48),
            handle: le::array(head, 56),
            capsule: capsule.to_vec(),
        };
        let fits = capsule.len() <= MAX_CAPSULE;
        (fits && state.encode() == bytes).then_some(state)
    }

    /// The capsule that is to be sent.
    pub fn waits(&self) -> Option<Sealed> {
        (!self.capsule.is_empty()).then(|| Sealed {
            handle: self.handle,
            version: self.version,
            capsule: self.capsule.clone(),
        })
    }
}

/// What is kept of a record's capsules, and the condition under which it may be replaced.
pub(crate) fn load(
    store: &mut impl Backend,
    scope: &Scope,
    key: &Key,
) -> Result<(State, Condition), Refusal> {
    let loaded = store.load(scope, &Slot::capsule(key))?;
    let state = match &loaded {
        Some(loaded) => State::decode(&loaded.bytes).ok_or(Refusal::Damaged)?,
        None => State::default(),
    };
    Ok((state, only(loaded.as_ref())))
}
