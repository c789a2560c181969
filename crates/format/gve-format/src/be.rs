//! Big-endian fields, as of the registers, the admin queue and GQI queues. What lies outside reads as zero.

/// Reads a 16-bit field.
pub fn u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes(le::array(bytes, at))
}

/// Reads a 32-bit field.
pub fn u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(le::array(bytes, at))
}

/// Reads a 64-bit field.
pub fn u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(le::array(bytes, at))
}

/// Writes a 16-bit field.
pub fn put16(bytes: &mut [u8], at: usize, value: u16) {
    le::put(bytes, at, &value.to_be_bytes());
}

/// Writes a 32-bit field.
pub fn put32(bytes: &mut [u8], at: usize, value: u32) {
    le::put(bytes, at, &value.to_be_bytes());
}

/// Writes a 64-bit field.
pub fn put64(bytes: &mut [u8], at: usize, value: u64) {
    le::put(bytes, at, &value.to_be_bytes());
}
