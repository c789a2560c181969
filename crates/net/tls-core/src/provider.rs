//! The cryptography that rustls asks for.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use chacha20poly1305::aead::AeadInOut as _;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use hmac::Mac as _;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{DerSignature, SigningKey};
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    NONCE_LEN, Nonce, OutboundOpaqueMessage, OutboundPlainMessage, PrefixedPayload,
    Tls13AeadAlgorithm, UnsupportedOperationError, make_tls13_aad,
};
use rustls::crypto::tls13::HkdfUsingHmac;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, SharedSecret,
    SupportedKxGroup, WebPkiSupportedAlgorithms, hash, hmac as tls_hmac,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::{Signer, SigningKey as TlsKey};
use rustls::{
    CipherSuite, CipherSuiteCommon, ConnectionTrafficSecrets, ContentType, Error, NamedGroup,
    PeerMisbehaved, ProtocolVersion, SignatureAlgorithm, SignatureScheme, SupportedCipherSuite,
    Tls13CipherSuite,
};
use sha2::{Digest as _, Sha256};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// Octets of Poly1305's tag.
const TAG_BYTES: usize = 16;
type HmacSha256 = hmac::Hmac<Sha256>;

/// What rustls is given, with random numbers out of this seed.
pub fn provider(seed: [u8; 32]) -> CryptoProvider {
    // One of each in a process, which keeps them until it ends: rustls wants them to last as long as itself.
    let random: &'static Drawn = Box::leak(Box::new(Drawn {
        seed: Zeroizing::new(seed),
        count: AtomicU64::new(0),
    }));
    let group: &'static X25519 = Box::leak(Box::new(X25519(random)));
    CryptoProvider {
        cipher_suites: vec![SupportedCipherSuite::Tls13(&SUITE)],
        kx_groups: vec![group],
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: &[],
            mapping: &[],
        },
        secure_random: random,
        key_provider: &NoKeys,
    }
}

static SUITE: Tls13CipherSuite = Tls13CipherSuite {
    common: CipherSuiteCommon {
        suite: CipherSuite::TLS13_CHACHA20_POLY1305_SHA256,
        hash_provider: &Sha,
        // RFC 8446 section 5.5: sequence numbers end before the cipher's limit.
        confidentiality_limit: u64::MAX,
    },
    hkdf_provider: &HkdfUsingHmac(&Authenticated),
    aead_alg: &Sealed,
    quic: None,
};

/// Random numbers: HMAC-SHA-256 of a count under a seed that nobody else knows.
#[derive(Debug)]
struct Drawn {
    seed: Zeroizing<[u8; 32]>,
    count: AtomicU64,
}

impl SecureRandom for Drawn {
    fn fill(&self, room: &mut [u8]) -> Result<(), GetRandomFailed> {
        for piece in room.chunks_mut(32) {
            let number = self.count.fetch_add(1, Ordering::Relaxed);
            let mut mac = HmacSha256::new_from_slice(&*self.seed).map_err(|_| GetRandomFailed)?;
            mac.update(&number.to_be_bytes());
            for (place, octet) in piece.iter_mut().zip(mac.finalize().into_bytes()) {
                *place = octet;
            }
        }
        Ok(())
    }
}

/// Keys come from [`crate::Identity`] alone.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn TlsKey>, Error> {
        Err(Error::General("no keys are read here".into()))
    }
}

