//! Addresses as they stand in messages: octets.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arrayvec::ArrayVec;
use net_demux::Endpoint;
use sdk::Refusal;

/// An address as a message carries it.
pub type Octets = ArrayVec<u8, 16>;

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
/// As [`read`].
pub fn read_one(octets: &[u8]) -> Result<IpAddr, Refusal> {
    read(octets)?.ok_or(Refusal::MalformedAddress)
}

/// Writes an address.
pub fn write(address: IpAddr) -> Octets {
    let mut octets = Octets::new();
    // Sixteen is the most there is.
    let _ = match address {
        IpAddr::V4(address) => octets.try_extend_from_slice(&address.octets()),
        IpAddr::V6(address) => octets.try_extend_from_slice(&address.octets()),
    };
    octets
}

/// Both parts of an end; nothing of none.
pub fn write_end(end: Option<Endpoint>) -> (Octets, u16) {
    end.map_or_else(Default::default, |end| (write(end.address), end.port))
}

#[cfg(test)]
mod tests {
    use super::{read, read_one, write};
    use sdk::Refusal;

    #[test]
    fn only_four_sixteen_and_no_octets_are_addresses() {
        for count in 0..32 {
            let octets = [9; 32];
            let octets = &octets[..count];
            match count {
                0 => assert_eq!(read(octets), Ok(None)),
                4 | 16 => {
                    let address = read(octets).unwrap().unwrap();
                    assert_eq!(write(address).as_slice(), octets);
                }
                _ => assert_eq!(read(octets), Err(Refusal::MalformedAddress)),
            }
        }
        assert_eq!(read_one(&[]), Err(Refusal::MalformedAddress));
    }
}
