//! The client of DHCPv4 against a scripted server: what RFC 2131 says happens, and what must not.

mod life;
mod refused;
mod server;