#[derive(Debug)]
struct X25519(&'static Drawn);

struct Exchange {
    secret: StaticSecret,
    public: PublicKey,
}

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut secret = Zeroizing::new([0; 32]);
        self.0.fill(&mut *secret)?;
        let secret = StaticSecret::from(*secret);
        let public = PublicKey::from(&secret);
        Ok(Box::new(Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, theirs: &[u8]) -> Result<SharedSecret, Error> {
        let theirs: [u8; 32] = theirs
            .try_into()
            .map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(theirs));
        // RFC 8446 section 7.4.2: a point of small order would let anybody know the secret.
        if !shared.was_contributory() {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        Ok(SharedSecret::from(&shared.as_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

struct Sha;

impl hash::Hash for Sha {
    fn start(&self) -> Box<dyn hash::Context> {
        Box::new(Hashing(Sha256::new()))
    }

    fn hash(&self, data: &[u8]) -> hash::Output {
        hash::Output::new(&Sha256::digest(data))
    }

    fn output_len(&self) -> usize {
        32
    }

    fn algorithm(&self) -> hash::HashAlgorithm {
        hash::HashAlgorithm::SHA256
    }
}

struct Hashing(Sha256);

impl hash::Context for Hashing {
    fn fork_finish(&self) -> hash::Output {
        hash::Output::new(&self.0.clone().finalize())
    }

    fn fork(&self) -> Box<dyn hash::Context> {
        Box::new(Self(self.0.clone()))
    }

    fn finish(self: Box<Self>) -> hash::Output {
        hash::Output::new(&self.0.finalize())
    }

    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

struct Authenticated;

impl tls_hmac::Hmac for Authenticated {
    fn with_key(&self, key: &[u8]) -> Box<dyn tls_hmac::Key> {
        Box::new(MacKey(Zeroizing::new(key.to_vec())))
    }

    fn hash_output_len(&self) -> usize {
        32
    }
}

struct MacKey(Zeroizing<Vec<u8>>);

impl tls_hmac::Key for MacKey {
    fn sign_concat(&self, first: &[u8], middle: &[&[u8]], last: &[u8]) -> tls_hmac::Tag {
        // A key of any length is one (RFC 2104).
        let Ok(mut mac) = HmacSha256::new_from_slice(&self.0) else {
            return tls_hmac::Tag::new(&[]);
        };
        mac.update(first);
        for part in middle {
            mac.update(part);
        }
        mac.update(last);
        tls_hmac::Tag::new(&mac.finalize().into_bytes())
    }

    fn tag_len(&self) -> usize {
        32
    }
}

struct Sealed;

impl Tls13AeadAlgorithm for Sealed {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Records::new(&key, iv))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Records::new(&key, iv))
    }

    fn key_len(&self) -> usize {
        32
    }

    fn extract_keys(
        &self,
        _: AeadKey,
        _: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        Err(UnsupportedOperationError)
    }
}

/// Records of one direction. Without a key of the right length, which rustls never gives, there are none.
struct Records {
    cipher: Option<ChaCha20Poly1305>,
    iv: Iv,
}

impl Records {
    fn new(key: &AeadKey, iv: Iv) -> Self {
        Self {
            cipher: ChaCha20Poly1305::new_from_slice(key.as_ref()).ok(),
            iv,
        }
    }

    fn nonce(&self, number: u64) -> [u8; NONCE_LEN] {
        Nonce::new(&self.iv, number).0
    }
}

impl MessageEncrypter for Records {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        number: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let cipher = self.cipher.as_ref().ok_or(Error::EncryptError)?;
        let length = self.encrypted_payload_len(message.payload.len());
        let mut payload = PrefixedPayload::with_capacity(length);
        payload.extend_from_chunks(&message.payload);
        payload.extend_from_slice(&[u8::from(message.typ)]);
        let tag = cipher
            .encrypt_inout_detached(
                &self.nonce(number).into(),
                &make_tls13_aad(length),
                payload.as_mut().into(),
            )
            .map_err(|_| Error::EncryptError)?;
        payload.extend_from_slice(&tag);
        Ok(OutboundOpaqueMessage::new(
            ContentType::ApplicationData,
            ProtocolVersion::TLSv1_2,
            payload,
        ))
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        length + 1 + TAG_BYTES
    }
}

impl MessageDecrypter for Records {
    fn decrypt<'a>(
        &mut self,
        mut message: InboundOpaqueMessage<'a>,
        number: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let cipher = self.cipher.as_ref().ok_or(Error::DecryptError)?;
        let nonce = self.nonce(number);
        let payload = &mut message.payload;
        let aad = make_tls13_aad(payload.len());
        let length = payload.len().checked_sub(TAG_BYTES);
        let length = length.ok_or(Error::DecryptError)?;
        let (text, tag) = payload.split_at_mut(length);
        let tag: [u8; TAG_BYTES] = (&*tag).try_into().map_err(|_| Error::DecryptError)?;
        cipher
            .decrypt_inout_detached(&nonce.into(), &aad, text.into(), &tag.into())
            .map_err(|_| Error::DecryptError)?;
        payload.truncate(length);
        message.into_tls13_unpadded_message()
    }
}

/// The key, for rustls.
pub struct Key(pub SigningKey);

impl core::fmt::Debug for Key {
    fn fmt(&self, to: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        to.write_str("Key")
    }
}

impl TlsKey for Key {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
        offered
            .contains(&scheme)
            .then(|| Box::new(Self(self.0.clone())) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        // The nonce comes from key and message (RFC 6979): no bad random number gives the key away.
        let signature: DerSignature = self.0.sign(message);
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}
