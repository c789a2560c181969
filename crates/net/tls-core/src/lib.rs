//! The server's side of TLS 1.3 (RFC 8446), without sockets: octets in, octets out.
//!
//! Owns: the cryptography that rustls asks for (`provider`): ChaCha20-Poly1305, SHA-256, X25519, ECDSA over P-256, from crates
//! that have no assembly and no tables indexed by secrets; a key with a certificate that it signs itself ([`Identity`]); connections
//! with bounded buffers ([`Connection`]). The protocol is rustls's.
//!
//! Invariant: it never speaks another version, suite or group than these, never resumes anything and never takes early data; the key
//! never leaves [`Identity`]; a connection never holds more than its buffers, whatever its other end sends.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod certificate;
mod connection;
mod provider;

pub use certificate::{Identity, Name};
pub use connection::{Connection, Failure, Server};
