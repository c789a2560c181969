//! The gates, and what happens behind the last one.

use alloc::vec::Vec;
use core::fmt;

use chacha20poly1305::XNonce;
use chacha20poly1305::aead::{Aead, Payload};
use sabotage::sabotage;

use crate::frame::{Content, Digest, Frame, MAX_CAPSULE, Profile, SIGNATURE_BYTES};
use crate::keys::{KeyWrap, Verifier, cipher};

/// The newest capsule that was made or restored here. Kept where no provider can write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// Its number.
    pub counter: u64,
    /// Its sum.
    pub digest: Digest,
}

/// Why a capsule is not restored. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Longer than any capsule.
    Oversized,
    /// Not in the form of a capsule: cut short, or something else.
    Malformed,
    /// It carries no signature.
    Unsigned,
    /// Something of it was changed since it was sealed, or another signed it.
    Tampered,
    /// Its content is none that is known here.
    UnknownContent(Content),
    /// It belongs to another profile.
    WrongProfile,
    /// A newer application made it.
    WrongSchema(u32),
    /// A newer one was seen.
    Stale {
        /// The number that was seen.
        seen: u64,
        /// Its own number.
        found: u64,
    },
    /// It does not follow the one that was seen: two went on from one state.
    Forked(u64),
    /// Those between the one that was seen and this one are missing, and were not given.
    Gap {
        /// The number that was seen.
        seen: u64,
        /// Its own number.
        found: u64,
    },
    /// The key that wrapped its key is destroyed, or was never here.
    KeyGone,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oversized => f.write_str("longer than any capsule"),
            Self::Malformed => f.write_str("not in the form of a capsule"),
            Self::Unsigned => f.write_str("not signed"),
            Self::Tampered => f.write_str("changed since it was sealed"),
            Self::UnknownContent(content) => write!(f, "content {} is not known", content.0),
            Self::WrongProfile => f.write_str("of another profile"),
            Self::WrongSchema(found) => write!(f, "made with schema {found}"),
            Self::Stale { seen, found } => write!(f, "number {found}, and {seen} was seen"),
            Self::Forked(found) => {
                write!(f, "number {found} does not follow the one that was seen")
            }
            Self::Gap { seen, found } => {
                write!(f, "number {found} does not tell what came after {seen}")
            }
            Self::KeyGone => f.write_str("its key is gone"),
        }
    }
}

impl core::error::Error for Refused {}

/// What is taken here.
#[derive(Clone, Copy, Debug)]
pub struct Gates<'a> {
    /// Whose signature.
    pub verifier: Verifier,
    /// Which profile.
    pub profile: Profile,
    /// Which contents.
    pub known: &'a [Content],
    /// The newest schema.
    pub schema: u32,
    /// What was seen; `None` on a machine that has seen nothing, which cannot know how old a capsule is.
    pub anchor: Option<Anchor>,
    /// The capsules between the anchor and the one to be restored, the oldest first.
    pub between: &'a [&'a [u8]],
}

/// What came out of a capsule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Restored {
    /// What it is.
    pub content: Content,
    /// In which version of the application's format.
    pub schema: u32,
    /// The application's bytes.
    pub payload: Vec<u8>,
    /// What to remember. It becomes true together with the payload.
    pub anchor: Anchor,
}

/// Where a capsule is restored to.
pub trait Transaction {
    /// Why it did not happen.
    type Error;

    /// Takes payload and anchor, both or neither.
    ///
    /// # Errors
    /// Its own; nothing has changed then.
    fn commit(&mut self, restored: &Restored) -> Result<(), Self::Error>;
}

/// Why nothing was restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failed<E> {
    /// The capsule did not pass.
    Refused(Refused),
    /// The transaction failed.
    Commit(E),
}

/// Restores a capsule: every gate first, then one transaction.
///
/// # Errors
/// See [`Failed`]; nothing has changed then.
pub fn restore<T: Transaction>(
    capsule: &[u8],
    gates: &Gates<'_>,
    keys: &mut dyn KeyWrap,
    to: &mut T,
) -> Result<Anchor, Failed<T::Error>> {
    let restored = gates.pass(capsule, keys).map_err(Failed::Refused)?;
    to.commit(&restored).map_err(Failed::Commit)?;
    Ok(restored.anchor)
}

