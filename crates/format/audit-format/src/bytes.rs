//! Little-endian fields at fixed places of fixed-size blocks.

/// Reads `N` bytes at `at`; zeros where the block is shorter, which no caller's constant place is.
pub(crate) fn take<const N: usize>(from: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    if let Some(bytes) = from.get(at..at + N) {
        out.copy_from_slice(bytes);
    }
    out
}

/// Writes `bytes` at `at`.
pub(crate) fn put(to: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = to.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

pub(crate) fn u16_at(from: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(take(from, at))
}

pub(crate) fn u32_at(from: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(take(from, at))
}

pub(crate) fn u64_at(from: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(take(from, at))
}

pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
