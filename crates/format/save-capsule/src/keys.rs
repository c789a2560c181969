//! Keys: derived from one secret, used here and never given away.

use alloc::vec::Vec;
use core::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use hkdf::Hkdf;
use sha2::Sha256;

use crate::frame::{Digest, KeyId, SIGNATURE_BYTES, Wrapped};

const SIGN: &[u8] = b"capos save capsule v1 sign";
const WRAP: &[u8] = b"capos save capsule v1 wrap";
const NAME: &[u8] = b"capos save capsule v1 key id";

/// What all keys of a tenant are derived from.
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// HKDF-SHA256 (RFC 5869) with the tenant as salt.
fn derive<const N: usize>(secret: &Secret, tenant: &[u8; 16], info: &[&[u8]]) -> [u8; N] {
    let mut out = [0; N];
    let made = Hkdf::<Sha256>::new(Some(tenant), &secret.0);
    // Only an output of more than 255 sums is refused.
    let fits = made.expand_multi_info(info, &mut out);
    debug_assert!(fits.is_ok());
    out
}

/// Signs a tenant's capsules.
pub struct Signer(SigningKey);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

/// Knows a tenant's signatures.
#[derive(Clone, Copy, Debug)]
pub struct Verifier(VerifyingKey);

fn signed(digest: &Digest) -> Vec<u8> {
    [SIGN, digest].concat()
}

impl Signer {
    /// The tenant's.
    #[must_use]
    pub fn new(secret: &Secret, tenant: &[u8; 16]) -> Self {
        Self(SigningKey::from_bytes(&derive(secret, tenant, &[SIGN])))
    }

    /// What its signatures are known by.
    #[must_use]
    pub fn verifier(&self) -> Verifier {
        Verifier(self.0.verifying_key())
    }

    pub(crate) fn sign(&self, digest: &Digest) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&signed(digest)).to_bytes()
    }
}

impl Verifier {
    pub(crate) fn is_good(&self, digest: &Digest, signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let signature = Signature::from_bytes(signature);
        self.0.verify_strict(&signed(digest), &signature).is_ok()
    }
}

/// Wraps keys of capsules: in software here, by a key management service behind the bridge.
pub trait KeyWrap {
    /// Wraps a key for the capsule of that sum. `None` if it cannot now.
    fn wrap(&mut self, key: &[u8; 32], nonce: [u8; 24], capsule: &Digest) -> Option<Wrapped>;

    /// Whether it holds that key still.
    fn holds(&self, by: KeyId) -> bool;

    /// Unwraps the key of the capsule of that sum. `None` if the wrapping is not of that capsule and key.
    fn unwrap(&mut self, wrapped: &Wrapped, capsule: &Digest) -> Option<[u8; 32]>;
}

/// Wrapping keys in memory: a tenant's, one for each world or shard, in generations. The last one wraps.
pub struct SoftwareKeys(Vec<(KeyId, [u8; 32])>);

impl fmt::Debug for SoftwareKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(id, _)| id))
            .finish()
    }
}

impl SoftwareKeys {
    /// The keys of these generations.
    #[must_use]
    pub fn new(secret: &Secret, tenant: &[u8; 16], world: &[u8], generations: &[u32]) -> Self {
        let key = |generation: &u32| {
            let number = generation.to_le_bytes();
            let id = KeyId(derive(secret, tenant, &[NAME, &number, world]));
            (id, derive(secret, tenant, &[WRAP, &number, world]))
        };
        Self(generations.iter().map(key).collect())
    }

    /// Destroys a generation: what it wrapped can be read by nobody any more.
    pub fn destroy(&mut self, gone: KeyId) {
        self.0.retain(|(id, _)| *id != gone);
    }

    /// The key that wraps.
    #[must_use]
    pub fn current(&self) -> Option<KeyId> {
        self.0.last().map(|(id, _)| *id)
    }
}

pub(crate) fn cipher(key: &[u8; 32]) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(*key))
}

impl KeyWrap for SoftwareKeys {
    fn wrap(&mut self, key: &[u8; 32], nonce: [u8; 24], capsule: &Digest) -> Option<Wrapped> {
        let (by, with) = self.0.last()?;
        let payload = Payload {
            msg: key,
            aad: capsule,
        };
        let wrapped = cipher(with).encrypt(&XNonce::from(nonce), payload).ok()?;
        Some(Wrapped {
            by: *by,
            nonce,
            key: wrapped.try_into().ok()?,
        })
    }

    fn holds(&self, by: KeyId) -> bool {
        self.0.iter().any(|(id, _)| *id == by)
    }

    fn unwrap(&mut self, wrapped: &Wrapped, capsule: &Digest) -> Option<[u8; 32]> {
        let (_, with) = self.0.iter().find(|(id, _)| *id == wrapped.by)?;
        let payload = Payload {
            msg: &wrapped.key,
            aad: capsule,
        };
        let key = cipher(with)
            .decrypt(&XNonce::from(wrapped.nonce), payload)
            .ok()?;
        key.try_into().ok()
    }
}
