//! The footer that makes a raw disk a fixed VHD (Virtual Hard Disk Image Format Specification 1.0, "Hard Disk Footer
//! Format" and "CHS Calculation").
//!
//! Invariant: never holds a time; the identifier follows from the contents.

/// Bytes of the footer.
pub const FOOTER_BYTES: usize = 512;
const SECTOR_BYTES: u64 = 512;
/// No feature is on; this bit is always set.
const FEATURES: u32 = 2;
const VERSION: u32 = 0x0001_0000;
const FIXED: u32 = 2;
/// Readers such as QEMU take the disk's size from the geometry, which is rounded, unless they know the maker; `win ` is the
/// name the specification itself gives, and with it the size in the footer counts.
const MAKER: &[u8; 4] = b"win ";
const MAKER_SYSTEM: &[u8; 4] = b"Wi2k";

/// The footer of a fixed disk of `bytes`.
pub fn footer(bytes: u64, identifier: &[u8; 16]) -> [u8; FOOTER_BYTES] {
    let (cylinders, heads, sectors) = geometry(bytes / SECTOR_BYTES);
    let mut fields: Vec<u8> = Vec::with_capacity(FOOTER_BYTES);
    fields.extend(b"conectix");
    fields.extend(FEATURES.to_be_bytes());
    fields.extend(VERSION.to_be_bytes());
    // A fixed disk has no further structure, and no time of creation is given.
    fields.extend(u64::MAX.to_be_bytes());
    fields.extend(0u32.to_be_bytes());
    fields.extend(MAKER);
    fields.extend(VERSION.to_be_bytes());
    fields.extend(MAKER_SYSTEM);
    fields.extend(bytes.to_be_bytes());
    fields.extend(bytes.to_be_bytes());
    fields.extend(cylinders.to_be_bytes());
    fields.extend([heads, sectors]);
    fields.extend(FIXED.to_be_bytes());
    let checksum_at = fields.len();
    fields.extend([0; 4]);
    fields.extend(identifier);
    fields.resize(FOOTER_BYTES, 0);
    let sum = fields
        .iter()
        .fold(0u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
    let mut footer = [0; FOOTER_BYTES];
    footer.copy_from_slice(&fields);
    for (byte, value) in footer
        .iter_mut()
        .skip(checksum_at)
        .zip((!sum).to_be_bytes())
    {
        *byte = value;
    }
    footer
}

/// Cylinders, heads and sectors per track that stand for this many sectors, as the specification's appendix computes them.
fn geometry(total: u64) -> (u16, u8, u8) {
    let total = total.min(65535 * 16 * 255);
    let (mut sectors, mut heads);
    let mut tracks;
    if total > 65535 * 16 * 63 {
        (sectors, heads) = (255, 16);
        tracks = total / sectors;
    } else {
        sectors = 17;
        tracks = total / sectors;
        heads = tracks.div_ceil(1024).max(4);
        if tracks >= heads * 1024 || heads > 16 {
            (sectors, heads) = (31, 16);
            tracks = total / sectors;
        }
        if tracks >= heads * 1024 {
            (sectors, heads) = (63, 16);
            tracks = total / sectors;
        }
    }
    // Each is in range by the bound on `total`.
    ((tracks / heads) as u16, heads as u8, sectors as u8)
}

#[cfg(test)]
mod tests {
    use super::{footer, geometry};

    #[test]
    fn the_checksum_is_the_complement_of_the_sum_of_the_other_bytes() {
        let footer = footer(64 << 20, &[7; 16]);
        let stored = u32::from_be_bytes(footer[64..68].try_into().unwrap());
        let others = footer[..64].iter().chain(&footer[68..]);
        let sum = others.fold(0u32, |sum, byte| sum + u32::from(*byte));
        assert_eq!(stored, !sum);
        assert_eq!(footer[..8], *b"conectix");
        assert_eq!(footer[48..56], (64u64 << 20).to_be_bytes());
        assert_eq!(footer[60..64], 2u32.to_be_bytes());
        assert_eq!(footer[68..84], [7; 16]);
    }

    #[test]
    fn geometries_follow_the_specification() {
        assert_eq!(geometry((64 << 20) / 512), (963, 8, 17));
        assert_eq!(geometry((1 << 30) / 512), (2080, 16, 63));
        assert_eq!(geometry((200u64 << 30) / 512), (65535, 16, 255));
    }
}
