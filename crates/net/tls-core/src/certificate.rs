//! A key over P-256, and the certificate that says so in its own name (RFC 5280).

use alloc::vec::Vec;

use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use sha2::{Digest as _, Sha256};

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BITS: u8 = 0x03;
const OCTETS: u8 = 0x04;
const OID: u8 = 0x06;
const UTF8: u8 = 0x0c;
const BOOLEAN: u8 = 0x01;
const UTC_TIME: u8 = 0x17;
const TIME: u8 = 0x18;
/// ecdsa-with-SHA256 (RFC 5758).
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
/// id-ecPublicKey and secp256r1 (RFC 5480).
const EC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const COMMON_NAME: &[u8] = &[0x55, 4, 3];
const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
const OTHER_NAMES: &[u8] = &[0x55, 0x1d, 17];
const BASIC: &[u8] = &[0x55, 0x1d, 19];
const EXTENDED_USAGE: &[u8] = &[0x55, 0x1d, 37];
const SERVER: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];

/// What the certificate is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name<'a> {
    /// A host's name.
    Host(&'a str),
    /// An address of IPv4.
    Address([u8; 4]),
}

/// A key and its certificate.
pub struct Identity {
    key: SigningKey,
    certificate: Vec<u8>,
    public: [u8; 32],
}

impl Identity {
    /// The identity of a secret. `None` for the few secrets that are no key: another one is to be drawn.
    #[must_use]
    pub fn new(secret: &[u8; 32], names: &[Name<'_>]) -> Option<Self> {
        let key = SigningKey::from_slice(secret).ok()?;
        let spki = spki(&key);
        let public = Sha256::digest(&spki).into();
        let body = body(&spki, &public, names);
        let signature: Signature = key.sign(&body);
        let signature = signature.to_der();
        let certificate = tagged(
            SEQUENCE,
            &[&body, &algorithm(), &bits(0, signature.as_bytes())],
        );
        Some(Self {
            key,
            certificate,
            public,
        })
    }

    /// The certificate in DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// SHA-256 of the public key as the certificate has it (SubjectPublicKeyInfo): what clients pin.
    #[must_use]
    pub const fn public_hash(&self) -> [u8; 32] {
        self.public
    }

    pub(crate) const fn key(&self) -> &SigningKey {
        &self.key
    }
}

/// An element of DER: its tag, its length, its parts.
fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 4);
    out.push(tag);
    let [.., high, low] = length.to_be_bytes();
    match length {
        0..0x80 => out.push(low),
        0x80..0x100 => out.extend([0x81, low]),
        _ => out.extend([0x82, high, low]),
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

/// A string of bits, of whose last octet so many are not used.
fn bits(unused: u8, octets: &[u8]) -> Vec<u8> {
    tagged(BITS, &[&[unused], octets])
}

fn algorithm() -> Vec<u8> {
    tagged(SEQUENCE, &[&tagged(OID, &[ECDSA_SHA256])])
}

fn spki(key: &SigningKey) -> Vec<u8> {
    let kind = tagged(SEQUENCE, &[&tagged(OID, &[EC_KEY]), &tagged(OID, &[P256])]);
    let point = key.verifying_key().to_sec1_point(false);
    tagged(SEQUENCE, &[&kind, &bits(0, point.as_bytes())])
}

/// Whether a client that does not know an extension has to refuse the certificate.
enum Weight {
    Critical,
    Advice,
}

fn extension(id: &[u8], weight: &Weight, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = match weight {
        Weight::Critical => &[BOOLEAN, 1, 0xff],
        Weight::Advice => &[],
    };
    tagged(
        SEQUENCE,
        &[&tagged(OID, &[id]), critical, &tagged(OCTETS, &[value])],
    )
}

/// What is signed.
fn body(spki: &[u8], public: &[u8; 32], names: &[Name<'_>]) -> Vec<u8> {
    let version = tagged(0xa0, &[&[INTEGER, 1, 2]]);
    // Positive, and never the same for another key.
    let mut serial = [0; 16];
    for (place, octet) in serial.iter_mut().zip(public) {
        *place = *octet;
    }
    serial[0] = serial[0] & 0x7f | 0x40;
    let name = tagged(
        SEQUENCE,
        &[&tagged(OID, &[COMMON_NAME]), &tagged(UTF8, &[b"capOS"])],
    );
    let name = tagged(SEQUENCE, &[&tagged(SET, &[&name])]);
    // It does not end (RFC 5280 section 4.1.2.5): who trusts it, trusts this key, which ends with its keeper.
    let validity = tagged(
        SEQUENCE,
        &[
            &tagged(UTC_TIME, &[b"000101000000Z"]),
            &tagged(TIME, &[b"99991231235959Z"]),
        ],
    );
    let mut others = Vec::new();
    for name in names {
        others.extend(match name {
            Name::Host(host) => tagged(0x82, &[host.as_bytes()]),
            Name::Address(octets) => tagged(0x87, &[octets]),
        });
    }
    let extensions = [
        extension(KEY_USAGE, &Weight::Critical, &[BITS, 2, 7, 0x80]),
        extension(BASIC, &Weight::Critical, &tagged(SEQUENCE, &[])),
        extension(
            EXTENDED_USAGE,
            &Weight::Advice,
            &tagged(SEQUENCE, &[&tagged(OID, &[SERVER])]),
        ),
        extension(OTHER_NAMES, &Weight::Advice, &tagged(SEQUENCE, &[&others])),
    ];
    let extensions = tagged(0xa3, &[&tagged(SEQUENCE, &[&extensions.concat()])]);
    tagged(
        SEQUENCE,
        &[
            &version,
            &tagged(INTEGER, &[&serial]),
            &algorithm(),
            &name,
            &validity,
            &name,
            spki,
            &extensions,
        ],
    )
}
