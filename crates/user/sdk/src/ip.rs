//! Addresses of the Internet as they stand in messages: 4 octets, 16 octets, or none for any.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Deref;

use stub::Refusal;

/// An address as a message carries it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Octets {
    octets: [u8; 16],
    length: u8,
}

impl Deref for Octets {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.octets.get(..self.length.into()).unwrap_or_default()
    }
}

/// Reads an address; `None` is any.
///
/// # Errors
/// [`Refusal::MalformedAddress`] where it has neither 4 octets nor 16 nor none.
pub fn read(octets: &[u8]) -> Result<Option<IpAddr>, Refusal> {
    if octets.is_empty() {
        return Ok(None);
    }
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Ok(Some(Ipv4Addr::from(octets).into()));
    }
    match <[u8; 16]>::try_from(octets) {
        Ok(octets) => Ok(Some(Ipv6Addr::from(octets).into())),
        Err(_) => Err(Refusal::MalformedAddress),
    }
}

/// Reads an address that must be given.
///
/// # Errors
/// As [`read`], and where there is none.
pub fn read_one(octets: &[u8]) -> Result<IpAddr, Refusal> {
    read(octets)?.ok_or(Refusal::MalformedAddress)
}

/// Writes an address; none of any.
#[must_use]
pub fn octets(address: impl Into<Option<IpAddr>>) -> Octets {
    let mut written = Octets::default();
    match address.into() {
        None => {}
        Some(IpAddr::V4(address)) => {
            written.length = 4;
            let (four, _) = written.octets.split_at_mut(4);
            four.copy_from_slice(&address.octets());
        }
        Some(IpAddr::V6(address)) => {
            written.length = 16;
            written.octets = address.octets();
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::{octets, read, read_one};
    use stub::Refusal;

    #[test]
    fn only_four_sixteen_and_no_octets_are_addresses() {
        let nine = [9; 32];
        for (count, nines) in (0..32).map(|count| (count, &nine[..count])) {
            match count {
                0 => assert_eq!(read(nines), Ok(None)),
                4 | 16 => assert_eq!(*octets(read(nines).unwrap()), *nines),
                _ => assert_eq!(read(nines), Err(Refusal::MalformedAddress)),
            }
        }
        assert!(octets(None).is_empty());
        assert_eq!(read_one(&[]), Err(Refusal::MalformedAddress));
    }
}
