//! ACPI tables for smokes, as QEMU's `-acpitable file=` takes them: QEMU lists them behind its own and makes their
//! checksums right.
//!
//! Invariant: never reads anything; a table is what its arguments say.

/// A table from what follows its header.
pub fn table(signature: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(36 + body.len()).unwrap_or(u32::MAX);
    let mut bytes = signature.to_vec();
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&[1, 0]);
    bytes.extend_from_slice(b"CAPOS SMOKES  ");
    bytes.extend_from_slice(&1u32.to_le_bytes());
    bytes.extend_from_slice(b"CAPO");
    bytes.extend_from_slice(&1u32.to_le_bytes());
    bytes.extend_from_slice(body);
    let sum = bytes.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
    if let Some(checksum) = bytes.get_mut(9) {
        *checksum = sum;
    }
    bytes
}

/// MCFG with these windows: base, segment, first and last bus.
pub fn mcfg(windows: &[(u64, u16, u8, u8)]) -> Vec<u8> {
    let mut body = vec![0; 8];
    for (base, segment, first, last) in windows {
        body.extend_from_slice(&base.to_le_bytes());
        body.extend_from_slice(&segment.to_le_bytes());
        body.extend_from_slice(&[*first, *last, 0, 0, 0, 0]);
    }
    table(b"MCFG", &body)
}

/// DMAR of these structures.
pub fn dmar(structures: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![38, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    body.extend(structures.iter().flatten());
    table(b"DMAR", &body)
}

/// DRHD: a unit with registers at `base` for what `scopes` lists.
pub fn drhd(base: u64, scopes: &[u8]) -> Vec<u8> {
    unit(base, 0, scopes)
}

/// DRHD: a unit with registers at `base` for everything that no other unit lists (flag INCLUDE_PCI_ALL).
pub fn drhd_of_the_rest(base: u64) -> Vec<u8> {
    unit(base, 1, &[])
}

fn unit(base: u64, flags: u8, scopes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(16 + scopes.len()).unwrap_or(u16::MAX);
    let mut bytes = vec![0, 0];
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&[flags, 0, 0, 0]);
    bytes.extend_from_slice(&base.to_le_bytes());
    bytes.extend_from_slice(scopes);
    bytes
}

/// IVRS with one unit block of the oldest type, and these device entries.
pub fn ivrs(base: u64, entries: &[u8]) -> Vec<u8> {
    let length = u16::try_from(24 + entries.len()).unwrap_or(u16::MAX);
    let mut body = vec![0; 12];
    body.extend_from_slice(&[0x10, 0]);
    body.extend_from_slice(&length.to_le_bytes());
    body.extend_from_slice(&[0x10, 0, 0x40, 0]);
    body.extend_from_slice(&base.to_le_bytes());
    body.extend_from_slice(&[0; 8]);
    body.extend_from_slice(entries);
    table(b"IVRS", &body)
}

#[cfg(test)]
mod tests {
    use super::{dmar, drhd_of_the_rest, ivrs, mcfg, table};

    #[test]
    fn tables_have_their_length_and_sum_to_zero() {
        let unit = drhd_of_the_rest(0xfed9_0000);
        for bytes in [
            table(b"TEST", &[1, 2, 3]),
            mcfg(&[(1 << 32, 0, 0, 9)]),
            dmar(&[unit]),
            ivrs(0xfed8_0000, &[1, 0, 0, 0]),
        ] {
            assert_eq!(bytes[4..8], (bytes.len() as u32).to_le_bytes());
            assert_eq!(
                bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)),
                0
            );
        }
        assert_eq!(ivrs(1, &[2, 0, 0, 0])[50..52], 28u16.to_le_bytes());
    }
}
