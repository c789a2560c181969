//! Programs that ask what the network stack does.
//!
//! Owns what they share: how they wait for the network, and a byte that each place of a stream has. Invariant: they never go around
//! an interface, and never state what they did not see.
#![no_std]

use sdk::alloc::string::{String, ToString};
use sdk::{NetworkManager, Refusal};

/// Waits until there is an IPv4 address, and gives it.
///
/// # Errors
/// The stack's.
pub fn wait_for_lease(network: &NetworkManager) -> Result<[u8; 4], Refusal> {
    loop {
        let (changes, address) = network.status(|status| {
            let octets = status.address().unwrap_or_default();
            (status.changes(), <[u8; 4]>::try_from(octets).ok())
        })?;
        if let Some(address) = address {
            return Ok(address);
        }
        network.watch(changes)?;
    }
}

/// An IPv4 address as people write it.
#[must_use]
pub fn spelled(address: [u8; 4]) -> String {
    core::net::Ipv4Addr::from(address).to_string()
}

/// The byte at a place of a test's stream.
#[must_use]
pub const fn byte_at(place: u64) -> u8 {
    (place.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}