impl Gates<'_> {
    /// Every gate, in this order: what is cheap and needs no key comes first, and nothing is decrypted that is not
    /// signed.
    fn pass(&self, capsule: &[u8], keys: &mut dyn KeyWrap) -> Result<Restored, Refused> {
        let frame = self.signed(capsule)?;
        let Frame { head, digest, .. } = &frame;
        if !self.known.contains(&head.content) && !sabotage!(CAPSULE_ANY_CONTENT) {
            return Err(Refused::UnknownContent(head.content));
        }
        if head.schema > self.schema && !sabotage!(CAPSULE_ANY_SCHEMA) {
            return Err(Refused::WrongSchema(head.schema));
        }
        let anchor = Anchor {
            counter: head.counter,
            digest: *digest,
        };
        self.follows(&frame)?;
        if !keys.holds(frame.wrapped.by) {
            return Err(Refused::KeyGone);
        }
        let key = keys.unwrap(&frame.wrapped, digest);
        let payload = Payload {
            msg: frame.ciphertext,
            aad: frame.head_bytes,
        };
        let nonce = XNonce::from(head.nonce);
        let opened = key.and_then(|key| cipher(&key).decrypt(&nonce, payload).ok());
        let payload = match opened {
            Some(payload) => payload,
            None if sabotage!(CAPSULE_SKIP_TAG) => frame.ciphertext.to_vec(),
            None => return Err(Refused::Tampered),
        };
        Ok(Restored {
            content: head.content,
            schema: head.schema,
            payload,
            anchor,
        })
    }

    /// Size, form, signature and profile: what the capsules between must pass as well.
    fn signed<'a>(&self, capsule: &'a [u8]) -> Result<Frame<'a>, Refused> {
        if capsule.len() > MAX_CAPSULE && !sabotage!(CAPSULE_ANY_SIZE) {
            return Err(Refused::Oversized);
        }
        let frame = Frame::read(capsule).ok_or(Refused::Malformed)?;
        let unsigned = frame.signature == [0; SIGNATURE_BYTES];
        if unsigned && !sabotage!(CAPSULE_UNSIGNED) {
            return Err(Refused::Unsigned);
        }
        let good = self.verifier.is_good(&frame.digest, &frame.signature);
        // A capsule without a signature is let through by its own sabotage alone.
        let excused = match unsigned {
            true => sabotage!(CAPSULE_UNSIGNED),
            false => sabotage!(CAPSULE_ANY_SIGNATURE),
        };
        if !good && !excused {
            return Err(Refused::Tampered);
        }
        if frame.head.profile != self.profile && !sabotage!(CAPSULE_ANY_PROFILE) {
            return Err(Refused::WrongProfile);
        }
        Ok(frame)
    }

    /// Counter and chain. The same capsule as the one that was seen may be restored again.
    fn follows(&self, frame: &Frame<'_>) -> Result<(), Refused> {
        let Some(anchor) = self.anchor else {
            return Ok(());
        };
        let (seen, found) = (anchor.counter, frame.head.counter);
        if found < seen && !sabotage!(CAPSULE_STALE) {
            return Err(Refused::Stale { seen, found });
        }
        if sabotage!(CAPSULE_STALE) || sabotage!(CAPSULE_FORKED) {
            return Ok(());
        }
        if found == seen {
            let same = frame.digest == anchor.digest;
            return same.then_some(()).ok_or(Refused::Forked(found));
        }
        let mut at = anchor;
        for capsule in self.between {
            let next = self.signed(capsule)?;
            if next.head.counter <= seen {
                continue;
            }
            at = step(at, &next, found)?;
        }
        step(at, frame, found).map(|_| ())
    }
}

/// One step along the chain.
fn step(at: Anchor, next: &Frame<'_>, found: u64) -> Result<Anchor, Refused> {
    let counter = next.head.counter;
    if counter.checked_sub(1) != Some(at.counter) {
        let seen = at.counter;
        return Err(Refused::Gap { seen, found });
    }
    if next.head.previous != at.digest {
        return Err(Refused::Forked(counter));
    }
    let digest = next.digest;
    Ok(Anchor { counter, digest })
}
