//! The bytes of a foreign volume, as the reader of its format asks for them.
//!
//! Owns: what the readers of FAT, exFAT and ext ask of whoever holds the bytes ([`Blocks`]), how a read that leaves the device
//! is refused before the device is asked ([`read_exact`]), and what a failed read says ([`ReadError`]).
//!
//! Invariant: this crate never panics, allocates or keeps anything, and never asks for a byte beyond the device.
#![no_std]
#![forbid(unsafe_code)]

use core::fmt;

/// The bytes of a volume. Small reads are frequent (4 to 512 bytes, close together), so put a cache behind it.
pub trait Blocks {
    /// What a failed read reports.
    type Error;

    /// Fills `buf` from `byte_offset`. Both ends lie inside [`len_bytes`](Self::len_bytes).
    ///
    /// # Errors
    /// Nothing in `buf` means anything then.
    fn read(&mut self, byte_offset: u64, buf: &mut [u8]) -> Result<(), Self::Error>;

    /// Returns the number of bytes of the volume's device or partition.
    fn len_bytes(&self) -> u64;
}

/// Why bytes could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError<E> {
    /// The device could not read.
    Device(E),
    /// The volume is larger than what holds it, and this part is missing.
    BeyondDevice {
        /// First byte that was asked for.
        offset: u64,
        /// Bytes of the device.
        device_bytes: u64,
    },
}

impl<E: fmt::Display> fmt::Display for ReadError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(error) => write!(f, "the device failed: {error}"),
            Self::BeyondDevice {
                offset,
                device_bytes,
            } => write!(
                f,
                "byte {offset} of the volume is missing: the device ends at {device_bytes}"
            ),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for ReadError<E> {}

/// Reads inside the device or says where the device ends.
///
/// # Errors
/// [`ReadError::BeyondDevice`] without asking the device; [`ReadError::Device`].
pub fn read_exact<B: Blocks>(
    blocks: &mut B,
    offset: u64,
    buf: &mut [u8],
) -> Result<(), ReadError<B::Error>> {
    let device_bytes = blocks.len_bytes();
    match offset.checked_add(buf.len() as u64) {
        Some(end) if end <= device_bytes => blocks.read(offset, buf).map_err(ReadError::Device),
        _ => Err(ReadError::BeyondDevice {
            offset,
            device_bytes,
        }),
    }
}

/// How many bytes of the device there are from `offset` on.
///
/// # Errors
/// [`ReadError::BeyondDevice`] where there is none.
pub fn present<B: Blocks>(blocks: &B, offset: u64) -> Result<u64, ReadError<B::Error>> {
    let device_bytes = blocks.len_bytes();
    match device_bytes.saturating_sub(offset) {
        0 => Err(ReadError::BeyondDevice {
            offset,
            device_bytes,
        }),
        present => Ok(present),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails at byte 7; notices whoever asks beyond its end.
    struct Ten;

    impl Blocks for Ten {
        type Error = ();

        fn read(&mut self, byte_offset: u64, buf: &mut [u8]) -> Result<(), ()> {
            let end = byte_offset + buf.len() as u64;
            assert!(end <= self.len_bytes());
            buf.fill(1);
            match (byte_offset..end).contains(&7) {
                true => Err(()),
                false => Ok(()),
            }
        }

        fn len_bytes(&self) -> u64 {
            10
        }
    }

    #[test]
    fn the_device_is_never_asked_for_what_it_does_not_have() {
        let mut byte = [0];
        assert_eq!(read_exact(&mut Ten, 9, &mut byte), Ok(()));
        assert_eq!(byte, [1]);
        for offset in [10, 11, u64::MAX] {
            let beyond = ReadError::BeyondDevice {
                offset,
                device_bytes: 10,
            };
            assert_eq!(read_exact(&mut Ten, offset, &mut [0]), Err(beyond));
            assert_eq!(present(&Ten, offset), Err(beyond));
        }
        assert!(read_exact(&mut Ten, 9, &mut [0; 2]).is_err());
        assert!(read_exact(&mut Ten, u64::MAX, &mut [0; 2]).is_err());
        assert_eq!(read_exact(&mut Ten, 10, &mut []), Ok(()));
        assert_eq!(
            read_exact(&mut Ten, 6, &mut [0; 2]),
            Err(ReadError::Device(()))
        );
        assert_eq!(present(&Ten, 4), Ok(6));
    }
}
