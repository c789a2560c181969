//! The key that seals segments.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sabotage::sabotage;
use sha2::{Digest as _, Sha256};

/// Bytes that name an installation.
pub const INSTALLATION_BYTES: usize = 16;

/// The first bytes of a digest of the key: tells keys apart and gives nothing of them away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What keys are derived from. Whoever has it can seal.
#[derive(Clone)]
pub struct Secret([u8; 32]);

/// The key of one installation.
#[derive(Clone)]
pub struct Key {
    bytes: [u8; 32],
    id: KeyId,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.id).finish()
    }
}

impl Secret {
    /// Takes 32 bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return None;
        }
        let mut bytes = [0; 32];
        for (to, pair) in bytes.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            *to = u8::try_from(high? << 4 | low?).ok()?;
        }
        Some(Self(bytes))
    }
}

impl Key {
    /// Derives the key of one installation: HMAC-SHA256 of a label and the installation's name under the secret.
    #[must_use]
    pub fn derive(secret: &Secret, installation: &[u8; INSTALLATION_BYTES]) -> Self {
        let mut mac = mac(&secret.0);
        mac.update(b"capOS audit segment key 1");
        mac.update(installation);
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let digest: [u8; 32] = Sha256::new()
            .chain_update(b"capOS audit key id 1")
            .chain_update(bytes)
            .finalize()
            .into();
        Self {
            bytes,
            id: KeyId(le::array(&digest, 0)),
        }
    }

    /// Which key it is.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Seals bytes.
    #[must_use]
    pub fn seal(&self, bytes: &[u8]) -> [u8; 32] {
        let mut mac = mac(&self.bytes);
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    /// Whether the seal is this key's over these bytes. Takes the same time wherever they differ.
    #[must_use]
    pub fn verifies(&self, bytes: &[u8], seal: &[u8]) -> bool {
        if sabotage!(SERVICE_SKIP_SEAL) {
            return true;
        }
        let mut mac = mac(&self.bytes);
        mac.update(bytes);
        mac.verify_slice(seal).is_ok()
    }
}

fn mac(key: &[u8; 32]) -> Hmac<Sha256> {
    // 32 bytes are no longer than a block, so the key is used as it is (RFC 2104, section 2).
    let mut block = hmac::digest::Key::<Hmac<Sha256>>::default();
    if let Some(place) = block.get_mut(..key.len()) {
        place.copy_from_slice(key);
    }
    Hmac::new(&block)
}
