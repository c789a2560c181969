//! Ed25519 keys, as OpenSSH writes them.

use alloc::string::String;
use alloc::vec::Vec;

use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};
use sunset::SignKey;

/// The only algorithm (RFC 8709 section 4).
const ALGORITHM: &str = "ssh-ed25519";
const KEY_BYTES: usize = 32;

/// With or without its padding: people cut it off.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a text is no key that can be used here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAKey {
    /// It is of another kind: `ssh-keygen -t ed25519` makes one of this.
    Algorithm,
    /// What stands behind the name is damaged, or not the whole of it.
    Damaged,
}

/// A key that may log in, or that a server is known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublicKey(pub [u8; KEY_BYTES]);

impl PublicKey {
    /// Reads a line of a `.pub` or `authorized_keys` file: `ssh-ed25519 BASE64 COMMENT`, or the middle of it alone. Options in front are not
    /// taken: one that restricts a key must not be overlooked.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(line: &str) -> Result<Self, NotAKey> {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().ok_or(NotAKey::Damaged)?;
        let text = match first {
            ALGORITHM => words.next().ok_or(NotAKey::Damaged)?,
            // All blobs begin with the length of a name, so all texts with this.
            text if text.starts_with("AAAA") => text,
            _ => return Err(NotAKey::Algorithm),
        };
        let blob = LENIENT.decode(text).map_err(|_| NotAKey::Damaged)?;
        let (name, rest) = take(&blob).ok_or(NotAKey::Damaged)?;
        if name != ALGORITHM.as_bytes() {
            return Err(NotAKey::Algorithm);
        }
        let (key, rest) = take(rest).ok_or(NotAKey::Damaged)?;
        let key = key.try_into().map_err(|_| NotAKey::Damaged)?;
        if rest.is_empty() {
            Ok(Self(key))
        } else {
            Err(NotAKey::Damaged)
        }
    }

    /// As it goes over the wire (RFC 8709 section 4).
    fn blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        for field in [ALGORITHM.as_bytes(), &self.0] {
            blob.extend_from_slice(&(field.len() as u32).to_be_bytes());
            blob.extend_from_slice(field);
        }
        blob
    }

    /// What `ssh-keygen -l` shows: SHA-256 of the key as it goes over the wire, without padding.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut text = String::from("SHA256:");
        STANDARD_NO_PAD.encode_string(Sha256::digest(self.blob()), &mut text);
        text
    }

    /// The line of a `.pub` file.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = String::from(ALGORITHM);
        line.push(' ');
        STANDARD.encode_string(self.blob(), &mut line);
        line
    }
}

/// A string (RFC 4251 section 5), and what follows it.
fn take(from: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = from.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize)
}

/// What a server is known by.
pub struct HostKey(pub(crate) SignKey, PublicKey);

impl HostKey {
    /// The key of a secret (RFC 8032 section 5.1.5): each 32 octets are one.
    #[must_use]
    pub fn new(secret: &[u8; KEY_BYTES]) -> Self {
        let key = SigningKey::from_bytes(secret);
        let public = PublicKey(key.verifying_key().to_bytes());
        Self(SignKey::Ed25519(key), public)
    }

    /// What clients may know.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.1
    }
}
