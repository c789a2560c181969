//! Making capsules.

use alloc::vec::Vec;

use chacha20poly1305::XNonce;
use chacha20poly1305::aead::{Aead, Payload};
use sabotage::sabotage;

use crate::frame::{Content, Frame, Head, MAX_PAYLOAD, Profile, TAG_BYTES, Wrapped, digest};
use crate::keys::{KeyWrap, Signer, cipher};
use crate::restore::{Anchor, Refused};

/// Random numbers for one capsule. They are used up by it: a nonce must never meet a key twice.
pub struct Dice {
    /// The capsule's key.
    pub key: [u8; 32],
    /// For the payload.
    pub nonce: [u8; 24],
    /// For wrapping the key.
    pub wrap_nonce: [u8; 24],
}

impl core::fmt::Debug for Dice {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Dice")
    }
}

/// What goes into a capsule.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a> {
    /// Whose.
    pub profile: Profile,
    /// What the payload is.
    pub content: Content,
    /// In which version of the application's format.
    pub schema: u32,
    /// The application's bytes.
    pub payload: &'a [u8],
}

/// The payload is longer than [`MAX_PAYLOAD`], the counter is at its end, or no key is there to wrap with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLarge;

/// Seals a capsule that follows `after`, and says what anchor to keep. It is kept before the capsule leaves: otherwise
/// a crash between the two makes two capsules of one number.
///
/// # Errors
/// [`TooLarge`].
pub fn seal(
    plain: &Plain<'_>,
    after: Option<Anchor>,
    signer: &Signer,
    wrap: &mut dyn KeyWrap,
    dice: Dice,
) -> Result<(Vec<u8>, Anchor), TooLarge> {
    let fits = plain.payload.len() <= MAX_PAYLOAD || sabotage!(CAPSULE_ANY_SIZE);
    let length = u32::try_from(plain.payload.len() + TAG_BYTES).map_err(|_| TooLarge)?;
    let counter = after.map_or(0, |after| after.counter).checked_add(1);
    let counter = counter.filter(|_| fits).ok_or(TooLarge)?;
    let head = Head {
        content: plain.content,
        schema: plain.schema,
        counter,
        profile: plain.profile,
        previous: after.map_or([0; 32], |after| after.digest),
        nonce: dice.nonce,
    };
    let mut bytes = Vec::from(head.encode(length));
    let payload = Payload {
        msg: plain.payload,
        aad: &bytes,
    };
    let nonce = XNonce::from(dice.nonce);
    let ciphertext = cipher(&dice.key)
        .encrypt(&nonce, payload)
        .map_err(|_| TooLarge)?;
    let digest = digest(&bytes, &ciphertext);
    let wrapped = wrap
        .wrap(&dice.key, dice.wrap_nonce, &digest)
        .ok_or(TooLarge)?;
    bytes.extend(ciphertext);
    bytes.extend(signer.sign(&digest));
    put_wrapped(&mut bytes, &wrapped);
    Ok((bytes, Anchor { counter, digest }))
}

fn put_wrapped(bytes: &mut Vec<u8>, wrapped: &Wrapped) {
    bytes.extend(wrapped.by.0);
    bytes.extend(wrapped.nonce);
    bytes.extend(wrapped.key);
}

/// The same capsule with its key wrapped by another one: sum, signature and chain stay. This is how keys are rotated.
///
/// # Errors
/// [`Refused::Malformed`], [`Refused::KeyGone`], [`Refused::Tampered`].
pub fn rewrap(
    capsule: &[u8],
    from: &mut dyn KeyWrap,
    to: &mut dyn KeyWrap,
    nonce: [u8; 24],
) -> Result<Vec<u8>, Refused> {
    let frame = Frame::read(capsule).ok_or(Refused::Malformed)?;
    let key = from.unwrap(&frame.wrapped, &frame.digest);
    let key = key.ok_or(if from.holds(frame.wrapped.by) {
        Refused::Tampered
    } else {
        Refused::KeyGone
    })?;
    let wrapped = to
        .wrap(&key, nonce, &frame.digest)
        .ok_or(Refused::KeyGone)?;
    let mut bytes = [frame.head_bytes, frame.ciphertext, &frame.signature].concat();
    put_wrapped(&mut bytes, &wrapped);
    Ok(bytes)
}
