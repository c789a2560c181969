//! The server's side of SSH 2 (RFC 4251 to 4254), without sockets: octets in, octets out.
//!
//! Owns: a host key and the keys that may log in, as OpenSSH writes them ([`HostKey`], [`PublicKey`]); connections with bounded
//! buffers, each with one session and one shell in it ([`Connection`]). The protocol and its cryptography are sunset's: X25519, Ed25519,
//! ChaCha20-Poly1305 or AES-256-CTR with HMAC-SHA-256.
//!
//! Invariant: nobody logs in but with a key that whoever serves has allowed, never by password; nothing but a shell is ever granted, no
//! command, file transfer, forwarded port, agent or variable; a connection never holds more than its buffers, whatever its other end sends.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod connection;
mod key;

pub use connection::{Connection, Failure};
pub use key::{HostKey, NotAKey, PublicKey};
