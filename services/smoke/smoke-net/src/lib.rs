//! Programs that ask what the network stack does.
//!
//! Owns what they share: how they wait for the network, and a byte that each place of a stream has. Invariant: they never go around
//! an interface, and never state what they did not see.
#![no_std]

use sdk::alloc::string::{String, ToString};
use sdk::net::network_manager::{AddressReader, Origin, Standing};
use sdk::{NetworkManager, Refusal, TcpServer};

/// Waits until there is an IPv4 address, and one of IPv6 beyond the link; gives the former.
///
/// # Errors
/// The stack's.
pub fn wait_for_network(network: &NetworkManager) -> Result<[u8; 4], Refusal> {
    loop {
        let (changes, address) = network.status(|status| {
            let octets = status.address().unwrap_or_default();
            (status.changes(), <[u8; 4]>::try_from(octets).ok())
        })?;
        let reaches = |one: &AddressReader<'_>| {
            one.origin() != Ok(Origin::LinkLocal) && one.standing() == Ok(Standing::Preferred)
        };
        let beyond = network.addresses(|results| {
            let list = results.list()?;
            Ok::<_, Refusal>(list.iter().any(|one| {
                let is_six = one.address().is_ok_and(|octets| octets.len() == 16);
                is_six && reaches(&one)
            }))
        })??;
        if let Some(address) = address.filter(|_| beyond) {
            return Ok(address);
        }
        network.watch(changes)?;
    }
}

/// Waits for another connection, by which whoever sent says that it has read everything back.
///
/// QEMU's network acknowledges what the host's reader has yet to take: a machine that ends on the acknowledgement cuts that off.
///
/// # Errors
/// The stack's; `timedOut` where nobody came until `until_ns`.
pub fn until_all_is_read(server: &mut TcpServer, until_ns: u64) -> Result<(), Refusal> {
    server.accept(until_ns).map(drop)
}

/// How many packets came whose sum was wrong.
///
/// # Errors
/// The stack's.
pub fn wrong_sums(network: &NetworkManager) -> Result<u64, Refusal> {
    network.counters(|results| {
        let list = results.list()?;
        let mut sums = 0;
        for counter in list.iter() {
            sums += u64::from(counter.name()?.contains("sum")) * counter.times();
        }
        Ok(sums)
    })?
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
