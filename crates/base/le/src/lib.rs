//! Little-endian fields of byte slices.
//!
//! Owns: how a format's reader takes a number out of bytes, and how its writer puts one in. There are two policies for
//! a field that lies outside of the slice: the functions here read it as zero and do not write it, for blocks whose
//! length is fixed; those of [`checked`] answer `None`, for tables whose length a stranger wrote.
//!
//! Invariant: this crate never panics, whatever the slice and the offset, and never allocates. Both policies agree on
//! every field that is whole.

#![no_std]
#![forbid(unsafe_code)]

pub mod checked;

/// Copies `N` bytes at `at`; zeroes where the field is not whole.
#[inline]
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    checked::array(bytes, at).unwrap_or([0; N])
}

/// Reads one byte.
#[inline]
pub fn u8(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// Reads a 16-bit field.
#[inline]
pub fn u16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array(bytes, at))
}

/// Reads a 32-bit field.
#[inline]
pub fn u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array(bytes, at))
}

/// Reads a 64-bit field.
#[inline]
pub fn u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array(bytes, at))
}

/// Writes a field; nothing where it would not be whole.
#[inline]
pub fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = bytes
        .get_mut(at..)
        .and_then(|rest| rest.get_mut(..field.len()))
    {
        place.copy_from_slice(field);
    }
}

/// Whether the bytes from `from` to before `to` are all there and zero.
#[inline]
pub fn is_zero(bytes: &[u8], from: usize, to: usize) -> bool {
    bytes
        .get(from..to)
        .is_some_and(|spare| spare.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 9] = [1, 2, 3, 4, 5, 6, 7, 8, 0];

    #[test]
    fn the_least_significant_byte_comes_first() {
        assert_eq!(u16(&BYTES, 1), 0x0302);
        assert_eq!(u32(&BYTES, 1), 0x0504_0302);
        assert_eq!(u64(&BYTES, 0), 0x0807_0605_0403_0201);
    }

    #[test]
    fn a_field_is_read_up_to_the_exact_end_and_not_past_it() {
        assert_eq!((u8(&BYTES, 7), u8(&BYTES, 9)), (8, 0));
        assert_eq!((u64(&BYTES, 1), u64(&BYTES, 2)), (0x0008_0706_0504_0302, 0));
        assert_eq!(checked::u64(&BYTES, 1), Some(0x0008_0706_0504_0302));
        assert_eq!(checked::u64(&BYTES, 2), None);
        assert_eq!(checked::array::<0>(&BYTES, 9), Some([]));
        assert_eq!(checked::array::<0>(&BYTES, 10), None);
    }

    #[test]
    fn no_offset_wraps() {
        for at in [usize::MAX, usize::MAX - 1, usize::MAX - 7] {
            assert_eq!(
                (u8(&BYTES, at), u16(&BYTES, at), u64(&BYTES, at)),
                (0, 0, 0)
            );
            assert_eq!(checked::u32(&BYTES, at), None);
            let mut bytes = BYTES;
            put(&mut bytes, at, &[0xff; 8]);
            assert_eq!(bytes, BYTES);
        }
    }

    #[test]
    fn a_field_is_written_whole_or_not_at_all() {
        let mut bytes = BYTES;
        put(&mut bytes, 8, &[0xff; 2]);
        assert_eq!(bytes, BYTES);
        put(&mut bytes, 7, &[0xff; 2]);
        assert_eq!(bytes[6..], [7, 0xff, 0xff]);
    }

    #[test]
    fn bytes_that_are_not_there_are_not_zero() {
        assert!(is_zero(&BYTES, 8, 9) && is_zero(&BYTES, 9, 9));
        assert!(!is_zero(&BYTES, 7, 9) && !is_zero(&BYTES, 8, 10));
        assert!(!is_zero(&BYTES, 9, 8));
    }
}
